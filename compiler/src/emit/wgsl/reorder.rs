//! Copies of tensors into another order of axes: what loops need between their steps.
//! Law: it moves words, whatever they mean.

use super::shader::{GROUP, GROUPS_X};
use std::fmt::Write;

/// A copy: the size of each axis of the target, outermost first, and how far apart its neighbours lie at the source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reorder {
    /// Size and stride, in entries.
    pub axes: Vec<(u64, u64)>,
}

impl Reorder {
    /// How many entries.
    pub fn entries(&self) -> u64 {
        self.axes.iter().map(|a| a.0).product()
    }

    /// Is every entry where it was?
    pub fn plain(&self) -> bool {
        let mut stride = 1;
        self.axes.iter().rev().all(|(n, s)| {
            let same = *s == stride || *n == 1;
            stride *= n;
            same
        })
    }
}

/// A module with one entry point `reorder`: binding 1 is read, binding 2 is written.
pub fn reorder(r: &Reorder) -> String {
    let mut parts = vec!["0u".to_string()];
    let mut below = 1;
    for (n, stride) in r.axes.iter().rev() {
        if *n > 1 {
            parts.push(format!("((i / {below}u) % {n}u) * {stride}u"));
        }
        below *= n;
    }
    let mut out = String::from(
        "@group(0) @binding(1) var<storage, read> words: array<u32>;\n\
         @group(0) @binding(2) var<storage, read_write> moved: array<u32>;\n",
    );
    let _ = writeln!(
        out,
        "@compute @workgroup_size({GROUP})\nfn reorder(@builtin(global_invocation_id) id: vec3<u32>) {{\n  \
         let i = id.x + id.y * {}u;\n  if (i < {}u) {{ moved[i] = words[{}]; }}\n}}",
        GROUPS_X * GROUP,
        r.entries(),
        parts.join(" + ")
    );
    out
}
