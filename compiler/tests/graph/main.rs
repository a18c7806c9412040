//! The Graph's text form and its verifier.
#![allow(missing_docs)]

mod laws;
mod text;

use gannet_compiler::graph::{Graph, Tables};
use gannet_lang::diag::Span;
use gannet_lang::program::{Axis, Dim, DimId, Elem, Hyper, Input, Param, Part, Role, Size, State, Ty};
use std::sync::Arc;

pub const BATCH: Axis = Axis { dim: DimId(0), ix: 0 };
pub const ROW: Axis = Axis { dim: DimId(1), ix: 0 };
pub const THREE: Axis = Axis { dim: DimId(2), ix: 0 };
pub const REAL: Axis = Axis { dim: DimId(3), ix: 0 };
pub const ROW_TWIN: Axis = Axis { dim: DimId(4), ix: 0 };

/// Dims with awkward names; in0: real[batch, row], in1: row[batch], w0: real[row, 3], w1: real[], s0: real[batch].
pub fn tables() -> Arc<Tables> {
    let dims = [("batch", Size::Open), ("row", Size::Fixed(4)), ("3", Size::Fixed(3)), ("real", Size::Fixed(2))];
    let dims = dims.into_iter().chain([("row", Size::Fixed(4)), ("odd name", Size::Fixed(1))]);
    let input = |name: &str, elem, axes: &[Axis]| Input {
        name: name.into(),
        field: None,
        part: Part::Batch,
        ty: Ty { elem, axes: axes.to_vec() },
    };
    let real = |axes: &[Axis]| Ty { elem: Elem::Real, axes: axes.to_vec() };
    let param =
        |name: &str, axes| Param { name: name.into(), ty: real(axes), role: Role::Weight, span: Span::default() };
    Arc::new(Tables {
        dims: dims.map(|(name, size)| Dim { name: name.into(), size, span: None }).collect(),
        inputs: vec![input("x", Elem::Real, &[BATCH, ROW]), input("label", Elem::Index(DimId(1)), &[BATCH])],
        params: vec![param("f.w", &[ROW, THREE]), param("f.b", &[])],
        states: vec![State { name: "m".into(), ty: real(&[BATCH]), span: Span::default() }],
        hypers: vec![Hyper { name: "lr".into(), default: 0.1 }],
        hosts: vec![],
        assumed: vec![64, 4, 3, 2, 4, 1],
    })
}

/// Reads text over [`tables`].
pub fn read(text: &str) -> Graph {
    Graph::parse(text, tables()).unwrap_or_else(|e| panic!("{e}\n{text}"))
}
