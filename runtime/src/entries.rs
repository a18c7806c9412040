//! Numbers, and how memory holds them.
//! Law: an entry has its kind's width, in the byte order of the machine.

use crate::data::Values;
use crate::device::cpu::execute::entry_bytes;
use crate::device::cpu::library::Fault;
use crate::device::cpu::memory::Memory;
use gannet_compiler::plan::Kind;
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{Axis, Elem};

/// A library operation without a result, as a finding.
pub fn no_result(fault: &Fault) -> Diagnostic {
    Diagnostic::error(Code::G0606, fault.span, fault.message.clone())
}

/// How an element type is stored.
pub fn kind_of(elem: Elem) -> Kind {
    match elem {
        Elem::Real => Kind::Real,
        Elem::Int | Elem::Index(_) => Kind::Int,
        Elem::Bool => Kind::Bool,
    }
}

/// Copies rows of a column.
pub fn gather(values: &Values, width: usize, rows: &[u32], target: &mut Memory) {
    // SAFETY: the values are plain numbers; the slice covers exactly them.
    let source = unsafe { std::slice::from_raw_parts(values.as_ptr(), values.bytes()) };
    gather_entries(source, width * values.entry_bytes(), rows, target);
}

/// Copies entries of so many bytes.
pub fn gather_entries(source: &[u8], bytes: usize, rows: &[u32], target: &mut Memory) {
    let target = &mut target.bytes_mut()[..rows.len() * bytes];
    for (row, to) in rows.iter().zip(target.chunks_exact_mut(bytes.max(1))) {
        let from = *row as usize * bytes;
        to.copy_from_slice(&source[from..from + bytes]);
    }
}

/// Numbers as a device stores them.
pub fn stored(values: &[f64], kind: Kind, double: bool) -> Memory {
    let mut memory = Memory::zeroed(values.len() * entry_bytes(kind, double));
    fill(&mut memory, values, kind, double);
    memory
}

/// Writes numbers as a device stores them.
pub fn fill(memory: &mut Memory, values: &[f64], kind: Kind, double: bool) {
    let bytes = memory.bytes_mut();
    let width = entry_bytes(kind, double);
    for (x, to) in values.iter().zip(bytes.chunks_exact_mut(width)) {
        match kind {
            Kind::Real if double => to.copy_from_slice(&x.to_ne_bytes()),
            Kind::Real => to.copy_from_slice(&(*x as f32).to_ne_bytes()),
            Kind::Int => to.copy_from_slice(&(*x as i32).to_ne_bytes()),
            Kind::Bool => to[0] = u8::from(*x != 0.0),
        }
    }
}

/// The first entries of what a device stores, as numbers.
pub fn numbers(bytes: &[u8], kind: Kind, double: bool, count: usize) -> Vec<f64> {
    let word = |k: usize| <[u8; 4]>::try_from(&bytes[4 * k..4 * k + 4]).expect("four bytes");
    let long = |k: usize| <[u8; 8]>::try_from(&bytes[8 * k..8 * k + 8]).expect("eight bytes");
    (0..count)
        .map(|k| match kind {
            Kind::Real if double => f64::from_ne_bytes(long(k)),
            Kind::Real => f64::from(f32::from_ne_bytes(word(k))),
            Kind::Int => f64::from(i32::from_ne_bytes(word(k))),
            Kind::Bool => f64::from(bytes[k]),
        })
        .collect()
}

/// Entries stored in the order of `own` axes, in row-major order of `axes`.
///
/// # Panics
/// If these are other axes.
pub fn in_order(own: &[Axis], axes: &[Axis], size: impl Fn(&Axis) -> usize, values: Vec<f64>) -> Vec<f64> {
    if own == axes {
        return values;
    }
    let stride = |a: &Axis| {
        let k = own.iter().position(|o| o == a).expect("an output has the axes of its type");
        own[k + 1..].iter().map(&size).product::<usize>()
    };
    let strides: Vec<usize> = axes.iter().map(stride).collect();
    let place = |mut k: usize| {
        let mut at = 0;
        for (axis, stride) in axes.iter().zip(&strides).rev() {
            at += k % size(axis) * stride;
            k /= size(axis);
        }
        values[at]
    };
    (0..values.len()).map(place).collect()
}
