//! Compiled shaders, each made once.
//! Law: the same text gives the same pipeline, whichever plan it comes from.

use super::Gpu;
use super::memory::Place;
use gannet_lang::diag::Diagnostic;
use std::collections::BTreeMap;
use std::sync::Arc;

/// By the text of their modules.
pub type Pipelines = BTreeMap<String, Arc<Pipeline>>;

/// A compiled shader.
pub struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

/// What a binding is for the shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A uniform block.
    Uniform,
    /// Storage, read.
    Read,
    /// Storage, read and written.
    Write,
}

impl Gpu {
    /// The pipeline of a module whose bindings are these, from `first` on.
    ///
    /// # Errors
    /// The driver refuses it.
    pub(super) fn pipeline(
        &self,
        text: &str,
        entry: &str,
        first: u32,
        bindings: &[Access],
    ) -> Result<Arc<Pipeline>, Diagnostic> {
        let mut known = self.pipelines.lock().expect("nobody panics holding the pipelines");
        if let Some(found) = known.get(text) {
            return Ok(found.clone());
        }
        let entries: Vec<wgpu::BindGroupLayoutEntry> =
            bindings.iter().zip(first..).map(|(access, binding)| layout_entry(*access, binding)).collect();
        let layout =
            self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let source = wgpu::ShaderSource::Wgsl(text.into());
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(entry), source });
        let whole = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: Some(&whole),
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                // No kernel reads workgroup memory that it has not written.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        self.check()?;
        let made = Arc::new(Pipeline { pipeline, layout });
        known.insert(text.to_string(), made.clone());
        Ok(made)
    }

    /// What a pipeline binds, from `first` on.
    pub(super) fn group(&self, pipeline: &Pipeline, first: u32, places: &[Place]) -> wgpu::BindGroup {
        let entries: Vec<wgpu::BindGroupEntry> = places
            .iter()
            .zip(first..)
            .map(|(place, binding)| wgpu::BindGroupEntry { binding, resource: place.binding() })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.layout,
            entries: &entries,
        })
    }

    /// A uniform block of these words.
    pub(super) fn uniform(&self, words: &[u32]) -> Place {
        let bytes = (words.len() as u64 * 4).next_multiple_of(16).max(16);
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage,
            mapped_at_creation: false,
        });
        let place = Place { buffer, offset: 0, bytes };
        self.write_words(&place, words);
        place
    }

    /// Writes words before whatever is submitted next.
    pub(super) fn write_words(&self, place: &Place, words: &[u32]) {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        self.queue.write_buffer(&place.buffer, place.offset, &bytes);
    }
}

fn layout_entry(access: Access, binding: u32) -> wgpu::BindGroupLayoutEntry {
    let ty = match access {
        Access::Uniform => wgpu::BufferBindingType::Uniform,
        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
        Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}
