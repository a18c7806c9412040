//! A plain interpreter of bodies, in f64 with every real rounded to the plan's precision.
//! Law: it does what the docs of the Plan say and nothing else; what it computes is what machine code must.

use crate::graph::{Red, neutral};
use crate::philox;
use crate::plan::{Address, BufferId, Index, Inst, Kind, Loop, Plan, Range, Scope, Stmt, ValueId};
use crate::scalar;

/// Buffers and counters while a body runs.
pub struct Machine<'a> {
    pub plan: &'a Plan,
    pub scope: &'a Scope,
    pub sizes: &'a [u64],
    pub hypers: &'a [f64],
    pub step: f64,
    pub seed: u64,
    pub buffers: Vec<Vec<f64>>,
    pub values: Vec<f64>,
    pub counters: Vec<i64>,
    /// The finished tile in an epilogue: entries, rows' loop, columns' loop, columns.
    pub tile: Option<(Vec<f64>, usize, usize, usize)>,
}

impl<'a> Machine<'a> {
    pub fn new(plan: &'a Plan, scope: &'a Scope, sizes: &'a [u64], buffers: Vec<Vec<f64>>) -> Self {
        Machine {
            plan,
            scope,
            sizes,
            hypers: super::HYPERS,
            step: super::STEP,
            seed: super::SEED,
            buffers,
            values: vec![f64::NAN; scope.values.len()],
            counters: vec![0; scope.loops.len()],
            tile: None,
        }
    }

    fn round(&self, x: f64, kind: Kind) -> f64 {
        if kind == Kind::Real && !self.plan.double { f64::from(x as f32) } else { x }
    }

    fn at(&self, address: &Address) -> i64 {
        let index = |i: &Index| match i {
            Index::Loop(l) => self.counters[l.index()],
            Index::Value(v) => self.values[v.index()] as i64,
        };
        let terms = address.terms.iter().map(|(i, c, e)| c * index(i) * e.eval(self.sizes));
        let offset = address.offset.iter().map(|(c, e)| c * e.eval(self.sizes));
        terms.chain(offset).sum()
    }

    fn entry(&self, b: BufferId, address: &Address) -> f64 {
        self.buffers[b.index()][self.at(address) as usize]
    }

    fn inst(&self, v: ValueId, inst: &Inst) -> f64 {
        let x = match inst {
            Inst::Const(x) => *x,
            Inst::Counter(l) => self.counters[l.index()] as f64,
            Inst::Size(d) => self.sizes[d.index()] as f64,
            Inst::Hyper(h) => self.hypers[h.index()],
            Inst::Step => self.step,
            Inst::Tile => {
                let (tile, rows, columns, width) = self.tile.as_ref().expect("in an epilogue");
                tile[self.counters[*rows] as usize * width + self.counters[*columns] as usize]
            }
            Inst::Load(b, at) => self.entry(*b, at),
            Inst::Map(fun, args) => {
                let x: Vec<f64> = args.iter().map(|a| self.values[a.index()]).collect();
                scalar::eval(*fun, &x)
            }
            Inst::Random(dist, site, at) => {
                philox::draw(*dist, self.seed, site.0, self.step as u32, self.at(at) as u64)
            }
        };
        self.round(x, self.scope.values[v.index()])
    }

    fn range(&self, range: &Range) -> (i64, i64) {
        match range {
            Range::Full(e) => (0, e.eval(self.sizes)),
            Range::Blocks { size, extent } => (0, (extent.eval(self.sizes) + size - 1) / size),
            Range::Block { outer, size, extent } => {
                let lo = self.counters[outer.index()] * size;
                (lo, (lo + size).min(extent.eval(self.sizes)))
            }
        }
    }

    pub fn run(&mut self, l: &Loop) {
        let (lo, hi) = self.range(&l.range);
        let mut best: Vec<(f64, i64)> = l.accs.iter().map(|a| (neutral(a.red), lo)).collect();
        for i in lo..hi {
            self.counters[l.id.index()] = i;
            self.stmts(&l.body);
            for (acc, best) in l.accs.iter().zip(&mut best) {
                let x = self.values[acc.value.index()];
                let joined = self.round(join(acc.red, best.0, x), self.scope.values[acc.value.index()]);
                let better = joined != best.0 && matches!(acc.red, Red::ArgMax | Red::ArgMin);
                *best = (joined, if better { i } else { best.1 });
            }
        }
        for (acc, best) in l.accs.iter().zip(&best) {
            let place = matches!(acc.red, Red::ArgMax | Red::ArgMin);
            self.values[acc.result.index()] = if place { best.1 as f64 } else { best.0 };
        }
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            match stmt {
                Stmt::Let(v, inst) => self.values[v.index()] = self.inst(*v, inst),
                Stmt::Loop(l) => self.run(l),
                Stmt::Store(b, at, v) => {
                    let at = self.at(at) as usize;
                    self.buffers[b.index()][at] = self.values[v.index()];
                }
                Stmt::Accumulate(red, b, at, v) => {
                    let at = self.at(at) as usize;
                    let joined = join(*red, self.buffers[b.index()][at], self.values[v.index()]);
                    self.buffers[b.index()][at] = self.round(joined, self.plan.buffer(*b).kind);
                }
            }
        }
    }
}

fn join(red: Red, a: f64, b: f64) -> f64 {
    match red {
        Red::Sum => a + b,
        Red::Prod => a * b,
        Red::Max | Red::ArgMax => scalar::eval(gannet_lang::program::Fun::Max, &[a, b]),
        Red::Min | Red::ArgMin => scalar::eval(gannet_lang::program::Fun::Min, &[a, b]),
        Red::Any => f64::from(a != 0.0 || b != 0.0),
        Red::All => f64::from(a != 0.0 && b != 0.0),
    }
}
