//! Memory on a device: regions of one piece each, and where buffers lie in them.
//! Law: every buffer begins at a multiple of [`ALIGNMENT`], and an entry of any kind takes four bytes.

use super::Gpu;
use crate::device::cpu::execute::{Store as HostStore, entry_bytes};
use crate::device::cpu::memory::Memory;
use gannet_compiler::plan::{BufferId, Kind, Plan};
use gannet_lang::diag::Diagnostic;
use std::sync::{Arc, Mutex};

/// Where a binding may begin on every device, by WebGPU's default limits.
pub const ALIGNMENT: u64 = 256;
/// Bytes of an entry on the device.
pub const WORD: u64 = 4;

/// A part of a region.
#[derive(Clone, Debug)]
pub struct Place {
    /// The region.
    pub buffer: wgpu::Buffer,
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
}

impl Place {
    /// As a binding; a binding of no bytes is none.
    pub fn binding(&self) -> wgpu::BindingResource<'_> {
        let size = std::num::NonZeroU64::new(self.bytes.max(WORD));
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &self.buffer, offset: self.offset, size })
    }

    /// The bytes of one of its places along an outermost axis.
    pub fn slice(&self, place: u64, bytes: u64) -> Place {
        Place { buffer: self.buffer.clone(), offset: self.offset + place * bytes, bytes }
    }
}

/// Bytes of a plan's buffer on the device.
pub fn bytes_of(plan: &Plan, b: BufferId, sizes: &[u64]) -> u64 {
    plan.entries(b).eval(sizes).max(0) as u64 * WORD
}

/// Puts buffers one after the other: their offsets, and the bytes of all.
pub fn in_a_row(bytes: impl IntoIterator<Item = u64>) -> (Vec<u64>, u64) {
    let mut end = 0;
    let mut offsets = Vec::new();
    for n in bytes {
        offsets.push(end);
        end += n.max(WORD).next_multiple_of(ALIGNMENT);
    }
    (offsets, end)
}

impl Gpu {
    /// A region of zeros.
    ///
    /// # Errors
    /// More than a buffer of the device holds.
    pub(super) fn region(&self, what: &str, bytes: u64) -> Result<wgpu::Buffer, Diagnostic> {
        let most = self.limits.max_buffer_size;
        if bytes > most {
            let (need, most) = (bytes >> 20, most >> 20);
            return Err(self.refused(&format!("{what} takes {need} MiB, and a buffer of this device holds {most} MiB")));
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let size = bytes.max(ALIGNMENT);
        Ok(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage,
            mapped_at_creation: false,
        }))
    }

    /// Refuses what is too large for one binding.
    ///
    /// # Errors
    /// It is.
    pub(super) fn fits_binding(&self, what: &str, bytes: u64) -> Result<(), Diagnostic> {
        let most = self.limits.max_storage_buffer_binding_size;
        if bytes <= most {
            return Ok(());
        }
        let (need, most) = (bytes >> 20, most >> 20);
        Err(self.refused(&format!("{what} takes {need} MiB, and a binding of this device holds {most} MiB")))
    }

    /// Writes entries before whatever is submitted next.
    pub(super) fn upload(&self, place: &Place, kind: Kind, host: &[u8]) {
        if host.is_empty() {
            return;
        }
        match kind {
            Kind::Bool => {
                let words: Vec<u8> = host.iter().flat_map(|b| u32::from(*b != 0).to_ne_bytes()).collect();
                self.queue.write_buffer(&place.buffer, place.offset, &words);
            }
            Kind::Real | Kind::Int => self.queue.write_buffer(&place.buffer, place.offset, host),
        }
    }
}

/// Words of the device as the host stores them.
pub fn to_host(words: &[u8], kind: Kind, host: &mut [u8]) {
    match kind {
        Kind::Bool => words.chunks_exact(4).zip(host).for_each(|(w, b)| *b = u8::from(w.iter().any(|x| *x != 0))),
        Kind::Real | Kind::Int => host[..words.len()].copy_from_slice(words),
    }
}

/// Who has the values of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newest {
    Both,
    Host,
    Device,
}

/// Parameters and states on the device, beside those of the host.
pub struct Store {
    gpu: Arc<Gpu>,
    /// By `ParamId`, with kind and entries.
    pub params: Vec<(Place, Kind)>,
    /// By `StateId`.
    pub states: Vec<(Place, Kind)>,
    newest: Mutex<Newest>,
}

impl Store {
    /// Room for parameters and states of so many entries each; the host has their values.
    ///
    /// # Errors
    /// More than the device holds.
    pub fn new(gpu: Arc<Gpu>, params: &[(u64, Kind)], states: &[(u64, Kind)]) -> Result<Store, Diagnostic> {
        let all: Vec<(u64, Kind)> = params.iter().chain(states).copied().collect();
        let (offsets, total) = in_a_row(all.iter().map(|(n, _)| n * WORD));
        let buffer = gpu.region("the memory of parameters and states", total)?;
        let place = |((n, kind), offset): (&(u64, Kind), &u64)| {
            (Place { buffer: buffer.clone(), offset: *offset, bytes: n * WORD }, *kind)
        };
        let mut placed: Vec<(Place, Kind)> = all.iter().zip(&offsets).map(place).collect();
        let states = placed.split_off(params.len());
        let params = placed;
        gpu.check()?;
        Ok(Store { gpu, params, states, newest: Mutex::new(Newest::Host) })
    }

    /// The device that it lies on.
    pub(super) fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    fn all<'a, T>(&'a self, params: T, states: T) -> impl Iterator<Item = (&'a (Place, Kind), T::Item)>
    where
        T: IntoIterator + 'a,
    {
        self.params.iter().zip(params).chain(self.states.iter().zip(states))
    }

    /// The host's values were changed.
    pub fn host_changed(&self) {
        *self.newest.lock().expect("nobody panics holding it") = Newest::Host;
    }

    /// The device's values were changed.
    pub(super) fn device_changed(&self) {
        *self.newest.lock().expect("nobody panics holding it") = Newest::Device;
    }

    /// Brings the host's values to the device, if they are newer.
    pub(super) fn push(&self, host: &HostStore) {
        let mut newest = self.newest.lock().expect("nobody panics holding it");
        if *newest == Newest::Host {
            for ((place, kind), memory) in self.all(&host.params, &host.states) {
                let bytes = (place.bytes / WORD) as usize * entry_bytes(*kind, false);
                self.gpu.upload(place, *kind, &memory.bytes()[..bytes]);
            }
            *newest = Newest::Both;
        }
    }

    /// Brings the device's values to the host, if they are newer.
    ///
    /// # Errors
    /// A lost device.
    pub fn pull(&self, host: &mut HostStore) -> Result<(), Diagnostic> {
        let mut newest = self.newest.lock().expect("nobody panics holding it");
        if *newest == Newest::Device {
            let places: Vec<&Place> = self.params.iter().chain(&self.states).map(|p| &p.0).collect();
            let read = self.gpu.read(&places)?;
            let memories: Vec<&mut Memory> = host.params.iter_mut().chain(&mut host.states).collect();
            let kinds = self.params.iter().chain(&self.states).map(|p| p.1);
            for ((words, kind), memory) in read.iter().zip(kinds).zip(memories) {
                to_host(words, kind, memory.bytes_mut());
            }
            *newest = Newest::Both;
        }
        Ok(())
    }
}
