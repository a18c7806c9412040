//! Growth by library operations with safe operands.
//! Law: matrices are well conditioned, and no exact tie decides an order.

use super::{Grower, Real};
use crate::graph::{At, NodeId, Op};
use gannet_lang::program::{Axis, Fun, Lib, LibFun, Way};

impl Grower {
    fn part(&mut self, fun: LibFun, groups: Vec<Vec<Axis>>, args: &[NodeId], k: u8) -> NodeId {
        let whole = self.graph.add(Op::Library(Lib { fun, groups }), args.iter().copied());
        self.graph.add(Op::Part(u32::from(k)), [whole])
    }

    pub(super) fn library(&mut self) {
        let (x, y) = (self.real(), self.real());
        let axes = self.graph.ty(x.id).axes.to_vec();
        if axes.is_empty() || self.entries(&self.graph.union(&[x.id, y.id])) > self.config.max_entries {
            return;
        }
        let axis = self.rng.pick(&axes);
        let way = if self.rng.once_in(2) { Way::Forth } else { Way::Back };
        match self.rng.below(4) {
            0 => {
                let factor = self.graph.map1(Fun::Sin, y.id);
                let h = self.part(LibFun::Recur(way), vec![vec![axis]], &[factor, x.id], 0);
                self.keep(h, x.bound * self.size(axis) as f64);
            }
            1 => {
                let k = self.rng.below(2) as u8;
                let y_k = self.part(LibFun::Fft(way), vec![vec![axis]], &[x.id, y.id], k);
                self.keep(y_k, (x.bound + y.bound) * self.size(axis) as f64);
            }
            2 if !self.config.smooth => {
                let order = self.part(LibFun::Sort, vec![vec![axis]], &[x.id], 0);
                let sorted = self.graph.read(x.id, &[(axis, At::Arg(1))], &[order], None);
                self.keep(sorted, x.bound);
            }
            _ => self.system(x, y, axis),
        }
    }

    /// `(sin x sin x' + 2n) z = y`, where the matrix has a large diagonal.
    fn system(&mut self, x: Real, y: Real, rows: Axis) {
        let columns = Axis { ix: 1 - rows.ix, ..rows };
        let all = self.graph.union(&[x.id, y.id]);
        if all.contains(&columns) || self.entries(&all) * self.size(rows) > self.config.max_entries {
            return;
        }
        let left = self.graph.map1(Fun::Sin, x.id);
        let right = self.graph.rename(left, &[(rows, columns)]);
        let (i, j) = (self.graph.add(Op::Iota(rows), []), self.graph.add(Op::Iota(columns), []));
        let same = self.graph.map2(Fun::Eq, i, j);
        let (size, same) = (self.graph.num(2.0 * self.size(rows) as f64), self.graph.to_real(same));
        let diagonal = self.graph.mul_all(&[size, same]);
        let product = self.graph.mul_all(&[left, right]);
        let matrix = self.graph.add_all(&[product, diagonal]);
        let groups = vec![vec![rows], vec![columns]];
        let (id, bound) = match self.rng.below(3) {
            0 => (self.part(LibFun::Cholesky, groups, &[matrix], 0), 2.0 * self.size(rows) as f64 + 1.0),
            1 => (self.part(LibFun::LogDet, groups, &[matrix], 0), 20.0),
            _ => (self.part(LibFun::Solve, groups, &[matrix, y.id], 0), y.bound),
        };
        self.keep(id, bound);
    }
}
