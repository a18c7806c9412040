//! Philox 4x32-10, the counter-based generator (Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as
//! 1, 2, 3", 2011), and the distributions made from it.
//! Law: a draw depends on (seed, site, step, entry) alone, so it is the same on any device and any number of threads.
//!
//! One block of four words serves one entry: counter = (entry low, entry high, step, site), key = (seed low, seed high).

use gannet_lang::program::Dist;

/// One block: four random words.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    const M0: u64 = 0xD251_1F53;
    const M1: u64 = 0xCD9E_8D57;
    const W0: u32 = 0x9E37_79B9;
    const W1: u32 = 0xBB67_AE85;
    let (mut c, mut k) = (counter, key);
    for _ in 0..10 {
        let (a, b) = (M0 * u64::from(c[0]), M1 * u64::from(c[2]));
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
        k = [k[0].wrapping_add(W0), k[1].wrapping_add(W1)];
    }
    c
}

/// In (0, 1), 23 bits: with the half that keeps it from 0 it has 24, so that single precision holds it exactly and never
/// rounds it to 1.
fn unit(word: u32) -> f64 {
    (f64::from(word >> 9) + 0.5) / f64::from(1 << 23)
}

/// One draw.
pub fn draw(dist: Dist, seed: u64, site: u32, step: u32, entry: u64) -> f64 {
    let counter = [entry as u32, (entry >> 32) as u32, step, site];
    shaped(dist, philox(counter, [seed as u32, (seed >> 32) as u32]))
}

/// The draws of the entries `first..first + LANES`, one as [`draw`] gives it; blocks are computed side by side.
pub fn draws(dist: Dist, seed: u64, site: u32, step: u32, first: u64) -> [f64; LANES] {
    const M0: u64 = 0xD251_1F53;
    const M1: u64 = 0xCD9E_8D57;
    let entry: [u64; LANES] = std::array::from_fn(|k| first.wrapping_add(k as u64));
    let (mut c0, mut c1) = (entry.map(|e| e as u32), entry.map(|e| (e >> 32) as u32));
    let (mut c2, mut c3) = ([step; LANES], [site; LANES]);
    let mut key = [seed as u32, (seed >> 32) as u32];
    for _ in 0..10 {
        for k in 0..LANES {
            let (a, b) = (M0 * u64::from(c0[k]), M1 * u64::from(c2[k]));
            (c0[k], c1[k]) = ((b >> 32) as u32 ^ c1[k] ^ key[0], b as u32);
            (c2[k], c3[k]) = ((a >> 32) as u32 ^ c3[k] ^ key[1], a as u32);
        }
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    std::array::from_fn(|k| shaped(dist, [c0[k], c1[k], c2[k], c3[k]]))
}

/// How many draws [`draws`] makes.
pub const LANES: usize = 4;

/// A number of this distribution from four random words.
fn shaped(dist: Dist, w: [u32; 4]) -> f64 {
    match dist {
        Dist::Uniform => unit(w[0]),
        // Box and Muller (1958), the cosine of the pair.
        Dist::Normal => (-2.0 * unit(w[0]).ln()).sqrt() * (std::f64::consts::TAU * unit(w[1])).cos(),
        Dist::Rademacher => {
            if w[0] & 1 == 1 {
                1.0
            } else {
                -1.0
            }
        }
        Dist::Gumbel => -(-unit(w[0]).ln()).ln(),
        Dist::Exponential => -unit(w[0]).ln(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_side_by_side_are_the_draws_one_by_one() {
        for dist in [Dist::Normal, Dist::Uniform, Dist::Rademacher, Dist::Gumbel, Dist::Exponential] {
            for first in [0, 5, u64::from(u32::MAX) - 1] {
                let all = draws(dist, 0x1234_5678_9abc_def0, 3, 17, first);
                for (k, x) in all.iter().enumerate() {
                    assert_eq!(*x, draw(dist, 0x1234_5678_9abc_def0, 3, 17, first + k as u64));
                }
            }
        }
    }

    /// The known answers published with Random123 (kat_vectors, philox4x32 with 10 rounds).
    #[test]
    fn known_answers() {
        let cases: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox(counter, key), expected);
        }
    }

    #[test]
    fn a_uniform_number_is_below_one_in_single_precision() {
        for word in [0, 1, u32::MAX / 2, u32::MAX - 1, u32::MAX] {
            let (x, single) = (unit(word), unit(word) as f32);
            assert!(0.0 < single && single < 1.0 && f64::from(single) == x, "{word}: {x}");
        }
    }

    #[test]
    fn moments() {
        let mean = |dist, f: fn(f64) -> f64| (0..20_000).map(|e| f(draw(dist, 7, 3, 1, e))).sum::<f64>() / 20_000.0;
        assert!(mean(Dist::Normal, |x| x).abs() < 0.03);
        assert!((mean(Dist::Normal, |x| x * x) - 1.0).abs() < 0.05);
        assert!((mean(Dist::Uniform, |x| x) - 0.5).abs() < 0.01);
        assert!(mean(Dist::Rademacher, |x| x).abs() < 0.03);
        assert!((mean(Dist::Exponential, |x| x) - 1.0).abs() < 0.03);
        assert!((mean(Dist::Gumbel, |x| x) - 0.5772).abs() < 0.04);
    }
}
