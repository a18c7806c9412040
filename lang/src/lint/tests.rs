//! Each trap's page has a program that falls into it and one that does not; the repository's examples fall into none.

use super::lint;
use crate::check::tests::Library;
use crate::check::{Options, check};
use crate::diag::{Code, Diagnostics, Severity, Sources};
use crate::explain::page;
use crate::render::render;

fn traps(source: &str) -> (Sources, Diagnostics) {
    let mut sources = Sources::default();
    let file = sources.add("test.gnt", source);
    match check(&mut sources, file, &Library, &Options::default()) {
        Ok(checked) => {
            let found = lint(&checked, &sources, file);
            (sources, found)
        }
        Err(d) => panic!("{}", render(&sources, &d, false)),
    }
}

fn codes(source: &str) -> Vec<Code> {
    traps(source).1.0.iter().map(|d| d.code).collect()
}

/// The text of a page's blocks.
fn blocks(page: &str) -> Vec<&str> {
    page.split("\n```").skip(1).step_by(2).map(|b| b.split_once('\n').expect("a block has lines").1).collect()
}

#[test]
fn traps_are_found_where_they_are() {
    for &code in Code::ALL.iter().filter(|c| **c >= Code::G0801) {
        let [wrong, right] = blocks(page(code))[..] else { panic!("{code} has two examples") };
        assert!(codes(wrong).contains(&code), "{code}: {:?}\n{wrong}", codes(wrong));
        assert_eq!(codes(right), [], "{code}\n{right}");
    }
}

#[test]
fn traps_are_shown_and_allowed() {
    let source = blocks(page(Code::G0803))[0];
    let (sources, found) = traps(source);
    assert!(found.0.iter().all(|d| d.severity == Severity::Warning));
    insta::assert_snapshot!(render(&sources, &found, false));
    let meant: String = source.lines().map(|l| format!("{l}  # allow G0803: meant\n")).collect();
    assert_eq!(codes(&meant), []);
}

#[test]
fn examples_fall_into_no_trap() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut said = String::new();
    for entry in std::fs::read_dir(folder).expect("the examples are in the repository") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|e| e == "gnt") {
            let (sources, found) = traps(&std::fs::read_to_string(&path).expect("an example can be read"));
            if !found.0.is_empty() {
                said += &format!("{}:\n{}", path.display(), render(&sources, &found, false));
            }
        }
    }
    assert!(said.is_empty(), "{said}");
}
