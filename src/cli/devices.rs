//! `gannet devices`: where plans can run on this machine.

use gannet::runtime::device::{HAS_GPU, adapters};
use std::process::ExitCode;

/// Lists the CPU, then the GPUs with their limits.
pub fn devices() -> ExitCode {
    let threads = std::thread::available_parallelism().map(usize::from).unwrap_or(1);
    say!("cpu: {threads} threads");
    if !HAS_GPU {
        say!("no GPUs: this Gannet was built without the feature `gpu`");
        return ExitCode::SUCCESS;
    }
    let all = adapters();
    for a in &all {
        let kind = if a.software { ", emulated on the CPU" } else { "" };
        say!("gpu: {} ({}, {}{kind})", a.name, a.backend, a.driver);
        let half = if a.half { "yes" } else { "no" };
        say!("  largest buffer {} MiB, largest binding {} MiB", a.buffer >> 20, a.binding >> 20);
        say!(
            "  storage buffers a kernel {}, workgroup: {} invocations, {} KiB",
            a.storage_buffers,
            a.invocations,
            a.workgroup >> 10
        );
        say!("  half precision {half}");
    }
    if all.is_empty() {
        say!("no GPUs: Vulkan has no adapter here");
    }
    ExitCode::SUCCESS
}
