//! Transcendental functions of f32, on one entry or four lanes: the same operations in the same order, so that a
//! remainder has the bits that a full vector would have had. Coefficients of `log` and `tanh` are those of Moshier's
//! Cephes library; `exp` is a Taylor polynomial after reduction by ln 2 in two parts (Cody and Waite).

use super::body::Lower;
use super::ops::little;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};

impl Lower<'_> {
    fn float(vector: bool) -> Type {
        if vector { types::F32X4 } else { types::F32 }
    }

    fn whole(vector: bool) -> Type {
        if vector { types::I32X4 } else { types::I32 }
    }

    fn whole_const(&mut self, n: i64, vector: bool) -> Value {
        let c = self.b.ins().iconst(types::I32, n);
        if vector { self.b.ins().splat(types::I32X4, c) } else { c }
    }

    fn bits(&mut self, x: Value, vector: bool) -> Value {
        self.b.ins().bitcast(Self::whole(vector), little(), x)
    }

    fn from_bits(&mut self, x: Value, vector: bool) -> Value {
        self.b.ins().bitcast(Self::float(vector), little(), x)
    }

    /// `c[0] + c[1] x + c[2] x^2 + ...`, by Horner's rule with fused multiply-adds.
    fn polynomial(&mut self, x: Value, c: &[f64], vector: bool) -> Value {
        let (last, rest) = c.split_last().expect("a polynomial has a coefficient");
        let mut y = self.num(*last, vector);
        for k in rest.iter().rev() {
            let k = self.num(*k, vector);
            y = self.b.ins().fma(y, x, k);
        }
        y
    }

    /// At most 1 ulp off; 0 and infinity beyond the range, NaN stays NaN.
    pub fn exp(&mut self, x: Value, vector: bool) -> Value {
        // Clamped so that 2^n is built in two normal halves; beyond, the product is 0 or infinity by itself.
        let (low, high) = (self.num(-104.0, vector), self.num(89.0, vector));
        let under = self.b.ins().fcmp(FloatCC::LessThan, x, low);
        let over = self.b.ins().fcmp(FloatCC::GreaterThan, x, high);
        let clamped = self.pick(under, low, x, vector);
        let clamped = self.pick(over, high, clamped, vector);
        let log2e = self.num(std::f64::consts::LOG2_E, vector);
        let scaled = self.b.ins().fmul(clamped, log2e);
        let n = self.b.ins().nearest(scaled);
        let (ln2_high, ln2_low) = (self.num(-0.693_359_375, vector), self.num(2.121_944_4e-4, vector));
        let r = self.b.ins().fma(n, ln2_high, clamped);
        let r = self.b.ins().fma(n, ln2_low, r);
        let p =
            self.polynomial(r, &[1.0, 1.0, 0.5, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0], vector);
        let n = self.b.ins().fcvt_to_sint_sat(Self::whole(vector), n);
        let one = self.b.ins().iconst(types::I32, 1);
        let half = self.b.ins().sshr(n, one);
        let rest = self.b.ins().isub(n, half);
        let p = self.times_power(p, half, vector);
        let y = self.times_power(p, rest, vector);
        let same = self.b.ins().fcmp(FloatCC::Equal, x, x);
        self.pick(same, y, x, vector)
    }

    /// `x * 2^n` for small n.
    fn times_power(&mut self, x: Value, n: Value, vector: bool) -> Value {
        let bias = self.whole_const(127, vector);
        let biased = self.b.ins().iadd(n, bias);
        let shift = self.b.ins().iconst(types::I32, 23);
        let power = self.b.ins().ishl(biased, shift);
        let power = self.from_bits(power, vector);
        self.b.ins().fmul(x, power)
    }

    /// At most 2 ulp off; -infinity at 0, NaN below.
    pub fn log(&mut self, x: Value, vector: bool) -> Value {
        // Subnormal numbers are scaled into the normal range first.
        let (tiny, scale) = (self.num(1.175_494_4e-38, vector), self.num(8_388_608.0, vector));
        let small = self.b.ins().fcmp(FloatCC::LessThan, x, tiny);
        let scaled = self.b.ins().fmul(x, scale);
        let z = self.pick(small, scaled, x, vector);
        let (shifted, zero) = (self.num(-23.0, vector), self.num(0.0, vector));
        let extra = self.pick(small, shifted, zero, vector);
        let bits = self.bits(z, vector);
        // The exponent of z / sqrt(1/2), so that the mantissa lies in [sqrt(1/2), sqrt(2)).
        let offset = self.whole_const(0x3f35_04f3, vector);
        let away = self.b.ins().isub(bits, offset);
        let shift = self.b.ins().iconst(types::I32, 23);
        let e = self.b.ins().sshr(away, shift);
        let back = self.b.ins().ishl(e, shift);
        let mantissa = self.b.ins().isub(bits, back);
        let m = self.from_bits(mantissa, vector);
        let e = self.b.ins().fcvt_from_sint(Self::float(vector), e);
        let e = self.b.ins().fadd(e, extra);
        let one = self.num(1.0, vector);
        let f = self.b.ins().fsub(m, one);
        let c = [
            3.333_333_117_4e-1,
            -2.499_999_399_3e-1,
            2.000_071_476_5e-1,
            -1.666_805_766_5e-1,
            1.424_932_278_7e-1,
            -1.242_014_084_6e-1,
            1.167_699_874e-1,
            -1.151_461_031e-1,
            7.037_683_629_2e-2,
        ];
        let p = self.polynomial(f, &c, vector);
        let f2 = self.b.ins().fmul(f, f);
        let f3 = self.b.ins().fmul(f2, f);
        let minus_half = self.num(-0.5, vector);
        let (ln2_low, ln2_high) = (self.num(-2.121_944_4e-4, vector), self.num(0.693_359_375, vector));
        let y = self.b.ins().fmul(p, f3);
        let y = self.b.ins().fma(e, ln2_low, y);
        let y = self.b.ins().fma(f2, minus_half, y);
        let y = self.b.ins().fadd(f, y);
        let y = self.b.ins().fma(e, ln2_high, y);
        self.log_edges(x, y, vector)
    }

    fn log_edges(&mut self, x: Value, y: Value, vector: bool) -> Value {
        let (zero, inf) = (self.num(0.0, vector), self.num(f64::INFINITY, vector));
        let minus_inf = self.num(f64::NEG_INFINITY, vector);
        let nought = self.b.ins().fcmp(FloatCC::Equal, x, zero);
        let y = self.pick(nought, minus_inf, y, vector);
        let infinite = self.b.ins().fcmp(FloatCC::Equal, x, inf);
        let y = self.pick(infinite, inf, y, vector);
        // Not (x >= 0): below nought, or NaN.
        let fine = self.b.ins().fcmp(FloatCC::GreaterThanOrEqual, x, zero);
        let nan = self.num(f64::NAN, vector);
        self.pick(fine, y, nan, vector)
    }

    /// At most 3 ulp off: the rounding of 1 + x is undone (Higham 2002, section 1.14.1).
    pub fn log1p(&mut self, x: Value, vector: bool) -> Value {
        let one = self.num(1.0, vector);
        let u = self.b.ins().fadd(x, one);
        let l = self.log(u, vector);
        let d = self.b.ins().fsub(u, one);
        let q = self.b.ins().fdiv(x, d);
        let y = self.b.ins().fmul(l, q);
        let exact = self.b.ins().fcmp(FloatCC::Equal, u, one);
        let y = self.pick(exact, x, y, vector);
        let inf = self.num(f64::INFINITY, vector);
        let infinite = self.b.ins().fcmp(FloatCC::Equal, u, inf);
        let y = self.pick(infinite, u, y, vector);
        let zero = self.num(0.0, vector);
        let bottom = self.b.ins().fcmp(FloatCC::Equal, u, zero);
        self.pick(bottom, l, y, vector)
    }

    /// At most 3 ulp off: a series near 0, `exp(x) - 1` elsewhere.
    pub fn expm1(&mut self, x: Value, vector: bool) -> Value {
        let e = self.exp(x, vector);
        let one = self.num(1.0, vector);
        let far = self.b.ins().fsub(e, one);
        let c = [1.0, 0.5, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0, 1.0 / 40320.0];
        let p = self.polynomial(x, &c, vector);
        let near = self.b.ins().fmul(p, x);
        let bound = self.num(0.5, vector);
        let magnitude = self.b.ins().fabs(x);
        let close = self.b.ins().fcmp(FloatCC::LessThan, magnitude, bound);
        self.pick(close, near, far, vector)
    }

    /// At most 2 ulp off.
    pub fn sigmoid(&mut self, x: Value, vector: bool) -> Value {
        let minus = self.b.ins().fneg(x);
        let e = self.exp(minus, vector);
        let one = self.num(1.0, vector);
        let below = self.b.ins().fadd(e, one);
        self.b.ins().fdiv(one, below)
    }

    /// At most 3 ulp off: an odd polynomial below 5/8, `1 - 2 / (exp(2|x|) + 1)` above.
    pub fn tanh(&mut self, x: Value, vector: bool) -> Value {
        let magnitude = self.b.ins().fabs(x);
        let twice = self.b.ins().fadd(magnitude, magnitude);
        let e = self.exp(twice, vector);
        let (one, two) = (self.num(1.0, vector), self.num(2.0, vector));
        let below = self.b.ins().fadd(e, one);
        let q = self.b.ins().fdiv(two, below);
        let far = self.b.ins().fsub(one, q);
        let minus = self.b.ins().fneg(far);
        let zero = self.num(0.0, vector);
        let negative = self.b.ins().fcmp(FloatCC::LessThan, x, zero);
        let far = self.pick(negative, minus, far, vector);
        let z = self.b.ins().fmul(x, x);
        let c = [
            -3.333_328_194_22e-1,
            1.333_144_220_36e-1,
            -5.373_971_555_31e-2,
            2.063_908_879_54e-2,
            -5.704_988_727_45e-3,
        ];
        let p = self.polynomial(z, &c, vector);
        let p = self.b.ins().fmul(p, z);
        let near = self.b.ins().fma(p, x, x);
        let bound = self.num(0.625, vector);
        let close = self.b.ins().fcmp(FloatCC::LessThan, magnitude, bound);
        self.pick(close, near, far, vector)
    }

    /// `max(x, 0) + log1p(exp(-|x|))`, at most 4 ulp off.
    pub fn softplus(&mut self, x: Value, vector: bool) -> Value {
        let magnitude = self.b.ins().fabs(x);
        let minus = self.b.ins().fneg(magnitude);
        let e = self.exp(minus, vector);
        let l = self.log1p(e, vector);
        let zero = self.num(0.0, vector);
        let positive = self.b.ins().fcmp(FloatCC::GreaterThan, x, zero);
        let base = self.pick(positive, x, zero, vector);
        let y = self.b.ins().fadd(base, l);
        let same = self.b.ins().fcmp(FloatCC::Equal, x, x);
        self.pick(same, y, x, vector)
    }
}
