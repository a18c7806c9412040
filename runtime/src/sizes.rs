//! Sizes of a unit's dims: fixed by the program, bound by the data, by the batch, or on the command line.

use crate::data::{Dataset, Sizes};
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{DimId, Size, SizeExpr, Unit};

/// Binds dims named on the command line.
///
/// # Errors
/// A name that is no dim of the unit, or a fixed dim that would change.
pub fn bind_named(unit: &Unit, named: &[(String, u64)], sizes: &mut Sizes) -> Result<(), Diagnostic> {
    for (name, size) in named {
        let Some(k) = unit.dims.iter().position(|d| d.name == *name) else {
            let known: Vec<&str> = unit.dims.iter().filter(|d| d.size == Size::Open).map(|d| d.name.as_str()).collect();
            let message = format!("there is no dim `{name}` in `{}`", unit.name);
            return Err(
                Diagnostic::error(Code::G0701, None, message).hint(format!("open dims are {}", known.join(", ")))
            );
        };
        match unit.dims[k].size {
            Size::Fixed(n) if n != *size => {
                let message = format!("the dim `{name}` has the size {n}, not {size}");
                let d = Diagnostic::error(Code::G0202, unit.dims[k].span, message);
                return Err(d.hint(format!("declare it open, `dim {name}`, to choose its size when running")));
            }
            _ => sizes.set(DimId::new(k), *size),
        }
    }
    Ok(())
}

/// Binds the dims that count the rows of the data set and of its splits.
pub fn bind_rows(unit: &Unit, set: &Dataset, sizes: &mut Sizes) {
    let mut bind = |name: &str, rows: usize| {
        if let Some(k) = unit.dims.iter().position(|d| d.name == name && d.size == Size::Open) {
            sizes.set(DimId::new(k), rows as u64);
        }
    };
    bind(&set.name, set.rows);
    for (split, rows) in &set.splits {
        bind(&format!("{}.{split}", set.name), rows.len());
    }
}

/// What costs are estimated by: the sizes that are known. A batch that nothing bounds is all training data.
pub fn assume(unit: &Unit, sizes: &Sizes, data: Option<&Dataset>, assumed: &mut [u64]) {
    if let (Some(dim), None, Some(set)) = (unit.batch, unit.schedule.batch, data) {
        assumed[dim.index()] = set.train().len() as u64;
    }
    for (k, dim) in unit.dims.iter().enumerate() {
        if let Some(n) = sizes.get(DimId::new(k)) {
            assumed[k] = n;
        } else if let Size::Of(e) = &dim.size {
            let known: Vec<Option<u64>> = assumed.iter().map(|n| Some(*n)).collect();
            assumed[k] = size_of(e, &known).unwrap_or(assumed[k]).max(1);
        }
    }
}

/// The size of every dim, for a batch of so many rows.
///
/// # Errors
/// An open dim that nothing binds.
pub fn complete(unit: &Unit, sizes: &Sizes, batch: u64, needed: &[bool]) -> Result<Vec<u64>, Diagnostic> {
    let mut known: Vec<Option<u64>> = (0..unit.dims.len()).map(|k| sizes.get(DimId::new(k))).collect();
    if let Some(dim) = unit.batch {
        known[dim.index()] = Some(batch);
    }
    for k in 0..unit.dims.len() {
        if let Size::Of(e) = &unit.dims[k].size {
            known[k] = size_of(e, &known);
        }
    }
    for ask in &unit.asks {
        if let (Some(has), Some(to)) = (known[ask.dim.index()], eval(&ask.to, &known))
            && !(ask.from..=has as i64).contains(&to)
        {
            let (from, name) = (ask.from, &unit.dims[ask.dim.index()].name);
            let message = format!("this reads the entries {from}..{to} of `{name}`, which has {has}");
            let d = Diagnostic::error(Code::G0206, ask.span, message);
            return Err(d.hint("say what lies outside, `(x[0..n] else 0)` or `(x[9] else 0)`, or read fewer"));
        }
    }
    let mut out = Vec::new();
    for (k, dim) in unit.dims.iter().enumerate() {
        match known[k] {
            Some(n) => out.push(n),
            None if !needed[k] => out.push(0),
            None => {
                let d = Diagnostic::error(Code::G0603, dim.span, format!("the dim `{}` has no size", dim.name));
                return Err(d.hint(format!("give it one: `dim {} = ...`, or `--dim {}=...`", dim.name, dim.name)));
            }
        }
    }
    Ok(out)
}

/// An expression's value, if it is a size.
fn size_of(e: &SizeExpr, known: &[Option<u64>]) -> Option<u64> {
    eval(e, known).and_then(|n| u64::try_from(n).ok())
}

fn eval(e: &SizeExpr, known: &[Option<u64>]) -> Option<i64> {
    let two = |a: &SizeExpr, b: &SizeExpr| Some((eval(a, known)?, eval(b, known)?));
    match e {
        SizeExpr::Const(n) => Some(*n),
        SizeExpr::Dim(d) => known[d.index()].map(|n| n as i64),
        SizeExpr::Add(a, b) => two(a, b).map(|(a, b)| a + b),
        SizeExpr::Sub(a, b) => two(a, b).map(|(a, b)| a - b),
        SizeExpr::Mul(a, b) => two(a, b).map(|(a, b)| a * b),
        SizeExpr::Div(a, b) => two(a, b).and_then(|(a, b)| (b != 0).then(|| a.div_euclid(b))),
        SizeExpr::Mod(a, b) => two(a, b).and_then(|(a, b)| (b != 0).then(|| a.rem_euclid(b))),
    }
}

/// Which dims a set of types speaks of: those need a size.
pub fn needed(unit: &Unit) -> Vec<bool> {
    let mut needed = vec![false; unit.dims.len()];
    for term in &unit.terms {
        for axis in &term.ty.axes {
            needed[axis.dim.index()] = true;
        }
    }
    needed
}
