//! A short random test: programs with parts changed at random are accepted or refused, and never make the checker panic.

use super::{cases, read};
use crate::check::Options;

/// A small generator of our own, so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        // xorshift64 (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// The words and signs of a source, with what separates them.
fn words(source: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for c in source.chars() {
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        match out.last_mut() {
            Some(last) if word(c) && last.chars().all(word) => last.push(c),
            _ => out.push(c.to_string()),
        }
    }
    out
}

fn mutated(source: &str, random: &mut Random) -> String {
    let mut parts = words(source);
    for _ in 0..=random.below(3) {
        let (i, j) = (random.below(parts.len()), random.below(parts.len()));
        match random.below(4) {
            0 => parts.swap(i, j),
            1 => parts[i] = parts[j].clone(),
            2 => {
                parts.remove(i);
            }
            _ => {
                parts[i] = ["0", "-1", "x", "1e30", "[", "]", "batch", "w", "'", "f", "..", "inf"][random.below(12)]
                    .to_string()
            }
        }
    }
    parts.concat()
}

#[test]
fn never_panics() {
    let files = [
        include_str!("meanings.gnt"),
        include_str!("names.gnt"),
        include_str!("shapes.gnt"),
        include_str!("calls.gnt"),
        include_str!("training.gnt"),
        include_str!("data.gnt"),
    ];
    let sources: Vec<&str> = files.into_iter().flat_map(cases).map(|c| c.1).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..400 {
        let source = mutated(sources[random.below(sources.len())], &mut random);
        let done = std::panic::catch_unwind(|| {
            let _ = read(&source, &Options::default());
        });
        assert!(done.is_ok(), "round {round} panics on:\n{source}");
    }
}
