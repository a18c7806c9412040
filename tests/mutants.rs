//! Damaged programs: every source of the repository with bytes and words changed at random is accepted or refused, in good
//! time, and what is said or made of it can be shown and formatted: nothing panics.
//!
//! `GANNET_MUTANTS=20000` tries so many. A failure shows the source.

use gannet::Model;
use gannet::compiler::graph::random::Rng;
use gannet::lang::diag::Sources;
use gannet::lang::format::format;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NORMAL: u64 = 1500;
/// A source of the repository takes milliseconds; a damaged one may not take much more.
const PATIENCE: Duration = Duration::from_secs(10);
const PIECES: &[&str] = &[
    "(", ")", "[", "]", "{", "}", "|", "'", "=", "~", ",", "..", "->", "<-", "=>", "@", "^", "-", "\n", ";", "#", "\"",
    "0", "1", "-1", "1e300", "x", "w", "f", "n", "else", "if", "then", "scan", "fix", "grad", "along", "sum", "param",
    "state", "net", "é",
];

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    for path in entries.map(|e| e.expect("an entry can be read").path()) {
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "gnt") {
            out.push(path);
        }
    }
}

/// The programs of the examples, and the cases of the checker's tests.
fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in ["examples", "stdlib/std", "lang/src/check/tests"] {
        sources(&root.join(folder), &mut paths);
    }
    paths.sort();
    let texts = paths.iter().map(|p| std::fs::read_to_string(p).expect("a source can be read"));
    let cases = texts
        .flat_map(|t| t.split("#: ").map(|c| c.split_once('\n').map_or("", |c| c.1).to_string()).collect::<Vec<_>>());
    cases.filter(|c| !c.trim().is_empty()).collect()
}

fn boundary(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

/// One change: a piece put in, a part left out, doubled or moved elsewhere, or a part of another source.
fn damage(rng: &mut Rng, text: &mut String, other: &str) {
    let at = boundary(text, rng.below(text.len() + 1));
    let length = 1 + rng.below(12);
    let end = boundary(text, at + length);
    match rng.below(6) {
        0 => text.insert_str(at, rng.pick(PIECES)),
        1 => text.replace_range(at..end, ""),
        2 => text.replace_range(at..end, rng.pick(PIECES)),
        3 => {
            let part = text[at..end].to_string();
            let to = boundary(text, rng.below(text.len() + 1));
            text.insert_str(to, &part);
        }
        4 => {
            let from = boundary(other, rng.below(other.len() + 1));
            let part = other[from..boundary(other, from + 40)].to_string();
            text.insert_str(at, &part);
        }
        _ => text.truncate(end),
    }
}

fn answered(text: &str) -> String {
    let mut shown = match Model::from_source("mutant.gnt", text) {
        Ok(model) => format!("{} {}", model.lint().0.len(), model.checked().program.units.len()),
        Err(error) => error.to_string(),
    };
    assert!(!shown.is_empty(), "a refusal says something");
    let mut sources = Sources::default();
    let file = sources.add("mutant.gnt", text);
    shown += &format(&sources, file).unwrap_or_default();
    shown
}

#[test]
fn damaged_programs_are_answered() {
    let corpus = corpus();
    assert!(corpus.len() > 50);
    let count = std::env::var("GANNET_MUTANTS").ok().map_or(NORMAL, |n| n.parse().expect("a number"));
    let mut failures = Vec::new();
    for seed in 0..count {
        let mut rng = Rng(seed);
        let (k, j) = (rng.below(corpus.len()), rng.below(corpus.len()));
        let mut text = corpus[k].clone();
        for _ in 0..=rng.below(3) {
            damage(&mut rng, &mut text, &corpus[j]);
        }
        let start = Instant::now();
        let done = std::panic::catch_unwind(|| answered(&text));
        if done.is_err() || start.elapsed() > PATIENCE {
            failures.push(format!("seed {seed}, {:.1} s:\n{text}\n", start.elapsed().as_secs_f64()));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {count} mutants:\n{}",
        failures.len(),
        failures[..failures.len().min(3)].join("\n")
    );
}
