//! The command line: `gannet train FILE`, `gannet test FILE`, `gannet check FILE`, `gannet emit STAGE FILE`,
//! `gannet explain CODE`, `gannet bench`.
//! Law: it only parses arguments and prints; what it shows, the library computed.

mod cli;

fn main() -> std::process::ExitCode {
    gannet::runtime::device::report_size_limits();
    cli::run()
}
