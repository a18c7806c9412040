//! The book and the README as tests: every block of Gannet in them is checked.
//! Law: what the book shows as right is accepted, and what it shows as wrong is refused with the code it names.
//!
//! ` ```gannet ` is a whole program, ` ```gannet,G0203 ` one that gives this code, and ` ```gannet,fragment ` is only shown.
//! ` ```text,emit STAGE [FROM TO] ` holds what `gannet emit STAGE` prints for the page's program, from the first line that
//! starts with FROM to the line before the next one that starts with TO (`·` stands for a blank). `GANNET_BLESS=1` renews
//! these blocks.

use gannet_lang::check::{Loader, Options, check};
use gannet_lang::diag::{Code, Diagnostics, Sources};
use gannet_lang::explain::page;
use std::path::{Path, PathBuf};

/// The standard library, and the example files by their names.
struct Library;

impl Loader for Library {
    fn load(&self, path: &str, _from: Option<&str>) -> Option<(String, String)> {
        gannet_stdlib::file(path).map(|text| (path.to_string(), text.to_string()))
    }
}

/// A fenced block.
struct Block {
    /// What stands behind the fence.
    kind: String,
    text: String,
    /// Its line in the file, from 1.
    line: usize,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All Markdown files of the book, in order.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the book is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            out.extend(pages(&path));
        } else if path.extension().is_some_and(|e| e == "md") {
            out.push(path);
        }
    }
    out.sort();
    out
}

fn blocks(text: &str) -> Vec<Block> {
    let mut out: Vec<Block> = Vec::new();
    let mut open = false;
    for (k, line) in text.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(kind) if !open => {
                out.push(Block { kind: kind.to_string(), text: String::new(), line: k + 1 });
                open = true;
            }
            Some(_) => open = false,
            None if open => {
                let block = out.last_mut().expect("a block is open");
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!open, "a block is not closed");
    out
}

fn findings(name: &str, text: &str) -> (Sources, Diagnostics) {
    let mut sources = Sources::default();
    let file = sources.add(name, text);
    let found = check(&mut sources, file, &Library, &Options::default()).err().unwrap_or_default();
    (sources, found)
}

/// The traps in a right program; nothing is found in a wrong one.
fn traps(text: &str) -> Vec<Code> {
    let mut sources = Sources::default();
    let file = sources.add("page", text);
    let checked = check(&mut sources, file, &Library, &Options::default());
    let found = checked.map(|c| gannet_lang::lint::lint(&c, &sources, file)).unwrap_or_default();
    found.0.iter().map(|d| d.code).collect()
}

/// What is wrong with a block, if it is not what its kind says.
fn fault(name: &str, block: &Block) -> Option<String> {
    let mut words = block.kind.split(',');
    if words.next() != Some("gannet") {
        return None;
    }
    let wanted = match words.next() {
        Some("fragment") => return None,
        Some(code) => Some(code.parse::<Code>().unwrap_or_else(|e| panic!("{name}: {e}"))),
        None => None,
    };
    let (sources, found) = findings(name, &block.text);
    if let Some(code) = wanted.filter(|code| *code >= Code::G0801) {
        let found = traps(&block.text);
        return (!found.contains(&code)).then(|| format!("{name}:{}: `{}` gave {found:?}", block.line, block.kind));
    }
    // Codes from G0501 on speak of data, runs and the command line, except a dim that nothing binds.
    let wanted = wanted.filter(|code| *code < Code::G0501);
    let codes: Vec<Code> = found.0.iter().map(|d| d.code).collect();
    let good = match wanted {
        Some(code) => codes.contains(&code),
        None => codes.is_empty(),
    };
    if good {
        return None;
    }
    let shown = gannet_lang::render::render(&sources, &found, false);
    Some(format!("{name}:{}: `{}` gave {codes:?}\n{}\n{shown}", block.line, block.kind, block.text))
}

#[test]
fn every_block_is_what_it_says() {
    let mut files = pages(&root().join("book/src"));
    files.push(root().join("README.md"));
    let mut faults = Vec::new();
    let mut checked = 0;
    for file in &files {
        let name = file.strip_prefix(root()).expect("a file of the repository").display().to_string();
        for block in blocks(&read(file)) {
            checked += usize::from(block.kind.starts_with("gannet") && !block.kind.contains("fragment"));
            faults.extend(fault(&name, &block));
        }
    }
    assert!(checked > 70, "the book has examples: {checked}");
    assert!(faults.is_empty(), "{} of {checked}:\n{}", faults.len(), faults.join("\n"));
}

/// Each page has its heading, a wrong example of its own code, and a right one.
#[test]
fn every_code_has_its_examples() {
    for &code in Code::ALL {
        let text = page(code);
        assert!(text.starts_with(&format!("# {code}: {}\n", code.title())), "{code}");
        let kinds: Vec<String> = blocks(text).into_iter().map(|b| b.kind).collect();
        let wrong = format!("gannet,{code}");
        assert!(kinds == [wrong, "gannet".to_string()] || kinds == ["text", "text"], "{code}: {kinds:?}");
    }
}

/// Every page is in the table of contents, and everything there exists.
#[test]
fn contents_are_complete() {
    let source = root().join("book/src");
    let summary = read(&source.join("SUMMARY.md"));
    let mut listed: Vec<PathBuf> = summary
        .split("](")
        .skip(1)
        .map(|rest| source.join(rest.split(')').next().expect("a link is closed")))
        .collect();
    listed.push(source.join("SUMMARY.md"));
    listed.sort();
    assert_eq!(listed, pages(&source));
}

/// The examples of the repository are accepted too.
#[test]
fn examples_are_accepted() {
    for entry in std::fs::read_dir(root().join("examples")).expect("the examples are there") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|e| e == "gnt") {
            let (sources, found) = findings(&path.display().to_string(), &read(&path));
            assert!(found.0.is_empty(), "{}", gannet_lang::render::render(&sources, &found, false));
        }
    }
}

/// What `gannet emit` prints of a file.
fn emitted(stage: &str, file: &Path) -> String {
    emitted_with(&[stage], file)
}

fn emitted_with(args: &[&str], file: &Path) -> String {
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_gannet")).arg("emit").args(args).arg(file).output();
    let run = run.expect("the command starts");
    assert!(run.status.success(), "emit {args:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("dumps are text")
}

/// The lines from the first that starts with `from` to the one before the next that starts with `to`.
fn excerpt(text: &str, from: &str, to: &str) -> String {
    let (from, to) = (from.replace('·', " "), to.replace('·', " "));
    let lines: Vec<&str> = text.lines().skip_while(|l| !l.starts_with(&from)).collect();
    let end = lines.iter().skip(1).position(|l| l.starts_with(&to)).map_or(lines.len(), |k| k + 1);
    lines[..end].join("\n")
}

/// The page with its dumps as they are now.
fn with_dumps(page: &str, file: &Path) -> String {
    let mut out = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(what) = line.strip_prefix("```text,emit ") else { continue };
        let old: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
        let words: Vec<&str> = what.split(' ').collect();
        // The intermediate form of machine code differs from one kind of processor to another.
        let elsewhere = words[0] == "clif" && !cfg!(target_arch = "x86_64");
        let text = match words[..] {
            _ if elsewhere => old.join("\n"),
            [stage, from, to] => excerpt(&emitted(stage, file), from, to),
            [stage] => emitted(stage, file),
            _ => panic!("`{line}`: a stage, or a stage with FROM and TO"),
        };
        out.push_str(text.trim_end());
        out.push_str("\n```\n");
    }
    out
}

/// A folder with the program of the chapter that follows one through all levels.
fn chapter_program(page: &str) -> (tempfile::TempDir, PathBuf) {
    let program = blocks(page).into_iter().find(|b| b.kind == "gannet").expect("the chapter has a program");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("side.gnt");
    std::fs::write(&file, program.text).expect("the folder can be written");
    (folder, file)
}

/// The chapter that follows one program shows what the compiler prints.
#[test]
fn dumps_are_real() {
    let path = root().join("book/src/inside/levels.md");
    let page = read(&path);
    let (_folder, file) = chapter_program(&page);
    let now = with_dumps(&page, &file);
    if std::env::var_os("GANNET_BLESS").is_some() {
        std::fs::write(&path, now).expect("the page can be written");
    } else {
        let differs = page.lines().zip(now.lines()).find(|(a, b)| a != b);
        assert!(page == now, "{}: {differs:?}; GANNET_BLESS=1 renews the dumps", path.display());
    }
}

/// The chapter's pictures are what the compiler draws.
#[test]
fn pictures_are_real() {
    let inside = root().join("book/src/inside");
    let page = read(&inside.join("levels.md"));
    let (_folder, file) = chapter_program(&page);
    for (name, file) in [("side.svg", file), ("mlp.svg", root().join("bench/mlp.gnt"))] {
        assert!(page.contains(&format!("]({name})")), "the chapter shows {name}");
        let (path, now) = (inside.join(name), emitted_with(&["plan", "--svg"], &file));
        if std::env::var_os("GANNET_BLESS").is_some() {
            std::fs::write(&path, now).expect("the picture can be written");
        } else {
            assert!(read(&path) == now, "{}: GANNET_BLESS=1 renews it", path.display());
        }
    }
}
