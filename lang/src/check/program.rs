//! The whole file: declarations, units, checks.

use super::Elab;
use super::items::{Items, Loader};
use super::run::Elaborated;
use crate::ast::{File, Ident};
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Sources};
use crate::program::{Hosts, Program, Size, Unit, UnitKind};
use std::rc::Rc;

/// How to check.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sizes of open dims, from the command line.
    pub dims: Vec<(String, u64)>,
    /// Turns up to which a loop over a dim is unrolled.
    pub unroll: u64,
    /// What the embedding program computes: the `extern fn`s of the text.
    pub hosts: Hosts,
}

impl Default for Options {
    fn default() -> Self {
        Options { dims: Vec::new(), unroll: super::layers::FEW_TURNS, hosts: Hosts::default() }
    }
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
    set_sizes(&mut items, options)?;
    let mut faults = super::names::unknown_names(&items);
    let mut data = match items.check_data() {
        Ok(data) => data,
        Err(found) => {
            faults.extend(found.0);
            return Err(ordered(faults));
        }
    };
    items.fold_sizes();
    let mut unmade = false;
    for (k, set) in data.iter_mut().enumerate() {
        let decl = items.data[k].clone();
        if !super::data::computes(&decl) {
            continue;
        }
        let drawn = Elab::new(&items, options, &set.name, UnitKind::Task).data_unit(&decl, k);
        match drawn {
            Ok(drawn) => items.settle_synthetic(set, k, drawn),
            Err(d) => {
                faults.push(*d);
                unmade = true;
            }
        }
    }
    if unmade {
        return Err(ordered(faults));
    }
    let (mut units, mut checks) = (Vec::new(), Vec::new());
    let names: Vec<String> = items
        .trains
        .iter()
        .map(|t| &t.name)
        .chain(items.tasks.iter().map(|t| &t.name))
        .map(|n: &Ident| n.name.clone())
        .collect();
    for name in names {
        match elaborated(&items, options, &name, &[]) {
            Ok(made) => units.push(made.unit.clone()),
            Err(found) => faults.extend(found.0),
        }
    }
    for decl in &items.checks {
        match Elab::new(&items, options, &decl.text, UnitKind::Check).check_unit(decl) {
            Ok(unit) => checks.push(unit),
            Err(found) => faults.extend(found.0),
        }
    }
    if !faults.is_empty() {
        return Err(ordered(faults));
    }
    let program = Program { dims: items.dims.clone(), data, units, checks };
    Ok(Checked { program, warnings: Diagnostics::default(), ast, items, options: options.clone() })
}

/// Findings in the order of the text, each place named once by each code.
fn ordered(mut faults: Vec<Diagnostic>) -> Diagnostics {
    faults.sort_by_key(|d| d.span);
    let mut seen = std::collections::BTreeSet::new();
    faults.retain(|d| d.span.is_none() || seen.insert((d.code, d.span)));
    Diagnostics(faults)
}

/// Sizes from the command line, for open dims. (`batch` may be a dim of a train block's own.)
fn set_sizes(items: &mut Items, options: &Options) -> Result<(), Diagnostics> {
    for (name, size) in &options.dims {
        let known: Vec<String> = items.dims.iter().map(|d| d.name.clone()).collect();
        let Some(d) = items.dims.iter_mut().find(|d| d.name == *name) else {
            if name == "batch" {
                continue;
            }
            let d = Diagnostic::error(Code::G0701, None, format!("there is no dim `{name}` to give a size"));
            let d = match super::near(name, known.clone()) {
                Some(n) => d.hint(format!("did you mean `{n}`?")),
                None => d.hint(format!("there are {}", known.join(", "))),
            };
            return Err(d.into());
        };
        match d.size {
            Size::Fixed(n) if n != *size => {
                let message = format!("the dim `{name}` has the size {n} and is given {size}");
                let d = Diagnostic::error(Code::G0202, d.span, message);
                return Err(d.hint(format!("declare it open, `dim {name}`, to choose its size from outside")).into());
            }
            // The rows of a batch stay open: the last batch may be shorter.
            _ if name == "batch" => {}
            _ => d.size = Size::Fixed(*size),
        }
    }
    Ok(())
}

/// One train block or task with these arguments, elaborated once for each choice of them.
pub(crate) fn elaborated(
    items: &Items,
    options: &Options,
    name: &str,
    args: &[(String, f64)],
) -> Result<Rc<Elaborated>, Diagnostics> {
    let args: Vec<(String, f64)> = args.iter().filter(|(n, _)| n != "seed").cloned().collect();
    let key = format!("{name}{args:?}");
    if let Some(found) = items.elaborated.borrow().get(&key) {
        return Ok(found.clone());
    }
    if items.open_programs.borrow().iter().any(|open| open == name) {
        let d = Diagnostic::error(Code::G0103, None, format!("`{name}` needs a run of itself"));
        return Err(d.into());
    }
    items.open_programs.borrow_mut().push(name.to_string());
    let made = elaborate(items, options, name, &args).map(Rc::new);
    items.open_programs.borrow_mut().pop();
    let made = made?;
    items.elaborated.borrow_mut().insert(key, made.clone());
    Ok(made)
}

fn elaborate(items: &Items, options: &Options, name: &str, args: &[(String, f64)]) -> Result<Elaborated, Diagnostics> {
    if let Some(t) = items.trains.iter().find(|t| t.name.name == name) {
        let data = match &t.data {
            None => None,
            Some(d) => match items.data.iter().position(|x| x.name.name == d.name) {
                Some(k) => Some(k),
                None => {
                    let d = items.unknown(&d.name, d.span);
                    return Err(d.hint("data are declared by `data NAME from \"file\" { ... }`").into());
                }
            },
        };
        return Elab::new(items, options, name, UnitKind::Train).program_unit(&t.params, &t.body, t.span, data, args);
    }
    let t = items.tasks.iter().find(|t| t.name.name == name).expect("the caller knows the name");
    let mut made =
        Elab::new(items, options, name, UnitKind::Task).program_unit(&t.params, &t.body, t.span, None, args)?;
    made.unit.double = t.double;
    Ok(made)
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
        if known.is_empty() && !self.program.units.iter().any(|u| u.name == name) {
            let d = Diagnostic::error(Code::G0702, None, format!("there is no train block or task `{name}`"));
            let names: Vec<String> = self.program.units.iter().map(|u| u.name.clone()).collect();
            return Err(d.hint(format!("there are {}", names.join(", "))).into());
        }
        elaborated(&self.items, &self.options, name, args).map(|made| made.unit.clone())
    }

    /// What was written.
    pub fn ast(&self) -> &File {
        &self.ast
    }
}
