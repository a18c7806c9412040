//! The Program's text form, for `--emit program` and tests: dims, leaves, then each function's terms.
//! Law: the same program prints the same text; a term is printed once in each function that needs it.

use crate::program::{At, Axis, Elem, Implicit, LoopPart, Op, Output, Program, Size, SizeExpr, TermId, Ty, Unit};
use std::fmt::Write;

/// All units and checks.
pub fn print(program: &Program) -> String {
    let mut out = String::new();
    for data in &program.data {
        let _ = writeln!(out, "data {} from {:?}", data.name, data.source.as_deref().unwrap_or("-"));
        for field in &data.fields {
            let dims: Vec<&str> = field.dims.iter().map(|d| program.dims[d.index()].name.as_str()).collect();
            let _ = writeln!(
                out,
                "  {}: {}[{}] = {:?}",
                field.name,
                elem(field.elem, &program.dims),
                dims.join(", "),
                field.value
            );
        }
    }
    for unit in program.units.iter().chain(&program.checks) {
        out.push('\n');
        out.push_str(&print_unit(unit));
    }
    out
}

/// One unit.
pub fn print_unit(unit: &Unit) -> String {
    let mut out = format!("{:?} {:?}\n", unit.kind, unit.name);
    for dim in &unit.dims {
        let size = match &dim.size {
            Size::Fixed(n) => n.to_string(),
            Size::Open => "open".to_string(),
            Size::Of(e) => size_text(e, unit),
        };
        let _ = writeln!(out, "  dim {} = {size}", dim.name);
    }
    for (k, i) in unit.inputs.iter().enumerate() {
        let _ = writeln!(out, "  input in{k} {}: {} ({:?})", i.name, ty(&i.ty, unit), i.part);
    }
    for (k, p) in unit.params.iter().enumerate() {
        let _ = writeln!(out, "  param w{k} {}: {} role {:?}", p.name, ty(&p.ty, unit), p.role);
    }
    for (k, s) in unit.states.iter().enumerate() {
        let _ = writeln!(out, "  state s{k} {}: {}", s.name, ty(&s.ty, unit));
    }
    for (k, h) in unit.hypers.iter().enumerate() {
        let _ = writeln!(out, "  hyper h{k} {} = {}", h.name, h.default);
    }
    for (k, l) in unit.loops.iter().enumerate() {
        let _ = writeln!(out, "  loop loop{k} {}", loop_text(l, unit));
    }
    for (k, r) in unit.runs.iter().enumerate() {
        let _ = writeln!(out, "  run run{k} {}{:?}{}", r.train, r.args, if r.rewrites { "" } else { " rewrites off" });
    }
    for function in &unit.functions {
        let _ = writeln!(out, "  function {}", function.name);
        for id in needed(unit, &function.outputs) {
            let term = unit.term(id);
            let name = unit.names.iter().find(|n| n.1 == id).map(|n| format!("  # {}", n.0)).unwrap_or_default();
            let _ = writeln!(out, "    {id}: {} = {}{name}", ty(&term.ty, unit), op(&term.op, unit));
        }
        for (output, id) in &function.outputs {
            let _ = writeln!(out, "    {} = {id}", output_text(output, unit));
        }
    }
    out
}

/// The operands of a term.
pub fn operands(op: &Op) -> Vec<TermId> {
    match op {
        Op::Map(_, args) | Op::Library(_, args) => args.clone(),
        Op::Reduce { of, guard, .. } => std::iter::once(*of).chain(*guard).collect(),
        Op::Fiber { of, key, guard, .. } => [*of, *key].into_iter().chain(*guard).collect(),
        Op::Read { of, at, otherwise } => {
            let indices = at.iter().filter_map(|(_, a)| if let At::Term(t) = a { Some(*t) } else { None });
            std::iter::once(*of).chain(indices).chain(*otherwise).collect()
        }
        Op::Flat { parts, .. } => parts.iter().map(|p| p.0).collect(),
        Op::View(x) | Op::Point(x, _) | Op::Stop(x) | Op::Part(x, _) => vec![*x],
        Op::Grad { of, wrt, .. } => vec![*of, *wrt],
        Op::Along { of, by } => std::iter::once(*of).chain(by.iter().flat_map(|d| [d.wrt, d.tangent])).collect(),
        Op::Custom { value, inputs, cotangent, back } => std::iter::once(*value)
            .chain(inputs.iter().copied())
            .chain([*cotangent])
            .chain(back.iter().copied())
            .collect(),
        Op::LoopOut { needs, .. } => needs.clone(),
        Op::LoopState(..)
        | Op::Const(_)
        | Op::Input(_)
        | Op::Param(_)
        | Op::State(_)
        | Op::Hyper(_)
        | Op::Step
        | Op::Size(_)
        | Op::Iota(_)
        | Op::Random(..) => vec![],
    }
}

/// The terms that outputs need, in order.
pub fn needed(unit: &Unit, outputs: &[(Output, TermId)]) -> Vec<TermId> {
    let mut live = vec![false; unit.terms.len()];
    outputs.iter().for_each(|(_, t)| live[t.index()] = true);
    for k in (0..unit.terms.len()).rev() {
        if live[k] {
            operands(&unit.terms[k].op).iter().for_each(|t| live[t.index()] = true);
        }
    }
    (0..unit.terms.len()).filter(|k| live[*k]).map(TermId::new).collect()
}

fn output_text(output: &Output, unit: &Unit) -> String {
    match output {
        Output::Param(p) => format!("{}'", unit.params[p.index()].name),
        Output::State(s) => format!("{}'", unit.states[s.index()].name),
        Output::Loss => "loss".to_string(),
        Output::Report(k) => format!("report {}", unit.reports[*k].name),
        Output::Value(name) => format!("value {name}"),
    }
}

fn elem(e: Elem, dims: &[crate::program::Dim]) -> String {
    match e {
        Elem::Real => "real".to_string(),
        Elem::Int => "int".to_string(),
        Elem::Bool => "bool".to_string(),
        Elem::Index(d) => dims[d.index()].name.clone(),
    }
}

fn axis(a: Axis, unit: &Unit) -> String {
    let name = &unit.dims[a.dim.index()].name;
    if a.ix == 0 { name.clone() } else { format!("{name}.{}", a.ix) }
}

fn axes(list: &[Axis], unit: &Unit) -> String {
    list.iter().map(|a| axis(*a, unit)).collect::<Vec<_>>().join(", ")
}

fn ty(t: &Ty, unit: &Unit) -> String {
    let e = elem(t.elem, &unit.dims);
    if t.axes.is_empty() { e } else { format!("{e}[{}]", axes(&t.axes, unit)) }
}

fn size_text(e: &SizeExpr, unit: &Unit) -> String {
    let two =
        |a: &SizeExpr, sign: &str, b: &SizeExpr| format!("({} {sign} {})", size_text(a, unit), size_text(b, unit));
    match e {
        SizeExpr::Const(n) => n.to_string(),
        SizeExpr::Dim(d) => unit.dims[d.index()].name.clone(),
        SizeExpr::Add(a, b) => two(a, "+", b),
        SizeExpr::Sub(a, b) => two(a, "-", b),
        SizeExpr::Mul(a, b) => two(a, "*", b),
        SizeExpr::Div(a, b) => two(a, "div", b),
        SizeExpr::Mod(a, b) => two(a, "mod", b),
    }
}

fn op(op: &Op, unit: &Unit) -> String {
    let list = |ids: &[TermId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match op {
        Op::Const(x) => format!("{x}"),
        Op::Input(i) => format!("input {}", unit.inputs[i.index()].name),
        Op::Param(p) => format!("param {}", unit.params[p.index()].name),
        Op::State(s) => format!("state {}", unit.states[s.index()].name),
        Op::Hyper(h) => format!("hyper {}", unit.hypers[h.index()].name),
        Op::Step => "step".to_string(),
        Op::Size(d) => format!("size {}", unit.dims[d.index()].name),
        Op::Iota(a) => format!("index {}", axis(*a, unit)),
        Op::Map(fun, args) => format!("{}({})", format!("{fun:?}").to_lowercase(), list(args)),
        Op::Reduce { red, axes: over, of, guard } => {
            let guard = guard.map(|g| format!(" | {g}")).unwrap_or_default();
            format!("{}[{}{guard}]({of})", format!("{red:?}").to_lowercase(), axes(over, unit))
        }
        Op::Fiber { red, over, of, at, key, guard } => {
            let guard = guard.map(|g| format!(", {g}")).unwrap_or_default();
            let red = format!("{red:?}").to_lowercase();
            format!("{red}[{} | {key} = {}{guard}]({of})", axes(over, unit), axis(*at, unit))
        }
        Op::Read { of, at, otherwise } => {
            let at: Vec<String> =
                at.iter().map(|(a, to)| format!("{} := {}", axis(*a, unit), place(to, unit))).collect();
            let otherwise = otherwise.map(|o| format!(" else {o}")).unwrap_or_default();
            format!("{of}[{}]{otherwise}", at.join(", "))
        }
        Op::View(x) => format!("{x}"),
        Op::Random(dist, site) => format!("{} {site}", format!("{dist:?}").to_lowercase()),
        Op::Point(x, p) => format!("point {p} at {x}"),
        Op::Grad { of, wrt, axes: names, shared } => {
            format!("grad[{wrt} as {}; {}]({of})", axes(names, unit), axes(shared, unit))
        }
        Op::Along { of, by } => {
            let by = by.iter().map(|d| format!("{} as {} = {}", d.wrt, axes(&d.axes, unit), d.tangent));
            format!("along[{}]({of})", by.collect::<Vec<_>>().join("; "))
        }
        Op::Flat { parts, axis: to } => {
            let parts: Vec<String> = parts.iter().map(|p| format!("{}[{}]", p.0, axes(&p.1, unit))).collect();
            format!("flat[{}]({})", axis(*to, unit), parts.join(", "))
        }
        Op::Stop(x) => format!("stop({x})"),
        Op::Custom { value, inputs, cotangent, back } => {
            format!("{value} with backward {cotangent}: {} -> {}", list(inputs), list(back))
        }
        Op::Library(lib, args) => {
            let groups: Vec<String> = lib.groups.iter().map(|g| format!("[{}]", axes(g, unit))).collect();
            format!("{}{}({})", lib.fun.signature().name, groups.concat(), list(args))
        }
        Op::Part(x, k) => format!("part {k} of {x}"),
        Op::LoopState(l, k) => format!("{l} state {k}"),
        Op::LoopOut { of, part, .. } => match part {
            LoopPart::Last(k) => format!("{of} last {k}"),
            LoopPart::Each(t) => format!("{of} each {t}"),
            LoopPart::Steps => format!("{of} steps"),
        },
    }
}

fn loop_text(l: &crate::program::Loop, unit: &Unit) -> String {
    let states: Vec<String> = l.first.iter().zip(&l.next).map(|(a, b)| format!("{a} then {b}")).collect();
    let test = l.go_on.map(|(when, t)| format!(" while {t} {when:?}").to_lowercase()).unwrap_or_default();
    format!(
        "over {}{}: {}{test}",
        axis(l.axis, unit),
        match l.fixed {
            None => "",
            Some(Implicit::Repeat) => " to a fixed point",
            Some(Implicit::Conjugate) => " to a fixed point by cg",
        },
        states.join(", ")
    )
}

fn place(at: &At, unit: &Unit) -> String {
    match at {
        At::Term(t) => t.to_string(),
        At::Affine { terms, offset } => {
            let mut parts: Vec<String> = terms
                .iter()
                .map(|(c, a)| if *c == 1 { axis(*a, unit) } else { format!("{c}*{}", axis(*a, unit)) })
                .collect();
            if *offset != 0 || parts.is_empty() {
                parts.push(offset.to_string());
            }
            parts.join(" + ")
        }
    }
}
