//! Functions that WGSL lacks, each emitted only where a kernel calls it.
//! Law: the random numbers are those of `crate::philox`, word for word.

/// A helper: its name, the helpers that it calls, its text.
struct Helper {
    name: &'static str,
    calls: &'static [&'static str],
    text: &'static str,
}

const HELPERS: &[Helper] = &[
    Helper {
        name: "sigmoid",
        calls: &[],
        text: "fn sigmoid(x: f32) -> f32 {\n  let e = exp(-abs(x));\n  return select(e, 1.0, x >= 0.0) / (1.0 + e);\n}\n",
    },
    Helper {
        // The built-in may overflow for large arguments, and lose all digits of small ones.
        name: "tanh_stable",
        calls: &["expm1"],
        text: "fn tanh_stable(x: f32) -> f32 {\n  let t = expm1(2.0 * min(abs(x), 15.0));\n  return sign(x) * t / (t + 2.0);\n}\n",
    },
    Helper {
        // Higham, Accuracy and Stability of Numerical Algorithms, section 1.14.1.
        name: "log1p",
        calls: &[],
        text: "fn log1p(x: f32) -> f32 {\n  let u = 1.0 + x;\n  return select(log(u) * x / (u - 1.0), x, u == 1.0);\n}\n",
    },
    Helper {
        name: "expm1",
        calls: &[],
        text: "fn expm1(x: f32) -> f32 {\n  let high = 0.041666668 + x * (0.008333334 + x * (0.0013888889 + x * (0.0001984127 + x * 0.000024801588)));\n  let series = x * (1.0 + x * (0.5 + x * (0.16666667 + x * high)));\n  return select(exp(x) - 1.0, series, abs(x) < 0.5);\n}\n",
    },
    Helper {
        name: "softplus",
        calls: &["log1p"],
        text: "fn softplus(x: f32) -> f32 { return max(x, 0.0) + log1p(exp(-abs(x))); }\n",
    },
    Helper {
        // Abramowitz and Stegun 7.1.26: at most 1.5e-7 off; near 0, where that is much, the series 7.1.5.
        name: "erf",
        calls: &[],
        text: "fn erf(x: f32) -> f32 {\n  let t = 1.0 / (1.0 + 0.3275911 * abs(x));\n  let p = t * (0.2548296 + t * (-0.28449672 + t * (1.4214138 + t * (-1.4531521 + t * 1.0614054))));\n  let z = x * x;\n  let low = 0.33333334 - z * (0.1 - z * (0.023809524 - z * (0.0046296297 - z * 0.00075757573)));\n  let series = 1.1283792 * x * (1.0 - z * low);\n  return select(sign(x) * (1.0 - p * exp(-z)), series, abs(x) < 0.5);\n}\n",
    },
    Helper {
        // `pow` of WGSL takes no negative base and may be wrong at 0; small whole exponents are products. The logarithm of
        // a negative number is no number, as the root of one is.
        name: "power",
        calls: &[],
        text: "fn power(x: f32, y: f32) -> f32 {\n  let whole = floor(y) == y;\n  if (whole && abs(y) <= 16.0) {\n    var p = 1.0;\n    for (var k = 0; k < i32(abs(y)); k++) { p *= x; }\n    return select(p, 1.0 / p, y < 0.0);\n  }\n  if (x < 0.0 && !whole) { return log(x); }\n  let odd = whole && floor(y * 0.5) != y * 0.5;\n  return select(1.0, -1.0, x < 0.0 && odd) * pow(abs(x), y);\n}\n",
    },
    Helper {
        // The last bits of the mantissa are left out, ties to even.
        name: "to_bf16",
        calls: &["is_nan"],
        text: "fn to_bf16(x: f32) -> f32 {\n  let b = bitcast<u32>(x);\n  let y = bitcast<f32>((b + 0x7fffu + ((b >> 16u) & 1u)) & 0xffff0000u);\n  return select(y, x, is_nan(x));\n}\n",
    },
    Helper {
        name: "to_f16",
        calls: &[],
        text: "fn to_f16(x: f32) -> f32 { return unpack2x16float(pack2x16float(vec2<f32>(x, 0.0))).x; }\n",
    },
    Helper {
        // By the exponent's bits: an implementation may assume that there is no NaN.
        name: "is_finite",
        calls: &[],
        text: "fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }\n",
    },
    Helper {
        name: "is_nan",
        calls: &[],
        text: "fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }\n",
    },
    Helper {
        // The built-in may drop a NaN.
        name: "larger",
        calls: &["is_nan"],
        text: "fn larger(a: f32, b: f32) -> f32 { return select(select(max(a, b), b, is_nan(b)), a, is_nan(a)); }\n",
    },
    Helper {
        name: "smaller",
        calls: &["is_nan"],
        text: "fn smaller(a: f32, b: f32) -> f32 { return select(select(min(a, b), b, is_nan(b)), a, is_nan(a)); }\n",
    },
    Helper {
        name: "floor_div",
        calls: &[],
        text: "fn floor_div(a: i32, b: i32) -> i32 {\n  let q = a / b;\n  return select(q, q - 1, a % b != 0 && (a < 0) != (b < 0));\n}\n",
    },
    Helper {
        name: "floor_mod",
        calls: &["floor_div"],
        text: "fn floor_mod(a: i32, b: i32) -> i32 { return a - floor_div(a, b) * b; }\n",
    },
    Helper {
        name: "draw_uniform",
        calls: &["philox", "unit"],
        text: "fn draw_uniform(site: u32, entry: u32) -> f32 { return unit(philox(site, entry).x); }\n",
    },
    Helper {
        // Box and Muller (1958).
        name: "draw_normal",
        calls: &["philox", "unit"],
        text: "fn draw_normal(site: u32, entry: u32) -> f32 {\n  let w = philox(site, entry);\n  return sqrt(-2.0 * log(unit(w.x))) * cos(6.2831855 * unit(w.y));\n}\n",
    },
    Helper {
        name: "draw_rademacher",
        calls: &["philox"],
        text: "fn draw_rademacher(site: u32, entry: u32) -> f32 { return select(-1.0, 1.0, (philox(site, entry).x & 1u) == 1u); }\n",
    },
    Helper {
        name: "draw_gumbel",
        calls: &["philox", "unit"],
        text: "fn draw_gumbel(site: u32, entry: u32) -> f32 { return -log(-log(unit(philox(site, entry).x))); }\n",
    },
    Helper {
        name: "draw_exponential",
        calls: &["philox", "unit"],
        text: "fn draw_exponential(site: u32, entry: u32) -> f32 { return -log(unit(philox(site, entry).x)); }\n",
    },
    Helper {
        // 23 bits and a half: exact in f32, never 0 and never 1.
        name: "unit",
        calls: &[],
        text: "fn unit(word: u32) -> f32 { return (f32(word >> 9u) + 0.5) * 1.1920929e-7; }\n",
    },
    Helper {
        // Philox 4x32-10 (Salmon et al. 2011); the 64-bit products are put together from 16-bit halves.
        name: "philox",
        calls: &["mul_high"],
        text: "fn philox(site: u32, entry: u32) -> vec4<u32> {\n  var c = vec4<u32>(entry, 0u, u32(arguments.step), site);\n  var k = vec2<u32>(arguments.seed_low, arguments.seed_high);\n  for (var round = 0; round < 10; round++) {\n    let a = mul_high(0xD2511F53u, c.x);\n    let b = mul_high(0xCD9E8D57u, c.z);\n    c = vec4<u32>(b ^ c.y ^ k.x, 0xCD9E8D57u * c.z, a ^ c.w ^ k.y, 0xD2511F53u * c.x);\n    k = k + vec2<u32>(0x9E3779B9u, 0xBB67AE85u);\n  }\n  return c;\n}\n",
    },
    Helper {
        name: "mul_high",
        calls: &[],
        text: "fn mul_high(a: u32, b: u32) -> u32 {\n  let al = a & 0xffffu;\n  let ah = a >> 16u;\n  let bl = b & 0xffffu;\n  let bh = b >> 16u;\n  let low = al * bl;\n  let m1 = ah * bl + (low >> 16u);\n  let m2 = al * bh + (m1 & 0xffffu);\n  return ah * bh + (m1 >> 16u) + (m2 >> 16u);\n}\n",
    },
];

/// The texts of the helpers that `kernels` calls, directly or not, in the table's order.
pub fn needed(kernels: &str) -> String {
    let mut wanted: Vec<bool> = HELPERS.iter().map(|h| kernels.contains(&format!("{}(", h.name))).collect();
    loop {
        let before = wanted.clone();
        for (k, helper) in HELPERS.iter().enumerate() {
            if wanted[k] {
                for call in helper.calls {
                    let at = HELPERS.iter().position(|h| h.name == *call).expect("a helper calls helpers of the table");
                    wanted[at] = true;
                }
            }
        }
        if wanted == before {
            break;
        }
    }
    HELPERS.iter().zip(wanted).filter(|(_, w)| *w).map(|(h, _)| h.text).collect()
}
