//! What the formatter keeps, on every source of the repository; and its style, by example.

use super::format;
use crate::diag::Sources;
use crate::print::print;
use std::path::{Path, PathBuf};

fn formatted(source: &str) -> Option<String> {
    let mut sources = Sources::default();
    let file = sources.add("test.gnt", source);
    format(&sources, file).ok()
}

/// The tree as text, without places.
fn tree(source: &str) -> String {
    let mut sources = Sources::default();
    let file = sources.add("test.gnt", source);
    print(&crate::parse(&sources, file).expect("it was parsed"))
}

/// All that is no blank, in order.
fn solid(source: &str) -> String {
    source.chars().filter(|c| !c.is_whitespace() && *c != '\u{feff}').collect()
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "gnt") {
            out.push(path);
        }
    }
}

/// All sources of the repository: programs, the cases of the tests' files, and what the book shows.
fn sources() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = Vec::new();
    for folder in ["lang", "stdlib", "examples", "bench"] {
        files(&root.join(folder), &mut paths);
    }
    let mut out = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a source can be read");
        out.extend(text.split("\n====\n").map(str::to_string));
        out.extend(text.split("#: ").skip(1).filter_map(|case| Some(case.split_once('\n')?.1.to_string())));
    }
    out
}

#[test]
fn formatting_keeps_the_program_and_settles() {
    let mut kept = 0;
    for source in sources() {
        let Some(once) = formatted(&source) else { continue };
        assert_eq!(solid(&source).replace('#', ""), solid(&once).replace('#', ""), "{source}");
        assert_eq!(tree(&source), tree(&once), "{source}\n----\n{once}");
        assert_eq!(formatted(&once).as_deref(), Some(once.as_str()), "{source}");
        kept += 1;
    }
    assert!(kept > 100, "there are sources: {kept}");
}

/// Blanks and indents taken away and put where they do no harm: the result is the same.
#[test]
fn blanks_do_not_matter() {
    for source in sources() {
        let Some(once) = formatted(&source) else { continue };
        let flat: Vec<&str> = once.lines().map(str::trim_start).collect();
        let wide: Vec<String> = once.lines().map(|l| format!("     {l}   ")).collect();
        // What stands one under another does so by columns, which these texts keep or lose as a whole.
        assert_eq!(formatted(&wide.join("\r\n")).as_deref(), Some(once.as_str()), "{source}");
        let again = formatted(&flat.join("\n")).expect("indents mean nothing");
        assert_eq!(tree(&once), tree(&again), "{source}");
    }
}

#[test]
fn style() {
    let source = include_str!("tests/style.gnt");
    insta::assert_snapshot!(formatted(source).expect("it can be read"));
}
