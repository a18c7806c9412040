//! The repository's own sources are in the one style.
//! Law: `gannet fmt` on the folders named here changes nothing; that it keeps programs is tested where it is written.

use std::path::Path;
use std::process::Command;

#[test]
fn sources_are_formatted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec!["examples".to_string(), "stdlib".to_string(), "bench".to_string(), "README.md".to_string()];
    pages(&root.join("book/src"), &mut paths);
    let run =
        Command::new(env!("CARGO_BIN_EXE_gannet")).args(["fmt", "--check"]).args(&paths).current_dir(root).output();
    let run = run.expect("the command starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "run `gannet fmt` on these:\n{said}\n{}", String::from_utf8_lossy(&run.stderr));
}

/// Formatting writes what the check asks for, and only that.
#[test]
fn a_file_is_formatted_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, wrong) = (folder.path().join("a.gnt"), folder.path().join("wrong.gnt"));
    std::fs::write(&path, "dim  n=3 # three\n").expect("the folder can be written");
    std::fs::write(&wrong, "dim dim dim\n").expect("the folder can be written");
    let run = |arguments: &[&str]| {
        let run = Command::new(env!("CARGO_BIN_EXE_gannet")).arg("fmt").args(arguments).arg(folder.path()).output();
        let run = run.expect("the command starts");
        (run.status.success(), String::from_utf8_lossy(&run.stdout).into_owned())
    };
    assert!(!run(&["--check"]).0);
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "dim  n=3 # three\n");
    let (done, said) = run(&[]);
    assert!(!done && said.ends_with("2 files, 1 formatted, 1 with syntax errors\n"), "{said}");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "dim n = 3  # three\n");
    assert_eq!(std::fs::read_to_string(&wrong).expect("it is there"), "dim dim dim\n");
    std::fs::remove_file(&wrong).expect("it is there");
    assert!(run(&["--check"]).0);
}

fn pages(folder: &Path, out: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the book is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            pages(&path, out);
        } else if path.extension().is_some_and(|e| e == "md") {
            out.push(path.display().to_string());
        }
    }
}
