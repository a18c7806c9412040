//! Which instructions the kernels may use.
//! Law: the answer is the same for the whole life of the process.

use std::sync::OnceLock;

/// A set of vector instructions with kernels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What every target has.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512F, besides AVX2 and FMA.
    Avx512,
}

impl Isa {
    /// The widest set that this machine has; looked up once.
    pub fn detect() -> Isa {
        static ISA: OnceLock<Isa> = OnceLock::new();
        *ISA.get_or_init(|| Isa::available().pop().unwrap_or(Isa::Portable))
    }

    /// Every set that this machine has, narrowest first.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut)]
        let mut found = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                found.push(Isa::Avx2);
                if std::arch::is_x86_feature_detected!("avx512f") {
                    found.push(Isa::Avx512);
                }
            }
        }
        found
    }
}
