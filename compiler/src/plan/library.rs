//! Library kernels: one operation of the library on every member of a batch.
//! Law: operands and results are reached by strides, so any storage order will do; what runs is chosen by the device.

use super::{BufferId, Extent};
use gannet_lang::diag::Span;
use gannet_lang::program::LibFun;

/// A call of a library operation.
#[derive(Clone, Debug)]
pub struct LibraryCall {
    /// For dumps and profiles.
    pub name: String,
    /// The source it comes from.
    pub span: Span,
    /// What is done.
    pub fun: LibFun,
    /// Sizes of the batch axes.
    pub batch: Vec<Extent>,
    /// Sizes of the axes of each group.
    pub groups: Vec<Vec<Extent>>,
    /// The operands, in the signature's order.
    pub operands: Vec<Strided>,
    /// Where each part is stored, if it is wanted.
    pub results: Vec<Option<Strided>>,
}

/// A buffer as an operand or result of a library call.
#[derive(Clone, Debug)]
pub struct Strided {
    /// Which buffer.
    pub buffer: BufferId,
    /// Stride along each batch axis (0 where the buffer lacks it).
    pub batch: Vec<Extent>,
    /// Stride along each axis of each of its groups, in the signature's order (0 where the buffer lacks it).
    pub own: Vec<Vec<Extent>>,
}

impl LibraryCall {
    /// The number of entries of each group, given the sizes of all dims.
    pub fn group_sizes(&self, sizes: &[u64]) -> Vec<usize> {
        let count = |g: &Vec<Extent>| g.iter().map(|e| e.eval(sizes).max(0) as usize).product();
        self.groups.iter().map(count).collect()
    }

    /// Where each entry of one member of an operand or result lies, in row-major order of its groups.
    pub fn entry_offsets(&self, of: &Strided, groups: &[usize], sizes: &[u64]) -> Vec<i64> {
        let axes = groups.iter().zip(&of.own).flat_map(|(g, strides)| self.groups[*g].iter().zip(strides));
        offsets(axes, sizes)
    }

    /// Where each member of the batch starts, in row-major order of the batch axes.
    pub fn batch_offsets(&self, of: &Strided, sizes: &[u64]) -> Vec<i64> {
        offsets(self.batch.iter().zip(&of.batch), sizes)
    }

    /// A rough number of operations.
    pub fn flops(&self, sizes: &[u64]) -> f64 {
        let batch: f64 = self.batch.iter().map(|e| e.eval(sizes) as f64).product();
        let groups: Vec<f64> = self.group_sizes(sizes).into_iter().map(|n| n as f64).collect();
        let (n, all) = (groups[0], groups.iter().product::<f64>());
        batch
            * match self.fun {
                LibFun::Sort | LibFun::Fft(_) => n * (n + 1.0).log2(),
                LibFun::Recur(_) => 2.0 * n,
                LibFun::Solve => n * n * n + 2.0 * all,
                LibFun::Cholesky | LibFun::LogDet => n * n * n,
                LibFun::Qr | LibFun::Eigh | LibFun::Svd | LibFun::Pinv => 4.0 * n * groups[1] * n.min(groups[1]),
                LibFun::Expm => 30.0 * n * n * n,
                LibFun::Assign => n * n * groups[1],
                // Nobody knows; enough that calls are spread over threads.
                LibFun::Host(..) => 1e6,
            }
    }
}

fn offsets<'a>(axes: impl Iterator<Item = (&'a Extent, &'a Extent)>, sizes: &[u64]) -> Vec<i64> {
    let mut all = vec![0];
    for (size, stride) in axes {
        let (n, step) = (size.eval(sizes), stride.eval(sizes));
        all = all.iter().flat_map(|base| (0..n).map(move |i| base + i * step)).collect();
    }
    all
}
