//! The whole file: declarations, units, checks.

use super::items::{Items, Loader};
use super::{Check, Elab};
use crate::ast::{File, Ident};
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Sources};
use crate::program::{Program, Size, Unit, UnitKind};

/// How to check.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Sizes of open dims, from the command line.
    pub dims: Vec<(String, u64)>,
}

/// A checked file, from which train blocks can be elaborated with other arguments.
pub struct Checked {
    /// Its meaning with all arguments at their defaults.
    pub program: Program,
    /// What is allowed but strange.
    pub warnings: Diagnostics,
    ast: File,
    items: Items,
    options: Options,
}

/// Checks a file.
///
/// # Errors
/// Everything that a user can get wrong: at most one finding for each declaration, in the order of the text.
pub fn check(
    sources: &mut Sources,
    file: FileId,
    loader: &dyn Loader,
    options: &Options,
) -> Result<Checked, Diagnostics> {
    let ast = crate::parse::parse(sources, file)?;
    let mut items = Items::gather(&ast, sources, file, loader)?;
    for (name, size) in &options.dims {
        if let Some(d) = items.dims.iter_mut().find(|d| d.name == *name && d.size == Size::Open) {
            d.size = Size::Fixed(*size);
        }
    }
    let data = items.check_data()?;
    let (mut units, mut checks, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let names: Vec<String> = items
        .trains
        .iter()
        .map(|t| &t.name)
        .chain(items.tasks.iter().map(|t| &t.name))
        .map(|n: &Ident| n.name.clone())
        .collect();
    for name in names {
        match elaborate(&items, options, &name, &[]) {
            Ok(unit) => units.push(unit),
            Err(d) => faults.push(*d),
        }
    }
    for decl in &items.checks {
        match Elab::new(&items, options, &decl.text, UnitKind::Check).check_unit(decl) {
            Ok(unit) => checks.push(unit),
            Err(d) => faults.push(*d),
        }
    }
    if !faults.is_empty() {
        faults.sort_by_key(|d| d.span);
        faults.dedup();
        return Err(Diagnostics(faults));
    }
    let program = Program { dims: items.dims.clone(), data, units, checks };
    Ok(Checked { program, warnings: Diagnostics::default(), ast, items, options: options.clone() })
}

/// One train block or task with these arguments.
fn elaborate(items: &Items, options: &Options, name: &str, args: &[(String, f64)]) -> Check<Unit> {
    if let Some(t) = items.trains.iter().find(|t| t.name.name == name) {
        let data = match &t.data {
            None => None,
            Some(d) => match items.data.iter().position(|x| x.name.name == d.name) {
                Some(k) => Some(k),
                None => {
                    return super::fail(
                        items.unknown(&d.name, d.span).hint("data are declared by `data NAME from \"file\" { ... }`"),
                    );
                }
            },
        };
        return Elab::new(items, options, name, UnitKind::Train).program_unit(&t.params, &t.body, t.span, data, args);
    }
    let t = items.tasks.iter().find(|t| t.name.name == name).expect("the caller knows the name");
    let mut unit =
        Elab::new(items, options, name, UnitKind::Task).program_unit(&t.params, &t.body, t.span, None, args)?;
    unit.double = t.double;
    Ok(unit)
}

impl Checked {
    /// A train block or task elaborated with other arguments (`seed` is no argument of the elaboration).
    ///
    /// # Errors
    /// An unknown program or argument, and what the new values make wrong.
    pub fn instantiate(&self, name: &str, args: &[(String, f64)]) -> Result<Unit, Diagnostics> {
        let known = self.items.program_params(name);
        for (arg, _) in args {
            if arg != "seed" && !known.contains(arg) {
                let d = Diagnostic::error(Code::G0701, None, format!("`{name}` has no argument `{arg}`"));
                return Err(d.hint(format!("its arguments are {}", known.join(", "))).into());
            }
        }
        elaborate(&self.items, &self.options, name, args).map_err(|d| Diagnostics(vec![*d]))
    }

    /// What was written.
    pub fn ast(&self) -> &File {
        &self.ast
    }
}
