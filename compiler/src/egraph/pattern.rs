//! Patterns over scalar functions, matched up to the order of sums and products.
//! Law: at the root of a sum or product the other operands stay; inside, a last variable takes all that is left.

use super::bridge::{ENode, Head, What};
use super::rule::{Condition, Site};
use crate::graph::{Args, NodeId, Num, Op};
use egg::{ENodeOrVar, Pattern, PatternAst};
use gannet_lang::program::Fun;
use smallvec::SmallVec;

/// A side of a law.
#[derive(Clone, Debug, PartialEq)]
pub enum Pat {
    /// Anything; the same variable is the same value.
    Var(usize),
    /// That real constant.
    Num(Num),
    /// A scalar function.
    Map(Fun, Vec<Pat>),
}

/// A law that was read.
#[derive(Clone, Debug)]
pub struct Law {
    /// Found.
    pub left: Pat,
    /// Built.
    pub right: Pat,
    /// Conditions on variables.
    pub conditions: Vec<(Condition, usize)>,
    /// How many variables.
    pub vars: usize,
}

impl Law {
    /// Reads `left => right if condition ?x and condition ?y`.
    ///
    /// # Panics
    /// If the text is no law: tables are part of the compiler.
    pub fn read(text: &str) -> Law {
        let (laws, conditions) = text.split_once(" if ").unwrap_or((text, ""));
        let (left, right) = laws.split_once(" => ").unwrap_or_else(|| panic!("`{text}` has no `=>`"));
        let mut vars = Vec::new();
        let mut side = |s: &str| {
            let parsed: Pattern<ENode> = s.trim().parse().unwrap_or_else(|e| panic!("`{s}` is no pattern: {e}"));
            convert(&parsed.ast, parsed.ast.len() - 1, &mut vars)
        };
        let (left, right) = (side(left), side(right));
        let conditions = conditions.split(" and ").filter(|c| !c.is_empty()).map(|c| {
            let (name, var) = c.trim().split_once(' ').unwrap_or_else(|| panic!("`{c}` is no condition"));
            let var = vars.iter().position(|v| v == var).unwrap_or_else(|| panic!("`{var}` is unknown in `{text}`"));
            (Condition::named(name).unwrap_or_else(|| panic!("`{name}` is no condition")), var)
        });
        Law { left, right, conditions: conditions.collect(), vars: vars.len() }
    }

    /// The head of the left side.
    pub fn head(&self) -> Head {
        match &self.left {
            Pat::Map(fun, _) => Head::Map(*fun),
            _ => Head::Other,
        }
    }

    /// The right side, if the left side matches at the node.
    pub fn apply(&self, site: &mut Site, id: NodeId) -> Option<NodeId> {
        let (Pat::Map(fun, pats), Op::Map(found)) = (&self.left, &site.node(id).op) else { return None };
        if fun != found {
            return None;
        }
        let args = site.node(id).args.clone();
        let start = Bindings { vars: SmallVec::from_elem(None, self.vars), rest: Args::new() };
        let done = &mut |site: &mut Site, b: &Bindings| {
            let holds = |(c, v): &(Condition, usize)| {
                let value = b.vars[*v].expect("a condition speaks of a bound variable");
                site.forms(value).iter().any(|f| c.holds(site.g, *f))
            };
            if !self.conditions.iter().all(holds) {
                return None;
            }
            let mut new = build(site, &self.right, b);
            if !b.rest.is_empty() {
                let all: Args = b.rest.iter().copied().chain([new]).collect();
                new = site.g.map(*fun, &all);
            }
            (new != id && site.g.ty(new) == site.g.ty(id)).then_some(new)
        };
        match fun {
            Fun::Add | Fun::Mul => choose(site, Nary { fun: *fun, root: true }, pats, &args, None, &start, done),
            _ => operands(site, *fun, pats, &args, None, &start, done),
        }
    }
}

fn convert(ast: &PatternAst<ENode>, at: usize, vars: &mut Vec<String>) -> Pat {
    match &ast.as_ref()[at] {
        ENodeOrVar::Var(v) => {
            let name = v.to_string();
            let known = vars.iter().position(|v| *v == name);
            Pat::Var(known.unwrap_or_else(|| {
                vars.push(name);
                vars.len() - 1
            }))
        }
        ENodeOrVar::ENode(ENode { what: What::Op(Op::Map(fun)), args }) => {
            Pat::Map(*fun, args.iter().map(|a| convert(ast, usize::from(*a), vars)).collect())
        }
        ENodeOrVar::ENode(ENode { what: What::Op(Op::Const(n, _)), .. }) => Pat::Num(*n),
        ENodeOrVar::ENode(other) => panic!("{other:?} does not occur in patterns"),
    }
}

/// Builds a side of a law.
fn build(site: &mut Site, pat: &Pat, b: &Bindings) -> NodeId {
    match pat {
        Pat::Var(v) => b.vars[*v].expect("the right side has no variable of its own"),
        Pat::Num(n) => site.g.num(n.get()),
        Pat::Map(fun, pats) => {
            let args: Args = pats.iter().map(|p| build(site, p, b)).collect();
            site.g.map(*fun, &args)
        }
    }
}

#[derive(Clone)]
struct Bindings {
    vars: SmallVec<[Option<NodeId>; 4]>,
    /// Operands of the root that the law leaves as they are.
    rest: Args,
}

/// What must still be matched.
#[derive(Clone, Copy)]
struct Todo<'a> {
    pat: &'a Pat,
    node: NodeId,
    next: Option<&'a Todo<'a>>,
}

type Done<'a> = &'a mut dyn FnMut(&mut Site, &Bindings) -> Option<NodeId>;

fn solve(site: &mut Site, todo: Option<&Todo>, b: &Bindings, done: Done) -> Option<NodeId> {
    let Some(&Todo { pat, node, next }) = todo else { return done(site, b) };
    match pat {
        Pat::Var(v) => match b.vars[*v] {
            Some(bound) if site.same(bound, node) => solve(site, next, b, done),
            Some(_) => None,
            None => {
                let mut b = b.clone();
                b.vars[*v] = Some(node);
                solve(site, next, &b, done)
            }
        },
        Pat::Num(n) if site.as_num(node) == Some(n.get()) => solve(site, next, b, done),
        Pat::Num(_) => None,
        Pat::Map(fun, pats) => site.forms(node).into_iter().find_map(|form| {
            if site.node(form).op != Op::Map(*fun) {
                return None;
            }
            let args = site.node(form).args.clone();
            match fun {
                Fun::Add | Fun::Mul => choose(site, Nary { fun: *fun, root: false }, pats, &args, next, b, done),
                _ => operands(site, *fun, pats, &args, next, b, done),
            }
        }),
    }
}

/// Operands in order, and swapped where the function allows it.
fn operands(
    site: &mut Site,
    fun: Fun,
    pats: &[Pat],
    args: &[NodeId],
    next: Option<&Todo>,
    b: &Bindings,
    done: Done,
) -> Option<NodeId> {
    let swaps = matches!(fun, Fun::Min | Fun::Max | Fun::Eq | Fun::Ne | Fun::And | Fun::Or);
    match (pats, args) {
        ([p], [x]) => solve(site, Some(&Todo { pat: p, node: *x, next }), b, done),
        ([p, q], [x, y]) => {
            let mut pair = |x: NodeId, y: NodeId| {
                let second = Todo { pat: q, node: y, next };
                solve(site, Some(&Todo { pat: p, node: x, next: Some(&second) }), b, done)
            };
            pair(*x, *y).or_else(|| if swaps { pair(*y, *x) } else { None })
        }
        ([p, q, r], [x, y, z]) => {
            let third = Todo { pat: r, node: *z, next };
            let second = Todo { pat: q, node: *y, next: Some(&third) };
            solve(site, Some(&Todo { pat: p, node: *x, next: Some(&second) }), b, done)
        }
        _ => None,
    }
}

/// A sum or product, at the root of the law or inside.
#[derive(Clone, Copy)]
struct Nary {
    fun: Fun,
    root: bool,
}

/// Gives each pattern one of the operands; what is left goes to a last variable, or at the root stays.
fn choose(
    site: &mut Site,
    nary: Nary,
    pats: &[Pat],
    left: &[NodeId],
    next: Option<&Todo>,
    b: &Bindings,
    done: Done,
) -> Option<NodeId> {
    match pats {
        [] if left.is_empty() => solve(site, next, b, done),
        [] if nary.root => solve(site, next, &Bindings { rest: left.into(), ..b.clone() }, done),
        [] => None,
        [pat @ Pat::Var(_)] if !nary.root && left.len() > 1 => {
            let node = site.g.map(nary.fun, left);
            solve(site, Some(&Todo { pat, node, next }), b, done)
        }
        [first, others @ ..] => (0..left.len()).find_map(|i| {
            if !plausible(site, first, left[i]) {
                return None;
            }
            let remaining: Args = left.iter().enumerate().filter(|(k, _)| *k != i).map(|(_, a)| *a).collect();
            let todo = Todo { pat: first, node: left[i], next };
            choose(site, nary, others, &remaining, Some(&todo), b, done)
        }),
    }
}

/// A quick look, so that most choices end before they begin.
fn plausible(site: &Site, pat: &Pat, node: NodeId) -> bool {
    match pat {
        Pat::Var(_) => true,
        Pat::Num(n) => site.as_num(node) == Some(n.get()),
        Pat::Map(fun, _) => site.forms(node).iter().any(|f| site.node(*f).op == Op::Map(*fun)),
    }
}
