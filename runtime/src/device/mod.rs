//! The devices that run a plan.

pub mod cpu;

/// Lets a write beyond a limit on file sizes fail with an error, as on a full disk, instead of ending the process.
pub fn report_size_limits() {
    #[cfg(unix)]
    // SAFETY: the disposition of one signal is set to "ignore" before any thread is started.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
