//! Writes contractions and their epilogues.
//! Law: an epilogue's two counters number the contraction's rows and columns in the order of its own axes.

use super::body::{Builder, Env};
use super::cluster::Cluster;
use super::context::{Context, Reach};
use super::loops;
use super::refs::Stored;
use crate::graph::NodeId;
use crate::plan::{Access, Contraction, Epilogue, Extent, Kernel, Mode, Stmt};
use gannet_lang::program::Axis;
use std::collections::BTreeMap;

/// The stride of each axis in a buffer.
type Strides = BTreeMap<Axis, Extent>;

/// Sizes of merged axes, and their strides in each operand.
struct Group {
    sizes: Vec<Extent>,
    strides: Vec<Vec<Extent>>,
}

impl Context<'_> {
    /// The kernel of a product with what its cluster does to the finished tiles; `None` if that cannot be written in
    /// the form of an epilogue.
    pub fn product(&self, cluster: &Cluster, id: NodeId) -> Option<Kernel> {
        let node = self.graph.node(id);
        let parts = &self.products[&id];
        let root = Stored::Node(id);
        let order = &self.orders[&id];
        let (mut factors, mut m, mut n) = ((node.args[0], node.args[1]), &parts.m, &parts.n);
        if order.iter().rev().find(|a| m.contains(a) || n.contains(a)).is_some_and(|a| m.contains(a)) {
            // Columns are what the result stores side by side.
            factors = (factors.1, factors.0);
            std::mem::swap(&mut m, &mut n);
        }
        let (a, b) = (self.access(factors.0)?, self.access(factors.1)?);
        let by_order = |axes: &[Axis]| -> Vec<Axis> { order.iter().copied().filter(|x| axes.contains(x)).collect() };
        let (mut m, mut n, batch) = (by_order(m), by_order(n), by_order(&parts.batch));
        let mut k = parts.k.to_vec();
        k.sort_by_key(|x| self.orders[&b.base].iter().position(|y| y == x).map_or(0, |p| p + 1));
        let targets = self.targets.get(&root).cloned().unwrap_or_default();
        let with_epilogue = cluster.roots.len() > 1 || targets.len() != 1;
        for (factor, reach, own) in [(factors.0, &a, &mut m), (factors.1, &b, &mut n)] {
            if self.overlaps(factor, reach) {
                // Windows are copied together piece by piece: in the order in which they lie in memory.
                self.sort_by_stride(&mut k, reach);
                let listed = own.clone();
                self.sort_by_stride(own, reach);
                if with_epilogue && *own != listed {
                    // An epilogue goes through the result as that is stored, and is not worth scattered copies.
                    if cluster.roots.len() > 1 {
                        return None;
                    }
                    *own = listed;
                }
            }
        }
        let c: Strides = match targets.first() {
            Some(buffer) if !with_epilogue => {
                let axes = &self.buffers[buffer.index()].axes;
                axes.iter().copied().zip(self.strides(axes)).collect()
            }
            _ => Strides::new(),
        };
        let rows = self.group(&m, &[&a.strides, &c]);
        let columns = self.group(&n, &[&b.strides, &c]);
        let batches = self.group(&batch, &[&a.strides, &b.strides, &c]);
        let sums = self.group(&k, &[&a.strides, &b.strides]);
        let epilogue = if with_epilogue {
            if !batch.is_empty() {
                return None;
            }
            Some(self.epilogue(cluster, id, &m, &n)?)
        } else {
            None
        };
        let access = |reach: Reach, i: usize, rows: &Vec<Extent>, columns: &Vec<Extent>| Access {
            buffer: self.place[&Stored::Node(reach.base)],
            batch: batches.strides[i].clone(),
            rows: rows.clone(),
            columns: columns.clone(),
            offset: reach.offset,
        };
        let c = targets.first().filter(|_| !with_epilogue).map(|buffer| Access {
            buffer: *buffer,
            batch: batches.strides[2].clone(),
            rows: rows.strides[1].clone(),
            columns: columns.strides[1].clone(),
            offset: Vec::new(),
        });
        Some(Kernel::Contraction(Box::new(Contraction {
            name: cluster.roots.iter().map(|r| self.name(r.node())).collect::<Vec<_>>().join(", "),
            span: self.graph.span(id),
            a: access(a, 0, &rows.strides[0], &sums.strides[0]),
            b: access(b, 1, &sums.strides[1], &columns.strides[0]),
            batch: batches.sizes,
            m: rows.sizes,
            n: columns.sizes,
            k: sums.sizes,
            c,
            epilogue,
        })))
    }

    /// Does a factor read entries of what is stored several times?
    fn overlaps(&self, factor: NodeId, reach: &Reach) -> bool {
        self.graph.entries(factor) > self.graph.entries(reach.base)
    }

    /// Axes that lie far apart first.
    fn sort_by_stride(&self, axes: &mut [Axis], reach: &Reach) {
        let assumed = &self.graph.tables.assumed;
        axes.sort_by_key(|a| std::cmp::Reverse(reach.strides.get(a).map_or(0, |s| s.eval(assumed).abs())));
    }

    /// Merges neighbouring axes that all operands store as one.
    fn group(&self, axes: &[Axis], operands: &[&Strides]) -> Group {
        let mut group = Group { sizes: Vec::new(), strides: vec![Vec::new(); operands.len()] };
        for axis in axes {
            let size = self.extent(*axis);
            let zero = Extent::constant(0);
            let strides: Vec<Extent> = operands.iter().map(|o| o.get(axis).unwrap_or(&zero).clone()).collect();
            let joins = !group.sizes.is_empty()
                && (0..operands.len()).all(|i| group.strides[i].last() == Some(&strides[i].times(&size)));
            if joins {
                let last = group.sizes.last_mut().expect("not empty");
                *last = last.times(&size);
                (0..operands.len()).for_each(|i| *group.strides[i].last_mut().expect("not empty") = strides[i].clone());
            } else {
                group.sizes.push(size);
                (0..operands.len()).for_each(|i| group.strides[i].push(strides[i].clone()));
            }
        }
        group
    }

    fn epilogue(&self, cluster: &Cluster, id: NodeId, m: &[Axis], n: &[Axis]) -> Option<Epilogue> {
        let mut b = Builder::new(self, Some(id));
        let mut env = Env::new();
        for axis in m {
            let pos = b.open_axis(*axis);
            env.push((*axis, pos));
        }
        let first_column = b.next_loop();
        for axis in n {
            let pos = b.open_axis(*axis);
            env.push((*axis, pos));
        }
        let mut roots = cluster.roots.clone();
        roots.sort_by_key(|r| r.node());
        for root in roots {
            self.emit_root(&mut b, root, &env);
        }
        let (mut rows, scope) = b.finish();
        loops::merge_except(&mut rows, Some(first_column));
        let (inner, lets) = rows.body.split_last_mut()?;
        let Stmt::Loop(columns) = inner else { return None };
        let flat = lets.iter().chain(&columns.body).all(|s| !matches!(s, Stmt::Loop(_)));
        let no_stores = lets.iter().all(|s| matches!(s, Stmt::Let(..)));
        if columns.id != first_column || !flat || !no_stores {
            return None;
        }
        columns.mode = Mode::Vector;
        Some(Epilogue { scope, rows, columns: first_column })
    }
}
