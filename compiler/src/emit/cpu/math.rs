//! Transcendental functions of f32, on one entry or in lanes: the same operations in the same order, so that a
//! remainder has the bits that a full vector would have had. Coefficients are interpolated at Chebyshev's nodes, and
//! `exp` reduces its argument by ln 2 in two parts (Cody and Waite).

use super::body::{Lanes, Lower};
use super::ops::little;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};

impl Lower<'_> {
    fn float(lanes: Lanes, vector: bool) -> Type {
        if vector { lanes.of(types::F32) } else { types::F32 }
    }

    fn whole(lanes: Lanes, vector: bool) -> Type {
        if vector { lanes.whole() } else { types::I32 }
    }

    fn whole_const(&mut self, n: i64, vector: bool) -> Value {
        let c = self.b.ins().iconst(types::I32, n);
        if vector { self.b.ins().splat(self.lanes.whole(), c) } else { c }
    }

    /// `x y + z`, in one rounding where the processor can.
    pub fn fma(&mut self, x: Value, y: Value, z: Value) -> Value {
        if self.fused {
            return self.b.ins().fma(x, y, z);
        }
        let product = self.b.ins().fmul(x, y);
        self.b.ins().fadd(product, z)
    }

    fn bits(&mut self, x: Value, vector: bool) -> Value {
        self.b.ins().bitcast(Self::whole(self.lanes, vector), little(), x)
    }

    fn float_of_bits(&mut self, x: Value, vector: bool) -> Value {
        self.b.ins().bitcast(Self::float(self.lanes, vector), little(), x)
    }

    /// `c[0] + c[1] x + c[2] x^2 + ...`, by Horner's rule with fused multiply-adds.
    fn polynomial(&mut self, x: Value, c: &[f64], vector: bool) -> Value {
        let (last, rest) = c.split_last().expect("a polynomial has a coefficient");
        let mut y = self.num(*last, vector);
        for k in rest.iter().rev() {
            let k = self.num(*k, vector);
            y = self.fma(y, x, k);
        }
        y
    }

    /// `x` kept within these bounds; NaN stays NaN.
    fn clamped(&mut self, x: Value, low: f64, high: f64, vector: bool) -> Value {
        let (low, high) = (self.num(low, vector), self.num(high, vector));
        let under = self.b.ins().fcmp(FloatCC::LessThan, x, low);
        let x = self.pick(under, low, x, vector);
        let over = self.b.ins().fcmp(FloatCC::LessThan, high, x);
        self.pick(over, high, x, vector)
    }

    /// `exp(x) = 2^n (1 + y)` with whole n: (n, y). Adding 1.5 * 2^23 rounds to a whole number, found in the low bits.
    fn reduced(&mut self, x: Value, vector: bool) -> (Value, Value) {
        let (log2e, magic) = (self.num(std::f64::consts::LOG2_E, vector), self.num(12_582_912.0, vector));
        let shifted = self.fma(x, log2e, magic);
        let n = self.b.ins().fsub(shifted, magic);
        let (high, low) = (self.num(-LN2_HIGH, vector), self.num(-LN2_LOW, vector));
        let r = self.fma(n, high, x);
        let r = self.fma(n, low, r);
        let q = self.polynomial(r, &EXP, vector);
        let square = self.b.ins().fmul(r, r);
        let y = self.fma(square, q, r);
        let bits = self.bits(shifted, vector);
        let zero = self.whole_const(0x4b40_0000, vector);
        (self.b.ins().isub(bits, zero), y)
    }

    /// Rounded to even where the last `dropped` bits of the mantissa are left out.
    fn shortened(&mut self, x: Value, dropped: i64, vector: bool) -> Value {
        let bits = self.bits(x, vector);
        let by = self.b.ins().iconst(types::I32, dropped);
        let (one, half) = (self.whole_const(1, vector), self.whole_const((1 << (dropped - 1)) - 1, vector));
        let last = self.b.ins().ushr(bits, by);
        let odd = self.b.ins().band(last, one);
        let up = self.b.ins().iadd(half, odd);
        let raised = self.b.ins().iadd(bits, up);
        let kept = self.whole_const(-(1 << dropped), vector);
        let y = self.b.ins().band(raised, kept);
        self.float_of_bits(y, vector)
    }

    /// The nearest bfloat16; NaN stays NaN.
    pub fn brain(&mut self, x: Value, vector: bool) -> Value {
        let y = self.shortened(x, 16, vector);
        let nan = self.b.ins().fcmp(FloatCC::NotEqual, x, x);
        self.pick(nan, x, y, vector)
    }

    /// The nearest number of half precision: infinite beyond 65504, with steps of 2^-24 below 2^-14; NaN stays NaN.
    pub fn half(&mut self, x: Value, vector: bool) -> Value {
        let y = self.shortened(x, 13, vector);
        let (largest, infinite) = (self.num(65504.0, vector), self.num(f64::INFINITY, vector));
        let magnitude = self.b.ins().fabs(x);
        let size = self.b.ins().fabs(y);
        let over = self.b.ins().fcmp(FloatCC::GreaterThan, size, largest);
        let beyond = self.b.ins().fmul(x, infinite);
        let y = self.pick(over, beyond, y, vector);
        // Numbers around 3/4 are 2^-24 apart. The sum of a small negative number with it loses the sign of nought.
        let (around, least) = (self.num(0.75, vector), self.num(6.103_515_625e-5, vector));
        let moved = self.b.ins().fadd(magnitude, around);
        let small = self.b.ins().fsub(moved, around);
        let sign = self.bits(x, vector);
        let mask = self.whole_const(-(1 << 31), vector);
        let sign = self.b.ins().band(sign, mask);
        let small = self.bits(small, vector);
        let small = self.b.ins().bor(small, sign);
        let small = self.float_of_bits(small, vector);
        let tiny = self.b.ins().fcmp(FloatCC::LessThan, magnitude, least);
        let y = self.pick(tiny, small, y, vector);
        let nan = self.b.ins().fcmp(FloatCC::NotEqual, x, x);
        self.pick(nan, x, y, vector)
    }

    /// `2^(n + more)` for a whole n that gives a normal number (or 0 at -127, infinity at 128).
    fn power(&mut self, n: Value, more: i64, vector: bool) -> Value {
        let bias = self.whole_const(127 + more, vector);
        let biased = self.b.ins().iadd(n, bias);
        let shift = self.b.ins().iconst(types::I32, 23);
        let power = self.b.ins().ishl(biased, shift);
        self.float_of_bits(power, vector)
    }

    /// At most 2 ulp off; 0 and infinity beyond the range, NaN stays NaN.
    pub fn exp(&mut self, x: Value, vector: bool) -> Value {
        // 2^n is built in two normal halves; beyond the bounds, the product is 0 or infinity by itself.
        let x = self.clamped(x, -104.0, 89.0, vector);
        let (n, y) = self.reduced(x, vector);
        let one = self.num(1.0, vector);
        let y = self.b.ins().fadd(y, one);
        let shift = self.b.ins().iconst(types::I32, 1);
        let half = self.b.ins().sshr(n, shift);
        let rest = self.b.ins().isub(n, half);
        let (half, rest) = (self.power(half, 0, vector), self.power(rest, 0, vector));
        let y = self.b.ins().fmul(y, half);
        self.b.ins().fmul(y, rest)
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
        let m = self.float_of_bits(mantissa, vector);
        let e = self.b.ins().fcvt_from_sint(Self::float(self.lanes, vector), e);
        let e = self.b.ins().fadd(e, extra);
        let one = self.num(1.0, vector);
        let f = self.b.ins().fsub(m, one);
        let c = [
            0.333_333_313_465_118_4,
            -0.249_999_970_197_677_6,
            0.200_007_170_438_766_48,
            -0.166_678_071_022_033_7,
            0.142_490_074_038_505_55,
            -0.124_255_232_512_950_9,
            0.116_857_849_061_489_1,
            -0.114_812_120_795_249_94,
            0.069_725_185_632_705_69,
        ];
        let p = self.polynomial(f, &c, vector);
        let f2 = self.b.ins().fmul(f, f);
        let f3 = self.b.ins().fmul(f2, f);
        let minus_half = self.num(-0.5, vector);
        let (ln2_low, ln2_high) = (self.num(LN2_LOW, vector), self.num(LN2_HIGH, vector));
        let y = self.b.ins().fmul(p, f3);
        let y = self.fma(e, ln2_low, y);
        let y = self.fma(f2, minus_half, y);
        let y = self.b.ins().fadd(f, y);
        let y = self.fma(e, ln2_high, y);
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

    /// At most 3 ulp off: `2^n y + (2^n - 1)`, from half of it so that the largest n does not overflow.
    pub fn expm1(&mut self, x: Value, vector: bool) -> Value {
        let x = self.clamped(x, -18.0, 89.0, vector);
        let (n, y) = self.reduced(x, vector);
        let power = self.power(n, -1, vector);
        let half = self.num(0.5, vector);
        let base = self.b.ins().fsub(power, half);
        let y = self.fma(power, y, base);
        self.b.ins().fadd(y, y)
    }

    /// At most 3 ulp off where the result is normal; 0 where it is not.
    pub fn sigmoid(&mut self, x: Value, vector: bool) -> Value {
        let minus = self.b.ins().fneg(x);
        let minus = self.clamped(minus, -87.0, 89.0, vector);
        let (n, y) = self.reduced(minus, vector);
        let power = self.power(n, 0, vector);
        let one = self.num(1.0, vector);
        let y = self.b.ins().fadd(y, one);
        let below = self.fma(power, y, one);
        self.b.ins().fdiv(one, below)
    }

    /// At most 4 ulp off: `e / (e + 2)` with `e = exp(2|x|) - 1`, which is 1 from 10 on.
    pub fn tanh(&mut self, x: Value, vector: bool) -> Value {
        let magnitude = self.b.ins().fabs(x);
        let twice = self.b.ins().fadd(magnitude, magnitude);
        let bound = self.num(20.0, vector);
        let over = self.b.ins().fcmp(FloatCC::LessThan, bound, twice);
        let twice = self.pick(over, bound, twice, vector);
        let (n, y) = self.reduced(twice, vector);
        let power = self.power(n, 0, vector);
        let (one, two) = (self.num(1.0, vector), self.num(2.0, vector));
        let base = self.b.ins().fsub(power, one);
        let e = self.fma(power, y, base);
        let below = self.b.ins().fadd(e, two);
        let y = self.b.ins().fdiv(e, below);
        self.signed_as(y, x, vector)
    }

    /// At most 3 ulp off: an odd polynomial below 1, `1 - exp(-x^2) q(1 / (1 + |x| / 2))` above, which is 1 from 4 on.
    pub fn erf(&mut self, x: Value, vector: bool) -> Value {
        let square = self.b.ins().fmul(x, x);
        let p = self.polynomial(square, &ERF_NEAR, vector);
        let near = self.b.ins().fmul(p, x);
        let (one, half) = (self.num(1.0, vector), self.num(0.5, vector));
        let magnitude = self.b.ins().fabs(x);
        let (bound, zero) = (self.num(4.0, vector), self.num(0.0, vector));
        let over = self.b.ins().fcmp(FloatCC::LessThan, bound, magnitude);
        let kept = self.pick(over, bound, magnitude, vector);
        let below = self.fma(kept, half, one);
        let t = self.b.ins().fdiv(one, below);
        let q = self.polynomial(t, &ERF_FAR, vector);
        let square = self.b.ins().fmul(kept, kept);
        let minus = self.b.ins().fsub(zero, square);
        let (n, y) = self.reduced(minus, vector);
        let power = self.power(n, 0, vector);
        let e = self.fma(power, y, power);
        let rest = self.b.ins().fmul(e, q);
        let far = self.b.ins().fsub(one, rest);
        let far = self.signed_as(far, x, vector);
        let close = self.b.ins().fcmp(FloatCC::LessThan, magnitude, one);
        self.pick(close, near, far, vector)
    }

    /// A positive number with the sign of another.
    fn signed_as(&mut self, y: Value, x: Value, vector: bool) -> Value {
        let sign = self.whole_const(0x8000_0000, vector);
        let (bits, y) = (self.bits(x, vector), self.bits(y, vector));
        let bits = self.b.ins().band(bits, sign);
        let y = self.b.ins().bor(y, bits);
        self.float_of_bits(y, vector)
    }

    /// `max(x, 0) + log(1 + exp(-|x|))`, at most 4 ulp off. With e = exp(-|x|) at most 1, the logarithm is
    /// `2 atanh(s)` at `s = e / (2 + e)`, at most 1/3.
    pub fn softplus(&mut self, x: Value, vector: bool) -> Value {
        let magnitude = self.b.ins().fabs(x);
        let minus = self.b.ins().fneg(magnitude);
        let e = self.exp(minus, vector);
        let two = self.num(2.0, vector);
        let below = self.b.ins().fadd(e, two);
        let s = self.b.ins().fdiv(e, below);
        let square = self.b.ins().fmul(s, s);
        let p = self.polynomial(square, &ATANH, vector);
        let cube = self.b.ins().fmul(square, s);
        let l = self.fma(cube, p, s);
        let zero = self.num(0.0, vector);
        let negative = self.b.ins().fcmp(FloatCC::LessThan, x, zero);
        let base = self.pick(negative, zero, x, vector);
        self.fma(l, two, base)
    }
}

/// ln 2 in two parts, the first with few enough bits that its whole multiples are exact (Cody and Waite).
const LN2_HIGH: f64 = 0.693_145_751_953_125;
const LN2_LOW: f64 = 1.428_606_765_330_187e-6;

/// `(exp(r) - 1 - r) / r^2` for |r| <= ln(2) / 2, interpolated at Chebyshev's nodes: relative error of exp 8e-10.
const EXP: [f64; 6] = [
    0.5,
    0.166_666_671_633_720_4,
    0.041_666_463_017_463_684,
    0.008_333_310_484_886_17,
    0.001_393_382_088_281_214_2,
    0.000_198_911_802_726_796_76,
];

/// `(atanh(s) - s) / s^3` in powers of s^2 <= 1/9, interpolated likewise.
const ATANH: [f64; 5] =
    [0.3333333432674408, 0.19999852776527405, 0.14296209812164307, 0.10852771252393723, 0.11614831537008286];

/// `erf(x) / x` in powers of x^2 <= 1, interpolated likewise.
const ERF_NEAR: [f64; 7] = [
    1.128_379_106_521_606_4,
    -0.376_126_259_565_353_4,
    0.112_835_943_698_883_06,
    -0.026_854_211_464_524_27,
    0.005_189_087_241_888_046,
    -0.000_801_686_430_349_946,
    0.000_078_758_748_713_880_78,
];

/// `erfc(x) exp(x^2)` in powers of `1 / (1 + x / 2)` for x in 1..4, interpolated likewise.
const ERF_FAR: [f64; 8] = [
    -0.000_164_236_393_175_087_88,
    0.285_061_627_626_419_07,
    0.258_751_362_562_179_57,
    0.351_030_319_929_122_9,
    -0.110_208_295_285_701_75,
    0.571_265_161_037_445_1,
    -0.476_525_276_899_337_77,
    0.120_852_433_145_046_23,
];
