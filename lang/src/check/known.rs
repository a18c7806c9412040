//! Terms by what they are, so that the same equation is the same term.
//! Law: two terms are the same if their operations and types are, to the bit of every constant.

use crate::program::{Op, Term, TermId, Ty};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// The terms of a unit by the hash of their operation and type.
#[derive(Default)]
pub struct Known(HashMap<u64, SmallVec<[TermId; 1]>, BuildHasherDefault<Words>>);

/// A hash of few machine words: multiply and rotate. Terms come from one program, so nobody can choose them to collide.
#[derive(Default)]
struct Words(u64);

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, x: u8) {
        self.write_u64(u64::from(x));
    }

    fn write_u32(&mut self, x: u32) {
        self.write_u64(u64::from(x));
    }

    fn write_u64(&mut self, x: u64) {
        // The fraction of the golden ratio, as in Knuth's multiplicative hashing.
        self.0 = (self.0.rotate_left(23) ^ x).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, x: usize) {
        self.write_u64(x as u64);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(29)
    }
}

impl Known {
    /// The term with this operation and type, added to `terms` if there is none.
    pub fn find_or_add(&mut self, terms: &mut Vec<Term>, term: Term) -> TermId {
        let mut hasher = Words(0);
        (&term.op, &term.ty).hash(&mut hasher);
        let alike = self.0.entry(hasher.finish()).or_default();
        let same = |id: &&TermId| is_same(&terms[id.index()], &term.op, &term.ty);
        if let Some(id) = alike.iter().find(same) {
            return *id;
        }
        let id = TermId::new(terms.len());
        alike.push(id);
        terms.push(term);
        id
    }
}

fn is_same(term: &Term, op: &Op, ty: &Ty) -> bool {
    let same_op = match (&term.op, op) {
        // 0 and -0 are equal numbers and different constants.
        (Op::Const(a), Op::Const(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    };
    same_op && term.ty == *ty
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Span;
    use crate::program::{Elem, Fun};

    #[test]
    fn the_same_equation_is_the_same_term() {
        let (mut known, mut terms) = (Known::default(), Vec::new());
        let mut add = |op: Op| {
            let ty = Ty { elem: Elem::Real, axes: vec![] };
            known.find_or_add(&mut terms, Term { op, ty, span: Span::default() })
        };
        let (zero, minus, nan) = (add(Op::Const(0.0)), add(Op::Const(-0.0)), add(Op::Const(f64::NAN)));
        assert_ne!(zero, minus);
        assert_eq!(nan, add(Op::Const(f64::NAN)));
        let sum = add(Op::Map(Fun::Add, vec![zero, minus]));
        assert_ne!(sum, add(Op::Map(Fun::Add, vec![minus, zero])));
        assert_eq!(sum, add(Op::Map(Fun::Add, vec![zero, minus])));
        assert_eq!(terms.len(), 5);
    }
}
