//! What is recorded for the device, and how the host waits for it.
//! Law: things run in the order in which they are recorded; writes of the host come before all that is not submitted yet.

use super::Gpu;
use super::memory::Place;
use super::pipeline::Pipeline;
use gannet_lang::diag::Diagnostic;
use std::sync::Arc;

/// Dispatches and copies after which what is recorded is handed over, without waiting: a long loop then fills no memory.
const MOST: usize = 4096;

/// A kernel that is ready to run.
pub struct Dispatch {
    /// Its code.
    pub pipeline: Arc<Pipeline>,
    /// Its memory.
    pub group: wgpu::BindGroup,
    /// Workgroups along x and y.
    pub groups: (u32, u32),
}

/// Commands in the making.
pub struct Stream<'g> {
    gpu: &'g Gpu,
    encoder: Option<wgpu::CommandEncoder>,
    pass: Option<wgpu::ComputePass<'static>>,
    recorded: usize,
}

impl<'g> Stream<'g> {
    /// Nothing yet.
    pub fn new(gpu: &'g Gpu) -> Stream<'g> {
        Stream { gpu, encoder: None, pass: None, recorded: 0 }
    }

    /// Outside of a pass.
    fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        self.pass = None;
        self.recorded += 1;
        if self.recorded > MOST {
            self.submit();
        }
        let gpu = self.gpu;
        self.encoder.get_or_insert_with(|| gpu.device.create_command_encoder(&Default::default()))
    }

    /// Runs a kernel.
    pub fn dispatch(&mut self, d: &Dispatch) {
        if d.groups.0 == 0 || d.groups.1 == 0 {
            return;
        }
        if self.pass.is_none() || self.recorded > MOST {
            let pass = self.encoder().begin_compute_pass(&Default::default()).forget_lifetime();
            self.pass = Some(pass);
        }
        self.recorded += 1;
        let pass = self.pass.as_mut().expect("just begun");
        pass.set_pipeline(&d.pipeline.pipeline);
        pass.set_bind_group(0, &d.group, &[]);
        pass.dispatch_workgroups(d.groups.0, d.groups.1, 1);
    }

    /// Copies from one region to another.
    pub fn copy(&mut self, from: &Place, to: &Place) {
        let bytes = from.bytes.min(to.bytes);
        if bytes > 0 {
            self.encoder().copy_buffer_to_buffer(&from.buffer, from.offset, &to.buffer, to.offset, bytes);
        }
    }

    /// Fills with zeros.
    pub fn clear(&mut self, place: &Place) {
        if place.bytes > 0 {
            self.encoder().clear_buffer(&place.buffer, place.offset, Some(place.bytes));
        }
    }

    /// Hands over what is recorded; the host goes on.
    pub fn submit(&mut self) {
        self.pass = None;
        self.recorded = 0;
        if let Some(encoder) = self.encoder.take() {
            self.gpu.queue.submit([encoder.finish()]);
        }
    }

    /// Runs all that is recorded, and reads these places after it.
    ///
    /// # Errors
    /// A lost device, a driver that refuses.
    pub fn read(&mut self, places: &[&Place], staging: &Staging) -> Result<Vec<Vec<u8>>, Diagnostic> {
        let mut at = 0;
        for place in places {
            let to = Place { buffer: staging.0.buffer.clone(), offset: at, bytes: place.bytes };
            self.copy(place, &to);
            at += place.bytes;
        }
        self.submit();
        self.gpu.fetch(&staging.0, places)
    }
}

/// Memory that the host can read.
pub struct Staging(Place);

impl Gpu {
    /// Room for these places.
    pub(super) fn staging(&self, places: &[&Place]) -> Staging {
        let bytes = places.iter().map(|p| p.bytes).sum::<u64>().max(4);
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage,
            mapped_at_creation: false,
        });
        Staging(Place { buffer, offset: 0, bytes })
    }

    /// The content of places now.
    ///
    /// # Errors
    /// A lost device.
    pub(super) fn read(&self, places: &[&Place]) -> Result<Vec<Vec<u8>>, Diagnostic> {
        let staging = self.staging(places);
        Stream::new(self).read(places, &staging)
    }

    fn fetch(&self, staging: &Place, places: &[&Place]) -> Result<Vec<Vec<u8>>, Diagnostic> {
        let (sender, receiver) = std::sync::mpsc::channel();
        staging.buffer.map_async(wgpu::MapMode::Read, .., move |mapped| {
            // Nobody listens any more if the wait below failed.
            let _ = sender.send(mapped);
        });
        let waited = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()?;
        waited.map_err(|e| self.refused(&e.to_string()))?;
        // Another thread's wait may have seen the end first and be about to say so.
        match receiver.recv() {
            Ok(Ok(())) => {}
            _ => return Err(self.refused("what it computed cannot be read")),
        }
        let view = staging.buffer.get_mapped_range(..).map_err(|e| self.refused(&e.to_string()))?;
        let mut at = 0;
        let mut out = Vec::with_capacity(places.len());
        for place in places {
            let end = at + place.bytes as usize;
            out.push(view[at..end].to_vec());
            at = end;
        }
        drop(view);
        staging.buffer.unmap();
        Ok(out)
    }
}
