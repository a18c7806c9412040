//! Emitters: a plan as machine code or as text for a GPU.
//! Law: they make no choices; the plan has made them.

pub mod cpu;
pub mod wgsl;
