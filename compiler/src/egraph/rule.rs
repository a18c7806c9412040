//! What a rule is, what it may look at, and the conditions that rules have.
//! Law: a rule returns a node of equal value and type, or nothing.

use super::bridge::{Forms, Head};
use crate::graph::sign::{SIGN_DEPTH, nonnegative, nonzero, positive};
use crate::graph::{Args, Axes, Graph, Node, NodeId, Op, Red};
use gannet_lang::program::{Axis, Elem, Fun};
use smallvec::SmallVec;

/// What a rule may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// Keeps every bit of every finite result.
    Exact,
    /// Reassociates floating-point sums and products, or replaces a function by a better-conditioned one. Off under
    /// `strict`.
    Fast,
    /// Moves out of an extremum what is done to all entries alike, so that no entry need equal the extremum to the last
    /// bit any more. Off also where a graph asks which entry does.
    Order,
}

/// When a rule is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Wherever it matches: the right side is never worse.
    Always,
    /// In the e-graph only: both sides are kept, the cheaper one is taken.
    Choose,
}

/// The code of a rule that is no pattern.
pub type Apply = fn(&mut Site, NodeId) -> Option<NodeId>;

/// How a rule finds and builds.
#[derive(Clone, Copy)]
pub enum Body {
    /// By the law's text: `left => right if condition ?x and ...`.
    Pattern,
    /// By code, from nodes with this head.
    Code(Head, Apply),
}

/// One identity.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Its name in reports.
    pub name: &'static str,
    /// What it may change.
    pub set: Set,
    /// When it is used.
    pub when: Use,
    /// The identity in words or, for patterns, in full.
    pub law: &'static str,
    /// How it works.
    pub body: Body,
}

/// A rule given by two patterns.
pub const fn pattern(name: &'static str, set: Set, when: Use, law: &'static str) -> Rule {
    Rule { name, set, when, law, body: Body::Pattern }
}

/// A rule given by code: where the number of operands or the axes matter.
pub const fn code(name: &'static str, set: Set, when: Use, law: &'static str, head: Head, apply: Apply) -> Rule {
    Rule { name, set, when, law, body: Body::Code(head, apply) }
}

/// Where a rule works: the graph that it builds into, and the forms of operands that are known to be equal.
pub struct Site<'a> {
    /// Builds.
    pub g: &'a mut Graph,
    /// Knows equal nodes.
    pub forms: &'a Forms,
}

impl Site<'_> {
    /// All known forms of a node.
    pub fn forms(&self, id: NodeId) -> SmallVec<[NodeId; 4]> {
        self.forms.of(id)
    }

    /// Are they known to be equal?
    pub fn same(&self, a: NodeId, b: NodeId) -> bool {
        self.forms.same(a, b)
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node {
        self.g.node(id)
    }

    /// The first form whose operation is wanted, and its operands.
    pub fn form(&self, id: NodeId, want: impl Fn(&Op) -> bool) -> Option<(Op, Args)> {
        let found = self.forms(id).into_iter().find(|f| want(&self.g.node(*f).op))?;
        Some((self.node(found).op.clone(), self.node(found).args.clone()))
    }

    /// The operands, if some form is that function.
    pub fn as_map(&self, id: NodeId, fun: Fun) -> Option<Args> {
        Some(self.form(id, |op| *op == Op::Map(fun))?.1)
    }

    /// The factors of a product; a node that is none is its own factor.
    pub fn factors(&self, id: NodeId) -> Args {
        self.as_map(id, Fun::Mul).unwrap_or_else(|| Args::from_slice(&[id]))
    }

    /// The axes and operand of a reduction of that kind.
    pub fn as_reduce(&self, id: NodeId, red: Red) -> Option<(Axes, NodeId)> {
        match self.form(id, |op| matches!(op, Op::Reduce(r, _) if *r == red))? {
            (Op::Reduce(_, axes), args) => Some((axes, args[0])),
            _ => None,
        }
    }

    /// The summed axes and factors of a contraction or of a plain sum.
    pub fn as_sum(&self, id: NodeId) -> Option<(Axes, Args)> {
        match self.form(id, |op| matches!(op, Op::Contract(_) | Op::Reduce(Red::Sum, _)))? {
            (Op::Contract(axes) | Op::Reduce(_, axes), args) => Some((axes, args)),
            _ => None,
        }
    }

    /// A constant's value.
    pub fn as_num(&self, id: NodeId) -> Option<f64> {
        self.forms(id).into_iter().find_map(|f| self.g.as_num(f))
    }

    /// Has it any of the axes?
    pub fn touches(&self, id: NodeId, axes: &[Axis]) -> bool {
        axes.iter().any(|a| self.g.ty(id).has(*a))
    }

    /// Is it a real?
    pub fn is_real(&self, id: NodeId) -> bool {
        self.g.ty(id).elem == Elem::Real
    }
}

/// A condition on what a variable stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Above 0 wherever it is a number.
    Positive,
    /// 0 or above.
    Nonnegative,
    /// Never 0.
    Nonzero,
    /// A whole number or an index, so there is no NaN.
    Whole,
    /// A truth value.
    Truth,
    /// A real constant.
    Constant,
    /// No constant.
    Varying,
}

impl Condition {
    /// From its name in a rule.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "positive" => Condition::Positive,
            "nonnegative" => Condition::Nonnegative,
            "nonzero" => Condition::Nonzero,
            "whole" => Condition::Whole,
            "truth" => Condition::Truth,
            "constant" => Condition::Constant,
            "varying" => Condition::Varying,
            _ => return None,
        })
    }

    /// Does it hold?
    pub fn holds(self, g: &Graph, id: NodeId) -> bool {
        match self {
            Condition::Positive => positive(g, id, SIGN_DEPTH),
            Condition::Nonnegative => nonnegative(g, id, SIGN_DEPTH),
            Condition::Nonzero => nonzero(g, id, SIGN_DEPTH),
            Condition::Whole => matches!(g.ty(id).elem, Elem::Int | Elem::Index(_)),
            Condition::Truth => g.ty(id).elem == Elem::Bool,
            Condition::Constant => g.as_num(id).is_some() && g.ty(id).elem == Elem::Real,
            Condition::Varying => g.as_num(id).is_none(),
        }
    }
}
