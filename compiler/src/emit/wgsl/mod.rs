//! WGSL text of a plan: one entry point a kernel.
//! Law: it only prints; the plan has made every choice. Reals are f32, truth values are stored as u32.
//!
//! Sizes of open dims, hyperparameters, the step and the seed come in one uniform block, so a new batch size or learning
//! rate compiles nothing. Each kernel has its own storage bindings from 1 on, in the order of first use.

mod body;
mod contraction;
mod prelude;

use crate::plan::{BufferId, Extent, Kernel, Kind, LibraryCall, Plan, Range, Traversal};
use body::Body;
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::Size;
use std::fmt::Write;

/// Invocations of a workgroup of a traversal.
const GROUP: u32 = 64;
/// Workgroups along x: WebGPU's default limit; more iterations continue along y.
const GROUPS_X: u32 = 65_535;

/// The module: uniform block, helper functions, then the kernels in their order.
///
/// # Errors
/// A library operation: these run on the CPU only.
pub fn emit(plan: &Plan) -> Result<String, Diagnostic> {
    let mut kernels = String::new();
    for (k, kernel) in plan.kernels.iter().enumerate() {
        kernels.push('\n');
        kernels.push_str(&match kernel {
            Kernel::Traversal(t) => traversal(plan, k, t),
            Kernel::Contraction(c) => contraction::contraction(plan, k, c),
            Kernel::Library(c) => return Err(refused(c)),
            Kernel::Repeat(c) => {
                let d = Diagnostic::error(Code::G0306, c.span, "loops with states have no GPU form yet");
                return Err(d.hint("they run on the CPU"));
            }
        });
    }
    let helpers = prelude::needed(&kernels);
    Ok(format!("{}{helpers}{kernels}", uniforms(plan)))
}

fn refused(c: &LibraryCall) -> Diagnostic {
    let message = format!("`{}` has no GPU form yet", c.fun.signature().name);
    Diagnostic::error(Code::G0306, c.span, message).hint("library operations run on the CPU")
}

/// The uniform block and its binding.
fn uniforms(plan: &Plan) -> String {
    let mut out = String::from("struct Arguments {\n  step: f32,\n  seed_low: u32,\n  seed_high: u32,\n");
    for (k, dim) in plan.tables.dims.iter().enumerate() {
        if !matches!(dim.size, Size::Fixed(_)) {
            let _ = writeln!(out, "  size_{k}: i32, // {}", dim.name.replace(['\n', '\r'], " "));
        }
    }
    for (k, hyper) in plan.tables.hypers.iter().enumerate() {
        let _ = writeln!(out, "  hyper_{k}: f32, // {}", hyper.name);
    }
    out.push_str("}\n@group(0) @binding(0) var<uniform> arguments: Arguments;\n");
    out
}

/// The WGSL type of a stored entry.
fn stored(kind: Kind) -> &'static str {
    match kind {
        Kind::Real => "f32",
        Kind::Int => "i32",
        Kind::Bool => "u32",
    }
}

/// The name of a buffer in a kernel.
fn buffer_name(kernel: usize, buffer: BufferId) -> String {
    format!("k{kernel}_b{}", buffer.0)
}

/// A number of entries as an `i32` expression.
fn extent(e: &Extent) -> String {
    let dims = e.dims.iter().map(|d| format!("arguments.size_{}", d.0));
    let factors: Vec<String> = if e.factor == 1 && !e.dims.is_empty() {
        dims.collect()
    } else {
        std::iter::once(format!("{}", e.factor)).chain(dims).collect()
    };
    if factors.len() == 1 { factors[0].clone() } else { format!("({})", factors.join(" * ")) }
}

/// Storage bindings of a kernel, written ones as `read_write`.
fn bindings(plan: &Plan, kernel: usize, used: &[(BufferId, bool)]) -> String {
    let mut out = String::new();
    for (k, (id, written)) in used.iter().enumerate() {
        let access = if *written { "read_write" } else { "read" };
        let buffer = plan.buffer(*id);
        let _ = writeln!(
            out,
            "@group(0) @binding({}) var<storage, {access}> {}: array<{}>; // {}",
            k + 1,
            buffer_name(kernel, *id),
            stored(buffer.kind),
            buffer.name.replace(['\n', '\r'], " ")
        );
    }
    out
}

fn traversal(plan: &Plan, k: usize, t: &Traversal) -> String {
    let mut body = Body::new(plan, k, &t.scope);
    let count = match &t.outer.range {
        Range::Full(e) => extent(e),
        Range::Blocks { size, extent: e } => format!("(({} + {}) / {size})", extent(e), size - 1),
        Range::Block { .. } => unreachable!("the outermost loop is not inside another"),
    };
    let counter = t.outer.id;
    if t.parallel {
        body.line(format!("let {counter} = i32(id.x + id.y * {}u);", GROUPS_X * GROUP));
        body.line(format!("if ({counter} >= {count}) {{ return; }}"));
        body.stmts(&t.outer.body);
    } else {
        body.open(format!("for (var {counter} = 0; {counter} < {count}; {counter}++) {{"));
        body.stmts(&t.outer.body);
        body.close();
    }
    let group = if t.parallel { GROUP } else { 1 };
    let (text, used) = body.finish();
    format!(
        "// {}\n{}@compute @workgroup_size({group})\nfn k{k}(@builtin(global_invocation_id) id: vec3<u32>) {{\n{text}}}\n",
        t.name.replace(['\n', '\r'], " "),
        bindings(plan, k, &used),
    )
}
