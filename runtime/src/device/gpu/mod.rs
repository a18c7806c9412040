//! GPUs: the shaders of a plan run through `wgpu` (Vulkan).
//! Law: parameters and states stay on the device; what the host reads, it asks for; no error of a driver is a panic.

mod execute;
mod host;
mod limits;
mod memory;
mod pipeline;
mod repeat;
mod stream;

pub use execute::Bound;
pub use memory::Store;

use super::Adapter;
use gannet_compiler::emit::wgsl::Target;
use gannet_lang::diag::{Code, Diagnostic};
use pipeline::Pipelines;
use std::sync::{Arc, Mutex, OnceLock};

/// Storage buffers that a kernel binds: what WebGPU promises everywhere. A device may have more, but the kernels that
/// would use them are few, and one way for all devices is one way to test.
const BUFFERS: usize = 8;

/// An opened device.
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipelines: Mutex<Pipelines>,
    /// The first error since the last look.
    fault: Arc<Mutex<Option<String>>>,
    /// What it is.
    pub adapter: Adapter,
    /// What shaders are written for.
    pub target: Target,
    limits: wgpu::Limits,
}

fn adapters_of(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()))
}

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle())
}

fn describe(adapter: &wgpu::Adapter) -> Adapter {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    Adapter {
        name: info.name,
        backend: info.backend.to_string(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        software: info.device_type == wgpu::DeviceType::Cpu,
        buffer: limits.max_buffer_size,
        binding: limits.max_storage_buffer_binding_size,
        storage_buffers: limits.max_storage_buffers_per_shader_stage,
        workgroup: limits.max_compute_workgroup_storage_size,
        invocations: limits.max_compute_invocations_per_workgroup,
        half: adapter.features().contains(wgpu::Features::SHADER_F16),
    }
}

/// The adapters of this machine, hardware first.
pub fn adapters() -> Vec<Adapter> {
    let mut all: Vec<Adapter> = adapters_of(&instance()).iter().map(describe).collect();
    all.sort_by_key(|a| a.software);
    all
}

impl Gpu {
    /// The machine's first adapter, hardware before software, opened once for the whole process.
    ///
    /// # Errors
    /// There is none, or it refuses.
    pub fn shared() -> Result<Arc<Gpu>, Diagnostic> {
        static SHARED: OnceLock<Result<Arc<Gpu>, Diagnostic>> = OnceLock::new();
        SHARED.get_or_init(|| Gpu::open(None).map(Arc::new)).clone()
    }

    /// Opens that adapter, for shaders of the target that suits it, unless another is given.
    ///
    /// # Errors
    /// Those of [`Gpu::shared`].
    pub fn open(target: Option<Target>) -> Result<Gpu, Diagnostic> {
        let mut found = adapters_of(&instance());
        found.sort_by_key(|a| describe(a).software);
        let Some(adapter) = found.into_iter().next() else {
            return Err(Diagnostic::error(Code::G0608, None, "no GPU was found: Vulkan has no adapter here").hint(
                "run on the CPU with `--device cpu`, or install a Vulkan driver; `gannet devices` lists what is there",
            ));
        };
        let description = describe(&adapter);
        // All that the adapter has, so that only what cannot fit at all is refused.
        let limits = adapter.limits();
        let wanted = wgpu::DeviceDescriptor { required_limits: limits.clone(), ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&wanted)).map_err(|e| {
            Diagnostic::error(Code::G0608, None, format!("`{}` cannot be opened: {e}", description.name))
                .hint("run on the CPU with `--device cpu`")
        })?;
        let fault: Arc<Mutex<Option<String>>> = Arc::default();
        let note = |fault: &Arc<Mutex<Option<String>>>, text: String| {
            fault.lock().expect("nobody panics holding a message").get_or_insert(text);
        };
        let seen = fault.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| note(&seen, e.to_string())));
        let seen = fault.clone();
        device.set_device_lost_callback(move |reason, text| match reason {
            wgpu::DeviceLostReason::Destroyed => {}
            _ => note(&seen, format!("the device was lost: {text}")),
        });
        let target = target.unwrap_or(Target { buffers: BUFFERS, tiles: !description.software });
        let pipelines = Mutex::default();
        Ok(Gpu { device, queue, pipelines, fault, adapter: description, target, limits })
    }

    /// The first error since the last look.
    ///
    /// # Errors
    /// That error.
    fn check(&self) -> Result<(), Diagnostic> {
        let fault = self.fault.lock().expect("nobody panics holding a message").take();
        fault.map_or(Ok(()), |text| Err(self.refused(&text)))
    }

    /// What cannot run here, and why.
    fn refused(&self, why: &str) -> Diagnostic {
        let first: Vec<&str> = why.lines().map(str::trim).filter(|l| !l.is_empty()).take(4).collect();
        Diagnostic::error(Code::G0609, None, format!("`{}` cannot run this: {}", self.adapter.name, first.join("; ")))
            .hint("run on the CPU with `--device cpu`, or make the batch smaller")
    }
}
