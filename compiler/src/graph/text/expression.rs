//! Equations as a person would write them, for explanations.
//! Law: it is for reading only; what lies deeper than was asked for is an ellipsis.

use super::{FUNS, Label, REDS, number_text, word};
use crate::graph::{Graph, NodeId, Op, Red};
use gannet_lang::program::Fun;

/// How tightly an expression binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binds {
    Sum,
    Product,
    Atom,
}

impl Graph {
    /// A node as an expression of so many levels of operations. Leaves are named.
    pub fn expression(&self, id: NodeId, levels: usize) -> String {
        self.written(id, levels, Binds::Sum)
    }

    fn written(&self, id: NodeId, levels: usize, around: Binds) -> String {
        let (text, binds) = self.open(id, levels);
        if binds < around { format!("({text})") } else { text }
    }

    fn open(&self, id: NodeId, levels: usize) -> (String, Binds) {
        let (node, t) = (self.node(id), &self.tables);
        let leaf = match &node.op {
            Op::Input(i) => Some(t.inputs[i.index()].name.clone()),
            Op::Param(p) => Some(t.params[p.index()].name.clone()),
            Op::State(s) => Some(t.states[s.index()].name.clone()),
            Op::Hyper(h) => Some(t.hypers[h.index()].name.clone()),
            Op::Const(n, _) => Some(number_text(n.get())),
            Op::Iota(a) => Some(Label(t, *a).to_string()),
            Op::Size(d) => Some(format!("size({})", super::dim_label(t, *d))),
            Op::Step => Some("step".to_string()),
            Op::Arg(k, ..) => Some(format!("arg{k}")),
            Op::Random(_, site, _) => Some(format!("draw {site}")),
            _ => None,
        };
        match leaf {
            Some(text) => (text, Binds::Atom),
            None if levels == 0 => ("…".to_string(), Binds::Atom),
            None => self.operation(id, levels - 1),
        }
    }

    fn operation(&self, id: NodeId, levels: usize) -> (String, Binds) {
        let (node, t) = (self.node(id), &self.tables);
        let joined = |with: &str, binds: Binds| {
            let all: Vec<String> = node.args.iter().map(|a| self.written(*a, levels, binds)).collect();
            all.join(with)
        };
        let listed = || joined(", ", Binds::Sum);
        let called = |name: String| (format!("{name}({})", listed()), Binds::Atom);
        match &node.op {
            Op::Map(Fun::Add) => (joined(" + ", Binds::Product), Binds::Sum),
            Op::Map(Fun::Mul) => (joined(" * ", Binds::Atom), Binds::Product),
            Op::Map(fun) => called(word(&FUNS, fun).to_string()),
            Op::Contract(axes) => (format!("sum{}({})", Label(t, &axes[..]), joined(" * ", Binds::Atom)), Binds::Atom),
            Op::Reduce(red, axes) => called(format!("{}{}", word(&REDS, red), Label(t, &axes[..]))),
            Op::Read { at, .. } => {
                let of = self.written(node.args[0], levels, Binds::Atom);
                (format!("{of}{}", Label(t, at)), Binds::Atom)
            }
            Op::Fiber { red, at, over } => {
                let name = if *red == Red::Sum { "sum" } else { word(&REDS, red) };
                called(format!("{name}{} into {}", Label(t, &over[..]), Label(t, at)))
            }
            Op::Library(lib) => called(lib.fun.signature().name.to_string()),
            Op::Part(k) => called(format!("part{k}")),
            Op::Loop(_) => called("loop".to_string()),
            _ => called("equation".to_string()),
        }
    }
}
