//! The operations of the Graph: one closed enum, each variant with its typing rule.
//! Law: an operation is pure, and says nothing of positions: axes have names.

use gannet_lang::program::{
    At as ProgramAt, Axis, DimId, Dist, Elem, Fun, HyperId, InputId, Lib, ParamId, PointId, SiteId, StateId,
};
use smallvec::SmallVec;

/// A set of axes, sorted.
pub type Axes = SmallVec<[Axis; 4]>;

/// A finite number by its bits, so that constants can be compared, ordered and hashed. Infinities are allowed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Num(u64);

impl Num {
    /// Of a number; -0 becomes 0, so that equal numbers are equal constants.
    pub fn new(value: f64) -> Self {
        Num((value + 0.0).to_bits())
    }

    /// The number.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl std::fmt::Debug for Num {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.get())
    }
}

/// Reductions of the Graph; the others of the Program (mean, var, logsumexp, count) are built from these.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Red {
    Sum,
    Prod,
    Max,
    Min,
    Any,
    All,
    /// First index of the largest entry, over exactly one axis.
    ArgMax,
    /// First index of the smallest entry, over exactly one axis.
    ArgMin,
}

impl Red {
    /// The scalar function that joins two results; `None` where the place counts too.
    pub fn join(self) -> Option<Fun> {
        match self {
            Red::Sum => Some(Fun::Add),
            Red::Prod => Some(Fun::Mul),
            Red::Max => Some(Fun::Max),
            Red::Min => Some(Fun::Min),
            Red::Any => Some(Fun::Or),
            Red::All => Some(Fun::And),
            Red::ArgMax | Red::ArgMin => None,
        }
    }
}

/// What an axis of the operand of a `Read` (or of the result of a `Fiber`) becomes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// `sum(coefficient * axis) + offset`, terms sorted by axis, no coefficient 0.
    Affine {
        /// Coefficient and axis.
        terms: SmallVec<[(i64, Axis); 2]>,
        /// The constant part.
        offset: i64,
    },
    /// The whole-number operand at this position among the node's operands.
    Arg(u8),
}

impl At {
    /// A renaming to `axis`.
    pub fn axis(axis: Axis) -> At {
        At::Affine { terms: SmallVec::from_slice(&[(1, axis)]), offset: 0 }
    }

    /// An affine form of any terms: they are sorted, those of one axis are added up, and zeros dropped.
    pub fn affine(terms: impl IntoIterator<Item = (i64, Axis)>, offset: i64) -> At {
        let mut sums: SmallVec<[(i64, Axis); 2]> = SmallVec::new();
        for (c, axis) in terms {
            match sums.iter_mut().find(|t| t.1 == axis) {
                Some(sum) => sum.0 += c,
                None => sums.push((c, axis)),
            }
        }
        sums.retain(|t| t.0 != 0);
        sums.sort_by_key(|t| t.1);
        At::Affine { terms: sums, offset }
    }

    /// The same place, with an affine form in order.
    pub fn normal(&self) -> At {
        match self {
            At::Affine { terms, offset } => At::affine(terms.iter().copied(), *offset),
            At::Arg(k) => At::Arg(*k),
        }
    }

    /// The axis, if this is a renaming.
    pub fn as_axis(&self) -> Option<Axis> {
        match self {
            At::Affine { terms, offset: 0 } if terms.len() == 1 && terms[0].0 == 1 => Some(terms[0].1),
            _ => None,
        }
    }

    /// Is the axis a term of it?
    pub fn names(&self, axis: Axis) -> bool {
        matches!(self, At::Affine { terms, .. } if terms.iter().any(|t| t.1 == axis))
    }

    /// From the Program's form; `arg` numbers the operand that a term becomes.
    pub fn from_program(at: &ProgramAt, arg: u8) -> At {
        match at {
            ProgramAt::Affine { terms, offset } => At::affine(terms.iter().copied(), *offset),
            ProgramAt::Term(_) => At::Arg(arg),
        }
    }
}

/// Axis and what it becomes, sorted by axis.
pub type Subst = SmallVec<[(Axis, At); 2]>;

/// Axes and their names elsewhere, sorted.
pub type AxisNames = SmallVec<[(Axis, Axis); 4]>;

/// One operation; its operands stand beside it in the [`super::Node`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// A data input: the type of the unit's input.
    Input(InputId),
    /// A parameter's value now.
    Param(ParamId),
    /// A state's value now.
    State(StateId),
    /// A hyperparameter: `real[]`.
    Hyper(HyperId),
    /// The step, from 1: `real[]`.
    Step,
    /// A number: `real[]`, or whole for `Elem::Int`.
    Const(Num, Elem),
    /// A dim's size: `real[]`.
    Size(DimId),
    /// `index[axis]`.
    Iota(Axis),
    /// Random numbers over the axes, entries numbered in row-major order of `axes` as listed.
    Random(Dist, SiteId, SmallVec<[Axis; 4]>),
    /// Entry by entry; axes: the union of the operands'. `Add` and `Mul` take two or more operands, sorted.
    /// The graph has no `Sub` and no `Div` of reals: they are `Add` of `Neg` and `Mul` of `Recip`.
    Map(Fun),
    /// `x: [.. axes ..] -> [..]`.
    Reduce(Red, Axes),
    /// Sum over the axes of the product of two or more real operands (sorted): axes: the union without the summed ones.
    /// Every summed axis occurs in at least one operand.
    Contract(Axes),
    /// `x` with axes substituted. Operands: `x`, then the index operands, then, if `guarded`, the value outside.
    /// Axes: those of `x` not named, of the affine forms, of the index operands (and of the value outside).
    Read {
        /// Axis of `x` and what it becomes.
        at: Subst,
        /// Is the last operand the value outside?
        guarded: bool,
    },
    /// The adjoint of `Read`: `result[j] = red over all entries of x along `over` with at(entry) = j of x`.
    /// Operands: `x`, then the index operands. Axes: those of `x` without `over`, with the axes named in `at`.
    /// Entries whose place lies outside the result are dropped; places that nothing reaches hold the neutral element
    /// (0 for sums).
    Fiber {
        /// `Sum`, `Max`, `Min` ...
        red: Red,
        /// Axis of the result and where it is found.
        at: Subst,
        /// Axes of `x` (and of the index operands) that are reduced.
        over: Axes,
    },
    /// A library operation along the axes that it names, see [`Lib`]. It may have several results: the node itself has
    /// no value (its type is nominal), and each result is a [`Op::Part`] of it.
    Library(Lib),
    /// A result of the operand, a node that has several. Its type follows from the operand's operation and operands,
    /// see [`super::Graph::part_type`].
    Part(u32),
    /// The same value, at which a derivative is taken. Removed by differentiation.
    Point(PointId),
    /// Operands `of`, `wrt` (a `Param` or `Point`). See [`gannet_lang::program::Op::Grad`]. Removed by differentiation.
    Grad {
        /// Name in the result of each axis of `wrt`: (axis of wrt, its name), sorted by the first.
        axes: AxisNames,
        /// Axes along which both are independent copies.
        shared: Axes,
    },
    /// Operands: `of`, then for each direction its `wrt` (a `Param` or `Point`), then each direction's tangent. See
    /// [`gannet_lang::program::Op::Along`]. For each direction: (axis of wrt, its name in the tangent), sorted by the
    /// first. Removed by differentiation.
    Along(SmallVec<[AxisNames; 1]>),
    /// Operands: value, `inputs` inputs, cotangent point, `inputs` cotangents. Removed by differentiation.
    Custom {
        /// How many inputs.
        inputs: u8,
    },
    /// The same value, without a gradient. Removed after differentiation.
    Stop,
    /// An operand of the loop whose body this graph is, as one step sees it: a leaf of bodies only.
    Arg(u32, Elem, Axes),
    /// A loop with states; its results are taken by `Part`. Operands: those of the body, see [`super::Body`].
    Loop(std::sync::Arc<super::Body>),
}

impl Op {
    /// Does the order of the operands not matter? They are kept sorted then.
    pub fn is_unordered(&self) -> bool {
        matches!(self, Op::Map(Fun::Add | Fun::Mul) | Op::Contract(_))
    }
}
