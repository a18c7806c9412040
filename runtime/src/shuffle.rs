//! Random order of rows, from the counter-based generator: the same whatever ran before.

use gannet_compiler::philox::philox;

/// A site number that no draw of a program has: sites count from 0.
const SHUFFLE_SITE: u32 = u32::MAX;

/// Brings `count` random entries to the front, in random order: the first steps of a shuffle.
pub fn choose(rows: &mut [u32], count: usize, seed: u64, draw: u64) {
    for i in 0..count.min(rows.len()) {
        let counter = [i as u32, draw as u32, (draw >> 32) as u32, SHUFFLE_SITE];
        let word = philox(counter, [seed as u32, (seed >> 32) as u32])[0];
        let j = (u64::from(word) * (rows.len() - i) as u64) >> 32;
        rows.swap(i, i + j as usize);
    }
}

/// Shuffles in place (Fisher and Yates), keyed by the seed and the epoch.
pub fn shuffle(rows: &mut [u32], seed: u64, epoch: u64) {
    for i in (1..rows.len()).rev() {
        let counter = [i as u32, epoch as u32, (epoch >> 32) as u32, SHUFFLE_SITE];
        let word = philox(counter, [seed as u32, (seed >> 32) as u32])[0];
        // The high part of a 64-bit product is uniform below i + 1 up to a bias of i / 2^32.
        let j = (u64::from(word) * (i as u64 + 1)) >> 32;
        rows.swap(i, j as usize);
    }
}
