//! Synthetic data: the `data` function of a data set's unit, run once.
//! Law: the values depend on the program and the sizes of its dims only, never on the seed of a run.

use super::{Column, Dataset, Sizes, Values};
use crate::session::{Options, Session};
use gannet_lang::diag::Diagnostic;
use gannet_lang::program::{Data, Output, Unit};

/// Draws are keyed by this seed, not by the run's.
const DATA_SEED: u64 = 0xDA7A;

/// Draws a synthetic data set.
///
/// # Errors
/// An open dim without a size.
pub fn draw(data: &Data, unit: &Unit, options: &Options) -> Result<Dataset, Diagnostic> {
    let mut own = Options { seed: DATA_SEED, double: true, hypers: vec![], ..options.clone() };
    own.dims.retain(|(n, _)| unit.dims.iter().any(|d| d.name == *n));
    let mut session = Session::new(unit.clone(), None, Sizes::of(&unit.dims), own)?;
    let mut bound = session.bind("data", 1)?;
    session.run(&mut bound)?;
    let function = unit.function("data").expect("a data unit has its function");
    let mut columns = Vec::new();
    let mut rows = 0;
    for (field, (output, term)) in data.fields.iter().zip(&function.outputs) {
        debug_assert_eq!(*output, Output::Value(field.name.clone()));
        let axes = &unit.term(*term).ty.axes;
        let numbers = bound.ordered(output, axes).expect("the plan has the function's outputs");
        rows = bound.sizes()[axes[0].dim.index()] as usize;
        let values = Values::of(&numbers, field.elem, options.double);
        columns.push(Column { name: field.name.clone(), elem: field.elem, width: numbers.len() / rows.max(1), values });
    }
    Ok(Dataset { name: data.name.clone(), rows, columns, splits: Vec::new() })
}
