//! A function of a unit on a device: a plan bound to sizes and to the device's memory.
//! Law: a run without library operations and without loops of unknown length is one submission; it allocates nothing on
//! the device.

use super::Gpu;
use super::host::HostCall;
use super::memory::{ALIGNMENT, Place, Store, bytes_of, in_a_row, to_host};
use super::pipeline::Access;
use super::repeat::BoundRepeat;
use super::stream::{Dispatch, Staging, Stream};
use crate::device::cpu::execute::{Store as HostStore, entry_bytes};
use crate::entries::numbers;
use gannet_compiler::emit::wgsl::{self, Binding, Form, Region, spread};
use gannet_compiler::plan::{BufferId, Condition, Home, Kernel, Plan, arrange_by};
use gannet_lang::diag::Diagnostic;
use gannet_lang::program::{InputId, Output};
use std::sync::Arc;

/// What a run is given besides memory.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// Hyperparameters.
    pub hypers: &'a [f64],
    /// The step.
    pub step: f64,
    /// Keys the draws.
    pub seed: u64,
}

/// The kernels of a plan, ready to be recorded.
pub(super) struct Kernels {
    pub gpu: Arc<Gpu>,
    pub plan: Arc<Plan>,
    pub sizes: Vec<u64>,
    /// By `BufferId`.
    pub places: Vec<Place>,
    arguments: Place,
    work: Vec<Work>,
    /// Bytes of the device that only these kernels use.
    pub bytes: u64,
}

/// A kernel with its sizes and its memory known.
enum Work {
    Dispatch(Dispatch),
    Library(HostCall),
    Repeat(Box<BoundRepeat>),
}

impl Kernels {
    pub fn new(gpu: &Arc<Gpu>, plan: &Arc<Plan>, sizes: &[u64], store: &Arc<Store>) -> Result<Kernels, Diagnostic> {
        let (places, bytes) = places(gpu, plan, sizes, store)?;
        let words = wgsl::arguments(&plan.tables, sizes, &vec![0.0; plan.tables.hypers.len()], 0.0, 0);
        let mut kernels = Kernels {
            gpu: gpu.clone(),
            plan: plan.clone(),
            sizes: sizes.to_vec(),
            places,
            arguments: gpu.uniform(&words),
            work: Vec::new(),
            bytes,
        };
        for (k, kernel) in plan.kernels.iter().enumerate() {
            let work = match kernel {
                Kernel::Library(c) => Work::Library(HostCall::new(&kernels, c)),
                Kernel::Repeat(c) => Work::Repeat(Box::new(BoundRepeat::new(&kernels, c, store)?)),
                _ => Work::Dispatch(kernels.dispatch(k)?),
            };
            kernels.work.push(work);
        }
        let inner = |w: &Work| if let Work::Repeat(r) = w { r.bytes() } else { 0 };
        kernels.bytes += kernels.work.iter().map(inner).sum::<u64>();
        gpu.check()?;
        Ok(kernels)
    }

    /// A kernel of one of the templates.
    fn dispatch(&self, k: usize) -> Result<Dispatch, Diagnostic> {
        self.gpu.fits_loops(&self.plan.kernels[k], &self.sizes)?;
        let form = match &self.plan.kernels[k] {
            Kernel::Contraction(c) => Form::of(c, &self.sizes, self.gpu.target),
            _ => Form::Entries,
        };
        let shader = wgsl::shader(&self.plan, k, self.gpu.target, form).expect("a kernel of a template");
        let mut access = vec![Access::Uniform];
        let mut bound = vec![self.arguments.clone()];
        let mut bases = Vec::new();
        for binding in &shader.bindings {
            access.push(if binding.written { Access::Write } else { Access::Read });
            let place = self.cover(binding)?;
            if binding.buffers.len() > 1 {
                let base = |b: &BufferId| ((self.places[b.index()].offset - place.offset) / super::memory::WORD) as u32;
                bases.extend(binding.buffers.iter().map(base));
            }
            bound.push(place);
        }
        if !bases.is_empty() {
            access.push(Access::Uniform);
            bound.push(self.gpu.uniform(&bases));
        }
        let pipeline = self.gpu.pipeline(&wgsl::module(&self.plan, &shader), &shader.entry, 0, &access)?;
        let group = self.gpu.group(&pipeline, 0, &bound);
        Ok(Dispatch { pipeline, group, groups: spread(shader.grid.groups(&self.sizes)) })
    }

    /// The memory from the first to the last buffer of a binding.
    fn cover(&self, binding: &Binding) -> Result<Place, Diagnostic> {
        let all = || binding.buffers.iter().map(|b| &self.places[b.index()]);
        let from = all().map(|p| p.offset).min().expect("a binding has buffers");
        let to = all().map(|p| p.offset + p.bytes).max().expect("a binding has buffers");
        let first = &self.plan.buffer(binding.buffers[0]).name;
        self.gpu.fits_binding(&format!("`{first}`"), to - from)?;
        Ok(Place { buffer: all().next().expect("as above").buffer.clone(), offset: from, bytes: to - from })
    }

    /// Says with which arguments what is recorded will run.
    pub fn set_arguments(&self, given: Given<'_>) {
        let words = wgsl::arguments(&self.plan.tables, &self.sizes, given.hypers, given.step, given.seed);
        self.gpu.write_words(&self.arguments, &words);
        for work in &self.work {
            if let Work::Repeat(r) = work {
                r.set_arguments(given);
            }
        }
    }

    /// Records all kernels; what the host has to do is done now.
    ///
    /// # Errors
    /// A library operation that has no result, a lost device.
    pub fn record(&self, stream: &mut Stream<'_>) -> Result<(), Diagnostic> {
        for (k, work) in self.work.iter().enumerate() {
            match work {
                // The shader looks at its conditions itself.
                Work::Dispatch(d) => stream.dispatch(d),
                Work::Library(c) if self.due(k, stream)? => c.run(self, stream)?,
                Work::Repeat(r) if self.due(k, stream)? => r.record(self, stream)?,
                Work::Library(_) | Work::Repeat(_) => {}
            }
        }
        Ok(())
    }

    /// Does a kernel have to run?
    fn due(&self, k: usize, stream: &mut Stream<'_>) -> Result<bool, Diagnostic> {
        let all = self.plan.only[k].iter();
        let mut holds = |c: &Condition| Ok(self.truth(c.buffer, stream)? == c.holds);
        all.map(&mut holds).try_fold(true, |due, one: Result<bool, Diagnostic>| Ok(due && one?))
    }

    /// A truth value without axes, after all that is recorded.
    pub fn truth(&self, b: BufferId, stream: &mut Stream<'_>) -> Result<bool, Diagnostic> {
        let places = [self.place(b)];
        let read = stream.read(&places, &self.gpu.staging(&places))?;
        Ok(read[0].iter().any(|x| *x != 0))
    }

    pub fn place(&self, b: BufferId) -> &Place {
        &self.places[b.index()]
    }

    pub fn region(&self, b: BufferId) -> Region {
        Region::of(&self.plan.buffer(b).home)
    }
}

/// Where the buffers of a plan lie, and the bytes that are not the store's.
fn places(gpu: &Arc<Gpu>, plan: &Plan, sizes: &[u64], store: &Store) -> Result<(Vec<Place>, u64), Diagnostic> {
    let arena = arrange_by(plan, ALIGNMENT, &|b| bytes_of(plan, b, sizes));
    let in_region = |r: Region| -> Vec<BufferId> {
        (0..plan.buffers.len()).map(BufferId::new).filter(|b| Region::of(&plan.buffer(*b).home) == r).collect()
    };
    let mut found: Vec<Option<Place>> = vec![None; plan.buffers.len()];
    let mut all = 0;
    for region in [Region::Inputs, Region::Args, Region::Results, Region::Arena] {
        let buffers = in_region(region);
        let bytes: Vec<u64> = buffers.iter().map(|b| bytes_of(plan, *b, sizes)).collect();
        let (offsets, total) = match region {
            Region::Arena => (buffers.iter().map(|b| arena.offsets[b.index()] as u64).collect(), arena.total as u64),
            _ => in_a_row(bytes.iter().copied()),
        };
        if buffers.is_empty() {
            continue;
        }
        let memory = gpu.region(&format!("the memory of {}", region.name()), total)?;
        all += total;
        for ((b, offset), bytes) in buffers.iter().zip(offsets).zip(bytes) {
            found[b.index()] = Some(Place { buffer: memory.clone(), offset, bytes });
        }
    }
    for b in in_region(Region::Store) {
        found[b.index()] = Some(match plan.buffer(b).home {
            Home::Param(p) => store.params[p.index()].0.clone(),
            Home::State(s) => store.states[s.index()].0.clone(),
            _ => unreachable!("the store holds parameters and states"),
        });
    }
    Ok((found.into_iter().map(|p| p.expect("every buffer lies in a region")).collect(), all))
}

/// An input of the host.
struct Input {
    id: InputId,
    buffer: BufferId,
    data: *const u8,
    /// The device does not have its values yet.
    changed: bool,
}

/// A bound function.
pub struct Bound {
    kernels: Kernels,
    store: Arc<Store>,
    sizes: Vec<i64>,
    inputs: Vec<Input>,
    /// Copies after the last kernel: next values that lie elsewhere, by way of scratch where both are in the store.
    settle: Vec<(Place, Place)>,
    updates: bool,
    /// What the host reads after each run, and what it read last.
    read: Vec<BufferId>,
    staging: Staging,
    values: Vec<Vec<u8>>,
}

// SAFETY: the pointers point into memory of the host that outlives the binding's runs, by the contract of `set_input`;
// they are only read, while the binding is borrowed exclusively.
unsafe impl Send for Bound {}

impl Bound {
    /// Binds a plan to the sizes of all dims and to the parameters and states on the device.
    ///
    /// # Errors
    /// A plan that the device cannot run: too large, or refused by the driver.
    pub fn new(plan: &Arc<Plan>, sizes: &[u64], store: &Arc<Store>) -> Result<Bound, Diagnostic> {
        let gpu = store.gpu();
        let kernels = Kernels::new(gpu, plan, sizes, store)?;
        let input = |(k, b): (usize, &gannet_compiler::plan::Buffer)| match b.home {
            Home::Input(id) => Some(Input { id, buffer: BufferId::new(k), data: std::ptr::null(), changed: false }),
            _ => None,
        };
        let inputs = plan.buffers.iter().enumerate().filter_map(input).collect();
        let mut read: Vec<BufferId> = Vec::new();
        for (output, b) in &plan.outputs {
            if !matches!(output, Output::Param(_) | Output::State(_)) && !read.contains(b) {
                read.push(*b);
            }
        }
        let staging = gpu.staging(&read.iter().map(|b| kernels.place(*b)).collect::<Vec<_>>());
        let settle = settle(gpu, plan, &kernels, store)?;
        let updates = plan.outputs.iter().any(|(o, _)| matches!(o, Output::Param(_) | Output::State(_)));
        let sizes = sizes.iter().map(|n| *n as i64).collect();
        let (store, values) = (store.clone(), Vec::new());
        gpu.check()?;
        Ok(Bound { kernels, store, sizes, inputs, settle, updates, read, staging, values })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.kernels.plan
    }

    /// The size of each dim.
    pub fn sizes(&self) -> &[i64] {
        &self.sizes
    }

    /// Bytes of the device that the binding holds.
    pub fn peak(&self) -> usize {
        self.kernels.bytes as usize
    }

    /// The inputs that the plan reads.
    pub fn inputs(&self) -> impl Iterator<Item = InputId> + '_ {
        self.inputs.iter().map(|i| i.id)
    }

    /// Gives an input's memory; its content goes to the device with the next run, and after that whenever
    /// [`Bound::changed`] says so.
    ///
    /// # Safety
    /// The memory holds all entries, in the kind and order of the input's buffer, through every run until it is set anew.
    pub unsafe fn set_input(&mut self, input: InputId, data: *const u8) {
        for i in self.inputs.iter_mut().filter(|i| i.id == input) {
            (i.data, i.changed) = (data, true);
        }
    }

    /// The content of an input's memory is another one now.
    pub fn changed(&mut self, input: InputId) {
        self.inputs.iter_mut().filter(|i| i.id == input).for_each(|i| i.changed = true);
    }

    /// Runs all kernels once.
    ///
    /// # Errors
    /// A library operation that has no result for its operands; a lost device.
    ///
    /// # Panics
    /// If an input that the plan reads was not set.
    pub fn run(&mut self, hypers: &[f64], step: f64, seed: u64, host: &HostStore) -> Result<(), Diagnostic> {
        self.store.push(host);
        for k in 0..self.inputs.len() {
            if self.inputs[k].changed {
                self.kernels.gpu.upload(
                    self.kernels.place(self.inputs[k].buffer),
                    self.plan().buffer(self.inputs[k].buffer).kind,
                    self.host_bytes(&self.inputs[k]),
                );
                self.inputs[k].changed = false;
            }
        }
        self.kernels.set_arguments(Given { hypers, step, seed });
        let gpu = self.kernels.gpu.clone();
        let mut stream = Stream::new(&gpu);
        if self.updates {
            self.store.device_changed();
        }
        self.kernels.record(&mut stream)?;
        self.settle.iter().for_each(|(from, to)| stream.copy(from, to));
        if self.read.is_empty() {
            stream.submit();
            return gpu.check();
        }
        let places: Vec<&Place> = self.read.iter().map(|b| self.kernels.place(*b)).collect();
        self.values = stream.read(&places, &self.staging)?;
        Ok(())
    }

    /// An input's entries as the host stores them.
    fn host_bytes(&self, input: &Input) -> &[u8] {
        assert!(!input.data.is_null(), "input {} is set", self.plan().buffer(input.buffer).name);
        let kind = self.plan().buffer(input.buffer).kind;
        let entries = (self.kernels.place(input.buffer).bytes / super::memory::WORD) as usize;
        // SAFETY: by the contract of `set_input` the memory holds all entries.
        unsafe { std::slice::from_raw_parts(input.data, entries * entry_bytes(kind, false)) }
    }

    /// An input's entries as numbers, in its storage order; `None`: the plan does not read it.
    pub fn input(&self, input: InputId) -> Option<Vec<f64>> {
        let found = self.inputs.iter().find(|i| i.id == input && !i.data.is_null())?;
        let (bytes, kind) = (self.host_bytes(found), self.plan().buffer(found.buffer).kind);
        Some(numbers(bytes, kind, false, bytes.len() / entry_bytes(kind, false)))
    }

    /// An output's entries as numbers after the last run, in the buffer's storage order.
    pub fn values(&self, output: &Output) -> Option<Vec<f64>> {
        let (_, id) = self.plan().outputs.iter().find(|(o, _)| o == output)?;
        let k = self.read.iter().position(|b| b == id)?;
        let (words, kind) = (self.values.get(k)?, self.plan().buffer(*id).kind);
        let count = words.len() / 4;
        let mut host = vec![0; count * entry_bytes(kind, false)];
        to_host(words, kind, &mut host);
        Some(numbers(&host, kind, false, count))
    }
}

/// The copies after the last kernel. One memory is not copied to itself in one go: what lies in the store already goes by
/// way of scratch, all of it before anything there is overwritten.
fn settle(gpu: &Arc<Gpu>, plan: &Plan, kernels: &Kernels, store: &Store) -> Result<Vec<(Place, Place)>, Diagnostic> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for (output, b) in &plan.outputs {
        let (home, target) = match output {
            Output::Param(p) => (Home::Param(*p), &store.params[p.index()].0),
            Output::State(s) => (Home::State(*s), &store.states[s.index()].0),
            _ => continue,
        };
        if plan.buffer(*b).home == home {
            continue;
        }
        let from = kernels.place(*b).clone();
        if kernels.region(*b) == Region::Store {
            let scratch = Place { buffer: gpu.region("scratch", from.bytes)?, offset: 0, bytes: from.bytes };
            first.push((from, scratch.clone()));
            last.push((scratch, target.clone()));
        } else {
            last.push((from, target.clone()));
        }
    }
    first.extend(last);
    Ok(first)
}
