//! The adjoints of library operations, as equations of the Graph; so they nest to any order.
//! Law: the adjoint of one part, given its cotangent alone; those of several parts add up, since each is linear.
//!
//! Matrices are written with their axes: `l[r, c]`. Where an operation is singular (equal eigenvalues, a singular value
//! 0) the part of the gradient that has no limit is 0: it is what a loss needs that does not depend on the choice which
//! the factorization makes there.

use super::cotangent::{Ctx, Term};
use crate::graph::{Args, At, NodeId, Op, Red};
use gannet_lang::program::{Axis, Fun, Lib, LibFun, Way};

/// Eigenvalues or singular values closer than this part of the largest count as equal.
const EQUAL: f64 = 1e-6;

/// An operation whose part is differentiated.
struct Call {
    lib: Lib,
    args: Args,
    whole: NodeId,
    batch: Vec<Axis>,
    /// The part's cotangent, over all axes of the part's groups.
    bar: NodeId,
}

impl Call {
    fn rows(&self) -> Vec<Axis> {
        self.lib.groups[0].clone()
    }

    fn columns(&self) -> Vec<Axis> {
        self.lib.groups[1].clone()
    }

    fn numbers(&self) -> Vec<Axis> {
        self.lib.groups[2].clone()
    }
}

/// What an operand's cotangent is: a value times factors, to be summed over whatever the operand lacks.
type Back = (NodeId, Vec<NodeId>);

impl Ctx<'_> {
    /// What the cotangent of a part gives to the operands of the operation.
    pub fn part_operands(&mut self, y: NodeId, t: &Term, active: &dyn Fn(NodeId) -> bool) -> Vec<(NodeId, Term)> {
        let (Op::Part(k), whole) = (self.g.node(y).op.clone(), self.g.node(y).args[0]) else { unreachable!("a part") };
        let node = self.g.node(whole).clone();
        let Op::Library(lib) = node.op else {
            self.part_term(whole, k as usize, t);
            // The loop itself is met once all its parts have been.
            return vec![(whole, Term { value: self.g.num(0.0), deltas: vec![], live: None })];
        };
        if !lib.fun.smooth() {
            return Vec::new();
        }
        let axes: Vec<&[Axis]> = node.args.iter().map(|a| &self.g.ty(*a).axes[..]).collect();
        let (groups, batch) = (lib.all_groups(&axes), lib.batch(&axes));
        let signature = lib.fun.signature();
        // Along groups that the operation names entries mix; along all others each goes its own way.
        let mixed = signature.parts[k as usize].groups.iter().filter(|g| **g < signature.named);
        let mixed: Vec<Axis> = mixed.flat_map(|g| groups[*g].clone()).collect();
        let t = self.write_deltas(Term { live: None, ..t.clone() }, |a| mixed.contains(&a));
        let bar = self.g.broadcast(t.value, &mixed);
        let call = Call { lib, args: node.args.clone(), whole, batch, bar };
        let mut out = Vec::new();
        for (operand, back) in self.backs(&call, k, y) {
            let x = node.args[operand];
            if !active(x) {
                continue;
            }
            let own = signature.operands[operand].iter().flat_map(|g| groups[*g].clone());
            let mut over: Vec<Axis> = own.chain(call.batch.iter().copied()).collect();
            if call.lib.fun == LibFun::Solve {
                over.extend(groups[2].iter().copied());
            }
            over.sort();
            over.dedup();
            over.retain(|a| !self.g.ty(x).has(*a));
            let term = Term { value: back.0, ..t.clone() };
            out.push((x, self.sum_out(&term, &back.1, &over)));
        }
        out
    }

    /// Operands and their cotangents.
    fn backs(&mut self, call: &Call, k: u32, y: NodeId) -> Vec<(usize, Back)> {
        let one = |value: NodeId| vec![(0, (value, Vec::new()))];
        match call.lib.fun {
            LibFun::Sort | LibFun::Assign | LibFun::Host(..) => Vec::new(),
            LibFun::Recur(way) => self.recur_back(call, way, y),
            LibFun::Fft(way) => self.fourier_back(call, way, k),
            LibFun::Solve => {
                let b = self.part(LibFun::Solve, &[call.columns(), call.rows()], &[call.args[0], call.bar], 0);
                let minus = self.g.neg(b);
                vec![(0, (minus, vec![y])), (1, (b, vec![]))]
            }
            LibFun::LogDet if k == 0 => {
                let inverse = self.inverse(call.args[0], &call.rows(), &call.columns());
                vec![(0, (call.bar, vec![inverse]))]
            }
            LibFun::LogDet => Vec::new(),
            LibFun::Cholesky => one(self.cholesky_back(call, y)),
            LibFun::Qr => one(self.qr_back(call, k)),
            LibFun::Eigh => one(self.eigh_back(call, k)),
            LibFun::Svd => one(self.svd_back(call, k)),
            LibFun::Pinv => one(self.pinv_back(call, y)),
            LibFun::Expm => one(self.expm_back(call)),
        }
    }

    /// A part of an operation.
    fn part(&mut self, fun: LibFun, groups: &[Vec<Axis>], args: &[NodeId], k: u32) -> NodeId {
        let whole = self.g.add(Op::Library(Lib { fun, groups: groups.to_vec() }), args.iter().copied());
        self.g.add(Op::Part(k), [whole])
    }

    fn fresh_group(&mut self, like: &[Axis]) -> Vec<Axis> {
        like.iter().map(|a| self.fresh(a.dim)).collect()
    }

    /// `x` with groups of axes renamed at once.
    fn named(&mut self, x: NodeId, names: &[(&[Axis], &[Axis])]) -> NodeId {
        let names: Vec<(Axis, Axis)> =
            names.iter().flat_map(|(a, b)| a.iter().copied().zip(b.iter().copied())).collect();
        self.rename(x, &names)
    }

    /// The sum of a product over groups.
    fn dot(&mut self, x: NodeId, y: NodeId, over: &[Axis]) -> NodeId {
        self.g.contract(over, &[x, y])
    }

    fn minus(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.g.map2(Fun::Sub, x, y)
    }

    /// The number of an entry of a group, as a real.
    fn number(&mut self, group: &[Axis]) -> NodeId {
        let mut number = self.g.num(0.0);
        for axis in group {
            let (size, index) = (self.g.size(axis.dim), self.iota(*axis));
            let before = self.g.mul_all(&[number, size]);
            let index = self.g.to_real(index);
            number = self.g.add_all(&[before, index]);
        }
        number
    }

    /// `x` where `fun` holds between the entries' numbers in two groups, else 0.
    fn triangle(&mut self, x: NodeId, fun: Fun, a: &[Axis], b: &[Axis]) -> NodeId {
        let (i, j) = (self.number(a), self.number(b));
        let inside = self.g.map2(fun, i, j);
        self.only(inside, true, x)
    }

    /// `1/x`, and 0 where `zero` holds.
    fn recip_unless(&mut self, zero: NodeId, x: NodeId) -> NodeId {
        let (one, none) = (self.g.num(1.0), self.g.num(0.0));
        let safe = self.g.select(zero, one, x);
        let recip = self.g.recip(safe);
        self.g.select(zero, none, recip)
    }

    /// The inverse of `a[r, c]`, as `[c, r]`.
    fn inverse(&mut self, a: NodeId, rows: &[Axis], columns: &[Axis]) -> NodeId {
        let other = self.fresh_group(rows);
        let (i, j) = (self.number(rows), self.number(&other));
        let same = self.g.map2(Fun::Eq, i, j);
        let unit = self.g.to_real(same);
        let x = self.part(LibFun::Solve, &[rows.to_vec(), columns.to_vec()], &[a, unit], 0);
        self.named(x, &[(&other, rows)])
    }

    /// With `g[i] = bar[i] + a[i+1]*g[i+1]`: `a~[i] = g[i]*h[i-1]`, `b~ = g`.
    fn recur_back(&mut self, call: &Call, way: Way, h: NodeId) -> Vec<(usize, Back)> {
        let axis = call.lib.groups[0][0];
        let (step, other) = if way == Way::Forth { (1, Way::Back) } else { (-1, Way::Forth) };
        let zero = self.g.num(0.0);
        let mut shifted = |x: NodeId, by: i64| {
            let at = At::Affine { terms: [(1, axis)].into_iter().collect(), offset: by };
            if self.g.ty(x).has(axis) { self.g.read(x, &[(axis, at)], &[], Some(zero)) } else { x }
        };
        let (next, before) = (shifted(call.args[0], step), shifted(h, -step));
        let g = self.part(LibFun::Recur(other), &call.lib.groups, &[next, call.bar], 0);
        vec![(0, (g, vec![before])), (1, (g, vec![]))]
    }

    /// The adjoint of a Fourier transform is the one with the opposite sign.
    fn fourier_back(&mut self, call: &Call, way: Way, k: u32) -> Vec<(usize, Back)> {
        let other = LibFun::Fft(if way == Way::Forth { Way::Back } else { Way::Forth });
        let zero = self.g.num(0.0);
        let pair = if k == 0 { [call.bar, zero] } else { [zero, call.bar] };
        let mut back = |k: u32| (self.part(other, &call.lib.groups, &pair, k), vec![]);
        vec![(0, back(0)), (1, back(1))]
    }

    /// `s = l'^-1 phi(l' l~) l^-1`, made symmetric; `phi`: the lower triangle with half the diagonal (Murray 2016).
    fn cholesky_back(&mut self, call: &Call, l: NodeId) -> NodeId {
        let (r, c) = (call.rows(), call.columns());
        let (r2, c2) = (self.fresh_group(&r), self.fresh_group(&c));
        let bar = self.named(call.bar, &[(&c, &c2)]);
        let product = self.dot(l, bar, &r);
        let below = self.triangle(product, Fun::Gt, &c, &c2);
        let on = self.triangle(product, Fun::Eq, &c, &c2);
        let half = self.g.num(0.5);
        let on = self.g.mul_all(&[half, on]);
        let phi = self.g.add_all(&[below, on]);
        let z = self.part(LibFun::Solve, &[c.clone(), r.clone()], &[l, phi], 0);
        let l2 = self.named(l, &[(&r, &r2), (&c, &c2)]);
        let s = self.part(LibFun::Solve, &[c2, r2.clone()], &[l2, z], 0);
        let s = self.named(s, &[(&r2, &c)]);
        self.symmetric(s, &r, &c)
    }

    /// `(x + x') / 2`.
    fn symmetric(&mut self, x: NodeId, r: &[Axis], c: &[Axis]) -> NodeId {
        let turned = self.named(x, &[(r, c), (c, r)]);
        let (half, sum) = (self.g.num(0.5), self.g.add_all(&[x, turned]));
        self.g.mul_all(&[half, sum])
    }

    /// `(q~ + q copy(m)) r'^-1` with `m = r r~' - q~' q`; `copy` mirrors the lower triangle (Walter and Lehmann 2010).
    fn qr_back(&mut self, call: &Call, part: u32) -> NodeId {
        let (rows, c, k) = (call.rows(), call.columns(), call.numbers());
        let q = self.g.add(Op::Part(0), [call.whole]);
        let r = self.g.add(Op::Part(1), [call.whole]);
        let k2 = self.fresh_group(&k);
        let m = if part == 0 {
            let q2 = self.named(q, &[(&k, &k2)]);
            let m = self.dot(call.bar, q2, &rows);
            self.g.neg(m)
        } else {
            let upper = self.triangle(call.bar, Fun::Le, &k, &c);
            let bar = self.named(upper, &[(&k, &k2)]);
            self.dot(r, bar, &c)
        };
        // m[k, k2]
        let lower = self.triangle(m, Fun::Ge, &k, &k2);
        let strict = self.triangle(m, Fun::Gt, &k, &k2);
        let mirrored = self.named(strict, &[(&k, &k2), (&k2, &k)]);
        let copied = self.g.add_all(&[lower, mirrored]);
        let w = self.dot(q, copied, &k);
        let w = self.named(w, &[(&k2, &k)]);
        let w = if part == 0 { self.g.add_all(&[w, call.bar]) } else { w };
        self.part(LibFun::Solve, &[k, c], &[r, w], 0)
    }

    /// `1/(x[k2] - x[k])`, 0 where they are equal.
    fn differences(&mut self, x: NodeId, k: &[Axis], k2: &[Axis], scale: NodeId) -> NodeId {
        let other = self.named(x, &[(k, k2)]);
        let d = self.minus(other, x);
        let (size, tolerance) = (self.g.map1(Fun::Abs, d), self.g.num(EQUAL));
        let least = self.g.mul_all(&[tolerance, scale]);
        let equal = self.g.map2(Fun::Le, size, least);
        self.recip_unless(equal, d)
    }

    /// `v (diag(values~) + f * v' v~) v'`, with `f[k, k2] = 1/(values[k2] - values[k])`.
    fn eigh_back(&mut self, call: &Call, part: u32) -> NodeId {
        let (r, c, k) = (call.rows(), call.columns(), call.numbers());
        let values = self.g.add(Op::Part(0), [call.whole]);
        let v = self.g.add(Op::Part(1), [call.whole]);
        if part == 0 {
            let other = self.named(v, &[(&r, &c)]);
            return self.g.contract(&k, &[v, call.bar, other]);
        }
        let k2 = self.fresh_group(&k);
        let bar = self.named(call.bar, &[(&k, &k2)]);
        let inner = self.dot(v, bar, &r);
        let size = self.g.map1(Fun::Abs, values);
        let scale = self.g.reduce(Red::Max, &k, size);
        let f = self.differences(values, &k, &k2, scale);
        let inner = self.g.mul_all(&[f, inner]);
        let left = self.dot(v, inner, &k);
        let right = self.named(v, &[(&r, &c), (&k, &k2)]);
        let x = self.dot(left, right, &k2);
        self.symmetric(x, &r, &c)
    }

    /// Of `s`: `u diag(s~) v'`. Of `u` (and of `v` with roles exchanged): see [`Ctx::singular_vectors_back`].
    fn svd_back(&mut self, call: &Call, part: u32) -> NodeId {
        let (r, c, k) = (call.rows(), call.columns(), call.numbers());
        let [u, s, v] = [0, 1, 2].map(|p| self.g.add(Op::Part(p), [call.whole]));
        match part {
            0 => self.singular_vectors_back((u, &r), (v, s), call.bar, &k),
            1 => self.g.contract(&k, &[u, call.bar, v]),
            _ => self.singular_vectors_back((v, &c), (u, s), call.bar, &k),
        }
    }

    /// `(u (f * (g - g')) s + (1 - u u') u~ s^-1) v'` with `g = u' u~`, `f[k, k2] = 1/(s[k2]^2 - s[k]^2)`
    /// (Townsend 2016).
    fn singular_vectors_back(
        &mut self,
        (u, r): (NodeId, &[Axis]),
        (v, s): (NodeId, NodeId),
        bar: NodeId,
        k: &[Axis],
    ) -> NodeId {
        let k2 = self.fresh_group(k);
        let bar2 = self.named(bar, &[(k, &k2)]);
        let g = self.dot(u, bar2, r);
        let turned = self.named(g, &[(k, &k2), (&k2, k)]);
        let odd = self.minus(g, turned);
        let square = self.g.mul_all(&[s, s]);
        let scale = self.g.reduce(Red::Max, k, square);
        let f = self.differences(square, k, &k2, scale);
        let s2 = self.named(s, &[(k, &k2)]);
        let inside = self.g.mul_all(&[f, odd, s2]);
        let inside = self.dot(u, inside, k);
        let known = self.dot(u, g, k);
        let outside = self.minus(bar2, known);
        let (tolerance, largest) = (self.g.num(EQUAL), self.g.reduce(Red::Max, k, s));
        let least = self.g.mul_all(&[tolerance, largest]);
        let none = self.g.map2(Fun::Le, s2, least);
        let recip = self.recip_unless(none, s2);
        let outside = self.g.mul_all(&[outside, recip]);
        let w = self.g.add_all(&[inside, outside]);
        let v2 = self.named(v, &[(k, &k2)]);
        self.dot(w, v2, &k2)
    }

    /// `-p' p~ p' + (1 - a p) p~' p p' + p' p p~' (1 - p a)` (Golub and Pereyra 1973).
    fn pinv_back(&mut self, call: &Call, p: NodeId) -> NodeId {
        let (r, c, a, bar) = (call.rows(), call.columns(), call.args[0], call.bar);
        let a = self.g.broadcast(a, &[r.clone(), c.clone()].concat());
        let (r1, c1) = (self.fresh_group(&r), self.fresh_group(&c));
        let p_r1 = self.named(p, &[(&r, &r1)]);
        let p_c1 = self.named(p, &[(&c, &c1)]);
        let bar_c1 = self.named(bar, &[(&c, &c1)]);
        let bar_11 = self.named(bar_c1, &[(&r, &r1)]);
        let first = self.dot(p_c1, bar_11, &c1);
        let first = self.dot(first, p_r1, &r1);
        let pp = self.dot(p, p_c1, &r);
        let t = self.dot(bar_c1, pp, &c1);
        let t1 = self.named(t, &[(&r, &r1)]);
        let p_11 = self.named(p_c1, &[(&r, &r1)]);
        let inner = self.dot(p_11, t1, &r1);
        let a_c1 = self.named(a, &[(&c, &c1)]);
        let inner = self.dot(a_c1, inner, &c1);
        let second = self.minus(t, inner);
        let pp = self.dot(p, p_r1, &c);
        let bar_r1 = self.named(bar, &[(&r, &r1)]);
        let u = self.dot(pp, bar_r1, &r1);
        let u_c1 = self.named(u, &[(&c, &c1)]);
        let a_r1 = self.named(a, &[(&r, &r1)]);
        let inner = self.dot(u_c1, p_11, &c1);
        let inner = self.dot(inner, a_r1, &r1);
        let third = self.minus(u, inner);
        let first = self.g.neg(first);
        self.g.add_all(&[first, second, third])
    }

    /// The upper right block of the exponential of `[[a', e~], [0, a']]` (Najfeld and Havel 1995).
    fn expm_back(&mut self, call: &Call) -> NodeId {
        let (r, c, two) = (call.rows(), call.columns(), call.numbers()[0].dim);
        let [p, q, p2, q2] = [0; 4].map(|_| self.fresh(two));
        let a = self.g.broadcast(call.args[0], &[r.clone(), c.clone()].concat());
        let turned = self.named(a, &[(&r, &c), (&c, &r)]);
        let (i, j, zero) = (self.iota(p), self.iota(q), self.g.num(0.0));
        let (same, above) = (self.g.map2(Fun::Eq, i, j), self.g.map2(Fun::Lt, i, j));
        let upper = self.g.select(above, call.bar, zero);
        let block = self.g.select(same, turned, upper);
        let groups = [[vec![p], r].concat(), [vec![q], c].concat(), vec![p2, q2]];
        let e = self.part(LibFun::Expm, &groups, &[block], 0);
        let at = |offset: i64| At::Affine { terms: [].into_iter().collect(), offset };
        self.g.read(e, &[(p, at(0)), (q, at(1))], &[], None)
    }
}
