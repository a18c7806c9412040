//! Memory: strides, gathers, scatters, accumulation; and random bodies.

use super::*;

/// `out[2 i + 1] = table[index[i]] + x[3 i + 2] + truth[i]`.
#[test]
fn gathers_and_strides() {
    for mode in [Mode::Serial, Mode::Vector] {
        let mut b = Builder::new(2);
        let i = b.loop_id();
        let table = b.buffer(Kind::Real, &[1]);
        let index = b.buffer(Kind::Int, &[0]);
        let (x, out) = (b.repeated(Kind::Real, &[0], 3), b.repeated(Kind::Real, &[0], 2));
        let (truth, truths) = (b.repeated(Kind::Bool, &[0], 3), b.repeated(Kind::Bool, &[0], 2));
        let mut body = vec![];
        let n = b.put(&mut body, Kind::Int, Inst::Load(index, at(&[(i, one())])));
        let gather = Address { terms: vec![(Index::Value(n), 1, one())], offset: vec![] };
        let t = b.put(&mut body, Kind::Real, Inst::Load(table, gather));
        let strided = Address { terms: vec![(Index::Loop(i), 3, one())], offset: vec![(2, one())] };
        let v = b.put(&mut body, Kind::Real, Inst::Load(x, strided.clone()));
        let q = b.put(&mut body, Kind::Bool, Inst::Load(truth, strided));
        let r = b.map(&mut body, Kind::Real, Fun::ToReal, &[q]);
        let sum = b.map(&mut body, Kind::Real, Fun::Add, &[t, v, r]);
        let to = Address { terms: vec![(Index::Loop(i), 1, Extent::constant(2))], offset: vec![(1, one())] };
        body.push(Stmt::Store(out, to.clone(), sum));
        body.push(Stmt::Store(truths, to, q));
        let plan = b.finish(over(i, 0, mode, vec![], body));
        for n in [0, 1, 4, 6, 13] {
            let mut numbers = Numbers(n as u64);
            let buffers = [
                numbers.reals(9),
                numbers.below(n, 9),
                numbers.reals(3 * n),
                vec![0.0; 2 * n],
                numbers.below(3 * n, 2),
                vec![0.0; 2 * n],
            ];
            check(&plan, &[n as u64, 9], &buffers, 1e-6, &format!("gather {mode:?} {n}"));
        }
    }
}

/// `out[seg[j], i] red= x[j, i]` with the parallel loop `i` outside; and a scatter along the outer loop.
#[test]
fn accumulation() {
    for red in [Red::Sum, Red::Max, Red::Min, Red::Prod] {
        for modes in [[Mode::Serial, Mode::Serial], [Mode::Vector, Mode::Serial], [Mode::Serial, Mode::Vector]] {
            let mut b = Builder::new(3);
            let (i, j) = (b.loop_id(), b.loop_id());
            let (x, seg) = (b.buffer(Kind::Real, &[1, 0]), b.buffer(Kind::Int, &[1]));
            let out = b.buffer(Kind::Real, &[2, 0]);
            let mut inner = vec![];
            let s = b.put(&mut inner, Kind::Int, Inst::Load(seg, at(&[(j, one())])));
            let v = b.put(&mut inner, Kind::Real, Inst::Load(x, at(&[(j, size(0)), (i, one())])));
            let to = Address { terms: vec![(Index::Value(s), 1, size(0)), (Index::Loop(i), 1, one())], offset: vec![] };
            inner.push(Stmt::Accumulate(red, out, to, v));
            let body = vec![Stmt::Loop(over(j, 1, modes[1], vec![], inner))];
            let plan = b.finish(over(i, 0, modes[0], vec![], body));
            for (n, m) in [(9, 14), (5, 3), (1, 17), (0, 2)] {
                let mut numbers = Numbers(n as u64);
                let buffers = [numbers.reals(n * m), numbers.below(m, 4), vec![1.0; 4 * n]];
                check(
                    &plan,
                    &[n as u64, m as u64, 4],
                    &buffers,
                    1e-5,
                    &format!("accumulate {red:?} {modes:?} {n} {m}"),
                );
            }
        }
    }
}

/// Constants and invariant values inside loops, stores of them, and a value stored by every iteration.
#[test]
fn invariant_values() {
    let mut b = Builder::new(2);
    let (i, j) = (b.loop_id(), b.loop_id());
    let (x, out) = (b.buffer(Kind::Real, &[0]), b.buffer(Kind::Real, &[0, 1]));
    let total = b.buffer(Kind::Real, &[0]);
    let mut inner = vec![];
    let v = b.put(&mut inner, Kind::Real, Inst::Load(x, at(&[(i, one())])));
    let e = b.map(&mut inner, Kind::Real, Fun::Exp, &[v]);
    let c = b.put(&mut inner, Kind::Real, Inst::Const(0.5));
    let p = b.map(&mut inner, Kind::Real, Fun::Mul, &[e, c]);
    inner.push(Stmt::Store(out, at(&[(i, size(1)), (j, one())]), p));
    let sum = b.value(Kind::Real);
    let body = vec![
        Stmt::Loop(over(j, 1, Mode::Vector, vec![acc(sum, Red::Sum, p)], inner)),
        Stmt::Store(total, at(&[(i, one())]), sum),
    ];
    let plan = b.finish(over(i, 0, Mode::Serial, vec![], body));
    for n in [0, 1, 5, 18] {
        let buffers = [Numbers(1).reals(3), vec![0.0; 3 * n], vec![0.0; 3]];
        check(&plan, &[3, n as u64], &buffers, 1e-6, &format!("invariant {n}"));
    }
}

/// Random bodies over a nest of two loops with a reduction inside.
#[test]
fn random_bodies() {
    for seed in 0..120 {
        let mut numbers = Numbers(seed);
        let modes = [[Mode::Serial, Mode::Serial], [Mode::Serial, Mode::Vector], [Mode::Vector, Mode::Serial]];
        let modes = modes[numbers.next(3) as usize];
        let plan = random_body(&mut numbers, modes);
        let (n, m) = (numbers.next(11) as usize, numbers.next(23) as usize);
        let buffers = [numbers.reals(n * m), numbers.reals(n), numbers.reals(m), vec![0.0; n * m], vec![0.0; n]];
        check(&plan, &[n as u64, m as u64], &buffers, 2e-4, &format!("random body {seed} {modes:?} {n} {m}"));
    }
}

fn random_body(numbers: &mut Numbers, modes: [Mode; 2]) -> Plan {
    let mut b = Builder::new(2);
    let (i, j) = (b.loop_id(), b.loop_id());
    let (x, row) = (b.buffer(Kind::Real, &[0, 1]), b.buffer(Kind::Real, &[0]));
    let (column, y, total) = (b.buffer(Kind::Real, &[1]), b.buffer(Kind::Real, &[0, 1]), b.buffer(Kind::Real, &[0]));
    let full = at(&[(i, size(1)), (j, one())]);
    let mut inner = vec![];
    let loads =
        [Inst::Load(x, full.clone()), Inst::Load(row, at(&[(i, one())])), Inst::Load(column, at(&[(j, one())]))];
    let mut reals: Vec<ValueId> = loads.map(|l| b.put(&mut inner, Kind::Real, l)).to_vec();
    reals.push(b.put(&mut inner, Kind::Real, Inst::Const(0.375)));
    // Comparisons look at data alone, so that rounding cannot turn them.
    let (p, q) = (reals[numbers.next(3) as usize], reals[numbers.next(4) as usize]);
    let truth = b.map(&mut inner, Kind::Bool, Fun::Lt, &[p, q]);
    for _ in 0..3 + numbers.next(6) {
        let mut pick = || reals[numbers.next(reals.len() as u64) as usize];
        let (p, q, r) = (pick(), pick(), pick());
        let v = match numbers.next(9) {
            0 => b.map(&mut inner, Kind::Real, Fun::Add, &[p, q, r]),
            1 => {
                let s = b.map(&mut inner, Kind::Real, Fun::Mul, &[p, q]);
                let t = b.map(&mut inner, Kind::Real, Fun::Neg, &[r]);
                b.map(&mut inner, Kind::Real, Fun::Add, &[s, t])
            }
            2 => b.map(&mut inner, Kind::Real, Fun::Tanh, &[p]),
            3 => b.map(&mut inner, Kind::Real, Fun::Max, &[p, q]),
            4 => b.map(&mut inner, Kind::Real, Fun::Select, &[truth, p, q]),
            5 => b.map(&mut inner, Kind::Real, Fun::Sigmoid, &[p]),
            6 => {
                let s = b.map(&mut inner, Kind::Real, Fun::Softplus, &[p]);
                let one = b.put(&mut inner, Kind::Real, Inst::Const(1.0));
                let s = b.map(&mut inner, Kind::Real, Fun::Add, &[s, one]);
                let s = b.map(&mut inner, Kind::Real, Fun::Recip, &[s]);
                b.map(&mut inner, Kind::Real, Fun::Mul, &[q, s])
            }
            7 => b.map(&mut inner, Kind::Real, Fun::Erf, &[p]),
            _ => b.map(&mut inner, Kind::Real, Fun::Abs, &[p]),
        };
        // Kept small, so that errors are not blown up from step to step.
        let v = b.map(&mut inner, Kind::Real, Fun::Tanh, &[v]);
        reals.push(v);
    }
    let last = *reals.last().expect("there are values");
    inner.push(Stmt::Store(y, full, last));
    let sum = b.value(Kind::Real);
    let reduce = over(j, 1, modes[1], vec![acc(sum, Red::Sum, last)], inner);
    let body = vec![Stmt::Loop(reduce), Stmt::Store(total, at(&[(i, one())]), sum)];
    let outer = over(i, 0, modes[0], vec![], body);
    b.finish(outer)
}
