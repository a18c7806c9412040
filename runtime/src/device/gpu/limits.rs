//! What a driver does wrong without saying so is refused.
//! Law: a plan runs right, or not at all.

use super::Gpu;
use gannet_compiler::plan::{Extent, Kernel, Range, Stmt};
use gannet_lang::diag::Diagnostic;

/// Mesa's llvmpipe ends the loops of an invocation, without an error, after so many iterations of all of them together.
const SOFTWARE_ITERATIONS: u64 = 65_535;

impl Gpu {
    /// Refuses a kernel whose invocations loop longer than the driver lets them.
    ///
    /// # Errors
    /// It does.
    pub(super) fn fits_loops(&self, kernel: &Kernel, sizes: &[u64]) -> Result<(), Diagnostic> {
        let needed = iterations(kernel, sizes);
        if !self.adapter.software || needed <= SOFTWARE_ITERATIONS {
            return Ok(());
        }
        let name = kernel.name();
        Err(self.refused(&format!(
            "`{name}` loops {needed} times in an invocation, and this software driver ends loops after {SOFTWARE_ITERATIONS}"
        )))
    }
}

/// Iterations of all loops of one invocation, at most.
fn iterations(kernel: &Kernel, sizes: &[u64]) -> u64 {
    match kernel {
        Kernel::Traversal(t) if t.parallel => of_body(&t.outer.body, sizes),
        Kernel::Traversal(t) => trips(&t.outer.range, sizes).saturating_mul(1 + of_body(&t.outer.body, sizes)),
        Kernel::Contraction(c) => Extent::product(&c.k, sizes) as u64,
        Kernel::Library(_) | Kernel::Repeat(_) => 0,
    }
}

fn of_body(body: &[Stmt], sizes: &[u64]) -> u64 {
    let of = |s: &Stmt| match s {
        Stmt::Loop(l) => trips(&l.range, sizes).saturating_mul(1 + of_body(&l.body, sizes)),
        _ => 0,
    };
    body.iter().map(of).fold(0, u64::saturating_add)
}

fn trips(range: &Range, sizes: &[u64]) -> u64 {
    range.count(sizes) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use gannet_compiler::plan::{Loop, LoopId, Mode};

    fn looped(id: u32, n: i64, body: Vec<Stmt>) -> Stmt {
        let range = Range::Full(Extent::constant(n));
        Stmt::Loop(Loop { id: LoopId(id), range, mode: Mode::Serial, accs: vec![], body })
    }

    #[test]
    fn loops_inside_loops_count() {
        let body = [looped(0, 10, vec![looped(1, 20, vec![])]), looped(2, 5, vec![])];
        assert_eq!(of_body(&body, &[]), 10 * 21 + 5);
    }
}
