//! A program run in every way: all must agree.

use crate::program::Program;
use gannet::compiler::fuse::{LowerOptions, lower};
use gannet::compiler::graph::{Graph, Tables};
use gannet::compiler::{CompileOptions, Stages, stages_of};
use gannet::lang::program::{Axis, Elem, HyperId, InputId, Output, ParamId, Schedule, StateId, Unit};
use gannet::runtime::device::cpu::execute::{Bound, Executable};
use gannet::runtime::device::cpu::memory::Memory;
use gannet::runtime::device::{self, Choice};
use gannet::runtime::reference::{Env, Fault, Tensor, eval, eval_each};
use gannet::runtime::session::{Session, kind_of, stored};
use gannet::{Model, Options};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What went wrong: a kind that shrinking keeps, and the details.
#[derive(Clone, Debug)]
pub struct Failure {
    pub kind: String,
    pub text: String,
}

impl From<gannet::Error> for Failure {
    fn from(e: gannet::Error) -> Failure {
        let code = e.diagnostics.0.first().map(|d| format!("{:?}", d.code)).unwrap_or_default();
        Failure { kind: format!("refused: {code}"), text: e.to_string() }
    }
}

impl From<Fault> for Failure {
    fn from(f: Fault) -> Failure {
        Failure { kind: "fault".into(), text: f.message }
    }
}

fn failed<T>(kind: impl Into<String>, text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure { kind: kind.into(), text: text.into() })
}

/// The values of a function's outputs by name, in the order of the declared axes.
pub type Values = BTreeMap<String, Vec<f64>>;

/// What a sound program is made of, for the count of what occurred.
pub struct Seen {
    pub text: String,
    pub graphs: Vec<Graph>,
}

/// Runs a program in all ways: of the CPU, or of the GPU.
///
/// # Errors
/// The first disagreement, refusal or panic.
pub fn agree(program: &Program, seed: u64, device: Choice) -> Result<Seen, Failure> {
    let run = std::panic::AssertUnwindSafe(|| all_ways(program, seed, device));
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default();
        failed(format!("panic: {}", text.chars().take(24).collect::<String>()), text)
    })
}

fn all_ways(program: &Program, seed: u64, device: Choice) -> Result<Seen, Failure> {
    let text = program.text();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let toy = folder.path().join("toy");
    std::fs::create_dir(&toy).expect("a folder");
    for (name, content) in &program.files {
        std::fs::write(toy.join(name), content).expect("written");
    }
    let model = Model::from_source("random.gnt", &text)?.data_folder(folder.path());
    let unit = model.unit(Some("t"), &[])?;
    let graphs = match program.train.is_empty() {
        true => task(program, &model, &unit, seed, device)?,
        false => trained(&model, &unit, seed, device)?,
    };
    Ok(Seen { text, graphs })
}

fn options(program: &Program, seed: u64, double: bool) -> Options {
    let mut options = Options { double, seed, threads: 2, dims: program.open.clone(), ..Options::default() };
    options.compile.pieces = pieces(seed);
    options
}

/// Half of the programs compute whatever can be piece by piece.
fn pieces(seed: u64) -> u64 {
    if seed % 2 == 0 { 1 } else { CompileOptions::default().pieces }
}

/// The state of a session, for the reference evaluator.
fn env(session: &Session, sizes: &[u64], inputs: &[Vec<f64>]) -> Env {
    session.leaves(sizes.iter().map(|n| *n as usize).collect(), inputs.to_vec())
}

/// What the inputs of a unit hold.
fn inputs(model: &Model, unit: &Unit, options: &Options) -> Result<Vec<Vec<f64>>, Failure> {
    let (data, _) = model.load_data(unit, options)?;
    let of = |k: usize| {
        // Arguments of nets that are called from outside take no part.
        let Some(field) = unit.inputs[k].field else { return Vec::new() };
        let column = &data.as_ref().expect("there is a data set").columns[field].values;
        let (at, count) = (column.as_ptr(), column.bytes() / column.entry_bytes());
        // SAFETY: the column has so many entries, of the kind of its element type; doubles were asked for.
        (0..count)
            .map(|i| unsafe {
                match unit.inputs[k].ty.elem {
                    Elem::Real => *at.cast::<f64>().add(i),
                    Elem::Bool => f64::from(*at.add(i)),
                    Elem::Int | Elem::Index(_) => f64::from(*at.cast::<i32>().add(i)),
                }
            })
            .collect()
    };
    Ok((0..unit.inputs.len()).map(of).collect())
}

fn name_of(unit: &Unit, output: &Output) -> (String, Vec<Axis>) {
    match output {
        Output::Report(k) => (unit.reports[*k].name.clone(), unit.reports[*k].ty.axes.clone()),
        Output::Param(p) => {
            (format!("parameter {}", unit.params[p.index()].name), unit.params[p.index()].ty.axes.clone())
        }
        Output::State(s) => (format!("state {}", unit.states[s.index()].name), unit.states[s.index()].ty.axes.clone()),
        other => (format!("{other:?}"), vec![]),
    }
}

/// Entries in row-major order of these axes.
fn ordered(t: &Tensor, axes: &[Axis]) -> Vec<f64> {
    let size = |a: &Axis| t.sizes[t.axes.iter().position(|b| a == b).expect("an output has the axes of its type")];
    let count: usize = axes.iter().map(size).product();
    let entry = |mut k: usize| {
        let mut places = Vec::new();
        for a in axes.iter().rev() {
            places.push((*a, k % size(a)));
            k /= size(a);
        }
        t.get(|a| places.iter().find(|p| p.0 == a).expect("every axis has a place").1)
    };
    (0..count).map(entry).collect()
}

fn named(unit: &Unit, found: &[(Output, Tensor)]) -> Values {
    found
        .iter()
        .map(|(o, t)| {
            let (name, axes) = name_of(unit, o);
            (name, ordered(t, &axes))
        })
        .collect()
}

/// As the reference evaluator has it with every value rounded to single precision: how well conditioned the program is.
fn rounded(graph: &Graph, env: &Env) -> Result<Vec<(Output, Tensor)>, Fault> {
    let values = eval_each(graph, env, |id, value| {
        if graph.ty(id).elem == Elem::Real {
            value.data.iter_mut().for_each(|x| *x = f64::from(*x as f32));
        }
    })?;
    Ok(graph.outputs.iter().map(|(o, id)| (o.clone(), values[id.index()].clone().expect("outputs are live"))).collect())
}

/// How far values may be apart: relative to their size, and to what rounding to single precision changes.
struct Tolerance {
    relative: f64,
    noise: f64,
}

const DOUBLE: Tolerance = Tolerance { relative: 1e-9, noise: 1e-5 };
const SINGLE: Tolerance = Tolerance { relative: 3e-5, noise: 30.0 };
/// What drivers give for `exp`, `log` or `sin` is less exact than what the CPU's kernels do.
const SHADERS: Tolerance = Tolerance { relative: 1e-4, noise: 100.0 };

fn close(what: &str, tolerance: &Tolerance, expected: &Values, noisy: &Values, got: &Values) -> Result<(), Failure> {
    for (name, expected) in expected {
        let Some(got) = got.get(name) else { return failed(what, format!("{name} is missing")) };
        let noisy = &noisy[name];
        let size = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
        let noise = expected.iter().zip(noisy).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let apart = tolerance.relative * size + tolerance.noise * noise;
        for (k, (a, b)) in expected.iter().zip(got).enumerate() {
            let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= apart;
            if !same || expected.len() != got.len() {
                return failed(what, format!("{what}: {name}[{k}] is {b} instead of {a}, allowed {apart:.1e}"));
            }
        }
    }
    Ok(())
}

fn task(program: &Program, model: &Model, unit: &Unit, seed: u64, device: Choice) -> Result<Vec<Graph>, Failure> {
    let tables = Arc::new(Tables::of(unit));
    let function = unit.function("report").expect("a task reports");
    let compile = CompileOptions { double: true, verify: true, pieces: pieces(seed), ..CompileOptions::default() };
    let stages = stages_of(unit, function, tables, &compile);
    let wide = options(program, seed, true);
    let mut session = model.session(unit.clone(), &wide)?;
    let sizes: Vec<u64> =
        session.bind("init", 1).map_err(|d| model.error(d))?.sizes().iter().map(|n| *n as u64).collect();
    let given = inputs(model, unit, &wide)?;
    let env = env(&session, &sizes, &given);
    let graph = &stages.differentiated;
    let exact = named(unit, &eval(graph, &env)?);
    if let Some((name, _)) = exact.iter().find(|(_, x)| !x.iter().all(|x| x.is_finite())) {
        return failed("not finite", format!("{name} is {:?}", exact[name]));
    }
    let noisy = named(unit, &rounded(graph, &env)?);
    if device == Choice::Gpu {
        let mut session = model.session(unit.clone(), &Options { device, ..options(program, seed, false) })?;
        let got = session.reports().map_err(|d| model.error(d))?.into_iter().collect();
        close("shaders", &SHADERS, &exact, &noisy, &got)?;
        return Ok(vec![]);
    }
    let rewritten = named(unit, &eval(&stages.rewritten, &env)?);
    close("rewritten graph", &DOUBLE, &exact, &noisy, &rewritten)?;
    derivatives(program, unit, graph, &env, &exact, &noisy)?;
    let single = lower(&stages.rewritten, &LowerOptions { double: false, fusion: true, verify: true });
    for (what, plan, tolerance) in
        [("machine code in f64", stages.plan, DOUBLE), ("machine code in f32", single, SINGLE)]
    {
        let double = plan.double;
        if !double {
            session = model.session(unit.clone(), &options(program, seed, false))?;
        }
        let executable = Executable::new(plan);
        let one = machine(&mut session, &executable, &sizes, &given, double, 1)?;
        close(what, &tolerance, &exact, &noisy, &one)?;
        let two = machine(&mut session, &executable, &sizes, &given, double, 2)?;
        let bits = |v: &Values| v.values().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
        if bits(&one) != bits(&two) {
            return failed(format!("threads, {what}"), format!("one: {one:?}\ntwo: {two:?}"));
        }
    }
    Ok(vec![stages.built, stages.differentiated, stages.rewritten])
}

/// The outputs of machine code on so many threads.
fn machine(
    session: &mut Session,
    executable: &Arc<Executable>,
    sizes: &[u64],
    given: &[Vec<f64>],
    double: bool,
    threads: usize,
) -> Result<Values, Failure> {
    let mut bound = device::Bound::Cpu(Bound::new(executable, sizes, &session.store, threads));
    let mut held: Vec<Memory> = Vec::new();
    let needed: Vec<InputId> = bound.inputs();
    for id in needed {
        let memory = stored(&given[id.index()], kind_of(session.unit.inputs[id.index()].ty.elem), double);
        // SAFETY: the memory holds all entries and is kept until after the run.
        unsafe { bound.set_input(id, memory.as_ptr()) };
        held.push(memory);
    }
    session.run(&mut bound).map_err(|d| Failure { kind: "run".into(), text: d.message })?;
    let unit = &session.unit;
    let outputs = executable.plan.outputs.iter().map(|(o, _)| {
        let (name, axes) = name_of(unit, o);
        (name, bound.ordered(o, &axes).expect("the plan has its outputs"))
    });
    Ok(outputs.collect())
}

/// Derivatives forwards and backwards are the same, and the differences of what they are derivatives of.
fn derivatives(
    program: &Program,
    unit: &Unit,
    graph: &Graph,
    env: &Env,
    exact: &Values,
    noisy: &Values,
) -> Result<(), Failure> {
    let alike = [("a1", "g1"), ("a1", "p1"), ("a2", "g2"), ("a2", "m2"), ("a2", "n2"), ("a3", "g3"), ("a3", "m3")];
    for (a, b) in alike {
        let (Some(x), Some(y)) = (exact.get(a), exact.get(b)) else { continue };
        let noise = (x[0] - noisy[a][0]).abs() + (y[0] - noisy[b][0]).abs();
        if (x[0] - y[0]).abs() > 1e-9 * (1.0 + x[0].abs()) + 1e-5 * noise {
            return failed(format!("{a} = {b}"), format!("{a} is {}, {b} is {}", x[0], y[0]));
        }
    }
    for (k, (f, slope)) in [("v", "a1"), ("a1", "a2"), ("a2", "a3")].into_iter().enumerate() {
        if k < program.order {
            let name = |o: &Output| name_of(unit, o).0;
            let mut graph = graph.clone();
            graph.outputs.retain(|(o, _)| name(o) == f);
            let at = |h: f64| -> Result<f64, Fault> {
                let mut env = env.clone();
                env.hypers = vec![h];
                Ok(eval(&graph, &env)?[0].1.data[0])
            };
            let slope = exact[slope][0];
            let mut tried = Vec::new();
            for h in [1e-3, 1e-4, 1e-2, 1e-5] {
                let found = (8.0 * (at(h)? - at(-h)?) - at(2.0 * h)? + at(-2.0 * h)?) / (12.0 * h);
                tried.push(found);
                if (found - slope).abs() <= 1e-6 * (1.0 + slope.abs()) {
                    break;
                }
            }
            let best = tried.iter().map(|x| (x - slope).abs()).fold(f64::INFINITY, f64::min);
            if best > 1e-4 * (1.0 + slope.abs()) {
                return failed(
                    format!("differences of {f}"),
                    format!("the derivative of {f} is {slope}, by differences {tried:?}"),
                );
            }
        }
    }
    Ok(())
}

/// Reports, the last loss, parameters and states after a run.
fn after_training(model: &Model, unit: &Unit, options: &Options) -> Result<Values, gannet::Error> {
    let run = model.train("t", options)?;
    let mut all: Values = run.outcome.reports.iter().cloned().collect();
    all.insert("loss".into(), vec![f64::from(*run.outcome.losses.last().expect("there were steps"))]);
    let name = |o: Output| name_of(unit, &o).0;
    all.extend((0..unit.params.len()).map(|k| (name(Output::Param(ParamId::new(k))), run.session.param(k).1)));
    all.extend((0..unit.states.len()).map(|k| (name(Output::State(StateId::new(k))), run.session.state(k))));
    Ok(all)
}

/// A few steps of a train block by the reference evaluator, on both graphs, and by machine code.
fn trained(model: &Model, unit: &Unit, seed: u64, device: Choice) -> Result<Vec<Graph>, Failure> {
    let plain = Program::default();
    let wide = options(&plain, seed, true);
    let mut session = model.session(unit.clone(), &wide)?;
    let sizes: Vec<u64> =
        session.bind("init", 1).map_err(|d| model.error(d))?.sizes().iter().map(|n| *n as u64).collect();
    let start = env(&session, &sizes, &[]);
    let steps = |schedule: &Schedule| schedule.steps.expect("a generated block says how long it runs");
    let stages: Vec<(&str, u64, Option<HyperId>)> = match unit.stages.is_empty() {
        true => vec![("step", steps(&unit.schedule), None)],
        false => unit.stages.iter().map(|s| (s.function.as_str(), steps(&s.schedule), Some(s.before))).collect(),
    };
    let compile = CompileOptions { double: true, verify: true, pieces: pieces(seed), ..CompileOptions::default() };
    let of = |name: &str| {
        stages_of(unit, unit.function(name).expect("a function of a train block"), Arc::new(Tables::of(unit)), &compile)
    };
    let (each, report): (Vec<Stages>, Stages) = (stages.iter().map(|s| of(s.0)).collect(), of("report"));
    let run = |graph: fn(&Stages) -> &Graph, round: bool| -> Result<Values, Fault> {
        let mut env = start.clone();
        let mut loss = Values::new();
        let evaluate = |g: &Graph, env: &Env| if round { rounded(g, env) } else { eval(g, env) };
        for ((_, steps, before), stage) in stages.iter().zip(&each) {
            if let Some(before) = before {
                env.hypers[before.index()] = env.step;
            }
            for _ in 0..*steps {
                env.step += 1.0;
                for (output, value) in &evaluate(graph(stage), &env)? {
                    match output {
                        Output::Param(p) => env.params[p.index()] = ordered(value, &unit.params[p.index()].ty.axes),
                        Output::State(s) => env.states[s.index()] = ordered(value, &unit.states[s.index()].ty.axes),
                        _ => drop(loss.insert("loss".into(), value.data.clone())),
                    }
                }
            }
        }
        let mut all = named(unit, &evaluate(graph(&report), &env)?);
        all.extend(loss);
        let name = |o: Output| name_of(unit, &o).0;
        all.extend((0..unit.params.len()).map(|k| (name(Output::Param(ParamId::new(k))), env.params[k].clone())));
        all.extend((0..unit.states.len()).map(|k| (name(Output::State(StateId::new(k))), env.states[k].clone())));
        Ok(all)
    };
    let exact = run(|s| &s.differentiated, false)?;
    let noisy = run(|s| &s.differentiated, true)?;
    if device == Choice::Gpu {
        let got = after_training(model, unit, &Options { device, ..options(&plain, seed, false) })?;
        close("shaders", &SHADERS, &exact, &noisy, &got)?;
        return Ok(vec![]);
    }
    let rewritten = run(|s| &s.rewritten, false)?;
    close("rewritten graph", &DOUBLE, &exact, &noisy, &rewritten)?;
    for (what, double, tolerance) in [("machine code in f64", true, DOUBLE), ("machine code in f32", false, SINGLE)] {
        let ways: Vec<Values> = [1, 2]
            .into_iter()
            .map(|threads| after_training(model, unit, &Options { threads, ..options(&plain, seed, double) }))
            .collect::<Result<_, gannet::Error>>()?;
        let mut loose = ways[0].clone();
        // Losses are kept in single precision.
        let loss = loose.remove("loss").expect("it was put in");
        let mut expected = exact.clone();
        let wanted = expected.remove("loss").expect("a step has a loss");
        close(what, &tolerance, &expected, &noisy, &loose)?;
        let only = |x: Vec<f64>| Values::from([("loss".to_string(), x)]);
        close(what, &SINGLE, &only(wanted), &noisy, &only(loss))?;
        if ways[0] != ways[1] {
            return failed(format!("threads, {what}"), format!("one: {:?}\ntwo: {:?}", ways[0], ways[1]));
        }
    }
    let mut seen = vec![report.built];
    seen.extend(each.into_iter().flat_map(|s| [s.built, s.differentiated, s.rewritten]));
    Ok(seen)
}
