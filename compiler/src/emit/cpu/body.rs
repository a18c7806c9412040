//! The state of lowering one body, and its statements.
//! Law: a value is a vector only inside the vector loop, and only if it depends on that loop's counter.

use super::place::Key;
use crate::philox;
use crate::plan::{Address, BufferId, Epilogue, Inst, Kind, Loop, LoopId, Plan, Scope, Stmt, Traversal, ValueId};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, Type, Value, types};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::FunctionBuilder;
use cranelift_jit::JITModule;
use gannet_lang::program::Fun;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A lowered scalar of the body: one value, or one for each lane.
#[derive(Clone, Copy, Debug)]
pub struct Val {
    pub v: Value,
    pub vector: bool,
}

/// A loop that is being executed.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// The counter of the first lane, as i64.
    pub value: Value,
    /// Is it the vector loop, executed lanes at a time?
    pub vector: bool,
}

/// How many entries of a vector loop go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// Entries that a loop takes at once. It is a matter of the plan alone, for it is the order of additions.
    pub together: i64,
    /// Entries in a vector, which is the machine's matter: as many, or half of them.
    pub vector: i64,
}

impl Lanes {
    /// The type of a vector of such entries.
    pub fn of(self, lane: Type) -> Type {
        lane.by(self.vector as u32).expect("vectors have four or eight lanes")
    }

    /// The type of a vector of whole numbers, or of truth values: all ones or nought in each lane.
    pub fn whole(self) -> Type {
        self.of(types::I32)
    }
}

/// The state of lowering one body.
pub struct Lower<'a> {
    pub plan: &'a Plan,
    pub scope: &'a Scope,
    pub module: &'a mut JITModule,
    pub b: FunctionBuilder<'a>,
    pub context: Value,
    /// Reals.
    pub real: Type,
    pub values: Vec<Option<Val>>,
    pub counters: BTreeMap<LoopId, Counter>,
    /// Loops being lowered, outermost first.
    pub order: Vec<LoopId>,
    /// What was computed already, innermost loop last: values of outer frames dominate the place of now.
    pub frames: Vec<HashMap<Key, Value>>,
    /// Buffers that the body writes: loads from them stay where they are.
    pub written: Vec<BufferId>,
    /// The tile's base so that entry (m, n) lies at base + m*stride + n, and the row stride; with the two loops.
    pub tile: Option<(Value, Value, LoopId, LoopId)>,
    /// The columns' loop of an epilogue, with its range.
    pub columns_range: Option<(LoopId, Value, Value)>,
    /// Definitions that were moved out of the loops being lowered.
    pub hoisted: BTreeSet<ValueId>,
    pub host: BTreeMap<&'static str, ir::FuncRef>,
    /// How values of scalar functions are made.
    pub made: HashMap<ValueId, Made<'a>>,
    /// Has the processor a fused multiply-add?
    pub fused: bool,
    pub lanes: Lanes,
}

/// How a value is made.
pub struct Made<'a> {
    pub fun: Fun,
    pub args: &'a [ValueId],
    /// In how many loops.
    pub depth: usize,
    /// How often it is used.
    pub uses: usize,
}

impl<'a> Lower<'a> {
    pub fn new(
        plan: &'a Plan,
        scope: &'a Scope,
        module: &'a mut JITModule,
        b: FunctionBuilder<'a>,
        context: Value,
    ) -> Self {
        let real = if plan.double { types::F64 } else { types::F32 };
        Lower {
            plan,
            scope,
            module,
            b,
            context,
            real,
            values: vec![None; scope.values.len()],
            counters: BTreeMap::new(),
            order: Vec::new(),
            frames: vec![HashMap::new()],
            written: Vec::new(),
            tile: None,
            columns_range: None,
            hoisted: BTreeSet::new(),
            host: BTreeMap::new(),
            made: HashMap::new(),
            fused: true,
            lanes: Lanes { together: 4, vector: 4 },
        }
    }

    pub fn traversal(&mut self, t: &'a Traversal, lo: Value, hi: Value) {
        self.note(&t.outer, 1);
        self.written = written(&t.outer.body);
        self.warm(&t.outer.body);
        self.looped(&t.outer, Some((lo, hi)));
    }

    pub fn epilogue(&mut self, e: &'a Epilogue, params: &[Value]) {
        self.note(&e.rows, 1);
        let [_, tile, stride, m0, m1, n0, n1] = params else { unreachable!("an epilogue has seven parameters") };
        self.written = written(&e.rows.body);
        self.warm(&e.rows.body);
        let bytes = self.real.bytes() as i64;
        let skipped = self.b.ins().imul(*m0, *stride);
        let skipped = self.b.ins().iadd(skipped, *n0);
        let skipped = self.b.ins().imul_imm_s(skipped, bytes);
        let base = self.b.ins().isub(*tile, skipped);
        self.tile = Some((base, *stride, e.rows.id, e.columns));
        self.columns_range = Some((e.columns, *n0, *n1));
        self.looped(&e.rows, Some((*m0, *m1)));
    }

    /// Notes how values are made and used; definitions stand before uses.
    fn note(&mut self, l: &'a Loop, depth: usize) {
        for stmt in &l.body {
            match stmt {
                Stmt::Let(v, Inst::Map(fun, args)) => {
                    args.iter().for_each(|a| self.used(*a));
                    self.made.insert(*v, Made { fun: *fun, args, depth, uses: 0 });
                }
                Stmt::Store(_, _, v) | Stmt::Accumulate(_, _, _, v) => self.used(*v),
                Stmt::Loop(inner) => self.note(inner, depth + 1),
                Stmt::Let(..) => {}
            }
        }
        l.accs.iter().for_each(|a| self.used(a.value));
    }

    fn used(&mut self, v: ValueId) {
        if let Some(made) = self.made.get_mut(&v) {
            made.uses += 1;
        }
    }

    pub fn finish(mut self, config: TargetFrontendConfig) {
        self.b.ins().return_(&[]);
        self.b.finalize(config);
    }

    pub fn kind(&self, v: ValueId) -> Kind {
        self.scope.values[v.index()]
    }

    /// The type of one lane of a kind.
    pub fn lane(&self, kind: Kind) -> Type {
        match kind {
            Kind::Real => self.real,
            Kind::Int => types::I32,
            Kind::Bool => types::I8,
        }
    }

    pub fn value(&self, v: ValueId) -> Val {
        self.values[v.index()].unwrap_or_else(|| panic!("{v} is defined before it is used"))
    }

    /// Plans are verified, addresses lie inside their buffers. Entries are aligned, but vectors of them need not be.
    pub fn flags() -> MemFlagsData {
        MemFlagsData::new().with_notrap()
    }

    pub fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            match stmt {
                Stmt::Let(v, inst) => {
                    if !self.hoisted.contains(v) {
                        let val = self.inst(*v, inst);
                        self.values[v.index()] = Some(val);
                    }
                }
                Stmt::Loop(l) => {
                    let range = self.columns_range.filter(|c| c.0 == l.id).map(|c| (c.1, c.2));
                    self.looped(l, range);
                }
                Stmt::Store(b, at, v) => {
                    let val = self.value(*v);
                    self.store(*b, at, val);
                }
                Stmt::Accumulate(red, b, at, v) => {
                    let kind = self.plan.buffer(*b).kind;
                    let now = self.load(*b, at);
                    let val = self.value(*v);
                    let joined = self.combine(*red, kind, now, val);
                    self.store(*b, at, joined);
                }
            }
        }
    }

    pub fn inst(&mut self, v: ValueId, inst: &Inst) -> Val {
        let kind = self.kind(v);
        match inst {
            Inst::Const(x) => self.constant(*x, kind),
            Inst::Counter(l) => self.counter_value(*l, kind),
            Inst::Size(d) => {
                let n = self.size(*d);
                let v = self.convert_i64(n, kind);
                Val { v, vector: false }
            }
            Inst::Hyper(h) => {
                let table = self.context_field(16, types::I64);
                let x = self.b.ins().load(types::F64, Self::flags(), table, 8 * h.0 as i32);
                Val { v: self.demote(x), vector: false }
            }
            Inst::Step => {
                let x = self.context_field(24, types::F64);
                Val { v: self.demote(x), vector: false }
            }
            Inst::Tile => self.load_tile(),
            Inst::Load(b, at) => self.load(*b, at),
            Inst::Map(fun, args) => self.map(*fun, args, kind),
            Inst::Random(dist, site, at) => self.random(*dist, site.0, at),
        }
    }

    /// A field of the context, read once in each function.
    pub fn context_field(&mut self, offset: i32, ty: Type) -> Value {
        self.b.ins().load(ty, Self::flags(), self.context, offset)
    }

    fn demote(&mut self, x: Value) -> Value {
        if self.real == types::F32 { self.b.ins().fdemote(types::F32, x) } else { x }
    }

    pub fn convert_i64(&mut self, n: Value, kind: Kind) -> Value {
        match kind {
            Kind::Real => self.b.ins().fcvt_from_sint(self.real, n),
            Kind::Int => self.b.ins().ireduce(types::I32, n),
            Kind::Bool => self.b.ins().ireduce(types::I8, n),
        }
    }

    /// A loop's counter as a value.
    fn counter_value(&mut self, l: LoopId, kind: Kind) -> Val {
        let counter = self.counters[&l];
        let first = self.b.ins().ireduce(types::I32, counter.value);
        if !counter.vector {
            let v = if kind == Kind::Real { self.b.ins().fcvt_from_sint(self.real, first) } else { first };
            return Val { v, vector: false };
        }
        let splat = self.b.ins().splat(self.lanes.whole(), first);
        let lanes = self.lane_numbers();
        let v = self.b.ins().iadd(splat, lanes);
        Val { v, vector: true }
    }

    fn lane_numbers(&mut self) -> Value {
        let bytes: Vec<u8> = (0..self.lanes.vector as i32).flat_map(i32::to_le_bytes).collect();
        let constant = self.b.func.dfg.constants.insert(bytes.into());
        self.b.ins().vconst(self.lanes.whole(), constant)
    }

    fn random(&mut self, dist: gannet_lang::program::Dist, site: u32, at: &Address) -> Val {
        let number = super::host::DISTS.iter().position(|d| *d == dist).expect("every distribution has a number");
        let step = self.context_field(24, types::F64);
        let step = self.b.ins().fcvt_to_sint_sat(types::I32, step);
        let seed = self.context_field(32, types::I64);
        let number = self.b.ins().iconst(types::I32, number as i64);
        let site = self.b.ins().iconst(types::I32, i64::from(site));
        let head = [number, seed, site, step];
        if self.lane_stride(at) == Some(1) {
            return self.random_lanes(&head, at);
        }
        let count = if self.is_vector_address(at) { self.lanes.vector } else { 1 };
        let mut lanes = Vec::new();
        for lane in 0..count {
            let entry = self.entry_number(at, lane);
            let args = [&head[..], &[entry]].concat();
            let x = self.call("gannet_random", &args, types::F64);
            lanes.push(self.demote(x));
        }
        self.gather_lanes(&lanes, self.real)
    }

    /// Draws of neighbouring entries come from one call, through a place on the stack.
    fn random_lanes(&mut self, head: &[Value], at: &Address) -> Val {
        let count = self.lanes.vector / philox::LANES as i64;
        let bytes = 4 * philox::LANES as i64;
        let slot = ir::StackSlotData::new(ir::StackSlotKind::ExplicitSlot, (count * bytes) as u32, 4);
        let slot = self.b.create_sized_stack_slot(slot);
        let first = self.entry_number(at, 0);
        for k in 0..count {
            let to = self.b.ins().stack_addr(types::I64, slot, (k * bytes) as i32);
            let entry = self.b.ins().iadd_imm_s(first, k * philox::LANES as i64);
            let args = [head, &[entry, to]].concat();
            self.host_call("gannet_random_lanes", &args, None);
        }
        let from = self.b.ins().stack_addr(types::I64, slot, 0);
        Val { v: self.b.ins().load(self.lanes.of(types::F32), Self::flags(), from, 0), vector: true }
    }

    /// One value of several lanes.
    pub fn gather_lanes(&mut self, lanes: &[Value], lane: Type) -> Val {
        if lanes.len() == 1 {
            return Val { v: lanes[0], vector: false };
        }
        let mut v = self.b.ins().splat(self.lanes.of(lane), lanes[0]);
        for (k, x) in lanes.iter().enumerate().skip(1) {
            v = self.b.ins().insertlane(v, *x, k as u8);
        }
        Val { v, vector: true }
    }

    /// The result of a host function.
    pub fn call(&mut self, name: &'static str, args: &[Value], result: Type) -> Value {
        let call = self.host_call(name, args, Some(result));
        self.b.inst_results(call)[0]
    }

    fn host_call(&mut self, name: &'static str, args: &[Value], result: Option<Type>) -> ir::Inst {
        use cranelift_module::{Linkage, Module};
        let func = match self.host.get(name) {
            Some(f) => *f,
            None => {
                let mut signature = self.module.make_signature();
                signature.params = args.iter().map(|a| ir::AbiParam::new(self.b.func.dfg.value_type(*a))).collect();
                signature.returns = result.into_iter().map(ir::AbiParam::new).collect();
                let id = self.module.declare_function(name, Linkage::Import, &signature).expect("one signature a name");
                let f = self.module.declare_func_in_func(id, self.b.func);
                self.host.insert(name, f);
                f
            }
        };
        self.b.ins().call(func, args)
    }
}

/// Buffers that statements write.
pub fn written(stmts: &[Stmt]) -> Vec<BufferId> {
    let mut out = Vec::new();
    for stmt in stmts {
        match stmt {
            Stmt::Store(b, ..) | Stmt::Accumulate(_, b, ..) => out.push(*b),
            Stmt::Loop(l) => out.extend(written(&l.body)),
            Stmt::Let(..) => {}
        }
    }
    out
}
