//! A session: one unit compiled, bound to its data and ready to run.
//! Law: whatever a run does is decided by the unit, the data, the options and the seed.

use crate::data::{Dataset, Sizes};
use crate::device::cpu::execute::{self, Executable, Store, entry_bytes};
use crate::device::cpu::memory::Memory;
use crate::device::{Bound, Choice};
use crate::elsewhere::Other;
use crate::entries::fill;
pub use crate::entries::{gather, gather_entries, kind_of, no_result, numbers, stored};
use crate::reference::Env;
use crate::sizes;
use gannet_compiler::graph::Tables;
use gannet_compiler::plan::Plan;
use gannet_compiler::{CompileOptions, plan_of};
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{DimId, InputId, Output, Part, Ty, Unit};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Keys every random draw.
    pub seed: u64,
    /// Threads; results do not depend on it.
    pub threads: usize,
    /// Reals are f64.
    pub double: bool,
    /// Sizes of open dims.
    pub dims: Vec<(String, u64)>,
    /// Values of hyperparameters, by name.
    pub hypers: Vec<(String, f64)>,
    /// Instead of the program's `epochs`.
    pub epochs: Option<u64>,
    /// Instead of the program's `steps`.
    pub steps: Option<u64>,
    /// Stop at the first step whose loss is not finite, and say which equation was first.
    pub check_finite: bool,
    /// Measure every kernel of the steps.
    pub profile: bool,
    /// And note each call of theirs.
    pub trace: bool,
    /// How to compile.
    pub compile: CompileOptions,
    /// Where to run.
    pub device: Choice,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map(usize::from).unwrap_or(1);
        Options {
            seed: 0,
            threads,
            double: false,
            dims: Vec::new(),
            hypers: Vec::new(),
            epochs: None,
            steps: None,
            check_finite: false,
            profile: false,
            trace: false,
            compile: CompileOptions::default(),
            device: Choice::default(),
        }
    }
}

/// A compiled and bound unit.
pub struct Session {
    /// What runs.
    pub unit: Unit,
    /// Its data.
    pub data: Option<Arc<Dataset>>,
    /// How.
    pub options: Options,
    /// Parameters and states.
    pub store: Store,
    /// Values of hyperparameters, by `HyperId`.
    pub hypers: Vec<f64>,
    /// Steps done.
    pub step: u64,
    /// Machine code, by the function's name.
    executables: BTreeMap<String, Arc<Executable>>,
    /// What compiling took, by the function's name.
    pub compile_time: Vec<(String, Duration)>,
    sizes: Sizes,
    needed: Vec<bool>,
    tables: Arc<Tables>,
    pool: Arc<rayon::ThreadPool>,
    held: Vec<Memory>,
    /// Inputs given once for all: values of runs.
    given: BTreeMap<InputId, Memory>,
    peak: usize,
    /// The GPU, if the session runs there.
    pub(crate) other: Option<Other>,
}

impl Session {
    /// Prepares a unit: binds sizes, compiles what every run needs and draws the first values.
    ///
    /// # Errors
    /// Dims without a size, unknown hyperparameters, a batch larger than the data.
    pub fn new(
        unit: Unit,
        data: Option<Arc<Dataset>>,
        data_sizes: Sizes,
        options: Options,
    ) -> Result<Session, Diagnostic> {
        let mut session = Session::unset(unit, data, data_sizes, options)?;
        session.reset()?;
        Ok(session)
    }

    /// As [`Session::new`], but for the first values: [`Session::reset`] draws them, from what else is set before.
    ///
    /// # Errors
    /// Those of [`Session::new`].
    pub fn unset(
        unit: Unit,
        data: Option<Arc<Dataset>>,
        data_sizes: Sizes,
        options: Options,
    ) -> Result<Session, Diagnostic> {
        if let Some(host) = unit.hosts.iter().find(|h| h.call.is_none()) {
            let message = format!("`{}` is computed by the program that embeds this one, and none gives it", host.name);
            return Err(Diagnostic::error(Code::G0607, host.span, message)
                .hint("from Rust: `check::Options { hosts: Hosts::default().with(\"name\", |args| ...), .. }`"));
        }
        let mut sizes = Sizes::of(&unit.dims);
        (0..unit.dims.len()).map(DimId::new).for_each(|d| {
            if let Some(n) = data_sizes.get(d) {
                sizes.set(d, n);
            }
        });
        sizes::bind_named(&unit, &options.dims, &mut sizes)?;
        if let Some(set) = &data {
            sizes::bind_rows(&unit, set, &mut sizes);
        }
        let hypers = hyper_values(&unit, &options.hypers)?;
        let needed = sizes::needed(&unit);
        let mut tables = Tables::of(&unit);
        sizes::assume(&unit, &sizes, data.as_deref(), &mut tables.assumed);
        let double = options.double || unit.double;
        let all = sizes::complete(&unit, &sizes, unit.schedule.batch.unwrap_or(1), &needed)?;
        let memory = |ty: &Ty| {
            let entries: u64 = ty.axes.iter().map(|a| all[a.dim.index()]).product();
            Memory::zeroed(entries as usize * entry_bytes(kind_of(ty.elem), double))
        };
        let store = Store {
            params: unit.params.iter().map(|p| memory(&p.ty)).collect(),
            states: unit.states.iter().map(|s| memory(&s.ty)).collect(),
        };
        let other = Other::chosen(&options, &unit, &all, double)?;
        let pool = crate::device::cpu::pool(options.threads);
        let session = Session {
            unit,
            data,
            options: Options { double, ..options },
            store,
            hypers,
            step: 0,
            executables: BTreeMap::new(),
            compile_time: Vec::new(),
            sizes,
            needed,
            tables: Arc::new(tables),
            pool,
            held: Vec::new(),
            given: BTreeMap::new(),
            peak: 0,
            other,
        };
        Ok(session)
    }

    /// Draws first values anew.
    pub fn reset(&mut self) -> Result<(), Diagnostic> {
        self.step = 0;
        if self.unit.function("init").is_some_and(|f| !f.outputs.is_empty()) {
            let mut bound = self.bind("init", 1)?;
            self.run(&mut bound)?;
        }
        Ok(())
    }

    /// The thread pool of the session.
    pub fn pool(&self) -> Arc<rayon::ThreadPool> {
        self.pool.clone()
    }

    /// The plan of a function.
    pub(crate) fn plan(&self, name: &str) -> Plan {
        let function = self.unit.function(name).unwrap_or_else(|| panic!("the unit has a function `{name}`"));
        let options = CompileOptions { double: self.options.double, ..self.options.compile.clone() };
        plan_of(&self.unit, function, self.tables.clone(), &options)
    }

    /// The machine code of a function, compiled at first use.
    ///
    /// # Panics
    /// If the unit has no such function.
    pub fn executable(&mut self, name: &str) -> Arc<Executable> {
        if let Some(found) = self.executables.get(name) {
            return found.clone();
        }
        let start = Instant::now();
        let executable = Executable::new(self.plan(name));
        self.compile_time.push((name.to_string(), start.elapsed()));
        self.executables.insert(name.to_string(), executable.clone());
        executable
    }

    /// Binds a function on the device where it runs.
    fn bound(&mut self, name: &str, sizes: &[u64]) -> Result<Bound, Diagnostic> {
        // First values are drawn on the CPU, so that they are the same wherever a run goes on from them.
        if name != "init" && self.other.is_some() {
            return self.bound_elsewhere(name, sizes);
        }
        let executable = self.executable(name);
        Ok(Bound::Cpu(execute::Bound::new(&executable, sizes, &self.store, self.options.threads)))
    }

    /// Binds a function to a batch of so many rows. Inputs over whole splits are set; those over the batch are not.
    pub fn bind(&mut self, name: &str, batch: u64) -> Result<Bound, Diagnostic> {
        self.bind_part(name, batch, &[])
    }

    /// As [`Session::bind`], with other sizes of some dims: those of a part of a graph. The caller sets inputs over them.
    ///
    /// # Errors
    /// Dims without a size.
    pub fn bind_part(&mut self, name: &str, batch: u64, part: &[(DimId, u64)]) -> Result<Bound, Diagnostic> {
        let mut sizes = self.sizes.clone();
        part.iter().for_each(|(dim, n)| sizes.set(*dim, *n));
        let all = sizes::complete(&self.unit, &sizes, batch, &self.needed)?;
        let mut bound = self.bound(name, &all)?;
        self.peak = self.peak.max(bound.peak());
        if self.options.profile {
            bound.start_clock(self.options.trace);
        }
        let inputs = bound.inputs();
        for input in inputs {
            let declared = self.unit.inputs[input.index()].clone();
            let rows = match &declared.part {
                Part::Batch | Part::Fresh | Part::Seeds | Part::Near(_) | Part::Argument => continue,
                Part::Run(..) | Part::Plan(..) => {
                    let Some(memory) = self.given.get(&input) else {
                        let message = format!("a first value cannot be made of `{}`, a value of a run", declared.name);
                        return Err(Diagnostic::error(Code::G0306, None, message)
                            .hint("read runs in reports and in what these need"));
                    };
                    // SAFETY: the session holds the memory, which has all entries of the input.
                    unsafe { bound.set_input(input, memory.as_ptr()) };
                    continue;
                }
                Part::All => None,
                Part::Split(name) => Some(name.clone()),
            };
            let pointer = self.whole(declared.field.expect("data inputs have a field"), rows.as_deref());
            // SAFETY: the session holds the data set and gathered rows as long as it lives; the field's rows are
            // exactly those that the input's row dim was bound to.
            unsafe { bound.set_input(input, pointer) };
        }
        Ok(bound)
    }

    /// Gives an input its entries, in the order of its type's axes, for every later binding.
    ///
    /// # Errors
    /// Another number of entries than the input's type has.
    pub fn give(&mut self, input: InputId, values: &[f64]) -> Result<(), Diagnostic> {
        let all = sizes::complete(&self.unit, &self.sizes, 1, &self.needed)?;
        let declared = &self.unit.inputs[input.index()];
        let expected: usize = declared.ty.axes.iter().map(|a| all[a.dim.index()] as usize).product();
        if values.len() != expected {
            let message = format!("`{}` has {} entries, {expected} are expected", declared.name, values.len());
            return Err(Diagnostic::error(Code::G0603, None, message)
                .hint("the run was made with other sizes or steps than the program says"));
        }
        let memory = stored(values, kind_of(declared.ty.elem), self.options.double);
        self.given.insert(input, memory);
        Ok(())
    }

    /// Sets a parameter's entries, in its declared order.
    pub fn set_param(&mut self, k: usize, values: &[f64]) {
        fill(&mut self.store.params[k], values, kind_of(self.unit.params[k].ty.elem), self.options.double);
        self.host_changed();
    }

    /// Sets a state's entries, in its declared order.
    pub fn set_state(&mut self, k: usize, values: &[f64]) {
        fill(&mut self.store.states[k], values, kind_of(self.unit.states[k].ty.elem), self.options.double);
        self.host_changed();
    }

    /// Kernels, estimated flops and bytes moved, and peak memory of one call of a function.
    ///
    /// # Errors
    /// Dims without a size.
    pub fn plan_facts(&mut self, name: &str) -> Result<[f64; 4], Diagnostic> {
        let batch = match (&self.data, self.unit.schedule.batch) {
            (Some(data), None) => data.train().len() as u64,
            (_, batch) => batch.unwrap_or(1),
        };
        let rows = if name.starts_with("step") { batch } else { self.report_rows(name) };
        let bound = self.bind(name, rows)?;
        let sizes: Vec<u64> = bound.sizes().iter().map(|n| *n as u64).collect();
        let plan = bound.plan();
        let (mut flops, mut bytes) = (0.0, 0.0);
        for kernel in &plan.kernels {
            let estimate = kernel.estimate(plan, &sizes);
            flops += estimate.flops;
            bytes += estimate.bytes;
        }
        Ok([plan.kernels.len() as f64, flops, bytes, bound.peak() as f64])
    }

    /// The rows of a split of a field (or all rows), contiguous.
    fn whole(&mut self, field: usize, split: Option<&str>) -> *const u8 {
        let data = self.data.clone().expect("data inputs belong to a data set");
        let column = &data.columns[field];
        let Some(split) = split else { return column.values.as_ptr() };
        let rows = data.split(split).expect("a checked split exists");
        let mut memory = Memory::zeroed(rows.len() * column.width * column.values.entry_bytes());
        gather(&column.values, column.width, rows, &mut memory);
        let pointer = memory.as_ptr();
        self.held.push(memory);
        pointer
    }

    /// Runs a bound function once on the session's pool, with the current step.
    ///
    /// # Errors
    /// A library operation that has no result for its operands.
    pub fn run(&mut self, bound: &mut Bound) -> Result<(), Diagnostic> {
        let pool = self.pool.clone();
        let (hypers, step, seed) = (&self.hypers, self.step as f64, self.options.seed);
        let store = &mut self.store;
        pool.install(|| bound.run(hypers, step, seed, store))?;
        if let Bound::Cpu(_) = bound {
            self.host_changed();
        }
        self.fetch()
    }

    /// The number of rows a report named so goes over.
    pub fn report_rows(&self, function: &str) -> u64 {
        let Some(data) = &self.data else { return 1 };
        let named = function.strip_prefix("report on ");
        match named {
            Some(split) => data.split(split).map_or(data.rows, <[u32]>::len) as u64,
            None => data.split("test").map_or(data.rows, <[u32]>::len) as u64,
        }
    }

    /// All reports, evaluated now: name and values.
    pub fn reports(&mut self) -> Result<Vec<(String, Vec<f64>)>, Diagnostic> {
        let mut found: Vec<(usize, Vec<f64>)> = Vec::new();
        let names: Vec<String> =
            self.unit.functions.iter().map(|f| f.name.clone()).filter(|n| n.starts_with("report")).collect();
        for name in names {
            let outputs: Vec<Output> =
                self.unit.function(&name).expect("just listed").outputs.iter().map(|(o, _)| o.clone()).collect();
            if outputs.is_empty() {
                continue;
            }
            let rows = self.report_rows(&name);
            let mut bound = self.bind(&name, rows)?;
            self.run(&mut bound)?;
            for output in outputs {
                if let Output::Report(k) = output {
                    let axes = &self.unit.reports[k].ty.axes;
                    found.push((k, bound.ordered(&output, axes).expect("the plan has the function's outputs")));
                }
            }
        }
        found.sort_by_key(|(k, _)| *k);
        Ok(found.into_iter().map(|(k, v)| (self.unit.reports[k].name.clone(), v)).collect())
    }

    /// A parameter's entries in its declared order, with the sizes of its axes.
    pub fn param(&self, k: usize) -> (Vec<usize>, Vec<f64>) {
        let ty = &self.unit.params[k].ty;
        let shape: Vec<usize> = ty.axes.iter().map(|a| self.sizes.get(a.dim).unwrap_or(0) as usize).collect();
        let count: usize = shape.iter().product();
        (shape, numbers(self.store.params[k].bytes(), kind_of(ty.elem), self.options.double, count))
    }

    /// A state's entries in its declared order.
    pub fn state(&self, k: usize) -> Vec<f64> {
        let ty = &self.unit.states[k].ty;
        let count = ty.axes.iter().map(|a| self.sizes.get(a.dim).unwrap_or(0) as usize).product();
        numbers(self.store.states[k].bytes(), kind_of(ty.elem), self.options.double, count)
    }

    /// What the leaves hold now, for the reference evaluator: the caller says how large dims are and what was read.
    pub fn leaves(&self, sizes: Vec<usize>, inputs: Vec<Vec<f64>>) -> Env {
        let params = (0..self.unit.params.len()).map(|k| self.param(k).1).collect();
        let states = (0..self.unit.states.len()).map(|k| self.state(k)).collect();
        let (hypers, step, seed) = (self.hypers.clone(), self.step as f64, self.options.seed);
        Env { sizes, inputs, params, states, hypers, step, seed }
    }

    /// The number of trained entries.
    pub fn parameter_count(&self) -> usize {
        (0..self.unit.params.len())
            .map(|k| {
                self.unit.params[k]
                    .ty
                    .axes
                    .iter()
                    .map(|a| self.sizes.get(a.dim).unwrap_or(0) as usize)
                    .product::<usize>()
            })
            .sum()
    }

    /// Kernels that one call of a compiled function runs.
    pub fn kernels(&self, name: &str) -> usize {
        let elsewhere = self.other.as_ref().and_then(|o| o.kernels(name));
        elsewhere.or(self.executables.get(name).map(|e| e.plan.kernels.len())).unwrap_or(0)
    }

    /// Bytes of parameters, states, data and of the largest binding so far.
    pub fn peak_bytes(&self) -> usize {
        self.store_bytes() + self.data.as_ref().map_or(0, |d| d.bytes()) + self.peak
    }

    /// Bytes of parameters and states.
    pub fn store_bytes(&self) -> usize {
        self.store.params.iter().chain(&self.store.states).map(Memory::len).sum()
    }

    /// The size of a dim, if it is bound.
    pub fn size(&self, dim: DimId) -> Option<u64> {
        self.sizes.get(dim)
    }
}

fn hyper_values(unit: &Unit, set: &[(String, f64)]) -> Result<Vec<f64>, Diagnostic> {
    let mut values: Vec<f64> = unit.hypers.iter().map(|h| h.default).collect();
    for (name, value) in set {
        match unit.hypers.iter().position(|h| h.name == *name) {
            Some(k) => values[k] = *value,
            None => {
                let known: Vec<&str> = unit.hypers.iter().map(|h| h.name.as_str()).collect();
                let d = Diagnostic::error(Code::G0701, None, format!("`{}` has no argument `{name}`", unit.name));
                return Err(d.hint(format!("its arguments are {}", known.join(", "))));
            }
        }
    }
    Ok(values)
}
