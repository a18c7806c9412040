//! The devices that run a plan.

mod bound;
pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;

pub use bound::Bound;

/// Where a run is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// On the CPU.
    #[default]
    Cpu,
    /// On a GPU, or not at all.
    Gpu,
    /// On a GPU, if this machine has one that is not itself emulated on the CPU.
    Auto,
}

/// What a GPU is and has.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Its name.
    pub name: String,
    /// How it is spoken to.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// Is it emulated on the CPU?
    pub software: bool,
    /// Bytes of the largest buffer.
    pub buffer: u64,
    /// Bytes of the largest part of a buffer that a kernel may see.
    pub binding: u64,
    /// Storage buffers that a kernel may see.
    pub storage_buffers: u32,
    /// Bytes of memory that a workgroup shares.
    pub workgroup: u32,
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Does it compute in half precision?
    pub half: bool,
}

/// The GPUs of this machine, hardware first; none where Gannet was built without them.
pub fn adapters() -> Vec<Adapter> {
    #[cfg(feature = "gpu")]
    return gpu::adapters();
    #[cfg(not(feature = "gpu"))]
    Vec::new()
}

/// Was Gannet built with what runs plans on GPUs?
pub const HAS_GPU: bool = cfg!(feature = "gpu");

/// Lets a write beyond a limit on file sizes fail with an error, as on a full disk, instead of ending the process.
pub fn report_size_limits() {
    #[cfg(unix)]
    // SAFETY: the disposition of one signal is set to "ignore" before any thread is started.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
