//! The contraction template in WGSL: a 16×16 tile of the result a workgroup, both operands staged in workgroup memory.

use super::body::Body;
use super::{bindings, extent};
use crate::plan::{Access, Contraction, Extent, Plan, Scope};

/// Edge of the tile: 256 invocations and 2 KiB of workgroup memory, within WebGPU's default limits.
const TILE: usize = 16;

/// One contraction as an entry point. Workgroups: x over columns, y over rows, z over the batch.
pub fn contraction(plan: &Plan, k: usize, c: &Contraction) -> String {
    let none = Scope::default();
    let scope = c.epilogue.as_ref().map_or(&none, |e| &e.scope);
    let mut body = Body::new(plan, k, scope);
    let a = body.buffer(c.a.buffer, false);
    let b = body.buffer(c.b.buffer, false);
    body.line(format!("let count_m = {};", count(&c.m)));
    body.line(format!("let count_n = {};", count(&c.n)));
    body.line(format!("let count_k = {};", count(&c.k)));
    body.line("let z = i32(group.z);");
    body.line(format!("let m = i32(group.y) * {TILE} + i32(place.y);"));
    body.line(format!("let n = i32(group.x) * {TILE} + i32(place.x);"));
    body.line("var sum = 0.0;");
    body.open(format!("for (var start = 0; start < count_k; start += {TILE}) {{"));
    body.line("let ka = start + i32(place.x);");
    body.line("let kb = start + i32(place.y);");
    stage(&mut body, k, "a", &a, "m", "count_m", "ka", &index(&c.a, c, "m", "ka", (&c.m, &c.k)));
    stage(&mut body, k, "b", &b, "n", "count_n", "kb", &index(&c.b, c, "kb", "n", (&c.k, &c.n)));
    body.line("workgroupBarrier();");
    body.open(format!("for (var j = 0; j < {TILE}; j++) {{"));
    body.line(format!("sum += k{k}_a[i32(place.y) * {TILE} + j] * k{k}_b[j * {TILE} + i32(place.x)];"));
    body.close();
    body.line("workgroupBarrier();");
    body.close();
    body.line("if (m >= count_m || n >= count_n) { return; }");
    finish(&mut body, c);
    let (text, used) = body.finish();
    format!(
        "// {}\n{}var<workgroup> k{k}_a: array<f32, {size}>;\nvar<workgroup> k{k}_b: array<f32, {size}>;\n\
         @compute @workgroup_size({TILE}, {TILE})\nfn k{k}(@builtin(workgroup_id) group: vec3<u32>, \
         @builtin(local_invocation_id) place: vec3<u32>) {{\n{text}}}\n",
        c.name.replace(['\n', '\r'], " "),
        bindings(plan, k, &used),
        size = TILE * TILE,
    )
}

/// Loads one entry of an operand's tile, nought outside.
#[allow(clippy::too_many_arguments)]
fn stage(body: &mut Body<'_>, k: usize, side: &str, buffer: &str, outer: &str, bound: &str, inner: &str, at: &str) {
    let place = format!("k{k}_{side}[i32(place.y) * {TILE} + i32(place.x)]");
    body.line(format!("{place} = 0.0;"));
    body.line(format!("if ({outer} < {bound} && {inner} < count_k) {{ {place} = {buffer}[{at}]; }}"));
}

fn finish(body: &mut Body<'_>, c: &Contraction) {
    if let Some(target) = &c.c {
        let at = index(target, c, "m", "n", (&c.m, &c.n));
        let buffer = body.buffer(target.buffer, true);
        body.line(format!("{buffer}[{at}] = sum;"));
    }
    if let Some(e) = &c.epilogue {
        body.tile = "sum".to_string();
        body.given = vec![e.rows.id, e.columns];
        body.line(format!("let {} = m;", e.rows.id));
        body.line(format!("let {} = n;", e.columns));
        body.stmts(&e.rows.body);
    }
}

/// The place of entry (batch z, row, column) in an operand.
fn index(access: &Access, c: &Contraction, row: &str, column: &str, groups: (&[Extent], &[Extent])) -> String {
    let parts = [
        offset("z", &c.batch, &access.batch),
        offset(row, groups.0, &access.rows),
        offset(column, groups.1, &access.columns),
    ];
    let start = access.offset.iter().map(|(c, stride)| format!("{c} * {}", extent(stride)));
    let parts: Vec<String> = parts.into_iter().flatten().chain(start).collect();
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

fn count(sizes: &[Extent]) -> String {
    let sizes: Vec<String> = sizes.iter().filter(|e| !e.is(1)).map(extent).collect();
    if sizes.is_empty() { "1".to_string() } else { sizes.join(" * ") }
}
