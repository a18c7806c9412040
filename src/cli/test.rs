//! `gannet test`: the checks of files and folders.

use super::args::TestArgs;
use super::show;
use gannet::lang::diag::{Code, Diagnostic};
use gannet::{CheckResult, Error, Model};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Runs all checks and prints each with its numbers; ends with `N passed, N failed`.
pub fn test(args: &TestArgs) -> Result<ExitCode, Error> {
    let (files, left_out) = files(args)?;
    let (mut passed, mut failed) = (0, 0);
    for file in &files {
        let start = Instant::now();
        println!("{}", file.display());
        match run_file(file, args) {
            Ok(results) => {
                for result in results {
                    let verdict = if result.passed { "ok" } else { "FAILED" };
                    println!("  {verdict:<7}{}{}", result.text, numbers(&result));
                    if result.passed { passed += 1 } else { failed += 1 }
                }
            }
            Err(error) => {
                show::error(&error);
                println!("  FAILED the file does not run");
                failed += 1;
            }
        }
        println!("  ({:.1} s)", start.elapsed().as_secs_f64());
    }
    for file in &left_out {
        println!("left out: {}", file.display());
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_file(file: &Path, args: &TestArgs) -> Result<Vec<CheckResult>, Error> {
    let model = Model::from_file(file, &args.run.dims)?;
    show::warnings(&model);
    model.run_checks(&args.run.options())
}

fn numbers(result: &CheckResult) -> String {
    match result.sides {
        Some((left, right)) => format!("  ({left:.6} against {right:.6})"),
        None => String::new(),
    }
}

/// The files named, and the `.gnt` files of folders named, in order; then those of the folders that are left out.
fn files(args: &TestArgs) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    for path in &args.paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(|e| unreadable(path, &e))?
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "gnt"))
            .collect();
        inside.sort();
        let skipped = |p: &PathBuf| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            args.skip.iter().any(|s| name.contains(s.as_str()))
        };
        let (skip, keep): (Vec<PathBuf>, Vec<PathBuf>) = inside.into_iter().partition(skipped);
        files.extend(keep);
        left_out.extend(skip);
    }
    Ok((files, left_out))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("`{}` cannot be read: {error}", path.display());
    Error { diagnostics: Diagnostic::error(Code::G0501, None, message).into(), sources: Default::default() }
}
