//! Library operations: sorting, linear recurrences, factorizations, transforms. One table says of each what it takes and
//! gives; the checker, the Graph and the Plan read it.
//! Law: an operation acts along the axes that it names, in groups, and is batched over all other axes of its operands.
//!
//! A group is a list of axes taken as one: a matrix may have a pair of dims as its rows. The entries of a group are
//! numbered in row-major order of its list. An operand that lacks an axis repeats along it.

use super::terms::{Axis, Dim, DimId, Elem, Size};

/// The operations. What each takes and gives stands in [`LibFun::signature`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LibFun {
    /// Ascending order along `i`, stable; NaN comes last. `order[p]`: which entry has place `p`; `rank[i]`: which place
    /// entry `i` has.
    Sort,
    /// The linear recurrence `h[i] = a[i]*h[i-1] + b[i]` from `h[-1] = 0`; `Back`: from the last entry to the first.
    Recur(Way),
    /// `x` with `sum[c](a[r, c] * x[c, e]) = b[r, e]`; `e`: all axes of `b` that are neither `r` nor axes of `a`.
    Solve,
    /// The lower triangle `l` with `a = l l'`, of the symmetric part of `a`.
    Cholesky,
    /// `a = q r` with orthonormal columns `q`, upper triangle `r` with a diagonal that is not negative; at least as many
    /// rows as columns.
    Qr,
    /// Of the symmetric part of `a`: `values` ascending, orthonormal `vectors`, each with its largest entry positive.
    Eigh,
    /// `a = u diag(s) v'`, `s` descending, each column of `u` with its largest entry positive; as many columns as `a`
    /// has rows or columns, whichever is less.
    Svd,
    /// `log |det a|` and the sign of the determinant.
    LogDet,
    /// The pseudo-inverse (Moore, Penrose); singular values below 1e-6 of the largest count as 0.
    Pinv,
    /// The matrix exponential.
    Expm,
    /// `y[k] = sum[i](x[i] * exp(-2 pi I i k / n))` of a pair of real and imaginary parts, `k` an index of the same dim;
    /// `Back`: with the opposite sign, not divided by `n`.
    Fft(Way),
    /// The columns `j[r]`, all different, with the least sum of `a[r, j[r]]`; at least as many columns as rows.
    Assign,
    /// A function of the embedding program: the one at this position in [`super::Unit::hosts`], of so many arguments.
    /// Each argument has a group of its own, and so has the result; a group may be empty.
    Host(u32, u8),
}

/// The most arguments that a function of the embedding program takes.
pub const HOST_ARGUMENTS: usize = 8;

/// The groups of each argument of a function of the embedding program.
const HOST_OPERANDS: [&[usize]; HOST_ARGUMENTS] = [&[0], &[1], &[2], &[3], &[4], &[5], &[6], &[7]];

/// Its result, by the number of arguments.
const HOST_RESULT: [[PartRule; 1]; HOST_ARGUMENTS + 1] = [
    [part("y", &[0])],
    [part("y", &[1])],
    [part("y", &[2])],
    [part("y", &[3])],
    [part("y", &[4])],
    [part("y", &[5])],
    [part("y", &[6])],
    [part("y", &[7])],
    [part("y", &[8])],
];

/// In which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From the first entry to the last.
    Forth,
    /// From the last entry to the first.
    Back,
}

/// All operations of the language, as the table of texts needs them.
pub const LIBRARY: [LibFun; 14] = [
    LibFun::Sort,
    LibFun::Recur(Way::Forth),
    LibFun::Recur(Way::Back),
    LibFun::Solve,
    LibFun::Cholesky,
    LibFun::Qr,
    LibFun::Eigh,
    LibFun::Svd,
    LibFun::LogDet,
    LibFun::Pinv,
    LibFun::Expm,
    LibFun::Fft(Way::Forth),
    LibFun::Fft(Way::Back),
    LibFun::Assign,
];

/// What the entries of a part are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartElem {
    /// Numbers.
    Real,
    /// Elements of the dim of that group, which is one axis.
    IndexOf(usize),
}

/// A result of an operation.
#[derive(Clone, Copy, Debug)]
pub struct PartRule {
    /// Its name.
    pub name: &'static str,
    /// Of one entry.
    pub elem: PartElem,
    /// The groups that it has.
    pub groups: &'static [usize],
}

/// What an operation takes and gives.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// Its name in texts.
    pub name: &'static str,
    /// How many groups it names.
    pub named: usize,
    /// The groups that each operand may have.
    pub operands: &'static [&'static [usize]],
    /// Its results.
    pub parts: &'static [PartRule],
    /// Two groups of the same number of entries.
    pub square: bool,
}

const fn part(name: &'static str, groups: &'static [usize]) -> PartRule {
    PartRule { name, elem: PartElem::Real, groups }
}

const fn index(name: &'static str, of: usize, groups: &'static [usize]) -> PartRule {
    PartRule { name, elem: PartElem::IndexOf(of), groups }
}

const fn square(name: &'static str, named: usize, parts: &'static [PartRule]) -> Signature {
    Signature { name, named, operands: &[&[0, 1]], parts, square: true }
}

impl LibFun {
    /// The row of the table. Groups: 0 the rows (or the only axis), 1 the columns, 2 the numbers of the factors.
    pub fn signature(self) -> Signature {
        match self {
            LibFun::Sort => Signature {
                name: "sort",
                named: 1,
                operands: &[&[0]],
                parts: const { &[index("order", 0, &[0]), index("rank", 0, &[0])] },
                square: false,
            },
            LibFun::Recur(way) => Signature {
                name: if way == Way::Forth { "recur" } else { "recur_back" },
                named: 1,
                operands: &[&[0], &[0]],
                parts: const { &[part("h", &[0])] },
                square: false,
            },
            // Group 2 is what the right-hand side has beyond rows and batch.
            LibFun::Solve => {
                Signature { operands: &[&[0, 1], &[0, 2]], ..square("solve", 2, const { &[part("x", &[1, 2])] }) }
            }
            LibFun::Cholesky => square("cholesky", 2, const { &[part("l", &[0, 1])] }),
            LibFun::Qr => {
                Signature { square: false, ..square("qr", 3, const { &[part("q", &[0, 2]), part("r", &[2, 1])] }) }
            }
            LibFun::Eigh => square("eigh", 3, const { &[part("values", &[2]), part("vectors", &[0, 2])] }),
            LibFun::Svd => Signature {
                square: false,
                ..square("svd", 3, const { &[part("u", &[0, 2]), part("s", &[2]), part("v", &[1, 2])] })
            },
            LibFun::LogDet => square("logdet", 2, const { &[part("log", &[]), part("sign", &[])] }),
            LibFun::Pinv => Signature { square: false, ..square("pinv", 2, const { &[part("p", &[1, 0])] }) },
            // Group 2 is a pair of axes of size 2, with which the gradient builds block matrices.
            LibFun::Expm => square("expm", 3, const { &[part("e", &[0, 1])] }),
            LibFun::Fft(way) => Signature {
                name: if way == Way::Forth { "fft" } else { "fft_back" },
                named: 1,
                operands: &[&[0], &[0]],
                parts: const { &[part("re", &[0]), part("im", &[0])] },
                square: false,
            },
            LibFun::Host(_, arguments) => Signature {
                name: "host",
                named: arguments as usize + 1,
                operands: const { &HOST_OPERANDS }.get(..arguments as usize).unwrap_or_default(),
                parts: const { &HOST_RESULT }.get(arguments as usize).map(|r| &r[..]).unwrap_or_default(),
                square: false,
            },
            LibFun::Assign => Signature {
                name: "assign",
                named: 2,
                operands: &[&[0, 1]],
                parts: const { &[index("column", 1, &[0])] },
                square: false,
            },
        }
    }

    /// Has it a gradient?
    pub fn smooth(self) -> bool {
        !matches!(self, LibFun::Sort | LibFun::Assign | LibFun::Host(..))
    }
}

/// An operation with the axes that it acts along.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lib {
    /// What is done.
    pub fun: LibFun,
    /// The groups that [`Signature::named`] counts.
    pub groups: Vec<Vec<Axis>>,
}

impl Lib {
    /// All groups: those named, and for `Solve` the one that follows from the operands' axes.
    pub fn all_groups(&self, operands: &[&[Axis]]) -> Vec<Vec<Axis>> {
        let mut groups = self.groups.clone();
        if self.fun == LibFun::Solve && operands.len() == 2 {
            let taken = |a: &Axis| operands[0].contains(a) || self.groups.iter().flatten().any(|b| a == b);
            groups.push(operands[1].iter().copied().filter(|a| !taken(a)).collect());
        }
        groups
    }

    /// The axes along which the operation is repeated, sorted.
    pub fn batch(&self, operands: &[&[Axis]]) -> Vec<Axis> {
        let groups = self.all_groups(operands);
        let mut batch: Vec<Axis> = operands.iter().flat_map(|o| o.iter().copied()).collect();
        batch.retain(|a| groups.iter().flatten().all(|b| a != b));
        batch.sort();
        batch.dedup();
        batch
    }

    /// The type of a part: element type and sorted axes.
    ///
    /// # Errors
    /// A text that says why the operands or the groups do not fit.
    pub fn part(&self, k: usize, operands: &[&[Axis]]) -> Result<(Elem, Vec<Axis>), String> {
        self.check(operands)?;
        let signature = self.fun.signature();
        let rule = signature.parts.get(k).ok_or_else(|| format!("`{}` has no part {k}", signature.name))?;
        let groups = self.all_groups(operands);
        let elem = match rule.elem {
            PartElem::Real => Elem::Real,
            PartElem::IndexOf(g) => match groups[g].as_slice() {
                [axis] => Elem::Index(axis.dim),
                _ => return Err(format!("`{}` gives an index of one axis, not of several", signature.name)),
            },
        };
        let mut axes = self.batch(operands);
        axes.extend(rule.groups.iter().flat_map(|g| groups[*g].iter().copied()));
        axes.sort();
        Ok((elem, axes))
    }

    /// Are groups and operands those of the signature?
    ///
    /// # Errors
    /// A text that says what does not fit.
    pub fn check(&self, operands: &[&[Axis]]) -> Result<(), String> {
        let s = self.fun.signature();
        if operands.len() != s.operands.len() || self.groups.len() != s.named {
            return Err(format!("`{}` has {} operands and {} groups of axes", s.name, s.operands.len(), s.named));
        }
        let mut all: Vec<Axis> = self.groups.iter().flatten().copied().collect();
        let count = all.len();
        all.sort();
        all.dedup();
        let empty = !matches!(self.fun, LibFun::Host(..)) && self.groups.iter().any(Vec::is_empty);
        if all.len() != count || empty {
            return Err(format!("the groups {:?} are empty or overlap", self.groups));
        }
        for (operand, own) in operands.iter().zip(s.operands) {
            let foreign =
                |a: &&Axis| self.groups.iter().enumerate().any(|(g, axes)| !own.contains(&g) && axes.contains(a));
            if let Some(axis) = operand.iter().find(foreign) {
                return Err(format!("an operand of `{}` has the axis {axis:?} of another group", s.name));
            }
        }
        Ok(())
    }

    /// Have rows and columns the same number of entries, as far as that is known?
    pub fn is_square(&self, dims: &[Dim]) -> bool {
        let size = |g: usize| entries(&self.groups[g], dims);
        let same = |a: &[Axis], b: &[Axis]| a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.dim == y.dim);
        match (size(0), size(1)) {
            (Some(a), Some(b)) => a == b,
            _ => same(&self.groups[0], &self.groups[1]),
        }
    }
}

/// The number of entries of a group, if it is known.
pub fn entries(group: &[Axis], dims: &[Dim]) -> Option<u64> {
    let size = |d: DimId| if let Size::Fixed(n) = dims[d.index()].size { Some(n) } else { None };
    group.iter().map(|a| size(a.dim)).product()
}
