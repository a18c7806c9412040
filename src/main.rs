//! The command line: `gannet train FILE`, `gannet test FILE`, `gannet check FILE`, `gannet emit STAGE FILE`,
//! `gannet explain CODE`, `gannet bench`.
//! Law: it only parses arguments and prints; what it shows, the library computed.

mod cli;

/// Checking and compiling make and drop many small objects, which takes this allocator a third less time than the
/// system's; steps of training allocate nothing. Programs that embed Gannet keep their own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    gannet::runtime::device::report_size_limits();
    cli::run()
}
