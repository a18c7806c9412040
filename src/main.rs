//! The command line.
/// Entry.
fn main() {}
