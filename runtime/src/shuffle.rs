//! Random order of rows, from the counter-based generator: the same whatever ran before.

use gannet_compiler::philox::philox;

/// A site number that no draw of a program has: sites count from 0.
const SHUFFLE_SITE: u32 = u32::MAX;

/// A number below `n`, for place `i` of an order that the seed and its number tell from others.
fn below(n: usize, i: usize, seed: u64, order: u64) -> usize {
    let counter = [i as u32, order as u32, (order >> 32) as u32, SHUFFLE_SITE];
    let word = philox(counter, [seed as u32, (seed >> 32) as u32])[0];
    // The high part of a 64-bit product is uniform below n up to a bias of n / 2^32.
    ((u64::from(word) * n as u64) >> 32) as usize
}

/// Brings `count` random entries to the front, in random order: the first steps of a shuffle.
pub fn choose(rows: &mut [u32], count: usize, seed: u64, draw: u64) {
    for i in 0..count.min(rows.len()) {
        rows.swap(i, i + below(rows.len() - i, i, seed, draw));
    }
}

/// Shuffles in place (Fisher and Yates), keyed by the seed and the epoch.
pub fn shuffle(rows: &mut [u32], seed: u64, epoch: u64) {
    for i in (1..rows.len()).rev() {
        rows.swap(i, below(i + 1, i, seed, epoch));
    }
}
