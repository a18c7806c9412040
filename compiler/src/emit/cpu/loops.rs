//! Loops: counters, accumulators, vectors with their scalar remainder, and what is moved out.
//! Law: a loop's result depends on its range alone. Accumulators have one partial result a lane and an unrolled copy,
//! combined in a fixed order.

use super::body::{Counter, Lower, Val};
use crate::graph::{Red, neutral};
use crate::plan::{Acc, Inst, Kind, Loop, LoopId, Mode, Range, Stmt, ValueId};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use cranelift_frontend::Variable;
use std::collections::HashMap;

/// Copies of a vector loop's body when it accumulates: the additions of one copy wait for nothing.
const UNROLL_ACCUMULATING: usize = 4;
/// Copies of a short vector loop's body that does not.
const UNROLL_SHORT: usize = 2;
/// Bodies with more statements than this are not copied.
const SHORT_BODY: usize = 24;

/// A running reduction.
struct Running {
    red: Red,
    kind: Kind,
    vector: bool,
    value: Variable,
    /// The place of the best entry, for argmax and argmin.
    place: Option<Variable>,
}

impl Lower<'_> {
    /// Lowers a loop; `given` replaces its range.
    pub fn looped(&mut self, l: &Loop, given: Option<(Value, Value)>) {
        let (lo, hi) = given.unwrap_or_else(|| self.range(&l.range));
        let inside_vector = self.counters.values().any(|c| c.vector);
        let vector = l.mode == Mode::Vector && !inside_vector && self.can_be_vector(l);
        // What is moved out of the loop is computed only if the loop runs: an empty one may stand for an empty buffer.
        let result = self.start(&l.accs, inside_vector);
        let (inside, after) = (self.b.create_block(), self.b.create_block());
        let some = self.b.ins().icmp(IntCC::SignedLessThan, lo, hi);
        self.b.ins().brif(some, inside, &[], after, &[]);
        self.b.switch_to_block(inside);
        self.b.seal_block(inside);
        self.frames.push(HashMap::new());
        self.prepare(l, vector || inside_vector);
        let at = self.variable(lo);
        if vector {
            self.vector_loop(l, at, hi, &result);
        } else {
            self.run(l, at, hi, 1, false, &[&result]);
        }
        self.frames.pop();
        self.b.ins().jump(after, &[]);
        self.b.switch_to_block(after);
        self.b.seal_block(after);
        self.end(l, result);
    }

    /// Unrolled lanes, lanes, then entry by entry.
    fn vector_loop(&mut self, l: &Loop, at: Variable, hi: Value, result: &Vec<Running>) {
        let copies = match (l.accs.is_empty(), l.body.len()) {
            (_, n) if n > SHORT_BODY || has_loop(&l.body) => 1,
            (false, _) => UNROLL_ACCUMULATING,
            (true, _) => UNROLL_SHORT,
        };
        let parts = (self.lanes.together / self.lanes.vector) as usize;
        let partial: Vec<Vec<Running>> = (0..copies * parts).map(|_| self.start(&l.accs, true)).collect();
        let all: Vec<&Vec<Running>> = partial.iter().collect();
        if copies > 1 {
            self.run(l, at, hi, self.lanes.together * copies as i64, true, &all);
            self.join_copies(&partial, parts);
        }
        self.run(l, at, hi, self.lanes.together, true, &all[..parts]);
        self.join_copies(&partial[..parts], 1);
        self.across_lanes(&partial[0], result);
        self.run(l, at, hi, 1, false, &[result]);
    }

    fn variable(&mut self, start: Value) -> Variable {
        let ty = self.b.func.dfg.value_type(start);
        let v = self.b.declare_var(ty);
        self.b.def_var(v, start);
        v
    }

    /// First and one past the last iteration.
    fn range(&mut self, range: &Range) -> (Value, Value) {
        let zero = self.b.ins().iconst(types::I64, 0);
        match range {
            Range::Full(e) => (zero, self.extent(e)),
            Range::Blocks { size, extent } => {
                let n = self.extent(extent);
                let n = self.b.ins().iadd_imm_s(n, size - 1);
                let size = self.b.ins().iconst(types::I64, *size);
                (zero, self.b.ins().sdiv(n, size))
            }
            Range::Block { outer, size, extent } => {
                let counter = self.counters[outer].value;
                let lo = self.b.ins().imul_imm_s(counter, *size);
                let end = self.b.ins().iadd_imm_s(lo, *size);
                let n = self.extent(extent);
                (lo, self.b.ins().smin(end, n))
            }
        }
    }

    /// `while at + step <= hi { copies of the body; at += step }`.
    fn run(&mut self, l: &Loop, at: Variable, hi: Value, step: i64, vector: bool, running: &[&Vec<Running>]) {
        let (header, body, exit) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.ins().jump(header, &[]);
        self.b.switch_to_block(header);
        let i = self.b.use_var(at);
        let reach = if step == 1 { i } else { self.b.ins().iadd_imm_s(i, step - 1) };
        let more = self.b.ins().icmp(IntCC::SignedLessThan, reach, hi);
        self.b.ins().brif(more, body, &[], exit, &[]);
        self.b.switch_to_block(body);
        self.b.seal_block(body);
        self.order.push(l.id);
        for (copy, accs) in running.iter().enumerate() {
            let value = if copy == 0 { i } else { self.b.ins().iadd_imm_s(i, copy as i64 * self.lanes.vector) };
            self.copy(l, Counter { value, vector }, accs);
        }
        self.order.pop();
        let next = self.b.ins().iadd_imm_s(i, step);
        self.b.def_var(at, next);
        self.b.ins().jump(header, &[]);
        self.b.seal_block(header);
        self.b.switch_to_block(exit);
        self.b.seal_block(exit);
    }

    /// One execution of the body with this counter.
    fn copy(&mut self, l: &Loop, counter: Counter, accs: &[Running]) {
        self.counters.insert(l.id, counter);
        self.frames.push(HashMap::new());
        let hoisted = self.hoisted.clone();
        self.stmts(&l.body);
        for (acc, running) in l.accs.iter().zip(accs) {
            self.step(acc, running, counter);
        }
        let mut defined = Vec::new();
        definitions(&l.body, &mut defined);
        for v in defined {
            if !hoisted.contains(&v) {
                self.values[v.index()] = None;
            }
        }
        self.hoisted = hoisted;
        self.frames.pop();
        self.counters.remove(&l.id);
    }

    fn start(&mut self, accs: &[Acc], vector: bool) -> Vec<Running> {
        accs.iter()
            .map(|acc| {
                let kind = match acc.red {
                    Red::Any | Red::All => Kind::Bool,
                    _ => self.kind(acc.value),
                };
                let first = self.constant(neutral(acc.red), kind);
                let first = if vector { self.in_lanes(first, kind) } else { first.v };
                let value = self.variable(first);
                let place = matches!(acc.red, Red::ArgMax | Red::ArgMin).then(|| {
                    let zero = self.constant(0.0, Kind::Int);
                    let zero = if vector { self.in_lanes(zero, Kind::Int) } else { zero.v };
                    self.variable(zero)
                });
                Running { red: acc.red, kind, vector, value, place }
            })
            .collect()
    }

    fn step(&mut self, acc: &Acc, running: &Running, counter: Counter) {
        let new = self.value(acc.value);
        let new = if running.vector { Val { v: self.in_lanes(new, running.kind), vector: true } } else { new };
        let old = Val { v: self.b.use_var(running.value), vector: running.vector };
        let Some(place) = running.place else {
            let joined = self.combine(running.red, running.kind, old, new);
            self.b.def_var(running.value, joined.v);
            return;
        };
        let better = self.better(running.red, running.kind, new, old);
        let best = self.choose(better, new, old);
        self.b.def_var(running.value, best.v);
        let here = self.b.ins().ireduce(types::I32, counter.value);
        let here = Val { v: here, vector: false };
        let here = if running.vector { Val { v: self.in_lanes(here, Kind::Int), vector: true } } else { here };
        let there = Val { v: self.b.use_var(place), vector: running.vector };
        let chosen = self.choose(better, here, there);
        self.b.def_var(place, chosen.v);
    }

    /// Adds copies up, pair by pair, into the first `left` of them.
    fn join_copies(&mut self, partial: &[Vec<Running>], left: usize) {
        let mut width = partial.len();
        while width > left {
            width /= 2;
            for k in 0..width {
                for (a, b) in partial[k].iter().zip(&partial[k + width]) {
                    let (x, y) = (self.b.use_var(a.value), self.b.use_var(b.value));
                    let joined = self.combine(a.red, a.kind, Val { v: x, vector: true }, Val { v: y, vector: true });
                    self.b.def_var(a.value, joined.v);
                }
            }
        }
    }

    /// Adds the lanes up, the upper half to the lower: of four, (0 + 2) + (1 + 3).
    fn across_lanes(&mut self, partial: &[Running], result: &[Running]) {
        for (r, into) in partial.iter().zip(result) {
            let v = self.b.use_var(r.value);
            let mut lanes: Vec<Val> = (0..self.lanes.vector)
                .map(|k| Val { v: self.lane_of(Val { v, vector: true }, r.kind, k), vector: false })
                .collect();
            while lanes.len() > 1 {
                let upper = lanes.split_off(lanes.len() / 2);
                for (low, high) in lanes.iter_mut().zip(upper) {
                    *low = self.combine(r.red, r.kind, *low, high);
                }
            }
            self.b.def_var(into.value, lanes[0].v);
        }
    }

    fn end(&mut self, l: &Loop, running: Vec<Running>) {
        for (acc, r) in l.accs.iter().zip(running) {
            let v = self.b.use_var(r.place.unwrap_or(r.value));
            self.values[acc.result.index()] = Some(Val { v, vector: r.vector });
        }
    }

    /// Reductions that lanes can share; everything else runs entry by entry.
    fn can_be_vector(&self, l: &Loop) -> bool {
        self.real == types::F32
            && l.accs.iter().all(|a| {
                self.kind(a.value) == Kind::Real && matches!(a.red, Red::Sum | Red::Prod | Red::Max | Red::Min)
            })
            && !scatters(&l.body, l.id)
    }

    /// Moves out of a loop what does not change in it: definitions, addresses, sizes, repeated constants.
    fn prepare(&mut self, l: &Loop, vector: bool) {
        self.hoist(&l.body, true);
        self.prepare_body(&l.body, vector);
    }

    /// Makes the constants of the body's transcendental functions where they dominate every loop: each function is
    /// lowered once at the entry, for nothing; Cranelift emits no code for results that nobody uses.
    pub fn warm(&mut self, body: &[Stmt]) {
        for stmt in body {
            match stmt {
                Stmt::Let(_, Inst::Map(fun, args))
                    if args.len() == 1 && self.kind(args[0]) == Kind::Real && self.real == types::F32 =>
                {
                    for vector in [false, true] {
                        let zero = self.num(0.0, vector);
                        self.real_fun(*fun, &[zero], vector);
                    }
                }
                Stmt::Loop(l) => self.warm(&l.body),
                _ => {}
            }
        }
    }

    /// Moves definitions out; loads only from the loop itself, not from loops in it, which may be empty.
    fn hoist(&mut self, body: &[Stmt], loads: bool) {
        for stmt in body {
            match stmt {
                Stmt::Let(_, Inst::Load(..)) if !loads => {}
                Stmt::Let(v, inst) if self.values[v.index()].is_none() && self.is_known(inst) => {
                    let val = self.inst(*v, inst);
                    self.values[v.index()] = Some(val);
                    self.hoisted.insert(*v);
                }
                Stmt::Loop(inner) => self.hoist(&inner.body, false),
                _ => {}
            }
        }
    }

    /// Can it be computed here, and does it stay the same?
    fn is_known(&self, inst: &Inst) -> bool {
        let known = |v: &ValueId| self.values[v.index()].is_some();
        let address = |at: &crate::plan::Address| {
            at.terms.iter().all(|(i, ..)| match i {
                crate::plan::Index::Loop(l) => self.counters.contains_key(l),
                crate::plan::Index::Value(v) => known(v),
            })
        };
        match inst {
            Inst::Const(_) | Inst::Size(_) | Inst::Hyper(_) | Inst::Step => true,
            Inst::Counter(l) => self.counters.contains_key(l),
            Inst::Tile => false,
            Inst::Load(b, at) => !self.written.contains(b) && address(at),
            Inst::Map(_, args) => args.iter().all(known),
            Inst::Random(_, _, at) => address(at),
        }
    }

    fn prepare_body(&mut self, body: &[Stmt], vector: bool) {
        for stmt in body {
            match stmt {
                Stmt::Let(_, Inst::Load(b, at)) | Stmt::Store(b, at, _) | Stmt::Accumulate(_, b, at, _) => {
                    self.prepare_address(*b, at);
                    if let Stmt::Store(_, _, v) = stmt {
                        self.prepare_lanes(*v, vector);
                    }
                }
                Stmt::Let(_, Inst::Map(_, args)) => args.iter().for_each(|v| self.prepare_lanes(*v, vector)),
                Stmt::Loop(inner) => {
                    let (Range::Full(e) | Range::Block { extent: e, .. } | Range::Blocks { extent: e, .. }) =
                        &inner.range;
                    self.extent(e);
                    self.prepare_body(&inner.body, vector);
                }
                Stmt::Let(..) => {}
            }
        }
    }

    fn prepare_lanes(&mut self, v: ValueId, vector: bool) {
        if vector
            && let Some(val) = self.values[v.index()]
            && !val.vector
        {
            let kind = self.kind(v);
            self.in_lanes(val, kind);
        }
    }

    /// The type of a variable that holds a value of this kind.
    pub fn lanes_type(&self, kind: Kind, vector: bool) -> Type {
        match (kind, vector) {
            (Kind::Bool, true) => self.lanes.whole(),
            (kind, true) => self.lanes.of(self.lane(kind)),
            (kind, false) => self.lane(kind),
        }
    }
}

fn has_loop(body: &[Stmt]) -> bool {
    body.iter().any(|s| matches!(s, Stmt::Loop(_)))
}

/// Values that statements define, loops' results included.
fn definitions(body: &[Stmt], out: &mut Vec<ValueId>) {
    for stmt in body {
        match stmt {
            Stmt::Let(v, _) => out.push(*v),
            Stmt::Loop(l) => {
                out.extend(l.accs.iter().map(|a| a.result));
                definitions(&l.body, out);
            }
            _ => {}
        }
    }
}

/// Does it accumulate where lanes could meet?
fn scatters(body: &[Stmt], l: LoopId) -> bool {
    body.iter().any(|s| match s {
        Stmt::Accumulate(_, _, at, _) => {
            at.terms.iter().any(|(i, ..)| matches!(i, crate::plan::Index::Value(_)))
                || !at.terms.iter().any(|(i, ..)| *i == crate::plan::Index::Loop(l))
        }
        Stmt::Loop(inner) => scatters(&inner.body, l),
        _ => false,
    })
}
