//! Loops: reductions of every kind and mode, blocks, nests that are vectors outside or inside.

use super::*;

const REDS: &[Red] = &[Red::Sum, Red::Prod, Red::Max, Red::Min, Red::Any, Red::All, Red::ArgMax, Red::ArgMin];

/// `out[i] = red over j of x[i, j]`, or of `x[j, i]` when the columns are reduced.
fn reduction(red: Red, kind: Kind, modes: [Mode; 2], by_column: bool) -> Plan {
    let mut b = Builder::new(2);
    let (i, j) = (b.loop_id(), b.loop_id());
    let x = b.buffer(kind, if by_column { &[1, 0] } else { &[0, 1] });
    let place = matches!(red, Red::ArgMax | Red::ArgMin);
    let result_kind = if place { Kind::Int } else { kind };
    let out = b.buffer(result_kind, &[0]);
    let mut inner = vec![];
    let address = if by_column { at(&[(j, size(0)), (i, one())]) } else { at(&[(i, size(1)), (j, one())]) };
    let v = b.put(&mut inner, kind, Inst::Load(x, address));
    let result = b.value(result_kind);
    let reduce = over(j, 1, modes[1], vec![acc(result, red, v)], inner);
    let body = vec![Stmt::Loop(reduce), Stmt::Store(out, at(&[(i, one())]), result)];
    let outer = over(i, 0, modes[0], vec![], body);
    b.finish(outer)
}

#[test]
fn every_reduction() {
    let (s, v) = (Mode::Serial, Mode::Vector);
    for red in REDS {
        let kinds: &[Kind] = match red {
            Red::Any | Red::All => &[Kind::Bool],
            _ => &[Kind::Real, Kind::Int],
        };
        for kind in kinds {
            for modes in [[s, s], [s, v], [v, s]] {
                for by_column in [false, true] {
                    let plan = reduction(*red, *kind, modes, by_column);
                    for n in (0..10).chain([16, 17, 21, 35, 64]) {
                        // An extremum of nothing has no whole number that stands for it.
                        if n == 0 && *kind == Kind::Int && matches!(red, Red::Max | Red::Min) {
                            continue;
                        }
                        let rows = 6;
                        let mut numbers = Numbers(7 + n as u64);
                        let x = match kind {
                            Kind::Real if *red == Red::Prod => {
                                numbers.below(rows * n, 4).iter().map(|x| 0.8 + x / 8.0).collect()
                            }
                            Kind::Real => numbers.reals(rows * n),
                            Kind::Int if *red == Red::Prod => {
                                numbers.below(rows * n, 2).iter().map(|x| x * 2.0 - 1.0).collect()
                            }
                            Kind::Int => numbers.below(rows * n, 9).iter().map(|x| x - 4.0).collect(),
                            Kind::Bool => numbers
                                .below(rows * n, 5)
                                .iter()
                                .map(|x| f64::from((*x > 0.0) == (*red == Red::All)))
                                .collect(),
                        };
                        let buffers = [x, vec![0.0; rows]];
                        let what = format!("{red:?} {kind:?} {modes:?} {by_column} {n}");
                        check(&plan, &[rows as u64, n as u64], &buffers, 1e-5, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn places_of_extrema_among_equals() {
    for modes in [[Mode::Serial, Mode::Serial], [Mode::Serial, Mode::Vector]] {
        let plan = reduction(Red::ArgMax, Kind::Real, modes, false);
        for x in [vec![f64::NEG_INFINITY; 21], vec![f64::NAN; 21], vec![3.0; 21]] {
            check(&plan, &[1, 21], &[x, vec![9.0]], 0.0, &format!("equal entries {modes:?}"));
        }
    }
}

#[test]
fn extrema_keep_nan_and_its_first_place() {
    for red in [Red::Max, Red::Min, Red::ArgMax, Red::ArgMin] {
        for modes in [[Mode::Serial, Mode::Serial], [Mode::Serial, Mode::Vector], [Mode::Vector, Mode::Serial]] {
            let plan = reduction(red, Kind::Real, modes, false);
            for places in [vec![0], vec![20], vec![7], vec![3, 9], vec![16, 18]] {
                let mut x = Numbers(5).reals(21);
                places.iter().for_each(|k| x[*k] = f64::NAN);
                check(&plan, &[1, 21], &[x, vec![9.0]], 0.0, &format!("{red:?} {modes:?} NaN at {places:?}"));
            }
        }
    }
}

/// Softmax of rows: three loops in a row, with a value from one used in the next.
pub fn softmax(mode: Mode) -> Plan {
    let mut b = Builder::new(2);
    let i = b.loop_id();
    let (x, y) = (b.buffer(Kind::Real, &[0, 1]), b.buffer(Kind::Real, &[0, 1]));
    let (most, total) = (b.value(Kind::Real), b.value(Kind::Real));
    let mut body = vec![];
    let entry = |j| at(&[(i, size(1)), (j, one())]);
    let j = b.loop_id();
    let mut inner = vec![];
    let v = b.put(&mut inner, Kind::Real, Inst::Load(x, entry(j)));
    body.push(Stmt::Loop(over(j, 1, mode, vec![acc(most, Red::Max, v)], inner)));
    let j = b.loop_id();
    let mut inner = vec![];
    let v = b.put(&mut inner, Kind::Real, Inst::Load(x, entry(j)));
    let d = b.map(&mut inner, Kind::Real, Fun::Sub, &[v, most]);
    let e = b.map(&mut inner, Kind::Real, Fun::Exp, &[d]);
    inner.push(Stmt::Store(y, entry(j), e));
    body.push(Stmt::Loop(over(j, 1, mode, vec![acc(total, Red::Sum, e)], inner)));
    let scale = b.map(&mut body, Kind::Real, Fun::Recip, &[total]);
    let j = b.loop_id();
    let mut inner = vec![];
    let v = b.put(&mut inner, Kind::Real, Inst::Load(y, entry(j)));
    let q = b.map(&mut inner, Kind::Real, Fun::Mul, &[v, scale]);
    inner.push(Stmt::Store(y, entry(j), q));
    body.push(Stmt::Loop(over(j, 1, mode, vec![], inner)));
    let outer = over(i, 0, Mode::Serial, vec![], body);
    b.finish(outer)
}

#[test]
fn softmax_of_rows() {
    for mode in [Mode::Serial, Mode::Vector] {
        let plan = softmax(mode);
        for n in [0, 1, 3, 4, 10, 33, 100] {
            let x = Numbers(5).reals(4 * n);
            check(&plan, &[4, n as u64], &[x, vec![0.0; 4 * n]], 1e-6, &format!("softmax {mode:?} {n}"));
        }
    }
}

/// Block sums: `out[b] = sum of x over block b`.
#[test]
fn blocks() {
    for mode in [Mode::Serial, Mode::Vector] {
        let mut b = Builder::new(1);
        let (i, j) = (b.loop_id(), b.loop_id());
        let (x, out) = (b.buffer(Kind::Real, &[0]), b.buffer(Kind::Real, &[0]));
        let (block, extent) = (5, size(0));
        let mut inner = vec![];
        let v = b.put(&mut inner, Kind::Real, Inst::Load(x, at(&[(j, one())])));
        let sum = b.value(Kind::Real);
        let range = Range::Block { outer: i, size: block, extent: extent.clone() };
        let part = Loop { id: j, range, mode, accs: vec![acc(sum, Red::Sum, v)], body: inner };
        let body = vec![Stmt::Loop(part), Stmt::Store(out, at(&[(i, one())]), sum)];
        let outer =
            Loop { id: i, range: Range::Blocks { size: block, extent }, mode: Mode::Serial, accs: vec![], body };
        let plan = b.finish(outer);
        for n in [0, 1, 4, 5, 6, 10, 23] {
            let x = Numbers(n as u64).reals(n);
            check(&plan, &[n as u64], &[x, vec![0.0; n]], 1e-6, &format!("blocks {mode:?} {n}"));
        }
    }
}

/// A three-deep nest whose vector loop is the middle one: `out[i, j] = sum over k of x[i, k] * w[k, j] + c[j]`.
#[test]
fn vector_loops_around_serial_ones() {
    for modes in [[Mode::Serial, Mode::Vector], [Mode::Vector, Mode::Serial]] {
        let mut b = Builder::new(3);
        let (i, j, k) = (b.loop_id(), b.loop_id(), b.loop_id());
        let (x, w) = (b.buffer(Kind::Real, &[0, 2]), b.buffer(Kind::Real, &[2, 1]));
        let (c, out) = (b.buffer(Kind::Real, &[1]), b.buffer(Kind::Real, &[0, 1]));
        let mut inner = vec![];
        let a = b.put(&mut inner, Kind::Real, Inst::Load(x, at(&[(i, size(2)), (k, one())])));
        let f = b.put(&mut inner, Kind::Real, Inst::Load(w, at(&[(k, size(1)), (j, one())])));
        let p = b.map(&mut inner, Kind::Real, Fun::Mul, &[a, f]);
        let sum = b.value(Kind::Real);
        let mut body = vec![Stmt::Loop(over(k, 2, Mode::Serial, vec![acc(sum, Red::Sum, p)], inner))];
        let bias = b.put(&mut body, Kind::Real, Inst::Load(c, at(&[(j, one())])));
        let y = b.map(&mut body, Kind::Real, Fun::Add, &[sum, bias]);
        body.push(Stmt::Store(out, at(&[(i, size(1)), (j, one())]), y));
        let middle = over(j, 1, modes[1], vec![], body);
        let outer = over(i, 0, modes[0], vec![], vec![Stmt::Loop(middle)]);
        let plan = b.finish(outer);
        for (m, n, kk) in [(3, 10, 5), (9, 3, 2), (5, 5, 0), (0, 4, 3), (4, 0, 3), (13, 17, 1)] {
            let mut numbers = Numbers(11);
            let buffers = [numbers.reals(m * kk), numbers.reals(kk * n), numbers.reals(n), vec![0.0; m * n]];
            check(&plan, &[m as u64, n as u64, kk as u64], &buffers, 1e-5, &format!("nest {modes:?} {m} {n} {kk}"));
        }
    }
}
