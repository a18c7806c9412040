//! Machine code with vectors of 256 bits, from the same intermediate form that Cranelift reads.
//! Law: it computes what Cranelift's code for the same form would, to the bit; what it does not know, it leaves alone.
//!
//! Cranelift's x86-64 backend has no vectors wider than 128 bits. Bodies are simple: a few loops around straight code,
//! so that choosing instructions takes one walk. Registers are given out by the allocator that Cranelift uses.

mod emit;
mod encode;
mod lanes;
mod machine;
mod select;
mod whole;

use cranelift_codegen::ir::{FuncRef, Function};
use machine::Code;
use regalloc2::{Algorithm, MachineEnv, PReg, PRegSet, RegClass, RegallocOptions};

/// Machine code of a function.
pub struct Object {
    pub bytes: Vec<u8>,
    /// Where addresses of eight bytes of host functions go.
    pub calls: Vec<(u32, FuncRef)>,
}

/// What the code's first byte lies at a multiple of, for the sake of its constants.
pub const ALIGNMENT: u64 = 32;

/// Does this processor have what the code needs?
pub fn is_possible() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        cfg!(not(windows)) && std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Assembles a function without results; `None`: it has an instruction that is not known here.
pub fn assemble(func: &Function) -> Option<Object> {
    let selected = select::select(func)?;
    let code = Code::new(selected.parts, selected.registers);
    let options =
        RegallocOptions { verbose_log: false, validate_ssa: cfg!(debug_assertions), algorithm: Algorithm::Ion };
    let found = regalloc2::run(&code, &environment(), &options).ok()?;
    Some(emit::emit(&code, &found, &selected.pool, &selected.slots, &selected.calls))
}

/// All registers but the stack pointer; those that need not be saved are preferred.
fn environment() -> MachineEnv {
    let set = |class, all: &[u8]| {
        let mut set = PRegSet::empty();
        all.iter().for_each(|k| set.add(PReg::new(*k as usize, class)));
        set
    };
    let vectors: Vec<u8> = (0..16).collect();
    let none = PRegSet::empty();
    MachineEnv {
        preferred_regs_by_class: [
            set(RegClass::Int, &[0, 1, 2, 6, 7, 8, 9, 10, 11]),
            set(RegClass::Float, &vectors),
            none,
        ],
        non_preferred_regs_by_class: [set(RegClass::Int, &machine::CALLEE_SAVED), none, none],
        scratch_by_class: [None; 3],
        fixed_stack_slots: Vec::new(),
    }
}
