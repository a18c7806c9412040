//! `--check-finite`: after each step, are the loss and all next values finite? If not, the step is replayed from the
//! state before it, and the first equation that made a NaN or an infinity is named with its index and its operands.
//! Law: a run without the option pays nothing; a replay changes nothing.

use crate::device::Bound;
use crate::device::cpu::execute::Store;
use crate::device::cpu::memory::Memory;
use crate::origin::{Origin, origin};
use crate::reference::{Env, Fault, Tensor, eval_each};
use crate::session::{Session, kind_of, numbers};
use gannet_compiler::build::build;
use gannet_compiler::grad::differentiate;
use gannet_compiler::graph::Tables;
use gannet_compiler::graph::{Graph, NodeId, Op, Red};
use gannet_lang::diag::{Code, Diagnostic, Span};
use gannet_lang::program::{Elem, Fun, InputId, Output, Ty};
use std::sync::Arc;

/// Keeps the state before a step, to replay the step if it goes wrong.
pub struct Watch {
    before: Store,
}

impl Watch {
    /// A watch with room for the session's state.
    pub fn new(session: &Session) -> Watch {
        let like = |all: &[Memory]| all.iter().map(|m| Memory::zeroed(m.len())).collect();
        let (params, states) = (like(&session.store.params), like(&session.store.states));
        Watch { before: Store { params, states } }
    }

    /// Keeps the state of now.
    pub fn keep(&mut self, store: &Store) {
        let pairs = self.before.params.iter_mut().zip(&store.params);
        for (to, from) in pairs.chain(self.before.states.iter_mut().zip(&store.states)) {
            to.bytes_mut().copy_from_slice(from.bytes());
        }
    }

    /// Looks at the loss and the state after a step.
    ///
    /// # Errors
    /// A value that is not finite: the equation where it came from.
    pub fn look(&self, session: &Session, bound: &Bound, function: &str) -> Result<(), Diagnostic> {
        let loss = bound.scalar(&Output::Loss).filter(|loss| !loss.is_finite()).map(|_| Output::Loss);
        let found = loss.or_else(|| self.broken(session));
        found.map_or(Ok(()), |output| Err(self.explain(session, bound, function, &output)))
    }

    /// A parameter or state that is not finite now and was so before the step, or NaN. (A state may start from infinity.)
    fn broken(&self, session: &Session) -> Option<Output> {
        let all = |ty: &Ty, m: &Memory, good: fn(f64) -> bool| {
            ty.elem != Elem::Real || entries(session, ty, m).into_iter().all(good)
        };
        let broke = |ty: &Ty, before: &Memory, now: &Memory| {
            !all(ty, now, f64::is_finite) && (all(ty, before, f64::is_finite) || !all(ty, before, |x| !x.is_nan()))
        };
        let (unit, store) = (&session.unit, &session.store);
        let params = (0..unit.params.len())
            .find(|k| broke(&unit.params[*k].ty, &self.before.params[*k], &store.params[*k]))
            .map(|k| Output::Param(gannet_lang::program::ParamId::new(k)));
        params.or_else(|| {
            (0..unit.states.len())
                .find(|k| broke(&unit.states[*k].ty, &self.before.states[*k], &store.states[*k]))
                .map(|k| Output::State(gannet_lang::program::StateId::new(k)))
        })
    }

    fn explain(&self, session: &Session, bound: &Bound, function: &str, output: &Output) -> Diagnostic {
        let unit = &session.unit;
        let found = unit.function(function).expect("the step that ran is a function of the unit");
        let graph = differentiate(&build(unit, found, Arc::new(Tables::of(unit))));
        let env = self.env(session, bound);
        // In double precision first: what goes wrong there is wrong at any precision.
        let exact = replay(&graph, &env, false);
        let single = if session.options.double { None } else { Some(replay(&graph, &env, true)) };
        let all: Vec<NodeId> = graph.outputs.iter().map(|o| o.1).collect();
        for (values, other) in [(Some(&exact), None), (single.as_ref(), Some(&exact))] {
            let Some(values) = values else { continue };
            let values = match values {
                Ok(values) => values,
                Err(fault) => return crate::reference::diagnose(fault, &graph),
            };
            if let Some(origin) = origin(&graph, &env, values, &all) {
                let exact = other.and_then(|r| r.as_ref().ok());
                return told(session, &graph, &origin, exact);
            }
        }
        let span = graph.outputs.iter().find(|o| o.0 == *output).map(|o| graph.span(o.1));
        Diagnostic::error(Code::G0601, span, format!("{} is not finite after step {}", name_of(session, output), session.step))
            .hint("the same step, replayed equation by equation, stays finite: a sum of the compiled step grows too large for single precision; try `--real f64`")
    }

    /// What the leaves held before the step.
    fn env(&self, session: &Session, bound: &Bound) -> Env {
        let unit = &session.unit;
        let sizes: Vec<usize> = bound.sizes().iter().map(|n| *n as usize).collect();
        let count = |ty: &Ty| ty.axes.iter().map(|a| sizes[a.dim.index()]).product::<usize>();
        let inputs = (0..unit.inputs.len()).map(InputId::new);
        let inputs =
            inputs.map(|i| bound.input(i).unwrap_or_else(|| vec![0.0; count(&unit.inputs[i.index()].ty)])).collect();
        let params = unit.params.iter().zip(&self.before.params).map(|(p, m)| entries(session, &p.ty, m)).collect();
        let states = unit.states.iter().zip(&self.before.states).map(|(s, m)| entries(session, &s.ty, m)).collect();
        let (hypers, step, seed) = (session.hypers.clone(), session.step as f64, session.options.seed);
        Env { sizes, inputs, params, states, hypers, step, seed }
    }
}

/// The numbers of a parameter or state.
fn entries(session: &Session, ty: &Ty, memory: &Memory) -> Vec<f64> {
    let count = ty.axes.iter().map(|a| session.size(a.dim).unwrap_or(0) as usize).product();
    numbers(memory.bytes(), kind_of(ty.elem), session.options.double, count)
}

/// The values of all live nodes, each real one rounded to single precision if asked for.
fn replay(graph: &Graph, env: &Env, single: bool) -> Result<Vec<Option<Tensor>>, Fault> {
    eval_each(graph, env, |id, value| {
        if single && graph.ty(id).elem == Elem::Real {
            value.data.iter_mut().for_each(|x| *x = f64::from(*x as f32));
        }
    })
}

fn name_of(session: &Session, output: &Output) -> String {
    match output {
        Output::Param(p) => format!("the next value of `{}`", session.unit.params[p.index()].name),
        Output::State(s) => format!("the next value of `{}`", session.unit.states[s.index()].name),
        Output::Loss => "the loss".to_string(),
        Output::Report(k) => format!("the report `{}`", session.unit.reports[*k].name),
        Output::Value(name) => format!("`{name}`"),
    }
}

fn told(session: &Session, graph: &Graph, origin: &Origin, exact: Option<&Vec<Option<Tensor>>>) -> Diagnostic {
    let node = graph.node(origin.node);
    let span = Some(graph.span(origin.node)).filter(|s| *s != Span::default());
    let place = index_text(graph, origin);
    let what = match &node.op {
        Op::Param(p) => format!("the parameter `{}`", session.unit.params[p.index()].name),
        Op::State(s) => format!("the state `{}`", session.unit.states[s.index()].name),
        Op::Input(i) => format!("the input `{}`", session.unit.inputs[i.index()].name),
        Op::Hyper(h) => format!("the argument `{}`", session.unit.hypers[h.index()].name),
        _ => equation(graph, origin.node),
    };
    let way = if feeds(graph, origin.node, &Output::Loss) {
        String::new()
    } else {
        let reached = graph.outputs.iter().find(|(o, _)| feeds(graph, origin.node, o));
        reached.map_or(String::new(), |(o, _)| format!(", on the way to {}", name_of(session, o)))
    };
    let message = format!("{what} is {}{place} in step {}{way}", number(origin.value), session.step);
    let mut d = Diagnostic::error(Code::G0601, span, message);
    if let Some(span) = span {
        let forward = |id: NodeId| graph.span(id) == span && feeds(graph, id, &Output::Loss);
        let slope = !way.is_empty() && graph.ids().any(forward);
        let text = computed(graph, origin);
        d = d.label(span, if slope { format!("its gradient: {text}") } else { text });
    }
    if let Some(exact) = exact {
        let there = exact[origin.node.index()].as_ref().map(|t| t.get(|a| along(origin, a)));
        let there = there.map_or(String::new(), |x| format!(" (it is {})", number(x)));
        d = d.hint(format!(
            "this is too large for single precision only{there}: `--real f64` computes in double precision"
        ));
    }
    d.hint(way_out(&node.op, origin))
}

fn along(origin: &Origin, axis: gannet_lang::program::Axis) -> usize {
    origin.places.iter().find(|p| p.0 == axis).map_or(0, |p| p.1)
}

/// The equation's name, or that of the first one that needs it.
fn equation(graph: &Graph, id: NodeId) -> String {
    if let Some((name, _)) = graph.names.iter().find(|n| n.1 == id) {
        return format!("`{name}`");
    }
    let users = users(graph, id);
    let named = graph.names.iter().filter(|n| users[n.1.index()]).min_by_key(|n| n.1);
    named.map_or("a value".to_string(), |(name, _)| format!("a value on the way to `{name}`"))
}

/// Which nodes depend on a node.
fn users(graph: &Graph, id: NodeId) -> Vec<bool> {
    let mut users = vec![false; graph.len()];
    users[id.index()] = true;
    for k in graph.ids().filter(|k| *k > id) {
        users[k.index()] = graph.node(k).args.iter().any(|a| users[a.index()]);
    }
    users
}

fn feeds(graph: &Graph, id: NodeId, output: &Output) -> bool {
    let users = users(graph, id);
    graph.outputs.iter().any(|(o, node)| o == output && users[node.index()])
}

/// ` at [batch = 3, class = 0]`.
fn index_text(graph: &Graph, origin: &Origin) -> String {
    let dim = |a: gannet_lang::program::Axis| graph.tables.dims[a.dim.index()].name.clone();
    let parts: Vec<String> = origin.places.iter().map(|(a, k)| format!("{} = {k}", dim(*a))).collect();
    if parts.is_empty() { String::new() } else { format!(" at [{}]", parts.join(", ")) }
}

/// What was computed of what: `log(0) = -inf`.
fn computed(graph: &Graph, origin: &Origin) -> String {
    let node = graph.node(origin.node);
    let x: Vec<String> = origin.operands.iter().map(|o| number(o.1)).collect();
    let value = number(origin.value);
    match &node.op {
        Op::Map(Fun::Recip) => format!("divides by {}", x[0]),
        Op::Map(Fun::Add) => format!("{} = {value}", x.join(" + ")),
        Op::Map(Fun::Mul) => format!("{} = {value}", x.join(" * ")),
        Op::Map(Fun::Pow) => format!("{} ^ {} = {value}", x[0], x[1]),
        Op::Map(fun) => format!("{}({}) = {value}", format!("{fun:?}").to_lowercase(), x.join(", ")),
        Op::Contract(_) => format!("a sum of {} products = {value}; {}", x.len() / node.args.len(), largest(origin)),
        Op::Reduce(red, _) => {
            let kind = if *red == Red::Prod { "product" } else { "sum" };
            format!("a {kind} of {} numbers = {value}; {}", x.len(), largest(origin))
        }
        Op::Fiber { .. } => format!("a sum of {} numbers = {value}; {}", x.len(), largest(origin)),
        _ => format!("is {value} before the step"),
    }
}

fn largest(origin: &Origin) -> String {
    let most = origin.operands.iter().map(|o| o.1.abs()).fold(0.0, f64::max);
    format!("the largest factor is {}", number(most))
}

fn number(x: f64) -> String {
    match () {
        () if x.is_nan() => "NaN".to_string(),
        () if x.is_infinite() => if x > 0.0 { "inf" } else { "-inf" }.to_string(),
        () if x == 0.0 || (1e-3..1e6).contains(&x.abs()) => format!("{}", (x * 1e6).round() / 1e6),
        () => format!("{x:.3e}"),
    }
}

fn way_out(op: &Op, origin: &Origin) -> &'static str {
    match op {
        Op::Map(Fun::Log | Fun::Log1p) => {
            "keep what `log` takes above its limit, for example `log(x + 1e-6)`, or choose a branch with `if`"
        }
        Op::Map(Fun::Recip) => {
            "keep the divisor away from 0, for example `x / (y + 1e-6)`, or choose a branch with `if`"
        }
        Op::Map(Fun::Sqrt) => "keep what `sqrt` takes above 0: its slope at 0 is infinite, below 0 it has no value",
        Op::Map(Fun::Exp | Fun::Expm1) => {
            "`exp` grows past every number: subtract the largest argument first, as `logsumexp` and `softmax` do"
        }
        Op::Param(_) | Op::State(_) if !origin.value.is_finite() => "its first value is not finite",
        _ => "a smaller learning rate, `clip(1) |> ...`, or `--real f64` may help",
    }
}
