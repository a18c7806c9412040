//! `gannet lint`: traps in files and folders.
//! Law: a file with errors is one with a finding; the others are looked at all the same.

use super::args::LintArgs;
use super::{files, show};
use gannet::{Error, Model};
use std::process::ExitCode;

/// Shows the traps of each file; ends with `N files, N warnings, N with errors`.
///
/// # Errors
/// A path that cannot be read.
pub fn lint(args: &LintArgs) -> Result<ExitCode, Error> {
    let (mut warnings, mut wrong) = (0, 0);
    let paths = files::sources(&args.paths)?;
    for path in &paths {
        match Model::from_file(path, &[]) {
            Ok(model) => {
                let found = model.lint();
                warnings += found.0.len();
                if !found.0.is_empty() {
                    show::error(&model.error(found));
                }
            }
            Err(error) => {
                show::error(&error);
                wrong += 1;
            }
        }
    }
    say!("{} files, {warnings} warnings, {wrong} with errors", paths.len());
    Ok(if warnings + wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
