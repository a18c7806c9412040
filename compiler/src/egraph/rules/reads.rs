//! Reads: substitutions of axes.
//! Law: a read commutes with whatever does not bind the axes that it speaks of.

use crate::egraph::bridge::Head;
use crate::egraph::rule::Set::{Exact, Fast};
use crate::egraph::rule::Use::{Always, Choose};
use crate::egraph::rule::{Rule, Site, code};
use crate::graph::{Args, At, Axes, Graph, NodeId, Op, Subst};
use gannet_lang::program::{Axis, Elem, Fun};
use smallvec::SmallVec;

/// The rules.
#[rustfmt::skip]
pub const READS: &[Rule] = &[
    code("read-of-iota", Exact, Always, "(iota a)[a = i] = i", Head::Read, read_of_iota),
    code("read-of-read", Exact, Always, "x[a = i][b = j] = x[a = i[b = j]]", Head::Read, read_of_read),
    code("read-in-range", Exact, Always, "x[a = b else y] = x[a = b], if a and b are axes of one dim", Head::Read, read_in_range),
    code("read-of-map", Exact, Choose, "f(x, y)[a = i] = f(x[a = i], y[a = i])", Head::Read, read_of_map),
    code("read-of-reduce", Fast, Choose, "(red B x)[a = i] = red B (x[a = i])", Head::Read, read_of_reduce),
    code("read-of-contract", Fast, Choose, "(contract B [x, y])[a = i] = contract B [x[a = i], y[a = i]]", Head::Read, read_of_contract),
    code("exp-of-read", Exact, Choose, "exp(x[a = i]) = exp(x)[a = i], where x is smaller", Head::Map(Fun::Exp), map_of_read),
    code("log-of-read", Exact, Choose, "log(x[a = i]) = log(x)[a = i], where x is smaller", Head::Map(Fun::Log), map_of_read),
    code("tanh-of-read", Exact, Choose, "tanh(x[a = i]) = tanh(x)[a = i], where x is smaller", Head::Map(Fun::Tanh), map_of_read),
    code("sigmoid-of-read", Exact, Choose, "sigmoid(x[a = i]) = sigmoid(x)[a = i], where x is smaller", Head::Map(Fun::Sigmoid), map_of_read),
    code("sqrt-of-read", Exact, Choose, "sqrt(x[a = i]) = sqrt(x)[a = i], where x is smaller", Head::Map(Fun::Sqrt), map_of_read),
    code("recip-of-read", Exact, Choose, "recip(x[a = i]) = recip(x)[a = i], where x is smaller", Head::Map(Fun::Recip), map_of_read),
];

/// A read taken apart.
#[derive(Clone)]
pub struct Reading {
    /// What is read.
    pub of: NodeId,
    /// Axis and what it becomes.
    pub at: Subst,
    /// Index operands, in the order in which `at` numbers them from 1.
    pub indices: Args,
    /// The value outside.
    pub outside: Option<NodeId>,
}

impl Reading {
    /// Of a node.
    pub fn new(op: &Op, args: &[NodeId]) -> Option<Reading> {
        let Op::Read { at, guarded } = op else { return None };
        let end = args.len() - usize::from(*guarded);
        let outside = guarded.then(|| args[end]);
        Some(Reading { of: args[0], at: at.clone(), indices: args[1..end].into(), outside })
    }

    /// The axes that the index forms and operands bring.
    pub fn brought(&self, g: &Graph) -> Axes {
        let mut axes = Axes::new();
        for (_, to) in &self.at {
            match to {
                At::Affine { terms, .. } => axes.extend(terms.iter().map(|t| t.1)),
                At::Arg(k) => axes.extend(g.ty(self.indices[usize::from(*k) - 1]).axes.iter().copied()),
            }
        }
        axes
    }

    /// The same substitution of another node: of the axes that it has.
    pub fn of(&self, g: &mut Graph, x: NodeId) -> NodeId {
        let (mut at, mut indices) = (Vec::new(), Args::new());
        for (axis, to) in &self.at {
            if g.ty(x).has(*axis) {
                at.push((*axis, self.renumbered(to, &mut indices)));
            }
        }
        g.read(x, &at, &indices, None)
    }

    fn renumbered(&self, to: &At, indices: &mut Args) -> At {
        match to {
            At::Affine { .. } => to.clone(),
            At::Arg(k) => {
                indices.push(self.indices[usize::from(*k) - 1]);
                At::Arg(indices.len() as u8)
            }
        }
    }
}

fn reading(site: &Site, id: NodeId) -> Reading {
    let node = site.node(id);
    Reading::new(&node.op, &node.args).expect("a rule of reads is tried at reads")
}

fn read_of_iota(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let read = reading(site, id);
    let (Op::Iota(axis), _) = site.form(read.of, |op| matches!(op, Op::Iota(_)))? else { return None };
    let (_, to) = read.at.iter().find(|(a, _)| *a == axis)?;
    match (to, to.as_axis()) {
        _ if read.outside.is_some() => None,
        (_, Some(b)) if b.dim == axis.dim => Some(site.g.add(Op::Iota(b), [])),
        (At::Arg(k), _) => {
            let index = read.indices[usize::from(*k) - 1];
            (site.g.ty(index).elem == Elem::Index(axis.dim)).then_some(index)
        }
        _ => None,
    }
}

/// What the inner read gave as `to` after the outer read.
fn compose(site: &mut Site, to: &At, inner: &Reading, outer: &Reading, indices: &mut Args) -> Option<At> {
    let (terms, offset) = match to {
        At::Arg(k) => {
            let index = outer.of(site.g, inner.indices[usize::from(*k) - 1]);
            indices.push(index);
            return Some(At::Arg(indices.len() as u8));
        }
        At::Affine { terms, offset } => (terms, offset),
    };
    let (mut new, mut constant): (SmallVec<[(i64, Axis); 2]>, i64) = (SmallVec::new(), *offset);
    for (c, axis) in terms {
        match outer.at.iter().find(|(a, _)| a == axis).map(|(_, to)| to) {
            None => new.push((*c, *axis)),
            Some(At::Affine { terms, offset }) => {
                new.extend(terms.iter().map(|(d, b)| (c * d, *b)));
                constant += c * offset;
            }
            // An index array inside of an affine form would need arithmetic on indices.
            Some(At::Arg(k)) if to.as_axis().is_some() => {
                indices.push(outer.indices[usize::from(*k) - 1]);
                return Some(At::Arg(indices.len() as u8));
            }
            Some(At::Arg(_)) => return None,
        }
    }
    Some(affine(new, constant))
}

/// Terms sorted, equal axes joined.
fn affine(mut terms: SmallVec<[(i64, Axis); 2]>, offset: i64) -> At {
    terms.sort_by_key(|t| t.1);
    let mut joined: SmallVec<[(i64, Axis); 2]> = SmallVec::new();
    for (c, axis) in terms {
        match joined.last_mut() {
            Some(last) if last.1 == axis => last.0 += c,
            _ => joined.push((c, axis)),
        }
    }
    joined.retain(|t| t.0 != 0);
    At::Affine { terms: joined, offset }
}

fn read_of_read(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let outer = reading(site, id);
    let (op, args) = site.form(outer.of, |op| matches!(op, Op::Read { .. }))?;
    let inner = Reading::new(&op, &args)?;
    if outer.outside.is_some() {
        return None;
    }
    let (mut at, mut indices) = (Vec::new(), Args::new());
    for (axis, to) in &inner.at {
        at.push((*axis, compose(site, to, &inner, &outer, &mut indices)?));
    }
    // Axes that the inner read left alone.
    for (axis, to) in &outer.at {
        if site.g.ty(inner.of).has(*axis) && inner.at.iter().all(|(a, _)| a != axis) {
            at.push((*axis, outer.renumbered(to, &mut indices)));
        }
    }
    let outside = inner.outside.map(|y| outer.of(site.g, y));
    Some(site.g.read(inner.of, &at, &indices, outside))
}

fn read_in_range(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let read = reading(site, id);
    read.outside?;
    let inside = |(a, to): &(Axis, At)| match to {
        At::Affine { .. } => to.as_axis().is_some_and(|b| b.dim == a.dim),
        At::Arg(k) => site.g.ty(read.indices[usize::from(*k) - 1]).elem == Elem::Index(a.dim),
    };
    read.at.iter().all(inside).then(|| site.g.read(read.of, &read.at, &read.indices, None))
}

fn read_of_map(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let read = reading(site, id);
    let (Op::Map(fun), args) = site.form(read.of, |op| matches!(op, Op::Map(_)))? else { return None };
    if read.outside.is_some() {
        return None;
    }
    let args: Args = args.iter().map(|x| read.of(site.g, *x)).collect();
    Some(site.g.map(fun, &args))
}

fn read_of_reduce(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let read = reading(site, id);
    let (Op::Reduce(red, axes), args) = site.form(read.of, |op| matches!(op, Op::Reduce(..)))? else { return None };
    let brought = read.brought(site.g);
    if read.outside.is_some() || brought.iter().any(|a| axes.contains(a)) {
        return None;
    }
    let x = read.of(site.g, args[0]);
    Some(site.g.reduce(red, &axes, x))
}

fn read_of_contract(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let read = reading(site, id);
    let (Op::Contract(axes), args) = site.form(read.of, |op| matches!(op, Op::Contract(_)))? else { return None };
    let brought = read.brought(site.g);
    if read.outside.is_some() || brought.iter().any(|a| axes.contains(a)) {
        return None;
    }
    let args: Args = args.iter().map(|x| read.of(site.g, *x)).collect();
    Some(site.g.contract(&axes, &args))
}

fn map_of_read(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Op::Map(fun) = site.node(id).op else { return None };
    let (op, args) = site.form(site.node(id).args[0], |op| matches!(op, Op::Read { guarded: false, .. }))?;
    let read = Reading::new(&op, &args)?;
    let entries = |x: NodeId| site.g.entries(x);
    if entries(read.of) >= entries(id) {
        return None;
    }
    let small = site.g.map1(fun, read.of);
    Some(read.of(site.g, small))
}
