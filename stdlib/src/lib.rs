//! The standard library: Gannet files, included in the binary.
//! Law: what a program can do with the library it could do without it, by copying the text.
#![deny(missing_docs)]

/// All files, by the path that `use` resolves to.
pub const FILES: &[(&str, &str)] = &[
    ("std/prelude.gnt", include_str!("../std/prelude.gnt")),
    ("std/activations.gnt", include_str!("../std/activations.gnt")),
    ("std/axes.gnt", include_str!("../std/axes.gnt")),
    ("std/losses.gnt", include_str!("../std/losses.gnt")),
    ("std/layers.gnt", include_str!("../std/layers.gnt")),
    ("std/convolution.gnt", include_str!("../std/convolution.gnt")),
    ("std/rules.gnt", include_str!("../std/rules.gnt")),
    ("std/schedules.gnt", include_str!("../std/schedules.gnt")),
    ("std/metrics.gnt", include_str!("../std/metrics.gnt")),
    ("std/domains.gnt", include_str!("../std/domains.gnt")),
    ("std/sampling.gnt", include_str!("../std/sampling.gnt")),
    ("std/numbers.gnt", include_str!("../std/numbers.gnt")),
    ("std/solvers.gnt", include_str!("../std/solvers.gnt")),
];

/// The text of a library file, for example `std/rules.gnt`.
pub fn file(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
}
