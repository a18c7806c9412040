//! Synthetic data and computed fields: the `data` function of a data set's unit, run once.
//! Law: the values depend on the program and the sizes of its dims only, never on the seed of a run.

use super::{Column, Dataset, Sizes, Values};
use crate::device::Choice;
use crate::session::{Options, Session};
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{Data, Elem, Field, Output, Unit};
use std::sync::Arc;

/// Draws are keyed by this seed, not by the run's.
const DATA_SEED: u64 = 0xDA7A;

/// Draws a synthetic data set.
///
/// # Errors
/// An open dim without a size; a value that is not finite.
pub fn draw(data: &Data, unit: &Unit, options: &Options) -> Result<Dataset, Diagnostic> {
    let session = Session::new(unit.clone(), None, Sizes::of(&unit.dims), own_options(unit, options, true))?;
    let (rows, columns) = run(data, unit, session, options.double)?;
    Ok(Dataset { name: data.name.clone(), rows, columns, splits: Vec::new() })
}

/// Appends the fields that are computed from those read, over all rows, splits from files of their own among them.
///
/// # Errors
/// An open dim without a size; sizes that differ; a value that is not finite.
pub fn compute(
    data: &Data,
    unit: &Unit,
    set: Dataset,
    sizes: &Sizes,
    options: &Options,
) -> Result<Dataset, Diagnostic> {
    let known = Arc::new(set);
    let own = own_options(unit, options, options.double);
    let session = Session::new(unit.clone(), Some(known.clone()), sizes.clone(), own)?;
    let (_, columns) = run(data, unit, session, options.double)?;
    let mut set = Arc::unwrap_or_clone(known);
    set.columns.extend(columns);
    Ok(set)
}

fn own_options(unit: &Unit, options: &Options, double: bool) -> Options {
    // On the CPU, so that data are the same whatever a run on them is computed by.
    let device = Choice::Cpu;
    let mut own = Options { seed: DATA_SEED, double, device, hypers: vec![], ..options.clone() };
    own.dims.retain(|(n, _)| unit.dims.iter().any(|d| d.name == *n));
    own
}

/// The number of rows, and the fields that the unit makes.
fn run(data: &Data, unit: &Unit, mut session: Session, double: bool) -> Result<(usize, Vec<Column>), Diagnostic> {
    let mut bound = session.bind("data", 1)?;
    session.run(&mut bound)?;
    let function = unit.function("data").expect("a data unit has its function");
    let mut columns = Vec::new();
    let mut rows = 0;
    let made = data.fields.iter().skip(data.fields.len() - function.outputs.len());
    for (field, (output, term)) in made.zip(&function.outputs) {
        debug_assert_eq!(*output, Output::Value(field.name.clone()));
        let axes = &unit.term(*term).ty.axes;
        let numbers = bound.ordered(output, axes).expect("the plan has the function's outputs");
        // Data with edges are one whole.
        rows = if data.whole { 1 } else { bound.sizes()[axes[0].dim.index()] as usize };
        finite(field, &numbers, numbers.len() / rows.max(1))?;
        let values = Values::of(&numbers, field.elem, double);
        columns.push(Column { name: field.name.clone(), elem: field.elem, width: numbers.len() / rows.max(1), values });
    }
    Ok((rows, columns))
}

/// What a program reads is finite, whether it comes from a file or from a definition.
fn finite(field: &Field, numbers: &[f64], width: usize) -> Result<(), Diagnostic> {
    let Some(k) = numbers.iter().position(|x| !x.is_finite()).filter(|_| field.elem == Elem::Real) else {
        return Ok(());
    };
    let message = format!("row {}, entry {} of the field `{}` is {}", k / width, k % width, field.name, numbers[k]);
    Err(Diagnostic::error(Code::G0504, field.span, message)
        .hint("look for a division by 0 or a logarithm of 0 in its definition"))
}
