//! Where temporary buffers lie in one block of memory.
//! Law: two buffers that are alive at the same time do not overlap; the same plan and sizes give the same places.

use super::{BufferId, Home, Kind, Plan};

/// Every place is a multiple of this many bytes: a cache line.
pub const ALIGNMENT: u64 = 64;

/// The places of temporary buffers.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrangement {
    /// The offset in bytes of each buffer in the arena; 0 for buffers that live elsewhere.
    pub offsets: Vec<usize>,
    /// The size of the arena in bytes.
    pub total: usize,
}

impl Plan {
    /// The size of a buffer in bytes, given the sizes of all dims.
    pub fn bytes(&self, id: BufferId, sizes: &[u64]) -> u64 {
        let width = match self.buffer(id).kind {
            Kind::Real if self.double => 8,
            Kind::Real | Kind::Int => 4,
            Kind::Bool => 1,
        };
        self.entries(id).eval(sizes).max(0) as u64 * width
    }
}

/// First and last kernel that use each buffer.
fn lifetimes(plan: &Plan) -> Vec<Option<(usize, usize)>> {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; plan.buffers.len()];
    for (i, kernel) in plan.kernels.iter().enumerate() {
        let conditions = plan.only.get(i).into_iter().flatten().map(|c| c.buffer);
        for b in kernel.buffers().into_iter().chain(conditions) {
            let life = lives[b.index()].get_or_insert((i, i));
            life.1 = i;
        }
    }
    lives
}

/// Arranges the temporary buffers of a plan, given the sizes of all dims: large ones first, each in the smallest gap
/// that is free during its life.
pub fn arrange(plan: &Plan, sizes: &[u64]) -> Arrangement {
    arrange_by(plan, ALIGNMENT, &|b| plan.bytes(b, sizes))
}

/// As [`arrange`], for a device that has its own number of bytes for each buffer, and another alignment.
pub fn arrange_by(plan: &Plan, alignment: u64, bytes: &dyn Fn(BufferId) -> u64) -> Arrangement {
    let lives = lifetimes(plan);
    let mut temps: Vec<(u64, BufferId, (usize, usize))> = (0..plan.buffers.len())
        .map(BufferId::new)
        .filter(|b| plan.buffer(*b).home == Home::Temp)
        .filter_map(|b| Some((bytes(b).max(1).next_multiple_of(alignment), b, lives[b.index()]?)))
        .collect();
    temps.sort_by_key(|(size, b, _)| (std::cmp::Reverse(*size), *b));
    let mut offsets = vec![0; plan.buffers.len()];
    let mut total = 0;
    let mut placed: Vec<(u64, u64, (usize, usize))> = Vec::new();
    for (size, b, life) in temps {
        let mut taken: Vec<(u64, u64)> =
            placed.iter().filter(|p| p.2.0 <= life.1 && life.0 <= p.2.1).map(|p| (p.0, p.0 + p.1)).collect();
        taken.sort();
        let offset = smallest_gap(&taken, size);
        offsets[b.index()] = offset as usize;
        total = total.max(offset + size);
        placed.push((offset, size, life));
    }
    Arrangement { offsets, total: total as usize }
}

/// The start of the smallest gap between sorted ranges that takes `size`, or the end of all.
fn smallest_gap(taken: &[(u64, u64)], size: u64) -> u64 {
    let (mut end, mut best): (u64, Option<(u64, u64)>) = (0, None);
    for (from, to) in taken {
        if *from >= end + size && best.is_none_or(|b| from - end < b.0) {
            best = Some((from - end, end));
        }
        end = end.max(*to);
    }
    best.map_or(end, |b| b.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_smallest_first() {
        assert_eq!(smallest_gap(&[], 64), 0);
        assert_eq!(smallest_gap(&[(0, 64), (256, 320), (384, 512)], 64), 320);
        assert_eq!(smallest_gap(&[(0, 64), (256, 320), (384, 512)], 128), 64);
        assert_eq!(smallest_gap(&[(0, 64), (32, 512)], 64), 512);
    }
}
