//! How a shader reaches buffers: bound by themselves, or as parts of regions that are bound whole.
//! Law: one memory is bound in one way only, and either way holds the same words: four bytes an entry of any kind.

use super::shader::{Binding, Region, Target};
use super::{remark, stored};
use crate::plan::{BufferId, Condition, Kind, Plan};
use std::fmt::Write;

/// The buffers of one kernel.
pub struct Memory<'a> {
    plan: &'a Plan,
    kernel: usize,
    /// Storage bindings, from number 1 on.
    pub bindings: Vec<Binding>,
}

impl<'a> Memory<'a> {
    /// Of a kernel and the conditions under which it runs.
    pub fn new(plan: &'a Plan, kernel: usize, target: Target) -> Memory<'a> {
        let used = used(plan, kernel);
        let region = |b: BufferId| Region::of(&plan.buffer(b).home);
        let written = |r: Region| used.iter().any(|(b, w)| *w && region(*b) == r);
        let alone = |b: BufferId| Binding { buffers: vec![b], written: written(region(b)) };
        let of = |r: Region| -> Vec<BufferId> { used.iter().map(|u| u.0).filter(|b| region(*b) == r).collect() };
        let whole = |r: Region| Binding { buffers: of(r), written: written(r) };
        let bindings = if used.len() <= target.buffers {
            used.iter().map(|(b, _)| alone(*b)).collect()
        } else {
            Region::ALL.into_iter().map(whole).filter(|b| !b.buffers.is_empty()).collect()
        };
        Memory { plan, kernel, bindings }
    }

    /// The buffers that are reached by bases.
    pub fn bases(&self) -> Vec<BufferId> {
        self.bindings.iter().filter(|b| b.buffers.len() > 1).flat_map(|b| b.buffers.clone()).collect()
    }

    /// An entry's value: of type `f32`, `i32` or `bool`.
    pub fn load(&self, b: BufferId, at: &str) -> String {
        let (place, words) = self.place(b, at);
        match (self.plan.buffer(b).kind, words) {
            (Kind::Real, true) => format!("bitcast<f32>({place})"),
            (Kind::Int, true) => format!("bitcast<i32>({place})"),
            (Kind::Bool, _) => format!("({place} != 0u)"),
            _ => place,
        }
    }

    /// A statement that writes an entry; `value` has the type that [`Memory::load`] gives.
    pub fn store(&self, b: BufferId, at: &str, value: &str) -> String {
        let (place, words) = self.place(b, at);
        match (self.plan.buffer(b).kind, words) {
            (Kind::Bool, _) => format!("{place} = select(0u, 1u, {value});"),
            (_, true) => format!("{place} = bitcast<u32>({value});"),
            _ => format!("{place} = {value};"),
        }
    }

    /// The entry, and whether it is a bare word.
    fn place(&self, b: BufferId, at: &str) -> (String, bool) {
        let binding = self.bindings.iter().find(|x| x.buffers.contains(&b)).expect("all buffers of a kernel are bound");
        if binding.buffers.len() == 1 {
            return (format!("{}[{at}]", self.name(binding)), false);
        }
        (format!("{}[k{}_bases.b{} + {at}]", self.name(binding), self.kernel, b.0), true)
    }

    fn name(&self, binding: &Binding) -> String {
        match binding.buffers[..] {
            [b] => format!("k{}_b{}", self.kernel, b.0),
            _ => format!("k{}_{}", self.kernel, self.region(binding).name()),
        }
    }

    fn region(&self, binding: &Binding) -> Region {
        Region::of(&self.plan.buffer(binding.buffers[0]).home)
    }

    /// The declarations.
    pub fn declare(&self) -> String {
        let mut out = String::new();
        for (k, binding) in self.bindings.iter().enumerate() {
            let access = if binding.written { "read_write" } else { "read" };
            let buffer = self.plan.buffer(binding.buffers[0]);
            let (kind, note) = match binding.buffers.len() {
                1 => (stored(buffer.kind), remark(&buffer.name)),
                n => ("u32", format!("{n} buffers")),
            };
            let (number, name) = (k + 1, self.name(binding));
            let _ =
                writeln!(out, "@group(0) @binding({number}) var<storage, {access}> {name}: array<{kind}>; // {note}");
        }
        let bases = self.bases();
        if !bases.is_empty() {
            let fields: String = bases.iter().map(|b| format!(" b{}: i32,", b.0)).collect();
            let (k, number) = (self.kernel, self.bindings.len() + 1);
            let _ = writeln!(out, "struct K{k}Bases {{{fields} }}");
            let _ = writeln!(out, "@group(0) @binding({number}) var<uniform> k{k}_bases: K{k}Bases;");
        }
        out
    }

    /// What must hold so that the kernel has to run, if that is said: an expression.
    pub fn due(&self) -> Option<String> {
        let holds = |c: &Condition| {
            let value = self.load(c.buffer, "0");
            if c.holds { value } else { format!("!{value}") }
        };
        let all: Vec<String> = self.plan.only[self.kernel].iter().map(holds).collect();
        (!all.is_empty()).then(|| all.join(" && "))
    }
}

/// The buffers of a kernel in the order of first use, and whether it writes them.
fn used(plan: &Plan, kernel: usize) -> Vec<(BufferId, bool)> {
    let mut all: Vec<(BufferId, bool)> = Vec::new();
    let mut note = |buffer: BufferId, written: bool| match all.iter_mut().find(|(b, _)| *b == buffer) {
        Some((_, w)) => *w |= written,
        None => all.push((buffer, written)),
    };
    plan.kernels[kernel].each_use(&mut note);
    plan.only[kernel].iter().for_each(|c| note(c.buffer, false));
    all
}
