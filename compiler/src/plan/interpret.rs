//! A slow, exact interpreter of Plans in f64: the oracle of the emitters and the witness of fusion.
//! Law: kernels, loops and statements are executed as they stand; lanes and threads change nothing.

use super::{
    Acc, Access, Address, BufferId, Contraction, Extent, Home, Index, Inst, Kernel, Kind, LibraryCall, Loop, Plan,
    Range, Repeat, Stmt, Strided, ValueId,
};
use crate::graph::{Red, neutral};
use gannet_lang::program::{Axis, Dist, Fun, LoopTest, SiteId};

/// What a plan runs on: values of leaves in storage order, by their ids.
pub struct Leaves<'a> {
    /// Sizes of all dims.
    pub sizes: Vec<u64>,
    /// Data.
    pub inputs: Vec<Vec<f64>>,
    /// Parameters.
    pub params: Vec<Vec<f64>>,
    /// States.
    pub states: Vec<Vec<f64>>,
    /// Operands of the step of a loop.
    pub args: Vec<Vec<f64>>,
    /// Hyperparameters.
    pub hypers: Vec<f64>,
    /// The step, from 1.
    pub step: f64,
    /// The draw of an entry.
    pub draw: &'a dyn Fn(Dist, SiteId, u64) -> f64,
}

impl Leaves<'_> {
    /// The same without what only some plans have.
    fn copied(&self) -> Self {
        Leaves {
            sizes: self.sizes.clone(),
            inputs: vec![],
            params: vec![],
            states: vec![],
            args: vec![],
            hypers: self.hypers.clone(),
            step: self.step,
            draw: self.draw,
        }
    }
}

/// Runs a plan; returns the contents of all buffers after the last kernel.
///
/// # Panics
/// If the plan breaks a law, or a leaf has another number of entries than its type says.
pub fn run(plan: &Plan, leaves: &Leaves) -> Vec<Vec<f64>> {
    let content = |b: usize| {
        let id = BufferId::new(b);
        let entries = plan.entries(id).eval(&leaves.sizes) as usize;
        let given = match plan.buffer(id).home {
            Home::Input(i) => &leaves.inputs[i.index()],
            Home::Param(p) => &leaves.params[p.index()],
            Home::State(s) => &leaves.states[s.index()],
            Home::Arg(k) => &leaves.args[k as usize],
            // Nothing may be read before it is written: NaN would show it.
            Home::Result | Home::Temp => return vec![f64::NAN; entries],
        };
        assert_eq!(given.len(), entries, "{} has its entries", plan.buffer(id).name);
        given.clone()
    };
    let mut run = Run { plan, leaves, buffers: (0..plan.buffers.len()).map(content).collect() };
    for (kernel, only) in plan.kernels.iter().zip(&plan.only) {
        if only.iter().any(|c| (run.buffers[c.buffer.index()][0] != 0.0) != c.holds) {
            continue;
        }
        match kernel {
            Kernel::Traversal(t) => {
                let mut frame = Frame::new(t.scope.values.len(), t.scope.loops.len(), &t.scope.values);
                run.one_loop(&t.outer, &mut frame);
            }
            Kernel::Contraction(c) => run.contraction(c),
            Kernel::Library(c) => run.library(c),
            Kernel::Repeat(c) => run.repeat(c),
        }
    }
    run.buffers
}

struct Run<'a> {
    plan: &'a Plan,
    leaves: &'a Leaves<'a>,
    buffers: Vec<Vec<f64>>,
}

/// Values and counters of a kernel.
struct Frame<'a> {
    values: Vec<f64>,
    counters: Vec<i64>,
    kinds: &'a [Kind],
    tile: f64,
}

impl<'a> Frame<'a> {
    fn new(values: usize, loops: usize, kinds: &'a [Kind]) -> Self {
        Frame { values: vec![f64::NAN; values], counters: vec![0; loops], kinds, tile: f64::NAN }
    }

    fn get(&self, v: ValueId) -> f64 {
        self.values[v.index()]
    }
}

impl Run<'_> {
    fn one_loop(&mut self, l: &Loop, frame: &mut Frame) {
        let sizes = &self.leaves.sizes;
        let (from, to) = match &l.range {
            Range::Full(e) => (0, e.eval(sizes)),
            Range::Blocks { size, extent } => (0, (extent.eval(sizes) + size - 1) / size),
            Range::Block { outer, size, extent } => {
                let from = frame.counters[outer.index()] * size;
                (from, (from + size).min(extent.eval(sizes)))
            }
        };
        let mut sums: Vec<Sum> = l.accs.iter().map(Sum::new).collect();
        for i in from..to {
            frame.counters[l.id.index()] = i;
            self.body(&l.body, frame);
            for (sum, acc) in sums.iter_mut().zip(&l.accs) {
                sum.take(acc.red, frame.get(acc.value), i);
            }
        }
        for (sum, acc) in sums.iter().zip(&l.accs) {
            frame.values[acc.result.index()] = sum.result(acc.red);
        }
    }

    fn body(&mut self, body: &[Stmt], frame: &mut Frame) {
        for s in body {
            match s {
                Stmt::Let(v, inst) => frame.values[v.index()] = self.inst(inst, *v, frame),
                Stmt::Loop(l) => self.one_loop(l, frame),
                Stmt::Store(b, a, v) => {
                    let at = self.entry(*b, a, frame);
                    self.buffers[b.index()][at] = frame.get(*v);
                }
                Stmt::Accumulate(red, b, a, v) => {
                    let at = self.entry(*b, a, frame);
                    let old = self.buffers[b.index()][at];
                    self.buffers[b.index()][at] = combine(*red, old, frame.get(*v));
                }
            }
        }
    }

    fn entry(&self, b: BufferId, a: &Address, frame: &Frame) -> usize {
        let at = self.number(a, frame);
        let len = self.buffers[b.index()].len();
        let name = &self.plan.buffer(b).name;
        assert!((0..len as i64).contains(&at), "entry {at} of {name} lies outside its {len}");
        at as usize
    }

    fn number(&self, a: &Address, frame: &Frame) -> i64 {
        let sizes = &self.leaves.sizes;
        let index = |i: &Index| match i {
            Index::Loop(l) => frame.counters[l.index()],
            Index::Value(v) => frame.get(*v) as i64,
        };
        let terms: i64 = a.terms.iter().map(|(i, c, s)| index(i) * c * s.eval(sizes)).sum();
        let offset: i64 = a.offset.iter().map(|(c, s)| c * s.eval(sizes)).sum();
        terms + offset
    }

    fn inst(&self, inst: &Inst, v: ValueId, frame: &Frame) -> f64 {
        match inst {
            Inst::Const(n) => *n,
            Inst::Counter(l) => frame.counters[l.index()] as f64,
            Inst::Size(dim) => self.leaves.sizes[dim.index()] as f64,
            Inst::Hyper(h) => self.leaves.hypers[h.index()],
            Inst::Step => self.leaves.step,
            Inst::Tile => frame.tile,
            Inst::Load(b, a) => self.buffers[b.index()][self.entry(*b, a, frame)],
            Inst::Random(dist, site, a) => (self.leaves.draw)(*dist, *site, self.number(a, frame) as u64),
            Inst::Map(fun, args) => {
                let x: Vec<f64> = args.iter().map(|a| frame.get(*a)).collect();
                let value = crate::scalar::eval(*fun, &x);
                // Whole numbers stay whole, also where the operands were truth values.
                if frame.kinds[v.index()] == Kind::Int && *fun == Fun::ToInt { value.trunc() } else { value }
            }
        }
    }

    fn contraction(&mut self, c: &Contraction) {
        let sizes = &self.leaves.sizes;
        let counts = |axes: &[Extent]| -> Vec<i64> { axes.iter().map(|e| e.eval(sizes)).collect() };
        let (batch, m, n, k) = (counts(&c.batch), counts(&c.m), counts(&c.n), counts(&c.k));
        let scope = c.epilogue.as_ref().map(|e| &e.scope);
        for p in places(&batch) {
            for (row, i) in places(&m).iter().enumerate() {
                let mut tiles = Vec::new();
                for j in places(&n) {
                    let term = |s: &Vec<i64>| self.operand(&c.a, &p, i, s) * self.operand(&c.b, &p, s, &j);
                    let sum: f64 = places(&k).iter().map(term).sum();
                    if let Some(out) = &c.c {
                        let at = self.offset(out, &p, i, &j);
                        self.buffers[out.buffer.index()][at as usize] = sum;
                    }
                    tiles.push(sum);
                }
                if let (Some(e), Some(scope)) = (&c.epilogue, scope) {
                    let mut frame = Frame::new(scope.values.len(), scope.loops.len(), &scope.values);
                    frame.counters[e.rows.id.index()] = row as i64;
                    self.row(&e.rows.body, e.columns, &tiles, &mut frame);
                }
            }
        }
    }

    /// A loop, one step after the other, each on copies of its operands.
    fn repeat(&mut self, c: &Repeat) {
        let count = c.count.eval(&self.leaves.sizes) as usize;
        let axes = |plan: &Plan, b: BufferId| plan.buffer(b).axes.clone();
        let mut args: Vec<Vec<f64>> = c.operands.iter().map(|b| self.buffers[b.index()].clone()).collect();
        let mut steps = 0;
        let mut places: Vec<usize> = (0..count).collect();
        if c.reverse {
            places.reverse();
        }
        for k in c.states..c.states + c.kept() {
            let results = c.results[k].iter();
            results.for_each(|b| self.buffers[b.index()].fill(0.0));
        }
        for place in places {
            for (arg, operand) in args.iter_mut().zip(&c.operands).skip(c.states).take(c.slices) {
                let from = axes(self.plan, *operand);
                *arg = self.slice(&self.buffers[operand.index()], &from, c.axis, place);
            }
            let leaves = Leaves { args: args.clone(), draw: self.leaves.draw, ..self.leaves.copied() };
            let out = run(&c.step, &leaves);
            let go_on = c.condition().is_none_or(|b| out[b.index()][0] != 0.0);
            if c.test == Some(LoopTest::Before) && !go_on {
                break;
            }
            for k in c.states..c.states + c.kept() {
                let Some(target) = c.results[k] else { continue };
                let to = axes(self.plan, target)[1..].to_vec();
                let entries = self.ordered(&out[c.output(k).index()], &axes(&c.step, c.output(k)), &to);
                let at = place * entries.len();
                self.buffers[target.index()][at..at + entries.len()].copy_from_slice(&entries);
            }
            for (k, arg) in args.iter_mut().enumerate().take(c.states) {
                let b = c.output(k);
                *arg = self.ordered(&out[b.index()], &axes(&c.step, b), &axes(self.plan, c.operands[k]));
            }
            steps += 1;
            if !go_on {
                break;
            }
        }
        for (k, arg) in args.iter().enumerate().take(c.states) {
            if let Some(target) = c.results[k] {
                let entries = self.ordered(arg, &axes(self.plan, c.operands[k]), &axes(self.plan, target));
                self.buffers[target.index()] = entries;
            }
        }
        if let Some(target) = c.results.last().copied().flatten() {
            self.buffers[target.index()][0] = steps as f64;
        }
    }

    /// Entries in another order of axes.
    fn ordered(&self, entries: &[f64], from: &[Axis], to: &[Axis]) -> Vec<f64> {
        let size = |a: &Axis| self.leaves.sizes[a.dim.index()] as usize;
        let count: usize = to.iter().map(size).product();
        let mut out = Vec::with_capacity(count);
        for n in 0..count {
            let mut rest = n;
            let mut places: Vec<(Axis, usize)> = Vec::new();
            for a in to.iter().rev() {
                places.push((*a, rest % size(a)));
                rest /= size(a);
            }
            let place = |a: &Axis| places.iter().find(|p| p.0 == *a).expect("the same axes").1;
            out.push(entries[from.iter().fold(0, |at, a| at * size(a) + place(a))]);
        }
        out
    }

    /// The entries at one place of an axis.
    fn slice(&self, entries: &[f64], axes: &[Axis], axis: Axis, place: usize) -> Vec<f64> {
        let rest: Vec<Axis> = axes.iter().copied().filter(|a| *a != axis).collect();
        let first: Vec<Axis> = std::iter::once(axis).chain(rest).collect();
        let moved = self.ordered(entries, axes, &first);
        let each = moved.len() / (self.leaves.sizes[axis.dim.index()] as usize).max(1);
        moved[place * each..(place + 1) * each].to_vec()
    }

    fn library(&mut self, c: &LibraryCall) {
        let sizes = &self.leaves.sizes;
        let signature = c.fun.signature();
        let groups = c.group_sizes(sizes);
        let members = c.batch.iter().map(|e| e.eval(sizes)).product::<i64>() as usize;
        for member in 0..members {
            let places = |s: &Strided, own: &[usize]| -> Vec<usize> {
                let start = c.batch_offsets(s, sizes)[member];
                c.entry_offsets(s, own, sizes).into_iter().map(|e| (start + e) as usize).collect()
            };
            let operand = |(o, own): (&Strided, &&[usize])| -> Vec<f64> {
                places(o, own).into_iter().map(|at| self.buffers[o.buffer.index()][at]).collect()
            };
            let operands: Vec<Vec<f64>> = c.operands.iter().zip(signature.operands).map(operand).collect();
            let operands: Vec<&[f64]> = operands.iter().map(Vec::as_slice).collect();
            let hosts = &self.plan.tables.hosts;
            let parts = crate::library::eval_with(hosts, c.fun, &groups, &operands, crate::library::eval)
                .unwrap_or_else(|e| panic!("{}: {e}", c.name));
            for ((result, rule), part) in c.results.iter().zip(signature.parts).zip(parts) {
                let Some(result) = result else { continue };
                let places = places(result, rule.groups);
                let buffer = &mut self.buffers[result.buffer.index()];
                places.into_iter().zip(part).for_each(|(at, x)| buffer[at] = x);
            }
        }
    }

    fn row(&mut self, body: &[Stmt], columns: super::LoopId, tiles: &[f64], frame: &mut Frame) {
        for s in body {
            match s {
                Stmt::Loop(l) if l.id == columns => {
                    for (j, tile) in tiles.iter().enumerate() {
                        frame.counters[l.id.index()] = j as i64;
                        frame.tile = *tile;
                        self.body(&l.body, frame);
                    }
                }
                s => self.body(std::slice::from_ref(s), frame),
            }
        }
    }

    fn operand(&self, a: &Access, batch: &[i64], rows: &[i64], columns: &[i64]) -> f64 {
        self.buffers[a.buffer.index()][self.offset(a, batch, rows, columns) as usize]
    }

    fn offset(&self, a: &Access, batch: &[i64], rows: &[i64], columns: &[i64]) -> i64 {
        let dot = |i: &[i64], s: &[Extent]| -> i64 {
            assert_eq!(i.len(), s.len(), "an operand has a stride along each axis");
            i.iter().zip(s).map(|(i, s)| i * s.eval(&self.leaves.sizes)).sum()
        };
        a.start(&self.leaves.sizes) + dot(batch, &a.batch) + dot(rows, &a.rows) + dot(columns, &a.columns)
    }
}

/// All places of a grid, the last axis fastest.
fn places(sizes: &[i64]) -> Vec<Vec<i64>> {
    let mut all = vec![Vec::new()];
    for size in sizes {
        all = all.iter().flat_map(|p| (0..*size).map(move |i| [p.clone(), vec![i]].concat())).collect();
    }
    all
}

/// A running reduction.
struct Sum {
    value: f64,
    place: i64,
}

impl Sum {
    fn new(acc: &Acc) -> Self {
        Sum { value: neutral(acc.red), place: 0 }
    }

    fn take(&mut self, red: Red, x: f64, i: i64) {
        match red {
            Red::ArgMax | Red::ArgMin if crate::scalar::better(red, x, self.value) => (self.value, self.place) = (x, i),
            Red::ArgMax | Red::ArgMin => {}
            _ => self.value = combine(red, self.value, x),
        }
    }

    fn result(&self, red: Red) -> f64 {
        if matches!(red, Red::ArgMax | Red::ArgMin) { self.place as f64 } else { self.value }
    }
}

/// `red` of two values.
fn combine(red: Red, a: f64, b: f64) -> f64 {
    match red {
        Red::Sum => a + b,
        Red::Prod => a * b,
        Red::Max => crate::scalar::eval(Fun::Max, &[a, b]),
        Red::Min => crate::scalar::eval(Fun::Min, &[a, b]),
        Red::Any => crate::scalar::eval(Fun::Or, &[a, b]),
        Red::All => crate::scalar::eval(Fun::And, &[a, b]),
        Red::ArgMax | Red::ArgMin => unreachable!("the place of an extreme is not combined"),
    }
}
