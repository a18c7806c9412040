//! Whether tests of the GPU can run here.

use std::io::Write;

/// Has the machine a GPU, or an emulated one? If not, says what is skipped, past the capture of tests; where
/// `GANNET_GPU=required` is set, that is a failure.
pub fn has_gpu(what: &str) -> bool {
    let found = !gannet::runtime::device::adapters().is_empty();
    if !found {
        assert!(std::env::var("GANNET_GPU").as_deref() != Ok("required"), "no GPU here, and {what} need one");
        let _ = writeln!(std::io::stderr(), "skipped, no GPU here: {what}");
    }
    found
}
