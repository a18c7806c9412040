//! Where the states of a rule live: in the unit, or in the loop that calls the rule.
//! Law: a rule that is called in a loop starts with the loop. Its states are states of the loop that have no name there.

use super::layers::LateNext;
use super::value::{Leaf, Tensor, Tree};
use super::{Check, Elab, fail};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Elem, Fun, LoopId, Op, StateId, TermId, Ty};

/// Where a tensor of a rule's state is.
#[derive(Clone, Debug)]
pub enum Slot {
    /// A state of the unit, kept from step to step.
    State(StateId),
    /// A state of the innermost loop, by position among those without a name.
    Carried(usize),
}

/// A state that a loop carries for a rule.
#[derive(Clone, Debug)]
pub struct Unnamed {
    /// Its rule's and its own name.
    pub name: String,
    /// Its first value.
    pub first: TermId,
    /// Its value now.
    pub now: Tensor,
    /// Its next value.
    pub next: Option<TermId>,
    pub span: Span,
}

/// A loop whose body is being evaluated.
#[derive(Clone, Debug)]
pub struct Carrier {
    pub id: LoopId,
    /// The axis over its steps.
    pub axis: Axis,
    /// First values of its named states and the terms that stand for them in the body.
    pub named: Vec<(Tensor, Tensor)>,
    /// The states that rules have in it.
    pub unnamed: Vec<Unnamed>,
    /// Next values of net states that its steps compute.
    pub late: Vec<LateNext>,
}

impl Elab<'_> {
    /// Is the body of a loop being evaluated?
    pub fn in_a_loop(&self) -> bool {
        !self.carriers.is_empty()
    }

    /// The step of the innermost loop, from 1.
    pub fn step_of_loop(&mut self, span: Span) -> Check<Option<Tensor>> {
        let Some(axis) = self.carriers.last().map(|c| c.axis) else { return Ok(None) };
        let place = self.iota(axis, span);
        let place = self.map1(Fun::ToReal, &place, span);
        let one = self.constant(1.0, Elem::Real, span);
        self.map2(Fun::Add, &place, &one, span).map(Some)
    }

    /// A tree of states of the innermost loop before its first step; what is no state stays.
    pub fn first_in_loop(&self, tree: &Tree) -> Tree {
        let Some(carrier) = self.carriers.last() else { return tree.clone() };
        let first = |t: &Tensor| {
            let named = carrier.named.iter().find(|(_, now)| now.id == t.id).map(|(first, _)| first.clone());
            named.unwrap_or_else(|| t.clone())
        };
        Tree { leaves: tree.leaves.iter().map(|l| Leaf { value: first(&l.value), ..l.clone() }).collect() }
    }

    /// Index variables around the loop that the tensors of a tree depend on: a state has an entry for each.
    pub fn around_loop(&self, tree: &Tree) -> Vec<Axis> {
        let Some(own) = self.carriers.last().map(|c| c.axis) else { return Vec::new() };
        let has = |a: &Axis| tree.leaves.iter().any(|l| self.ty(l.value.id).axes.contains(a));
        self.active.iter().copied().filter(|a| *a != own && has(a)).collect()
    }

    /// A new tensor of a rule's state, and its value now.
    pub fn rule_slot(
        &mut self,
        name: String,
        ty: Ty,
        first: TermId,
        around: &[Axis],
        span: Span,
    ) -> Check<(Slot, Tensor)> {
        let Ty { elem, axes } = ty;
        let Some(carrier) = self.carriers.last() else {
            let id = self.new_state(name, elem, axes, first, span);
            return Ok((Slot::State(id), self.state_value(id, span)));
        };
        let (id, axis) = (carrier.id, carrier.axis);
        let place = carrier.named.len() + carrier.unnamed.len();
        let changes = carrier.named.iter().map(|n| n.1.id).chain(carrier.unnamed.iter().map(|u| u.now.id));
        if changes.into_iter().any(|now| self.depends(first, now)) || self.ty(first).axes.contains(&axis) {
            let message = format!("the state `{name}` starts from a value that changes inside the loop");
            let d = Diagnostic::error(Code::G0406, span, message);
            return fail(d.hint("apply the rule to the loop's state itself: `u' = rule(u, g)`"));
        }
        let mut all = axes.clone();
        all.extend(around.iter().chain(&self.ty(first).axes).filter(|a| !axes.contains(a)));
        let first = self.spread(first, &all, span);
        let all = self.ty(first).axes.clone();
        let now = Tensor { id: self.term(Op::LoopState(id, place as u32), elem, all, span), axes };
        let carrier = self.carriers.last_mut().expect("just seen");
        carrier.unnamed.push(Unnamed { name, first, now: now.clone(), next: None, span });
        Ok((Slot::Carried(carrier.unnamed.len() - 1), now))
    }

    /// The value now of a rule's state.
    pub fn slot_value(&mut self, slot: &Slot, span: Span) -> Tensor {
        match slot {
            Slot::State(id) => self.state_value(*id, span),
            Slot::Carried(k) => self.carriers.last().expect("a loop carries it").unnamed[*k].now.clone(),
        }
    }

    /// The next value of a rule's state.
    pub fn advance_slot(&mut self, slot: &Slot, next: TermId) {
        match slot {
            Slot::State(id) => {
                self.next_states.insert(*id, next);
            }
            Slot::Carried(k) => self.carriers.last_mut().expect("a loop carries it").unnamed[*k].next = Some(next),
        }
    }
}
