//! Tidiness of the repository as a test: who may depend on whom, which crate may be used where, how long files are.
//! Law: a rule of the architecture that can be checked is checked here.

use gannet_lang::diag::Code;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What each crate may use of ours.
const MAY_USE: &[(&str, &[&str])] = &[
    ("lang", &[]),
    ("stdlib", &[]),
    ("compiler", &["gannet-lang", "gannet-stdlib"]),
    ("runtime", &["gannet-compiler", "gannet-lang"]),
    (".", &["gannet-lang", "gannet-stdlib", "gannet-compiler", "gannet-runtime"]),
];

/// Crates of others that may be named only below one place.
const ONLY_IN: &[(&str, &str)] = &[
    ("pest", "lang/src/parse"),
    ("egg", "compiler/src/egraph"),
    ("cranelift", "compiler/src/emit/cpu"),
    ("wgpu", "runtime/src/device/gpu"),
];

/// The most lines of a file.
const LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All files below a folder with this extension, sorted; build outputs and hidden folders are left out.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("the folder can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "runs", "node_modules"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).expect("a file of the repository").to_string_lossy().replace('\\', "/")
}

/// The names in the sections of a manifest whose heading passes.
fn dependencies(manifest: &str, section: &str) -> Vec<String> {
    let mut inside = false;
    let mut out = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim() == section;
        } else if inside
            && let Some(name) = line.split(['.', '=', ' ']).next().filter(|n| !n.is_empty() && !n.starts_with('#'))
        {
            out.push(name.to_string());
        }
    }
    out
}

#[test]
fn dependencies_point_one_way() {
    for (folder, allowed) in MAY_USE {
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        let ours: Vec<String> =
            dependencies(&manifest, "[dependencies]").into_iter().filter(|d| d.starts_with("gannet")).collect();
        for name in &ours {
            assert!(allowed.contains(&name.as_str()), "`{folder}` must not use `{name}`");
        }
    }
}

/// A path of that crate, or of one of its family (`egg::`, `pest_derive::`), stands in the line.
fn names(line: &str, foreign: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(foreign).any(|(k, _)| {
        let rest = line[k + foreign.len()..].trim_start_matches(word);
        !line[..k].ends_with(word) && rest.starts_with("::")
    })
}

/// A foreign crate that shapes a stage stays in the stage's folder.
#[test]
fn foreign_crates_stay_in_their_place() {
    for path in files(root(), "rs") {
        let name = shown(&path);
        for line in read(&path).lines().filter(|l| !l.trim_start().starts_with("//")) {
            for (foreign, place) in ONLY_IN {
                let fits = name.starts_with(place) || !names(line, foreign);
                assert!(fits, "`{foreign}` may be named only in {place}, not in {name}: {line}");
            }
        }
    }
}

#[test]
fn files_are_short() {
    let long: Vec<String> = files(root(), "rs")
        .iter()
        .map(|p| (shown(p), read(p).lines().count()))
        .filter(|(_, n)| *n > LINES)
        .map(|(name, n)| format!("{name}: {n}"))
        .collect();
    assert!(long.is_empty(), "files of more than {LINES} lines:\n{}", long.join("\n"));
}

/// Every file of code says in its head what it is.
#[test]
fn modules_have_heads() {
    let headless: Vec<String> = files(root(), "rs")
        .iter()
        .filter(|p| !read(p).trim_start_matches("#![no_main]").trim_start().starts_with("//!"))
        .map(|p| shown(p))
        .collect();
    assert!(headless.is_empty(), "without a head:\n{}", headless.join("\n"));
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = files(&root().join("book/src/errors"), "md")
        .iter()
        .filter_map(|p| p.file_stem().map(|s| s.to_string_lossy().into_owned()))
        .filter(|name| name.starts_with('G'))
        .collect();
    let codes: BTreeSet<String> = Code::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(pages, codes);
}

/// Nothing names the machine that it was written on.
#[test]
fn no_machine_paths() {
    // Written in two parts, so that this file does not find itself.
    let absolute =
        [["/wo", "rk/"].concat(), ["/ho", "me/"].concat(), ["/ro", "ot/"].concat(), ["/Us", "ers/"].concat()];
    for extension in ["rs", "md", "toml", "gnt", "py", "sh", "snap", "pest", "run"] {
        for path in files(root(), extension) {
            let text = read(&path);
            for start in &absolute {
                assert!(!text.contains(start), "{} names a path of a machine: {start}", shown(&path));
            }
        }
    }
}
