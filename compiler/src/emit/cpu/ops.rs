//! Scalar functions on one entry or on all lanes.

use super::body::{Lower, Val};
use super::host;
use crate::graph::Red;
use crate::plan::{Kind, ValueId};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, InstructionData, MemFlagsData, Opcode, Value, types};
use gannet_lang::program::Fun;

impl<'a> Lower<'a> {
    /// A scalar function of values.
    pub fn map(&mut self, fun: Fun, args: &[ValueId], kind: Kind) -> Val {
        let (vals, kinds) = self.operands(fun, args, kind);
        let vector = vals.iter().any(|v| v.vector);
        let x: Vec<Value> = if vector {
            vals.iter().zip(&kinds).map(|(v, k)| self.in_lanes(*v, *k)).collect()
        } else {
            vals.iter().map(|v| v.v).collect()
        };
        let v = match kinds.first() {
            Some(Kind::Real) if fun == Fun::Add => Some(self.sum(args, &x, vector)),
            Some(Kind::Real) if fun == Fun::Mul => Some(self.product(args, &x, vector)),
            Some(Kind::Real) => self.real_fun(fun, &x, vector),
            Some(Kind::Int) => self.int_fun(fun, &x, vector),
            _ => self.bool_fun(fun, &x, vector),
        };
        match v {
            Some(v) => Val { v, vector },
            None => self.lane_by_lane(fun, &vals, &kinds, kind, vector),
        }
    }

    /// Operands of one kind: truth values that meet whole numbers, or that are reckoned with, become whole numbers.
    fn operands(&mut self, fun: Fun, args: &[ValueId], kind: Kind) -> (Vec<Val>, Vec<Kind>) {
        let mut vals: Vec<Val> = args.iter().map(|a| self.value(*a)).collect();
        let mut kinds: Vec<Kind> = args.iter().map(|a| self.kind(*a)).collect();
        let from = usize::from(fun == Fun::Select);
        let logic = matches!(fun, Fun::And | Fun::Or | Fun::Not);
        let reckoned = kind == Kind::Int && !matches!(fun, Fun::Select | Fun::ToInt);
        if !logic && (reckoned || kinds[from..].contains(&Kind::Int)) {
            for (v, k) in vals.iter_mut().zip(&mut kinds).skip(from).filter(|(_, k)| **k == Kind::Bool) {
                let whole = self.bool_fun(Fun::ToInt, &[v.v], v.vector).expect("truth values convert");
                (v.v, *k) = (whole, Kind::Int);
            }
        }
        (vals, kinds)
    }

    /// How a value was made, if here, in this loop, and for one use only: such a step can be fused with its user.
    fn made(&self, v: ValueId) -> Option<(Fun, &'a [ValueId])> {
        let made = self.made.get(&v)?;
        let here = made.uses == 1 && made.depth == self.order.len() && !self.hoisted.contains(&v);
        let known = made.args.iter().all(|a| self.values[a.index()].is_some());
        (here && known).then_some((made.fun, made.args))
    }

    /// A sum: entries first, then what is subtracted, then products, each fused with its addition.
    fn sum(&mut self, args: &[ValueId], x: &[Value], vector: bool) -> Value {
        let (mut added, mut taken, mut products) = (Vec::new(), Vec::new(), Vec::new());
        for (v, x) in args.iter().zip(x) {
            match self.made(*v) {
                Some((Fun::Mul, factors)) if factors.iter().all(|f| !self.divides(*f)) => {
                    let lanes: Vec<Value> = factors.iter().map(|f| self.operand(*f, vector)).collect();
                    let (last, rest) = lanes.split_last().expect("a product has factors");
                    products.push((self.left_to_right(rest, true), *last));
                }
                Some((Fun::Neg, of)) => taken.push(self.operand(of[0], vector)),
                _ => added.push(*x),
            }
        }
        let mut total = (!added.is_empty()).then(|| self.left_to_right(&added, false));
        for (p, q) in products {
            total = Some(match total {
                Some(t) => self.fma(p, q, t),
                None => self.b.ins().fmul(p, q),
            });
        }
        for t in taken {
            total = Some(match total {
                Some(so_far) => self.b.ins().fsub(so_far, t),
                None => self.b.ins().fneg(t),
            });
        }
        total.expect("a sum has an operand")
    }

    /// A product; reciprocals made for it alone become one division.
    fn product(&mut self, args: &[ValueId], x: &[Value], vector: bool) -> Value {
        let (mut above, mut below) = (Vec::new(), Vec::new());
        for (v, x) in args.iter().zip(x) {
            match self.made(*v) {
                Some((Fun::Recip, of)) => below.push(self.operand(of[0], vector)),
                _ => above.push(*x),
            }
        }
        if below.is_empty() || above.is_empty() {
            return self.left_to_right(x, true);
        }
        let (above, below) = (self.left_to_right(&above, true), self.left_to_right(&below, true));
        self.b.ins().fdiv(above, below)
    }

    fn divides(&self, v: ValueId) -> bool {
        matches!(self.made(v), Some((Fun::Recip, _)))
    }

    /// An operand of a real function, in lanes or one.
    fn operand(&mut self, v: ValueId, vector: bool) -> Value {
        let val = self.value(v);
        if vector { self.in_lanes(val, Kind::Real) } else { val.v }
    }

    fn left_to_right(&mut self, x: &[Value], product: bool) -> Value {
        self.many(x, true, product)
    }

    /// Sums and products of many operands, from left to right.
    fn many(&mut self, x: &[Value], real: bool, product: bool) -> Value {
        let mut so_far = x[0];
        for y in &x[1..] {
            so_far = match (real, product) {
                (true, true) => self.b.ins().fmul(so_far, *y),
                (true, false) => self.b.ins().fadd(so_far, *y),
                (false, true) => self.b.ins().imul(so_far, *y),
                (false, false) => self.b.ins().iadd(so_far, *y),
            };
        }
        so_far
    }

    /// A function of reals, if it is computed in lanes.
    pub fn real_fun(&mut self, fun: Fun, x: &[Value], vector: bool) -> Option<Value> {
        let f32s = self.real == types::F32;
        Some(match fun {
            Fun::Add => self.many(x, true, false),
            Fun::Mul => self.many(x, true, true),
            Fun::Sub => self.b.ins().fsub(x[0], x[1]),
            Fun::Div => self.b.ins().fdiv(x[0], x[1]),
            Fun::Neg => self.b.ins().fneg(x[0]),
            Fun::Abs => self.b.ins().fabs(x[0]),
            Fun::Recip => {
                let one = self.num(1.0, vector);
                self.b.ins().fdiv(one, x[0])
            }
            Fun::Sqrt => self.b.ins().sqrt(x[0]),
            Fun::Floor => self.b.ins().floor(x[0]),
            Fun::Ceil => self.b.ins().ceil(x[0]),
            Fun::Round => self.b.ins().nearest(x[0]),
            Fun::Sign => self.sign(x[0], vector),
            Fun::Max | Fun::Min => self.extremum(fun, x[0], x[1], vector),
            Fun::Lt => self.b.ins().fcmp(FloatCC::LessThan, x[0], x[1]),
            Fun::Le => self.b.ins().fcmp(FloatCC::LessThanOrEqual, x[0], x[1]),
            Fun::Gt => self.b.ins().fcmp(FloatCC::GreaterThan, x[0], x[1]),
            Fun::Ge => self.b.ins().fcmp(FloatCC::GreaterThanOrEqual, x[0], x[1]),
            Fun::Eq => self.b.ins().fcmp(FloatCC::Equal, x[0], x[1]),
            Fun::Ne => self.b.ins().fcmp(FloatCC::NotEqual, x[0], x[1]),
            Fun::IsFinite => {
                let inf = self.num(f64::INFINITY, vector);
                let magnitude = self.b.ins().fabs(x[0]);
                self.b.ins().fcmp(FloatCC::LessThan, magnitude, inf)
            }
            Fun::ToReal => x[0],
            Fun::ToF32 if f32s => x[0],
            Fun::ToF16 if f32s => self.half(x[0], vector),
            Fun::ToBf16 if f32s => self.brain(x[0], vector),
            Fun::ToInt => {
                let ty = self.lanes_type(Kind::Int, vector);
                if !f32s {
                    self.b.ins().fcvt_to_sint_sat(types::I32, x[0])
                } else {
                    self.b.ins().fcvt_to_sint_sat(ty, x[0])
                }
            }
            Fun::IntDiv => {
                let q = self.b.ins().fdiv(x[0], x[1]);
                self.b.ins().floor(q)
            }
            Fun::Mod => {
                let q = self.b.ins().fdiv(x[0], x[1]);
                let q = self.b.ins().floor(q);
                let whole = self.b.ins().fmul(q, x[1]);
                self.b.ins().fsub(x[0], whole)
            }
            Fun::Exp if f32s => self.exp(x[0], vector),
            Fun::Log if f32s => self.log(x[0], vector),
            Fun::Expm1 if f32s => self.expm1(x[0], vector),
            Fun::Log1p if f32s => self.log1p(x[0], vector),
            Fun::Tanh if f32s => self.tanh(x[0], vector),
            Fun::Sigmoid if f32s => self.sigmoid(x[0], vector),
            Fun::Softplus if f32s => self.softplus(x[0], vector),
            Fun::Erf if f32s => self.erf(x[0], vector),
            _ => return None,
        })
    }

    fn sign(&mut self, x: Value, vector: bool) -> Value {
        let (zero, one, minus) = (self.num(0.0, vector), self.num(1.0, vector), self.num(-1.0, vector));
        let up = self.b.ins().fcmp(FloatCC::GreaterThan, x, zero);
        let down = self.b.ins().fcmp(FloatCC::LessThan, x, zero);
        let nought = self.b.ins().fmul(x, zero);
        let low = self.pick(down, minus, nought, vector);
        self.pick(up, one, low, vector)
    }

    fn int_fun(&mut self, fun: Fun, x: &[Value], vector: bool) -> Option<Value> {
        let cc = match fun {
            Fun::Lt => Some(IntCC::SignedLessThan),
            Fun::Le => Some(IntCC::SignedLessThanOrEqual),
            Fun::Gt => Some(IntCC::SignedGreaterThan),
            Fun::Ge => Some(IntCC::SignedGreaterThanOrEqual),
            Fun::Eq => Some(IntCC::Equal),
            Fun::Ne => Some(IntCC::NotEqual),
            _ => None,
        };
        if let Some(cc) = cc {
            return Some(self.b.ins().icmp(cc, x[0], x[1]));
        }
        Some(match fun {
            Fun::Add => self.many(x, false, false),
            Fun::Mul => self.many(x, false, true),
            Fun::Sub => self.b.ins().isub(x[0], x[1]),
            Fun::Neg => self.b.ins().ineg(x[0]),
            Fun::Abs => self.b.ins().iabs(x[0]),
            Fun::Min => self.b.ins().smin(x[0], x[1]),
            Fun::Max => self.b.ins().smax(x[0], x[1]),
            Fun::ToInt => x[0],
            Fun::ToReal => {
                let ty = self.lanes_type(Kind::Real, vector);
                self.b.ins().fcvt_from_sint(ty, x[0])
            }
            _ => return None,
        })
    }

    fn bool_fun(&mut self, fun: Fun, x: &[Value], vector: bool) -> Option<Value> {
        Some(match fun {
            Fun::And => self.b.ins().band(x[0], x[1]),
            Fun::Or => self.b.ins().bor(x[0], x[1]),
            Fun::Eq if vector => {
                let differ = self.b.ins().bxor(x[0], x[1]);
                self.b.ins().bnot(differ)
            }
            Fun::Eq => self.b.ins().icmp(IntCC::Equal, x[0], x[1]),
            Fun::Ne => self.b.ins().bxor(x[0], x[1]),
            Fun::Not if vector => self.b.ins().bnot(x[0]),
            Fun::Not => {
                let one = self.b.ins().iconst(types::I8, 1);
                self.b.ins().bxor(x[0], one)
            }
            Fun::Lt | Fun::Gt | Fun::Le | Fun::Ge => {
                let (a, b) = if matches!(fun, Fun::Lt | Fun::Ge) { (x[0], x[1]) } else { (x[1], x[0]) };
                // a < b of truth values is (not a) and b; the weak comparisons are its negation with exchanged sides.
                let not_a = self.negated(a, vector);
                let less = self.b.ins().band(not_a, b);
                if matches!(fun, Fun::Lt | Fun::Gt) { less } else { self.negated(less, vector) }
            }
            Fun::ToReal => {
                let (one, zero) = (self.num(1.0, vector), self.num(0.0, vector));
                self.pick(x[0], one, zero, vector)
            }
            Fun::ToInt if vector => {
                let one = self.b.ins().iconst(types::I32, 1);
                let ones = self.b.ins().splat(self.lanes.whole(), one);
                self.b.ins().band(x[0], ones)
            }
            Fun::ToInt => self.b.ins().uextend(types::I32, x[0]),
            Fun::Select => self.pick(x[0], x[1], x[2], vector),
            _ => return None,
        })
    }

    fn negated(&mut self, x: Value, vector: bool) -> Value {
        if vector {
            return self.b.ins().bnot(x);
        }
        let one = self.b.ins().iconst(types::I8, 1);
        self.b.ins().bxor(x, one)
    }

    /// The larger or smaller of two reals; NaN if either is.
    fn extremum(&mut self, fun: Fun, x: Value, y: Value, vector: bool) -> Value {
        let (x, y) = if self.is_number(x) { (y, x) } else { (x, y) };
        // With the smaller side first it is one instruction, which gives `x` if one of the two is NaN.
        let (less, more) = if fun == Fun::Max { (x, y) } else { (y, x) };
        let better = self.b.ins().fcmp(FloatCC::LessThan, less, more);
        let best = self.pick(better, y, x, vector);
        if self.is_number(y) {
            return best;
        }
        let nan = self.b.ins().fcmp(FloatCC::NotEqual, y, y);
        self.pick(nan, y, best, vector)
    }

    /// Is this value a constant, in one lane or all?
    fn is_number(&self, v: Value) -> bool {
        let dfg = &self.b.func.dfg;
        let maker = |v| dfg.value_def(v).inst().map(|inst| &dfg.insts[inst]);
        match maker(v) {
            Some(InstructionData::Unary { opcode: Opcode::Splat, arg }) => {
                matches!(maker(*arg), Some(InstructionData::UnaryIeee32 { .. }))
            }
            Some(made) => matches!(made, InstructionData::UnaryIeee32 { .. } | InstructionData::UnaryIeee64 { .. }),
            None => false,
        }
    }

    /// `a` where the condition holds, else `b`.
    pub fn pick(&mut self, c: Value, a: Value, b: Value, vector: bool) -> Value {
        if !vector {
            return self.b.ins().select(c, a, b);
        }
        let ty = self.b.func.dfg.value_type(a);
        let mask = if ty == self.lanes.whole() { c } else { self.b.ins().bitcast(ty, little(), c) };
        self.b.ins().bitselect(mask, a, b)
    }

    /// `a` where the condition holds, else `b`, of a kind.
    pub fn choose(&mut self, c: Val, a: Val, b: Val) -> Val {
        Val { v: self.pick(c.v, a.v, b.v, c.vector), vector: c.vector }
    }

    /// Is `new` strictly better than `old`? NaN is better than any number.
    pub fn better(&mut self, red: Red, kind: Kind, new: Val, old: Val) -> Val {
        let more = red == Red::ArgMax;
        let v = match kind {
            Kind::Real => {
                let cc = if more { FloatCC::GreaterThan } else { FloatCC::LessThan };
                let better = self.b.ins().fcmp(cc, new.v, old.v);
                // The first NaN wins: it is new, and the old one is none.
                let nan = self.b.ins().fcmp(FloatCC::NotEqual, new.v, new.v);
                let none = self.b.ins().fcmp(FloatCC::Equal, old.v, old.v);
                let first = self.b.ins().band(nan, none);
                self.b.ins().bor(better, first)
            }
            _ => {
                let cc = if more { IntCC::SignedGreaterThan } else { IntCC::SignedLessThan };
                self.b.ins().icmp(cc, new.v, old.v)
            }
        };
        Val { v, vector: new.vector }
    }

    /// A reduction of two values.
    pub fn combine(&mut self, red: Red, kind: Kind, a: Val, b: Val) -> Val {
        let vector = a.vector || b.vector;
        let (x, y) = if vector { (self.in_lanes(a, kind), self.in_lanes(b, kind)) } else { (a.v, b.v) };
        let fun = red.join().expect("argmax and argmin need the place");
        let v = match kind {
            Kind::Real => self.real_fun(fun, &[x, y], vector),
            Kind::Int => self.int_fun(fun, &[x, y], vector),
            Kind::Bool => match fun {
                Fun::Max => Some(self.b.ins().bor(x, y)),
                Fun::Min | Fun::Mul => Some(self.b.ins().band(x, y)),
                _ => self.bool_fun(if fun == Fun::Add { Fun::Or } else { fun }, &[x, y], vector),
            },
        };
        Val { v: v.expect("reductions are computed in lanes"), vector }
    }

    /// A real constant, in all lanes or one.
    pub fn num(&mut self, x: f64, vector: bool) -> Value {
        let c = self.constant(x, Kind::Real);
        if vector { self.in_lanes(c, Kind::Real) } else { c.v }
    }

    /// By host functions, one lane after the other.
    fn lane_by_lane(&mut self, fun: Fun, vals: &[Val], kinds: &[Kind], kind: Kind, vector: bool) -> Val {
        let mut lanes = Vec::new();
        for lane in 0..if vector { self.lanes.vector } else { 1 } {
            let x: Vec<Value> = vals.iter().zip(kinds).map(|(v, k)| self.lane_of(*v, *k, lane)).collect();
            lanes.push(self.host_fun(fun, &x, kinds));
        }
        self.gather_lanes(&lanes, self.lane(kind))
    }

    fn host_fun(&mut self, fun: Fun, x: &[Value], kinds: &[Kind]) -> Value {
        if kinds[0] == Kind::Int && matches!(fun, Fun::IntDiv | Fun::Mod) {
            let name = if fun == Fun::IntDiv { "gannet_floor_div" } else { "gannet_floor_mod" };
            return self.call(name, x, types::I32);
        }
        let wide: Vec<Value> = x
            .iter()
            .map(|v| if self.real == types::F32 { self.b.ins().fpromote(types::F64, *v) } else { *v })
            .collect();
        let name = match fun {
            Fun::Pow => "gannet_pow",
            Fun::Atan2 => "gannet_atan2",
            _ => host::unary_name(fun).unwrap_or_else(|| panic!("{fun:?} of {kinds:?} has no machine code")),
        };
        let y = self.call(name, &wide, types::F64);
        if self.real == types::F32 { self.b.ins().fdemote(types::F32, y) } else { y }
    }
}

/// Lanes are numbered in memory order.
pub fn little() -> MemFlagsData {
    MemFlagsData::new().with_endianness(cranelift_codegen::ir::Endianness::Little)
}
