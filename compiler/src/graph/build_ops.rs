//! The builder: the door through which passes add nodes. It converts element types, flattens sums and products,
//! folds constants and drops neutral operands.
//! Law: what it returns equals, entry by entry, what was asked for.

use super::sign::{SIGN_DEPTH, nonnegative};
use super::{Args, At, Axes, Graph, NodeId, Num, Op, Red, Subst, sorted};
use gannet_lang::program::{Axis, DimId, Elem, Fun};

impl Graph {
    /// A real constant.
    pub fn num(&mut self, value: f64) -> NodeId {
        self.add(Op::Const(Num::new(value), Elem::Real), [])
    }

    /// A whole constant.
    pub fn int(&mut self, value: i64) -> NodeId {
        self.add(Op::Const(Num::new(value as f64), Elem::Int), [])
    }

    /// The value of a constant node.
    pub fn as_num(&self, id: NodeId) -> Option<f64> {
        match self.node(id).op {
            Op::Const(n, _) => Some(n.get()),
            _ => None,
        }
    }

    /// A dim's size, as a constant where it is fixed.
    pub fn size(&mut self, dim: DimId) -> NodeId {
        match self.tables.dims[dim.index()].size {
            gannet_lang::program::Size::Fixed(n) => self.num(n as f64),
            _ => self.add(Op::Size(dim), []),
        }
    }

    /// The number of entries along axes, as a real.
    pub fn count(&mut self, axes: &[Axis]) -> NodeId {
        let sizes: Vec<NodeId> = axes.iter().map(|a| self.size(a.dim)).collect();
        self.mul_all(&sizes)
    }

    /// As a real.
    pub fn to_real(&mut self, x: NodeId) -> NodeId {
        match (self.ty(x).elem, self.as_num(x)) {
            (Elem::Real, _) => x,
            (_, Some(n)) => self.num(n),
            _ => self.add(Op::Map(Fun::ToReal), [x]),
        }
    }

    /// A scalar function of any operands: mixed element types become real; see [`Op::Map`].
    pub fn map(&mut self, fun: Fun, args: &[NodeId]) -> NodeId {
        match fun {
            Fun::Add => self.add_all(args),
            Fun::Mul => self.mul_all(args),
            Fun::Sub => {
                let minus = self.neg(args[1]);
                self.add_all(&[args[0], minus])
            }
            Fun::Div => {
                let x = self.to_real(args[0]);
                let y = self.recip(args[1]);
                self.mul_all(&[x, y])
            }
            Fun::Neg => self.neg(args[0]),
            Fun::Recip => self.recip(args[0]),
            Fun::ToReal => self.to_real(args[0]),
            Fun::Pow => self.pow(args[0], args[1]),
            Fun::Select => self.select(args[0], args[1], args[2]),
            Fun::And | Fun::Or | Fun::Not => self.add(Op::Map(fun), args.iter().copied()),
            _ => {
                let args = self.unify(fun, args);
                self.fold(fun, &args)
            }
        }
    }

    /// One operand.
    pub fn map1(&mut self, fun: Fun, x: NodeId) -> NodeId {
        self.map(fun, &[x])
    }

    /// Two operands.
    pub fn map2(&mut self, fun: Fun, x: NodeId, y: NodeId) -> NodeId {
        self.map(fun, &[x, y])
    }

    /// `-x`.
    pub fn neg(&mut self, x: NodeId) -> NodeId {
        if let Op::Map(Fun::Neg) = self.node(x).op {
            return self.node(x).args[0];
        }
        if self.ty(x).elem == Elem::Real || self.ty(x).elem == Elem::Bool {
            let minus = self.num(-1.0);
            return self.mul_all(&[minus, x]);
        }
        self.add(Op::Map(Fun::Neg), [x])
    }

    /// `1/x` as a real.
    pub fn recip(&mut self, x: NodeId) -> NodeId {
        let x = self.to_real(x);
        match (self.as_num(x), &self.node(x).op) {
            (Some(n), _) if n != 0.0 => self.num(1.0 / n),
            (_, Op::Map(Fun::Recip)) => self.node(x).args[0],
            _ => self.add(Op::Map(Fun::Recip), [x]),
        }
    }

    /// `x^y`; small whole exponents become products.
    pub fn pow(&mut self, x: NodeId, y: NodeId) -> NodeId {
        let (x, y) = (self.to_real(x), self.to_real(y));
        match self.as_num(y) {
            Some(0.0) => self.num(1.0),
            Some(1.0) => x,
            Some(2.0) => self.squared(x),
            Some(3.0) => self.mul_all(&[x, x, x]),
            Some(0.5) => self.fold(Fun::Sqrt, &[x]),
            Some(-1.0) => self.recip(x),
            _ => self.fold(Fun::Pow, &[x, y]),
        }
    }

    /// `x x`; of the root of what is never negative, that: `norm(x)^2` has a derivative at 0, where `norm(x)` has none.
    fn squared(&mut self, x: NodeId) -> NodeId {
        let node = self.node(x);
        match node.op {
            Op::Map(Fun::Sqrt) if nonnegative(self, node.args[0], SIGN_DEPTH) => node.args[0],
            _ => self.mul_all(&[x, x]),
        }
    }

    /// `a` where `c`, else `b`.
    pub fn select(&mut self, c: NodeId, a: NodeId, b: NodeId) -> NodeId {
        if a == b && self.ty(c).axes.iter().all(|x| self.ty(a).has(*x)) {
            return a;
        }
        let mut args = [c, a, b];
        if self.ty(a).elem != self.ty(b).elem && (self.ty(a).elem == Elem::Real || self.ty(b).elem == Elem::Real) {
            args = [c, self.to_real(a), self.to_real(b)];
        }
        self.add(Op::Map(Fun::Select), args)
    }

    /// The sum of operands, flat and sorted; constants are added up, zeros dropped.
    pub fn add_all(&mut self, args: &[NodeId]) -> NodeId {
        let args = self.unify(Fun::Add, args);
        let real = args.iter().any(|a| self.ty(*a).elem == Elem::Real);
        let (mut flat, constant) = self.flatten(Fun::Add, &args, 0.0, |a, b| a + b);
        if constant != 0.0 || flat.is_empty() {
            flat.push(if real { self.num(constant) } else { self.int(constant as i64) });
        }
        self.finish(Fun::Add, flat)
    }

    /// The product of operands, flat and sorted; constants are multiplied, ones dropped. A factor 0 stays: it must
    /// keep the other factors' axes.
    pub fn mul_all(&mut self, args: &[NodeId]) -> NodeId {
        let args = self.unify(Fun::Mul, args);
        let real = args.is_empty() || args.iter().any(|a| self.ty(*a).elem == Elem::Real);
        let (mut flat, constant) = self.flatten(Fun::Mul, &args, 1.0, |a, b| a * b);
        if constant != 1.0 || flat.is_empty() {
            flat.push(if real { self.num(constant) } else { self.int(constant as i64) });
        }
        self.finish(Fun::Mul, flat)
    }

    /// `red` over `axes` of `x`. A sum of a product becomes a contraction; factors without the axes move out.
    pub fn reduce(&mut self, red: Red, axes: &[Axis], x: NodeId) -> NodeId {
        let axes = sorted(axes.iter().copied());
        if axes.is_empty() {
            return x;
        }
        if red == Red::Sum {
            let x = self.counted(x);
            return self.contract(&axes, &[x]);
        }
        let x = self.broadcast(x, &axes);
        self.add(Op::Reduce(red, axes), [x])
    }

    /// The sum over `axes` of the product of `factors`; products among the factors are taken apart.
    pub fn contract(&mut self, axes: &[Axis], factors: &[NodeId]) -> NodeId {
        let product = self.mul_all(factors);
        let factors: Args = match self.node(product).op {
            Op::Map(Fun::Mul) if self.ty(product).elem == Elem::Real => self.node(product).args.clone(),
            _ => Args::from_slice(&[product]),
        };
        self.contract_factors(axes, &factors)
    }

    /// The sum over `axes` of the product of real `factors`, each taken as it is: a product that is wanted elsewhere
    /// stays one factor. Factors without the axes move out.
    pub fn contract_factors(&mut self, axes: &[Axis], factors: &[NodeId]) -> NodeId {
        let touches = |g: &Graph, f: NodeId| axes.iter().any(|a| g.ty(f).has(*a));
        let (mut inside, mut outside): (Vec<NodeId>, Vec<NodeId>) = factors.iter().partition(|f| touches(self, **f));
        let (bound, free): (Vec<Axis>, Vec<Axis>) =
            axes.iter().partition(|a| inside.iter().any(|f| self.ty(*f).has(**a)));
        if !free.is_empty() {
            outside.push(self.count(&free));
        }
        let bound = sorted(bound);
        match inside.len() {
            0 => {}
            1 => outside.push(self.sum_one(bound, inside[0])),
            _ => {
                inside.sort();
                outside.push(self.add(Op::Contract(bound), inside));
            }
        }
        self.mul_all(&outside)
    }

    /// A read, after dropping renamings of an axis to itself.
    ///
    /// `at` names the axes of `x`; `At::Arg(k)` means the k-th of the node's operands, so `indices[0]` is `Arg(1)`.
    pub fn read(&mut self, x: NodeId, at: &[(Axis, At)], indices: &[NodeId], outside: Option<NodeId>) -> NodeId {
        let normal = at.iter().map(|(a, to)| (*a, to.normal()));
        let mut subst: Subst = normal.filter(|(a, to)| to.as_axis() != Some(*a)).collect();
        subst.sort();
        if subst.is_empty() && outside.is_none() {
            return x;
        }
        if self.ty(x).axes.is_empty() {
            return x;
        }
        let args = std::iter::once(x).chain(indices.iter().copied()).chain(outside);
        let args: Args = args.collect();
        self.add(Op::Read { at: subst, guarded: outside.is_some() }, args)
    }

    /// `x` with axes renamed.
    pub fn rename(&mut self, x: NodeId, names: &[(Axis, Axis)]) -> NodeId {
        let at: Vec<(Axis, At)> =
            names.iter().filter(|(a, _)| self.ty(x).has(*a)).map(|(a, b)| (*a, At::axis(*b))).collect();
        self.read(x, &at, &[], None)
    }

    /// The adjoint of a read; see [`Op::Fiber`].
    pub fn fiber(&mut self, red: Red, x: NodeId, at: &[(Axis, At)], over: &[Axis], indices: &[NodeId]) -> NodeId {
        let mut subst: Subst = at.iter().map(|(a, to)| (*a, to.normal())).collect();
        subst.sort();
        let over: Axes = sorted(over.iter().copied());
        self.add(Op::Fiber { red, at: subst, over }, std::iter::once(x).chain(indices.iter().copied()))
    }

    /// `x` with these axes too: entries repeat along those that it lacks.
    pub fn broadcast(&mut self, x: NodeId, axes: &[Axis]) -> NodeId {
        let missing: Vec<Axis> = axes.iter().copied().filter(|a| !self.ty(x).has(*a)).collect();
        missing.into_iter().fold(x, |x, axis| self.repeat(x, axis))
    }

    /// `x` repeated along one axis.
    fn repeat(&mut self, x: NodeId, axis: Axis) -> NodeId {
        let index = self.add(Op::Iota(axis), []);
        match self.ty(x).elem {
            Elem::Real => {
                let (zero, index) = (self.num(0.0), self.to_real(index));
                let nothing = self.mul_all(&[zero, index]);
                self.add_all(&[x, nothing])
            }
            Elem::Bool => {
                let zero = self.int(0);
                let never = self.map2(Fun::Lt, index, zero);
                self.map2(Fun::Or, x, never)
            }
            Elem::Int | Elem::Index(_) => {
                let zero = self.int(0);
                let nothing = self.mul_all(&[zero, index]);
                self.add_all(&[x, nothing])
            }
        }
    }

    /// An operation with other operands, through the builder: sums and products are flattened and sorted again,
    /// constants fold; contractions keep their factors as they are.
    pub fn remake(&mut self, op: &Op, args: &[NodeId]) -> NodeId {
        match op {
            Op::Map(fun) => self.map(*fun, args),
            Op::Contract(axes) | Op::Reduce(Red::Sum, axes) => self.contract_factors(axes, args),
            Op::Reduce(red, axes) => self.reduce(*red, axes, args[0]),
            Op::Read { at, guarded } => {
                let last = args.len() - usize::from(*guarded);
                self.read(args[0], at, &args[1..last], args.get(last).copied())
            }
            _ => self.add(op.clone(), args.iter().copied()),
        }
    }

    fn sum_one(&mut self, axes: Axes, x: NodeId) -> NodeId {
        match self.node(x).op.clone() {
            Op::Contract(inner) => {
                let args = self.node(x).args.clone();
                self.add(Op::Contract(sorted(inner.into_iter().chain(axes))), args)
            }
            Op::Reduce(Red::Sum, inner) => {
                let arg = self.node(x).args[0];
                self.add(Op::Reduce(Red::Sum, sorted(inner.into_iter().chain(axes))), [arg])
            }
            _ => self.add(Op::Reduce(Red::Sum, axes), [x]),
        }
    }

    fn counted(&mut self, x: NodeId) -> NodeId {
        // Whole numbers and truth values are counted in reals: exact up to 2^24 in f32, and what a mean needs.
        self.to_real(x)
    }

    /// Mixed operands become real; so do truth values in arithmetic.
    fn unify(&mut self, fun: Fun, args: &[NodeId]) -> Vec<NodeId> {
        let compares = matches!(fun, Fun::Lt | Fun::Le | Fun::Gt | Fun::Ge | Fun::Eq | Fun::Ne);
        let whole_fun = matches!(fun, Fun::Add | Fun::Mul | Fun::Min | Fun::Max | Fun::Abs | Fun::IntDiv | Fun::Mod);
        let whole = |e: Elem| matches!(e, Elem::Int | Elem::Index(_));
        let all_whole = args.iter().all(|a| whole(self.ty(*a).elem));
        let all_bool = args.iter().all(|a| self.ty(*a).elem == Elem::Bool);
        if (all_whole && (whole_fun || compares)) || (all_bool && compares) || fun == Fun::ToInt {
            return args.to_vec();
        }
        args.iter().map(|a| self.to_real(*a)).collect()
    }

    fn flatten(&self, fun: Fun, args: &[NodeId], start: f64, join: fn(f64, f64) -> f64) -> (Args, f64) {
        let (mut flat, mut constant) = (Args::new(), start);
        for &arg in args {
            let node = self.node(arg);
            match (&node.op, self.as_num(arg)) {
                (_, Some(n)) => constant = join(constant, n),
                (Op::Map(inner), _) if *inner == fun => {
                    let (more, c) = self.flatten(fun, &node.args.clone(), start, join);
                    flat.extend(more);
                    constant = join(constant, c);
                }
                _ => flat.push(arg),
            }
        }
        (flat, constant)
    }

    fn finish(&mut self, fun: Fun, flat: Args) -> NodeId {
        if flat.len() == 1 {
            return flat[0];
        }
        self.add(Op::Map(fun), flat)
    }

    /// Folds a function of constants.
    fn fold(&mut self, fun: Fun, args: &[NodeId]) -> NodeId {
        let id = self.add(Op::Map(fun), args.iter().copied());
        let values: Option<Vec<f64>> = args.iter().map(|a| self.as_num(*a)).collect();
        match values {
            Some(values) if self.ty(id).elem == Elem::Real => {
                let value = crate::scalar::eval(fun, &values);
                if value.is_nan() { id } else { self.num(value) }
            }
            _ => id,
        }
    }
}
