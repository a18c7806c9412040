//! The parser under random damage: it answers, always, with a tree or with diagnostics.

use super::{CONSTRUCTS, read};
use crate::print::print;
use crate::render::{record, render};

/// A small generator (xorshift64*, Vigna 2016): the same cases in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn place(&mut self, text: &str) -> usize {
        let at = self.below(text.len() + 1);
        text.floor_char_boundary(at)
    }
}

const PIECES: &[&str] = &[
    "(", ")", "[", "]", "{", "}", "=", "==", "'", "\"", "\n", ";", ",", "..", "->", "<-", "=>", "|", "|>", "~", "√",
    "²", "∂", "λ", "é", "\u{feff}", "\r\n", "\0", "#", "%", "1e", "0.5", "if", "then", "else", "for", "with", "scan",
    "fix", "net", "-", "not", "columns", "column", "every", "argmin", " ",
];

fn damage(random: &mut Random, text: &mut String) {
    let at = random.place(text);
    match random.below(5) {
        0 => text.truncate(at),
        1 => text.insert_str(at, PIECES[random.below(PIECES.len())]),
        2 => {
            let end = random.place(text);
            let other = text[at.min(end)..at.max(end)].to_string();
            let to = random.place(text);
            text.insert_str(to, &other);
        }
        3 => {
            let end = text.ceil_char_boundary((at + random.below(12)).min(text.len()));
            text.replace_range(at..end, "");
        }
        _ => {
            let end = text.ceil_char_boundary((at + 1).min(text.len()));
            text.replace_range(at..end, PIECES[random.below(PIECES.len())]);
        }
    }
}

#[test]
fn damaged_sources_are_answered() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..2500 {
        let mut text = CONSTRUCTS[round % CONSTRUCTS.len()].1.to_string();
        for _ in 0..=random.below(4) {
            damage(&mut random, &mut text);
        }
        let (sources, result) = read(&text);
        match result {
            Ok(tree) => reads_back(&text, &tree),
            Err(errors) => {
                assert!(!errors.0.is_empty(), "no error for:\n{text}");
                render(&sources, &errors, false);
                errors.0.iter().for_each(|e| assert!(record(&sources, e).place.is_some(), "no place for:\n{text}"));
            }
        }
    }
}

/// The text form of a tree is a source with the same tree.
fn reads_back(text: &str, tree: &crate::ast::File) {
    let printed = print(tree);
    let again = read(&printed).1.unwrap_or_else(|e| panic!("{e}{printed}\nfrom:\n{text}"));
    assert_eq!(printed, print(&again), "from:\n{text}");
}
