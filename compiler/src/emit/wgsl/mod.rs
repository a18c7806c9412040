//! WGSL of a plan: one entry point a kernel of the two templates.
//! Law: it only prints; the plan has made every choice. Reals are f32, and every entry is stored in four bytes, truth
//! values as 0 or 1.
//!
//! Sizes of open dims, hyperparameters, the step and the seed come in one uniform block, so a new batch size or learning
//! rate compiles nothing. Library operations and loops have no entry point of their own: whoever runs the plan computes
//! the first on the host, and goes through the shaders of a loop's step as often as it says.

mod body;
mod contraction;
mod memory;
mod prelude;
mod reorder;
mod shader;
mod share;

pub use contraction::Form;
pub use reorder::{Reorder, reorder};
pub use shader::{Binding, GROUP, GROUPS_X, Grid, Region, Shader, Target, spread};

use crate::graph::Tables;
use crate::plan::{Extent, Kernel, Kind, Plan, Range, Traversal};
use body::Body;
use gannet_lang::program::Size;
use memory::Memory;
use std::fmt::Write;

/// What an entry point is put together from.
struct Text {
    /// Functions and variables that it uses.
    before: String,
    /// Its attributes and parameters.
    head: String,
    /// Its statements.
    body: String,
}

/// All shaders of a plan in WebGPU's default limits: a module for the plan, and one for the step of each loop in it.
pub fn emit(plan: &Plan) -> String {
    let mut kernels = String::new();
    let mut steps = String::new();
    for (k, kernel) in plan.kernels.iter().enumerate() {
        kernels.push('\n');
        let name = remark(kernel.name());
        match kernel {
            Kernel::Library(c) => {
                let _ = writeln!(kernels, "// k{k} runs on the host, `{}`: {name}", c.fun.signature().name);
            }
            Kernel::Repeat(c) => {
                let _ = writeln!(kernels, "// k{k} is a loop, its step is a module of its own: {name}");
                let _ = write!(steps, "\n{STEP} k{k}: {name}\n{}", emit(&c.step));
            }
            _ => {
                let form = Form::Tiles;
                kernels.push_str(&shader(plan, k, Target::default(), form).expect("a template").text);
            }
        }
    }
    let helpers = prelude::needed(&kernels);
    format!("{}{helpers}{kernels}{steps}", uniforms(&plan.tables))
}

/// What stands before the module of a loop's step in the text of [`emit`].
pub const STEP: &str = "// ---- the step of";

/// The whole module of one kernel: what all share, and its own text.
pub fn module(plan: &Plan, shader: &Shader) -> String {
    format!("{}{}{}", uniforms(&plan.tables), prelude::needed(&shader.text), shader.text)
}

/// A kernel of one of the two templates; `None` for the others. The form matters for products only.
pub fn shader(plan: &Plan, k: usize, target: Target, form: Form) -> Option<Shader> {
    let memory = Memory::new(plan, k, target);
    let (text, grid) = match &plan.kernels[k] {
        Kernel::Traversal(t) => traversal(plan, k, t, &memory),
        Kernel::Contraction(c) => contraction::contraction(plan, k, c, &memory, form),
        Kernel::Library(_) | Kernel::Repeat(_) => return None,
    };
    let Text { before, head, body } = text;
    let name = remark(plan.kernels[k].name());
    let text = format!("// {name}\n{}{before}{head} {{\n{body}}}\n", memory.declare());
    Some(Shader { entry: format!("k{k}"), text, bases: memory.bases(), bindings: memory.bindings, grid })
}

/// The values of the uniform block, in its order: words of four bytes.
pub fn arguments(tables: &Tables, sizes: &[u64], hypers: &[f64], step: f64, seed: u64) -> Vec<u32> {
    let mut words = vec![(step as f32).to_bits(), seed as u32, (seed >> 32) as u32];
    let open = tables.dims.iter().zip(sizes).filter(|(d, _)| !matches!(d.size, Size::Fixed(_)));
    words.extend(open.map(|(_, n)| *n as u32));
    words.extend(tables.hypers.iter().zip(hypers).map(|(_, x)| (*x as f32).to_bits()));
    words
}

/// The uniform block and its binding.
fn uniforms(tables: &Tables) -> String {
    let mut out = String::from("struct Arguments {\n  step: f32,\n  seed_low: u32,\n  seed_high: u32,\n");
    for (k, dim) in tables.dims.iter().enumerate() {
        if !matches!(dim.size, Size::Fixed(_)) {
            let _ = writeln!(out, "  size_{k}: i32, // {}", remark(&dim.name));
        }
    }
    for (k, hyper) in tables.hypers.iter().enumerate() {
        let _ = writeln!(out, "  hyper_{k}: f32, // {}", remark(&hyper.name));
    }
    out.push_str("}\n@group(0) @binding(0) var<uniform> arguments: Arguments;\n");
    out
}

/// A name inside a remark.
fn remark(name: &str) -> String {
    name.replace(['\n', '\r'], " ")
}

/// The WGSL type of a stored entry.
fn stored(kind: Kind) -> &'static str {
    match kind {
        Kind::Real => "f32",
        Kind::Int => "i32",
        Kind::Bool => "u32",
    }
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

fn traversal(plan: &Plan, k: usize, t: &Traversal, memory: &Memory<'_>) -> (Text, Grid) {
    let mut body = Body::new(plan, &t.scope, memory);
    let (counter, count) = (t.outer.id, count(&t.outer.range));
    if let Some(due) = memory.due() {
        body.line(format!("if (!({due})) {{ return; }}"));
    }
    let (mut group, mut grid) = (GROUP, Grid::Entries(vec![t.outer.range.clone()]));
    let number = format!("i32(id.x + id.y * {}u)", GROUPS_X * GROUP);
    if let Some(inner) = share::inner(t) {
        let columns = self::count(&inner.range);
        body.line(format!("let entry = {number};"));
        body.line(format!("if (entry >= {count} * {columns}) {{ return; }}"));
        body.line(format!("let {counter} = entry / {columns};"));
        body.line(format!("let {} = entry % {columns};", inner.id));
        body.given = vec![inner.id];
        body.stmts(&t.outer.body);
        grid = Grid::Entries(vec![t.outer.range.clone(), inner.range.clone()]);
    } else if t.parallel {
        body.line(format!("let {counter} = {number};"));
        body.line(format!("if ({counter} >= {count}) {{ return; }}"));
        body.stmts(&t.outer.body);
    } else {
        body.open(format!("for (var {counter} = 0; {counter} < {count}; {counter}++) {{"));
        body.stmts(&t.outer.body);
        body.close();
        (group, grid) = (1, Grid::One);
    }
    let head = format!("@compute @workgroup_size({group})\nfn k{k}(@builtin(global_invocation_id) id: vec3<u32>)");
    (Text { before: String::new(), head, body: body.finish() }, grid)
}

/// The iterations of a loop that is no block of another, as an `i32` expression.
fn count(range: &Range) -> String {
    match range {
        Range::Full(e) => extent(e),
        Range::Blocks { size, extent: e } => format!("(({} + {}) / {size})", extent(e), size - 1),
        Range::Block { .. } => unreachable!("a loop that is shared out is no block of another"),
    }
}
