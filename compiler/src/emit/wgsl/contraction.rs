//! The contraction template in WGSL: an entry of the result an invocation, or a tile of it a workgroup, with both operands
//! staged in workgroup memory.
//! Law: every form adds the products of an entry in the order of the summed axes, one after the other.

use super::body::Body;
use super::memory::Memory;
use super::shader::{GROUP, GROUPS_X, Grid, Target};
use super::{Text, extent};
use crate::plan::{Access, BufferId, Contraction, Extent, Plan, Scope};
use std::fmt::Write;

/// Invocations along an edge of a workgroup of a tile: 256 in all, WebGPU's default limit.
const EDGE: usize = 16;
/// Products that are staged at a time, for each entry.
const DEPTH: usize = 16;
/// Entries of a tile's edge that an invocation of a large product computes: sixteen sums in registers for eight loads.
/// The tiles of both operands then take 8 KiB of workgroup memory.
const BLOCK: usize = 4;
/// Rows and columns from which on the large tiles are used: below, most of a tile would be outside.
const LARGE: i64 = 64;

/// How a product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// An entry an invocation.
    Entries,
    /// A tile of 16×16 entries a workgroup.
    Tiles,
    /// A tile of 64×64.
    LargeTiles,
}

impl Form {
    /// The form for these sizes.
    pub fn of(c: &Contraction, sizes: &[u64], target: Target) -> Form {
        let large = |axes: &[Extent]| Extent::product(axes, sizes) >= LARGE;
        match target.tiles {
            false => Form::Entries,
            true if large(&c.m) && large(&c.n) => Form::LargeTiles,
            true => Form::Tiles,
        }
    }
}

/// One contraction as an entry point.
pub fn contraction(plan: &Plan, k: usize, c: &Contraction, memory: &Memory<'_>, form: Form) -> (Text, Grid) {
    let finish = finish(plan, k, c, memory);
    match form {
        Form::Entries => (by_entries(k, c, memory, &finish), by_entries_grid(c)),
        Form::Tiles => tiles(k, c, memory, &finish, 1),
        Form::LargeTiles => tiles(k, c, memory, &finish, BLOCK),
    }
}

/// What is done with a finished sum, as a function: it is called once for each sum of an invocation.
fn finish(plan: &Plan, k: usize, c: &Contraction, memory: &Memory<'_>) -> String {
    let none = Scope::default();
    let scope = c.epilogue.as_ref().map_or(&none, |e| &e.scope);
    let mut body = Body::new(plan, scope, memory);
    if let Some(target) = &c.c {
        let at = sum([
            offset("z", &c.batch, &target.batch),
            offset("m", &c.m, &target.rows),
            offset("n", &c.n, &target.columns),
            start(target),
        ]);
        body.line(memory.store(target.buffer, &at, "sum"));
    }
    if let Some(e) = &c.epilogue {
        body.tile = "sum".to_string();
        body.given = vec![e.rows.id, e.columns];
        body.line(format!("let {} = m;", e.rows.id));
        body.line(format!("let {} = n;", e.columns));
        body.stmts(&e.rows.body);
    }
    format!("fn k{k}_finish(z: i32, m: i32, n: i32, sum: f32) {{\n{}}}\n", body.finish())
}

fn by_entries_grid(c: &Contraction) -> Grid {
    let full = |e: &Extent| crate::plan::Range::Full(e.clone());
    Grid::Entries(c.batch.iter().chain(&c.m).chain(&c.n).map(full).collect())
}

fn by_entries(k: usize, c: &Contraction, memory: &Memory<'_>, finish: &str) -> Text {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "  {text}").expect("text grows");
    line(format!("let entry = i32(id.x + id.y * {}u);", GROUPS_X * GROUP));
    line(format!("let count_m = {};\n  let count_n = {};", count(&c.m), count(&c.n)));
    line(format!("if (entry >= {} * count_m * count_n) {{ return; }}", count(&c.batch)));
    if let Some(due) = memory.due() {
        line(format!("if (!({due})) {{ return; }}"));
    }
    line(
        "let n = entry % count_n;\n  let m = (entry / count_n) % count_m;\n  let z = entry / (count_m * count_n);"
            .into(),
    );
    line(format!("let from_a = {};", first(&c.a, c, ("m", &c.m, &c.a.rows))));
    line(format!("let from_b = {};", first(&c.b, c, ("n", &c.n, &c.b.columns))));
    line(format!("var sum = 0.0;\n  for (var k = 0; k < {}; k++) {{", count(&c.k)));
    let a = memory.load(c.a.buffer, &sum([Some("from_a".into()), offset("k", &c.k, &c.a.columns)]));
    let b = memory.load(c.b.buffer, &sum([Some("from_b".into()), offset("k", &c.k, &c.b.rows)]));
    line(format!("  sum += {a} * {b};\n  }}\n  k{k}_finish(z, m, n, sum);"));
    Text {
        before: finish.to_string(),
        head: format!("@compute @workgroup_size({GROUP})\nfn k{k}(@builtin(global_invocation_id) id: vec3<u32>)"),
        body: out,
    }
}

/// One side of a tile: the operand, and which of its groups is not summed.
struct Side<'a> {
    name: &'static str,
    buffer: BufferId,
    /// Sizes and strides of the rows of a, of the columns of b.
    own: (&'a [Extent], &'a [Extent]),
    summed: &'a [Extent],
    /// The tile's place among rows or columns.
    tile: &'static str,
    bound: &'static str,
}

impl Side<'_> {
    /// Statements that stage the side's tile: neighbouring invocations take neighbours in memory, as far as known.
    fn stage(&self, k: usize, c: &Contraction, memory: &Memory<'_>, block: usize) -> String {
        let (edge, name) = (EDGE * block, self.name);
        let along_sum = self.summed.last().is_some_and(|s| s.is(1));
        let (own, inner) = match along_sum {
            true => (format!("i / {DEPTH}"), format!("i % {DEPTH}")),
            false => (format!("i % {edge}"), format!("i / {edge}")),
        };
        let at =
            sum([Some(format!("from_{name}")), offset("own", self.own.0, self.own.1), offset("k", &c.k, self.summed)]);
        let value = memory.load(self.buffer, &at);
        let (tile, bound, step, end) = (self.tile, self.bound, EDGE * EDGE, edge * DEPTH);
        format!(
            "    for (var i = i32(local); i < {end}; i += {step}) {{\n      let own = {tile} * {edge} + {own};\n      \
             let k = start + {inner};\n      var x = 0.0;\n      if (own < {bound} && k < count_k) {{ x = {value}; }}\n      \
             k{k}_{name}[({inner}) * {edge} + {own}] = x;\n    }}\n"
        )
    }
}

fn tiles(k: usize, c: &Contraction, memory: &Memory<'_>, finish: &str, block: usize) -> (Text, Grid) {
    let edge = EDGE * block;
    let a = Side {
        name: "a",
        buffer: c.a.buffer,
        own: (&c.m, &c.a.rows),
        summed: &c.a.columns,
        tile: "tile_m",
        bound: "count_m",
    };
    let b = Side {
        name: "b",
        buffer: c.b.buffer,
        own: (&c.n, &c.b.columns),
        summed: &c.b.rows,
        tile: "tile_n",
        bound: "count_n",
    };
    let mut out = tile_head(k, c, memory, edge);
    for (r, s) in pairs(block) {
        let _ = writeln!(out, "  var sum_{r}_{s} = 0.0;");
    }
    let _ = writeln!(out, "  for (var start = 0; start < count_k; start += {DEPTH}) {{");
    out.push_str(&a.stage(k, c, memory, block));
    out.push_str(&b.stage(k, c, memory, block));
    let _ = writeln!(out, "    workgroupBarrier();\n    for (var j = 0; j < {DEPTH}; j++) {{");
    for r in 0..block {
        let _ = writeln!(out, "      let a_{r} = k{k}_a[j * {edge} + y * {block} + {r}];");
        let _ = writeln!(out, "      let b_{r} = k{k}_b[j * {edge} + x * {block} + {r}];");
    }
    for (r, s) in pairs(block) {
        let _ = writeln!(out, "      sum_{r}_{s} += a_{r} * b_{s};");
    }
    out.push_str("    }\n    workgroupBarrier();\n  }\n");
    let _ = writeln!(out, "  let m = tile_m * {edge} + y * {block};\n  let n = tile_n * {edge} + x * {block};");
    for (r, s) in pairs(block) {
        let _ = writeln!(
            out,
            "  if (m + {r} < count_m && n + {s} < count_n) {{ k{k}_finish(z, m + {r}, n + {s}, sum_{r}_{s}); }}"
        );
    }
    let size = edge * DEPTH;
    let mut before =
        format!("{finish}var<workgroup> k{k}_a: array<f32, {size}>;\nvar<workgroup> k{k}_b: array<f32, {size}>;\n");
    if memory.due().is_some() {
        let _ = writeln!(before, "var<workgroup> k{k}_due: u32;");
    }
    let head = format!(
        "@compute @workgroup_size({})\nfn k{k}(@builtin(workgroup_id) group: vec3<u32>, \
         @builtin(local_invocation_index) local: u32)",
        EDGE * EDGE
    );
    let (batch, rows, columns) = (c.batch.clone(), c.m.clone(), c.n.clone());
    (Text { before, head, body: out }, Grid::Tiles { batch, rows, columns, edge: edge as u64 })
}

/// Which tile a workgroup has, and where its operands begin.
fn tile_head(k: usize, c: &Contraction, memory: &Memory<'_>, edge: usize) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "  {text}").expect("text grows");
    line(format!("let count_m = {};\n  let count_n = {};\n  let count_k = {};", count(&c.m), count(&c.n), count(&c.k)));
    line(format!(
        "let tiles_m = (count_m + {}) / {edge};\n  let tiles_n = (count_n + {}) / {edge};",
        edge - 1,
        edge - 1
    ));
    line(format!("let number = i32(group.x + group.y * {GROUPS_X}u);"));
    line("let tile_n = number % tiles_n;\n  let tile_m = (number / tiles_n) % tiles_m;".into());
    line("let z = number / (tiles_m * tiles_n);".into());
    line(format!("if (z >= {}) {{ return; }}", count(&c.batch)));
    if let Some(due) = memory.due() {
        // A barrier may stand only where all invocations of the group come by.
        line(format!("if (local == 0u) {{ k{k}_due = select(0u, 1u, {due}); }}"));
        line(format!("if (workgroupUniformLoad(&k{k}_due) == 0u) {{ return; }}"));
    }
    line(format!("let x = i32(local) % {EDGE};\n  let y = i32(local) / {EDGE};"));
    line(format!("let from_a = {};", sum([offset("z", &c.batch, &c.a.batch), start(&c.a)])));
    line(format!("let from_b = {};", sum([offset("z", &c.batch, &c.b.batch), start(&c.b)])));
    out
}

fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |r| (0..n).map(move |s| (r, s)))
}

/// Where an operand begins for a member of the batch and a row (of a) or a column (of b).
fn first(access: &Access, c: &Contraction, (name, sizes, strides): (&str, &[Extent], &[Extent])) -> String {
    sum([offset("z", &c.batch, &access.batch), offset(name, sizes, strides), start(access)])
}

/// Where the first entry of an operand lies.
fn start(access: &Access) -> Option<String> {
    let parts: Vec<String> = access.offset.iter().map(|(c, stride)| format!("({c}) * {}", extent(stride))).collect();
    (!parts.is_empty()).then(|| parts.join(" + "))
}

fn sum<const N: usize>(parts: [Option<String>; N]) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "0".to_string() } else { parts.join(" + ") }
}

/// The offset of the entry numbered `name` in the row-major product of axes: the number is taken apart axis by axis.
fn offset(name: &str, sizes: &[Extent], strides: &[Extent]) -> Option<String> {
    let mut parts = Vec::new();
    for (k, stride) in strides.iter().enumerate() {
        if stride.is(0) || sizes[k].is(1) {
            continue;
        }
        let below: Vec<String> = sizes[k + 1..].iter().filter(|e| !e.is(1)).map(extent).collect();
        let mut counter = name.to_string();
        if !below.is_empty() {
            counter = format!("({counter} / ({}))", below.join(" * "));
        }
        if k > 0 {
            counter = format!("({counter} % {})", extent(&sizes[k]));
        }
        parts.push(if stride.is(1) { counter } else { format!("{counter} * {}", extent(stride)) });
    }
    (!parts.is_empty()).then(|| parts.join(" + "))
}

/// The number of entries of axes together, as an `i32` expression.
fn count(sizes: &[Extent]) -> String {
    let sizes: Vec<String> = sizes.iter().filter(|e| !e.is(1)).map(extent).collect();
    match sizes.len() {
        0 => "1".to_string(),
        1 => sizes[0].clone(),
        _ => format!("({})", sizes.join(" * ")),
    }
}
