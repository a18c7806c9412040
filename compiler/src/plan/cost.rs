//! What a kernel is estimated to cost: floating-point operations and bytes moved.
//! Law: an estimate depends on the plan and the sizes only.

use super::{BufferId, Inst, Kernel, Loop, Plan, Range, Stmt};
use std::collections::BTreeSet;

/// The price of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Scalar operations on reals; a call such as `exp` counts as one.
    pub flops: f64,
    /// Each buffer read and each buffer written counts once, whole.
    pub bytes: f64,
}

impl Kernel {
    /// The estimate, given the sizes of all dims.
    pub fn estimate(&self, plan: &Plan, sizes: &[u64]) -> Estimate {
        let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
        let flops = match self {
            Kernel::Traversal(t) => in_loop(&t.outer, sizes, &mut read, &mut written),
            Kernel::Contraction(c) => {
                read.extend([c.a.buffer, c.b.buffer]);
                written.extend(c.c.iter().map(|c| c.buffer));
                let all = c.batch.iter().chain(&c.m).chain(&c.n).chain(&c.k);
                let product: f64 = all.map(|e| e.eval(sizes) as f64).product();
                let epilogue = c.epilogue.as_ref().map_or(0.0, |e| in_loop(&e.rows, sizes, &mut read, &mut written));
                2.0 * product + epilogue
            }
            Kernel::Repeat(c) => return c.estimate(sizes),
            Kernel::Library(c) => {
                read.extend(c.operands.iter().map(|o| o.buffer));
                written.extend(c.results.iter().flatten().map(|r| r.buffer));
                c.flops(sizes)
            }
        };
        let bytes = |set: &BTreeSet<BufferId>| set.iter().map(|b| plan.bytes(*b, sizes) as f64).sum::<f64>();
        Estimate { flops, bytes: bytes(&read) + bytes(&written) }
    }
}

fn in_loop(l: &Loop, sizes: &[u64], read: &mut BTreeSet<BufferId>, written: &mut BTreeSet<BufferId>) -> f64 {
    let count = match &l.range {
        Range::Full(e) => e.eval(sizes) as f64,
        Range::Block { size, extent, .. } => (extent.eval(sizes) as f64).min(*size as f64),
        Range::Blocks { size, extent } => (extent.eval(sizes) as f64 / *size as f64).ceil(),
    };
    let mut once = l.accs.len() as f64;
    for s in &l.body {
        once += match s {
            Stmt::Let(_, Inst::Load(b, _)) => {
                read.insert(*b);
                0.0
            }
            Stmt::Let(_, Inst::Map(_, args)) => args.len().max(2) as f64 - 1.0,
            Stmt::Let(..) => 0.0,
            Stmt::Store(b, ..) => {
                written.insert(*b);
                0.0
            }
            Stmt::Accumulate(_, b, ..) => {
                read.insert(*b);
                written.insert(*b);
                1.0
            }
            Stmt::Loop(inner) => in_loop(inner, sizes, read, written),
        };
    }
    count * once
}
