//! Addresses: loads and stores of entries, with what is invariant in a loop computed before it.

use super::body::{Lower, Val};
use crate::plan::{Address, BufferId, Extent, Index, Kind, LoopId, ValueId};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use gannet_lang::program::DimId;

/// What a cached value is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The size of a dim.
    Size(DimId),
    /// A number of entries.
    Extent(Extent),
    /// The address of a buffer's first entry, moved by these terms: (index, coefficient, stride).
    Pointer(Option<BufferId>, Vec<(Place, i64, Extent)>),
    /// A constant of a kind, by its bits, in all lanes or one.
    Const(u64, u8, bool),
    /// A uniform value in all lanes.
    Splat(Value),
}

/// A loop or value as part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A loop's counter.
    Loop(LoopId),
    /// A whole-number value.
    Value(ValueId),
    /// The constant 1.
    One,
}

type Terms = Vec<(Place, i64, Extent)>;

impl Lower<'_> {
    /// A value computed before, in a frame that dominates this place.
    pub fn cached(&self, key: &Key) -> Option<Value> {
        self.frames.iter().rev().find_map(|f| f.get(key).copied())
    }

    pub fn cache(&mut self, key: Key, value: Value) -> Value {
        self.frames.last_mut().expect("there is a frame").insert(key, value);
        value
    }

    /// The size of a dim as i64.
    pub fn size(&mut self, dim: DimId) -> Value {
        if let gannet_lang::program::Size::Fixed(n) = self.plan.tables.dims[dim.index()].size {
            return self.b.ins().iconst(types::I64, n as i64);
        }
        if let Some(v) = self.cached(&Key::Size(dim)) {
            return v;
        }
        let table = self.context_field(8, types::I64);
        let n = self.b.ins().load(types::I64, Self::flags(), table, 8 * dim.0 as i32);
        self.cache(Key::Size(dim), n)
    }

    /// A number of entries as i64.
    pub fn extent(&mut self, e: &Extent) -> Value {
        if let Some(v) = self.cached(&Key::Extent(e.clone())) {
            return v;
        }
        let mut n = self.b.ins().iconst(types::I64, e.factor);
        for dim in &e.dims {
            let size = self.size(*dim);
            n = self.b.ins().imul(n, size);
        }
        self.cache(Key::Extent(e.clone()), n)
    }

    /// The terms of an address, those that were known first in front. Terms in the vector loop's counter come last.
    fn terms(&self, at: &Address) -> Terms {
        let mut terms: Terms = at.offset.iter().map(|(c, e)| (Place::One, *c, e.clone())).collect();
        terms.extend(at.terms.iter().map(|(i, c, e)| {
            let place = match i {
                Index::Loop(l) => Place::Loop(*l),
                Index::Value(v) => Place::Value(*v),
            };
            (place, *c, e.clone())
        }));
        terms.sort_by_key(|(p, c, e)| (self.depth(*p), format!("{p:?}{c}{e:?}")));
        terms
    }

    /// How deep in the nest of loops a place is known.
    fn depth(&self, p: Place) -> usize {
        match p {
            Place::One => 0,
            Place::Loop(l) => 1 + self.order.iter().position(|x| *x == l).unwrap_or(self.order.len()),
            Place::Value(_) => usize::MAX,
        }
    }

    /// Is a term known here?
    fn known(&self, p: Place) -> bool {
        match p {
            Place::One => true,
            Place::Loop(l) => self.counters.contains_key(&l),
            Place::Value(v) => self.values[v.index()].is_some(),
        }
    }

    /// Does the address differ from lane to lane?
    pub fn is_vector_address(&self, at: &Address) -> bool {
        at.terms.iter().any(|(i, ..)| match i {
            Index::Loop(l) => self.counters.get(l).is_some_and(|c| c.vector),
            Index::Value(v) => self.values[v.index()].is_some_and(|v| v.vector),
        })
    }

    /// By how many entries the address moves from lane to lane, if always by the same constant.
    pub fn lane_stride(&self, at: &Address) -> Option<i64> {
        let mut stride = 0;
        for (i, c, e) in &at.terms {
            match i {
                Index::Loop(l) if self.counters[l].vector => {
                    if !e.dims.is_empty() {
                        return None;
                    }
                    stride += c * e.factor;
                }
                Index::Value(v) if self.value(*v).vector => return None,
                _ => {}
            }
        }
        Some(stride)
    }

    /// One term as a number of bytes (or of entries, with `bytes` 1), in the first lane.
    fn term(&mut self, (place, c, e): &(Place, i64, Extent), bytes: i64, lane: i64) -> Value {
        let scale = c * e.factor * bytes;
        let index = match place {
            Place::One => self.b.ins().iconst(types::I64, 1),
            Place::Loop(l) => {
                let counter = self.counters[l];
                if counter.vector && lane > 0 { self.b.ins().iadd_imm_s(counter.value, lane) } else { counter.value }
            }
            Place::Value(v) => {
                let val = self.value(*v);
                let x = if val.vector { self.b.ins().extractlane(val.v, lane as u8) } else { val.v };
                self.b.ins().sextend(types::I64, x)
            }
        };
        let mut n = match (scale, scale.count_ones()) {
            (1, _) => index,
            (s, 1) if s > 0 => self.b.ins().ishl_imm_u(index, i64::from(s.trailing_zeros())),
            _ => self.b.ins().imul_imm_s(index, scale),
        };
        for dim in &e.dims {
            let size = self.size(*dim);
            n = self.b.ins().imul(n, size);
        }
        n
    }

    /// The address of an entry (of a lane's entry); prefixes of terms are shared.
    fn pointer(&mut self, buffer: BufferId, terms: &[(Place, i64, Extent)]) -> Value {
        let key = Key::Pointer(Some(buffer), terms.to_vec());
        if let Some(v) = self.cached(&key) {
            return v;
        }
        let v = match terms.split_last() {
            None => {
                let table = self.context_field(0, types::I64);
                self.b.ins().load(types::I64, Self::flags(), table, 8 * buffer.0 as i32)
            }
            Some((last, rest)) => {
                let bytes = self.entry_bytes(buffer);
                let base = self.pointer(buffer, rest);
                let moved = self.shared_term(last, bytes);
                self.b.ins().iadd(base, moved)
            }
        };
        self.cache(key, v)
    }

    /// A term in bytes, shared by all buffers that move alike.
    fn shared_term(&mut self, term: &(Place, i64, Extent), bytes: i64) -> Value {
        let scaled = (term.0, term.1 * bytes, term.2.clone());
        let key = Key::Pointer(None, vec![scaled]);
        if let Some(v) = self.cached(&key) {
            return v;
        }
        let v = self.term(term, bytes, 0);
        self.cache(key, v)
    }

    pub fn entry_bytes(&self, buffer: BufferId) -> i64 {
        i64::from(self.lane(self.plan.buffer(buffer).kind).bytes())
    }

    /// Computes before a loop what an address inside it needs.
    pub fn prepare_address(&mut self, buffer: BufferId, at: &Address) {
        let terms = self.terms(at);
        let known: Terms = terms.into_iter().take_while(|t| self.known(t.0)).collect();
        // Bases and prefixes that only inner loops extend.
        self.pointer(buffer, &known);
    }

    /// The address in one lane.
    fn lane_pointer(&mut self, buffer: BufferId, at: &Address, lane: i64) -> Value {
        let terms = self.terms(at);
        let bytes = self.entry_bytes(buffer);
        let (same, moving): (Terms, Terms) = terms.into_iter().partition(|t| !self.moves(t.0));
        let mut p = self.pointer(buffer, &same);
        for term in &moving {
            let moved = self.term(term, bytes, lane);
            p = self.b.ins().iadd(p, moved);
        }
        p
    }

    fn moves(&self, p: Place) -> bool {
        match p {
            Place::One => false,
            Place::Loop(l) => self.counters[&l].vector,
            Place::Value(v) => self.value(v).vector,
        }
    }

    /// The number of an entry in one lane.
    pub fn entry_number(&mut self, at: &Address, lane: i64) -> Value {
        let terms = self.terms(at);
        let mut n = self.b.ins().iconst(types::I64, 0);
        for term in &terms {
            let moved = self.term(term, 1, lane);
            n = self.b.ins().iadd(n, moved);
        }
        n
    }

    /// Loads an entry, or one a lane.
    pub fn load(&mut self, buffer: BufferId, at: &Address) -> Val {
        let kind = self.plan.buffer(buffer).kind;
        let lane_type = self.lane(kind);
        if !self.is_vector_address(at) {
            let terms = self.terms(at);
            let p = self.pointer(buffer, &terms);
            return Val { v: self.b.ins().load(lane_type, Self::flags(), p, 0), vector: false };
        }
        if self.lane_stride(at) == Some(1) && kind != Kind::Bool {
            let terms = self.terms(at);
            let p = self.pointer(buffer, &terms);
            let v = self.b.ins().load(self.lanes.of(lane_type), Self::flags(), p, 0);
            return Val { v, vector: true };
        }
        let lanes: Vec<Value> = (0..self.lanes.vector)
            .map(|lane| {
                let p = self.lane_pointer(buffer, at, lane);
                let x = self.b.ins().load(lane_type, Self::flags(), p, 0);
                if kind == Kind::Bool { self.b.ins().uextend(types::I32, x) } else { x }
            })
            .collect();
        if kind == Kind::Bool {
            let val = self.gather_lanes(&lanes, types::I32);
            return Val { v: self.mask_of(val.v), vector: true };
        }
        self.gather_lanes(&lanes, lane_type)
    }

    /// The finished tile's entry.
    pub fn load_tile(&mut self) -> Val {
        let (base, stride, rows, columns) = self.tile.expect("only epilogues read the tile");
        let (row, column) = (self.counters[&rows], self.counters[&columns]);
        let key = Key::Pointer(None, vec![(Place::Loop(rows), i64::MIN, Extent::constant(0))]);
        let start = match self.cached(&key) {
            Some(v) => v,
            None => {
                let skipped = self.b.ins().imul(row.value, stride);
                let skipped = self.b.ins().imul_imm_s(skipped, i64::from(self.real.bytes()));
                let v = self.b.ins().iadd(base, skipped);
                self.cache(key, v)
            }
        };
        let bytes = i64::from(self.real.bytes());
        let moved = self.shared_term(&(Place::Loop(columns), 1, Extent::constant(1)), bytes);
        let p = self.b.ins().iadd(start, moved);
        let ty: Type = if column.vector { self.lanes.of(self.real) } else { self.real };
        Val { v: self.b.ins().load(ty, Self::flags(), p, 0), vector: column.vector }
    }

    /// Stores an entry, or one a lane.
    pub fn store(&mut self, buffer: BufferId, at: &Address, val: Val) {
        let kind = self.plan.buffer(buffer).kind;
        if !self.is_vector_address(at) {
            assert!(!val.vector, "one entry cannot hold all lanes");
            let terms = self.terms(at);
            let p = self.pointer(buffer, &terms);
            self.b.ins().store(Self::flags(), val.v, p, 0);
            return;
        }
        if self.lane_stride(at) == Some(1) && kind != Kind::Bool {
            let v = self.in_lanes(val, kind);
            let terms = self.terms(at);
            let p = self.pointer(buffer, &terms);
            self.b.ins().store(Self::flags(), v, p, 0);
            return;
        }
        for lane in 0..self.lanes.vector {
            let x = self.lane_of(val, kind, lane);
            let p = self.lane_pointer(buffer, at, lane);
            self.b.ins().store(Self::flags(), x, p, 0);
        }
    }

    /// One lane's value, truth values as a byte 0 or 1.
    pub fn lane_of(&mut self, val: Val, kind: Kind, lane: i64) -> Value {
        if !val.vector {
            return val.v;
        }
        let x = self.b.ins().extractlane(val.v, lane as u8);
        if kind == Kind::Bool {
            let bit = self.b.ins().band_imm_u(x, 1);
            return self.b.ins().ireduce(types::I8, bit);
        }
        x
    }

    /// All lanes: a uniform value is repeated, before the loop where it is known there.
    pub fn in_lanes(&mut self, val: Val, kind: Kind) -> Value {
        if val.vector {
            return val.v;
        }
        if let Some(v) = self.cached(&Key::Splat(val.v)) {
            return v;
        }
        let v = match kind {
            Kind::Bool => {
                let wide = self.b.ins().uextend(types::I32, val.v);
                let splat = self.b.ins().splat(self.lanes.whole(), wide);
                self.mask_of(splat)
            }
            kind => {
                let ty = self.lanes.of(self.lane(kind));
                self.b.ins().splat(ty, val.v)
            }
        };
        self.cache(Key::Splat(val.v), v)
    }

    /// All ones in lanes that are not nought.
    pub fn mask_of(&mut self, v: Value) -> Value {
        let zero = self.b.ins().iconst(types::I32, 0);
        let zeros = self.b.ins().splat(self.lanes.whole(), zero);
        self.b.ins().icmp(cranelift_codegen::ir::condcodes::IntCC::NotEqual, v, zeros)
    }

    /// A constant, in one lane; it is repeated when it meets vectors.
    pub fn constant(&mut self, x: f64, kind: Kind) -> Val {
        let key = Key::Const(x.to_bits(), kind as u8, false);
        if let Some(v) = self.cached(&key) {
            return Val { v, vector: false };
        }
        let v = match kind {
            Kind::Real if self.real == types::F32 => self.b.ins().f32const(x as f32),
            Kind::Real => self.b.ins().f64const(x),
            Kind::Int => {
                let n = x.clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i64;
                self.b.ins().iconst(types::I32, n)
            }
            Kind::Bool => self.b.ins().iconst(types::I8, i64::from(x != 0.0)),
        };
        Val { v: self.cache(key, v), vector: false }
    }
}
