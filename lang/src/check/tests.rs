//! Wrong programs and what is said about them; right programs and what they mean; and that nothing panics.

use super::{Checked, Loader, Options, check};
use crate::diag::{Diagnostics, Sources};
use crate::render::render;

mod random;

/// The standard library.
pub struct Library;

impl Loader for Library {
    fn load(&self, path: &str, _from: Option<&str>) -> Option<(String, String)> {
        if path == "other.gnt" {
            return Some(("other.gnt".to_string(), "fn helper(x) = 2*x\nfn double(x) = helper(x)".to_string()));
        }
        gannet_stdlib::file(path).map(|text| (path.to_string(), text.to_string()))
    }
}

fn read(source: &str, options: &Options) -> (Sources, Result<Checked, Diagnostics>) {
    let mut sources = Sources::default();
    let file = sources.add("test.gnt", source);
    let result = check(&mut sources, file, &Library, options);
    (sources, result)
}

/// The cases of a file: a line `#: name`, then the source.
fn cases(text: &'static str) -> Vec<(&'static str, &'static str)> {
    let parts = text.split("#: ").skip(1);
    parts.map(|p| p.split_once('\n').expect("a case has a name and a source")).collect()
}

fn refused(source: &str) -> String {
    let (sources, result) = read(source, &Options::default());
    match result {
        Ok(_) => "it is accepted\n".to_string(),
        Err(d) => render(&sources, &d, false),
    }
}

fn errors_of(text: &'static str) -> String {
    let mut out = String::new();
    for (name, source) in cases(text) {
        let said = refused(source);
        assert!(!said.starts_with("it is accepted"), "`{name}` is a wrong program, and it is accepted");
        out += &format!("== {name}\n{}\n--\n{}\n\n", source.trim_end(), said.trim_end());
    }
    out
}

#[test]
fn wrong_names() {
    insta::assert_snapshot!(errors_of(include_str!("tests/names.gnt")));
}

#[test]
fn wrong_shapes() {
    insta::assert_snapshot!(errors_of(include_str!("tests/shapes.gnt")));
}

#[test]
fn wrong_calls() {
    insta::assert_snapshot!(errors_of(include_str!("tests/calls.gnt")));
}

#[test]
fn wrong_training() {
    insta::assert_snapshot!(errors_of(include_str!("tests/training.gnt")));
}

/// What a user of PyTorch or JAX writes on the first day.
#[test]
fn habits_of_other_languages() {
    insta::assert_snapshot!(errors_of(include_str!("tests/habits.gnt")));
}

/// Several findings of one run.
#[test]
fn several_findings() {
    insta::assert_snapshot!(errors_of(include_str!("tests/several.gnt")));
}

#[test]
fn wrong_graphs() {
    insta::assert_snapshot!(errors_of(include_str!("tests/graphs.gnt")));
}

#[test]
fn wrong_data() {
    insta::assert_snapshot!(errors_of(include_str!("tests/data.gnt")));
}

#[test]
fn wrong_nets() {
    insta::assert_snapshot!(errors_of(include_str!("tests/nets.gnt")));
}

/// The repository's examples are right.
#[test]
fn examples() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut refused = String::new();
    for entry in std::fs::read_dir(folder).expect("the examples are in the repository") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|e| e == "gnt") {
            let source = std::fs::read_to_string(&path).expect("an example can be read");
            let (sources, result) = read(&source, &Options::default());
            if let Err(d) = result {
                refused += &format!("{}:\n{}", path.display(), render(&sources, &d, false));
            }
        }
    }
    assert!(refused.is_empty(), "{refused}");
}

/// What right programs mean, in the Program's text form.
#[test]
fn meanings() {
    let mut refused = String::new();
    for (name, source) in cases(include_str!("tests/meanings.gnt")) {
        let (sources, result) = read(source, &Options::default());
        let program = match result {
            Ok(checked) => crate::print_program::print(&checked.program),
            Err(d) => {
                refused += &format!("`{name}` is a right program:\n{}", render(&sources, &d, false));
                continue;
            }
        };
        insta::assert_snapshot!(name.replace(' ', "_"), format!("{}\n----\n{program}", source.trim_end()));
    }
    assert!(refused.is_empty(), "{refused}");
}
