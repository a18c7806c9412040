//! How far a whole-number term reaches, as a proof that a read stays inside its dim.
//! Law: a bound holds whatever the data are; sizes of open dims stand in it as symbols that are 1 at least.

use super::Elab;
use crate::program::{Axis, DimId, Elem, Fun, Op, Size, SizeExpr, TermId};
use std::collections::BTreeMap;

/// A whole number plus multiples of open sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    constant: i64,
    sizes: BTreeMap<DimId, i64>,
}

impl Form {
    pub fn constant(constant: i64) -> Form {
        Form { constant, sizes: BTreeMap::new() }
    }

    /// The number, if no open size stands in it.
    pub fn known(&self) -> Option<i64> {
        self.sizes.is_empty().then_some(self.constant)
    }

    pub fn plus(&self, other: &Form) -> Form {
        let mut sum = self.clone();
        sum.constant = sum.constant.saturating_add(other.constant);
        for (d, c) in &other.sizes {
            let total = sum.sizes.entry(*d).or_insert(0);
            *total = total.saturating_add(*c);
        }
        sum.sizes.retain(|_, c| *c != 0);
        sum
    }

    pub fn times(&self, c: i64) -> Form {
        let mut sizes: BTreeMap<DimId, i64> = self.sizes.iter().map(|(d, x)| (*d, x.saturating_mul(c))).collect();
        sizes.retain(|_, x| *x != 0);
        Form { constant: self.constant.saturating_mul(c), sizes }
    }

    pub fn minus(&self, other: &Form) -> Form {
        self.plus(&other.times(-1))
    }

    /// Is it nought or more for all sizes of 1 and above?
    pub fn is_natural(&self) -> bool {
        self.sizes.values().all(|c| *c >= 0)
            && self.sizes.values().fold(self.constant, |sum, c| sum.saturating_add(*c)) >= 0
    }
}

/// Proved bounds, both included; several upper and lower ones may be known.
#[derive(Clone, Debug, Default)]
pub struct Range {
    pub low: Vec<Form>,
    pub high: Vec<Form>,
}

impl Range {
    fn of(low: Form, high: Form) -> Range {
        Range { low: vec![low], high: vec![high] }
    }

    fn plus(&self, other: &Range) -> Range {
        let pairs = |a: &[Form], b: &[Form]| a.iter().flat_map(|x| b.iter().map(|y| x.plus(y))).collect();
        Range { low: pairs(&self.low, &other.low), high: pairs(&self.high, &other.high) }
    }

    fn times(&self, c: i64) -> Range {
        let scaled = |forms: &[Form]| forms.iter().map(|f| f.times(c)).collect::<Vec<_>>();
        let (low, high) = (scaled(&self.low), scaled(&self.high));
        if c >= 0 { Range { low, high } } else { Range { low: high, high: low } }
    }

    /// Bounds that hold for the one as for the other.
    fn union(&self, other: &Range) -> Range {
        let below = |a: &Form, b: &Form| b.minus(a).is_natural();
        let all = |own: &[Form], others: &[Form], fits: &dyn Fn(&Form, &Form) -> bool| {
            own.iter().filter(|f| others.iter().any(|o| fits(f, o))).cloned().collect::<Vec<_>>()
        };
        let mut low = all(&self.low, &other.low, &|f, o| below(f, o));
        low.extend(all(&other.low, &self.low, &|f, o| below(f, o)));
        let mut high = all(&self.high, &other.high, &|f, o| below(o, f));
        high.extend(all(&other.high, &self.high, &|f, o| below(o, f)));
        Range { low, high }
    }

    /// Does it stay within `0..size`?
    pub fn within(&self, size: &Form) -> bool {
        let last = size.plus(&Form::constant(-1));
        self.low.iter().any(Form::is_natural) && self.high.iter().any(|h| last.minus(h).is_natural())
    }
}

/// Bounds kept of one term; more never helped a proof.
const MOST_BOUNDS: usize = 4;
/// Terms below which a proof is not followed.
const DEPTH: usize = 32;

impl Elab<'_> {
    /// A dim's size as a form.
    pub fn size_form(&self, dim: DimId) -> Form {
        match &self.unit.dims[dim.index()].size {
            Size::Fixed(n) => Form::constant(*n as i64),
            Size::Open => Form { constant: 0, sizes: BTreeMap::from([(dim, 1)]) },
            Size::Of(e) => self.form_of(e).unwrap_or_else(|| Form { constant: 0, sizes: BTreeMap::from([(dim, 1)]) }),
        }
    }

    /// A size expression as a form, if it is linear.
    pub fn form_of(&self, e: &SizeExpr) -> Option<Form> {
        Some(match e {
            SizeExpr::Const(n) => Form::constant(*n),
            SizeExpr::Dim(d) => self.size_form(*d),
            SizeExpr::Add(a, b) => self.form_of(a)?.plus(&self.form_of(b)?),
            SizeExpr::Sub(a, b) => self.form_of(a)?.minus(&self.form_of(b)?),
            SizeExpr::Mul(a, b) => {
                let (a, b) = (self.form_of(a)?, self.form_of(b)?);
                match (a.known(), b.known()) {
                    (Some(c), _) => b.times(c),
                    (_, Some(c)) => a.times(c),
                    _ => return None,
                }
            }
            SizeExpr::Div(..) | SizeExpr::Mod(..) => return None,
        })
    }

    /// The reach of an affine index.
    pub fn affine_range(&self, terms: &[(i64, Axis)], offset: i64) -> Range {
        let mut sum = Range::of(Form::constant(offset), Form::constant(offset));
        for (c, axis) in terms {
            sum = sum.plus(&self.indices_of(axis.dim).times(*c));
        }
        sum
    }

    /// The indices of a dim.
    fn indices_of(&self, dim: DimId) -> Range {
        Range::of(Form::constant(0), self.size_form(dim).plus(&Form::constant(-1)))
    }

    /// The reach of a whole-number term.
    pub fn range(&self, id: TermId) -> Range {
        self.range_at(id, 0)
    }

    fn range_at(&self, id: TermId, depth: usize) -> Range {
        if depth > DEPTH {
            return Range::default();
        }
        let term = &self.unit.terms[id.index()];
        if let Elem::Index(d) = term.ty.elem {
            return self.indices_of(d);
        }
        let mut range = match &term.op {
            Op::Const(x) if x.fract() == 0.0 && x.abs() < 1e15 => {
                Range::of(Form::constant(*x as i64), Form::constant(*x as i64))
            }
            Op::Size(d) => Range::of(self.size_form(*d), self.size_form(*d)),
            Op::Map(fun, args) => {
                let args: Vec<Range> = args.iter().map(|a| self.range_at(*a, depth + 1)).collect();
                map_range(*fun, &args)
            }
            Op::Read { of, otherwise: None, .. } | Op::View(of) | Op::Stop(of) => self.range_at(*of, depth + 1),
            Op::Read { of, otherwise: Some(o), .. } => {
                self.range_at(*of, depth + 1).union(&self.range_at(*o, depth + 1))
            }
            _ => Range::default(),
        };
        range.low.truncate(MOST_BOUNDS);
        range.high.truncate(MOST_BOUNDS);
        range
    }
}

/// The reach of a scalar function.
fn map_range(fun: Fun, args: &[Range]) -> Range {
    let one = |r: &Range| match (r.low.first(), r.high.first()) {
        (Some(l), Some(h)) if l == h => l.known(),
        _ => None,
    };
    match (fun, args) {
        (Fun::Add, [first, rest @ ..]) => rest.iter().fold(first.clone(), |sum, r| sum.plus(r)),
        (Fun::Sub, [a, b]) => a.plus(&b.times(-1)),
        (Fun::Neg, [a]) => a.times(-1),
        (Fun::Mul, [a, b]) => match (one(a), one(b)) {
            (Some(c), _) => b.times(c),
            (_, Some(c)) => a.times(c),
            _ => Range::default(),
        },
        // The size of an open dim counts as whole.
        (Fun::ToInt | Fun::ToReal, [a]) => a.clone(),
        (Fun::Min, [a, b]) => {
            let both = a.union(b);
            Range { low: both.low, high: a.high.iter().chain(&b.high).cloned().collect() }
        }
        (Fun::Max, [a, b]) => {
            let both = a.union(b);
            Range { low: a.low.iter().chain(&b.low).cloned().collect(), high: both.high }
        }
        (Fun::Mod, [_, b]) if b.low.iter().any(|l| l.plus(&Form::constant(-1)).is_natural()) => {
            let high = b.high.iter().map(|h| h.plus(&Form::constant(-1))).collect();
            Range { low: vec![Form::constant(0)], high }
        }
        (Fun::IntDiv, [a, b]) => match one(b) {
            Some(c) if c > 0 => {
                let known = |f: &Form| f.known().map(|n| Form::constant(n.div_euclid(c)));
                let natural = a.low.iter().any(Form::is_natural);
                let mut low: Vec<Form> = a.low.iter().filter_map(known).collect();
                let mut high: Vec<Form> = a.high.iter().filter_map(known).collect();
                if natural {
                    low.push(Form::constant(0));
                    high.extend(a.high.iter().cloned());
                }
                Range { low, high }
            }
            _ => Range::default(),
        },
        (Fun::Select, [_, a, b]) => a.union(b),
        _ => Range::default(),
    }
}
