//! Choosing instructions: one walk over the function, then what nobody uses is taken out.

use super::encode::Vex;
use super::machine::{ARGUMENTS, Machine, Mem, Op, Part, Width, caller_saved};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{self, Function, InstructionData, Opcode, Type, Value, ValueDef, types};
use regalloc2::{Block, Operand, OperandConstraint, OperandKind, OperandPos, PReg, PRegSet, RegClass, VReg};
use std::collections::HashMap;

/// A function after the choice.
pub struct Selected {
    pub parts: Vec<Part>,
    pub registers: usize,
    /// Constants, in one run of bytes.
    pub pool: Vec<u8>,
    /// Sizes of the function's own places on the stack.
    pub slots: Vec<u32>,
    /// Host functions by the number in calls.
    pub calls: Vec<ir::FuncRef>,
}

/// The state of the walk.
pub struct Select<'f> {
    pub func: &'f Function,
    registers: SecondaryMap<Value, Option<VReg>>,
    count: usize,
    part: Part,
    pool: Vec<u8>,
    pooled: HashMap<Vec<u8>, u32>,
    calls: Vec<ir::FuncRef>,
    /// The block of now, and how often each value is used.
    block: Option<ir::Block>,
    uses: SecondaryMap<Value, u32>,
}

pub fn select(func: &Function) -> Option<Selected> {
    let mut s = Select {
        func,
        registers: SecondaryMap::new(),
        count: 0,
        part: Part::default(),
        pool: Vec::new(),
        pooled: HashMap::new(),
        calls: Vec::new(),
        block: None,
        uses: uses(func),
    };
    let mut parts = s.parts()?;
    sweep(&mut parts, s.count)?;
    let slots = func.sized_stack_slots.values().map(|d| d.size).collect();
    Some(Selected { parts, registers: s.count, pool: s.pool, slots, calls: s.calls })
}

/// The place of a block among the parts, and of what leads to it from a branch.
struct Places {
    blocks: HashMap<ir::Block, usize>,
}

impl Select<'_> {
    fn parts(&mut self) -> Option<Vec<Part>> {
        let order: Vec<ir::Block> = self.func.layout.blocks().collect();
        let mut places = Places { blocks: HashMap::new() };
        let mut next = 0;
        for block in &order {
            places.blocks.insert(*block, next);
            // Behind a branch stand two parts, its edges.
            let last = self.func.layout.last_inst(*block)?;
            next += if self.func.dfg.insts[last].opcode() == Opcode::Brif { 3 } else { 1 };
        }
        let mut parts = Vec::new();
        for (k, block) in order.iter().enumerate() {
            self.block = Some(*block);
            if k == 0 {
                self.parameters(*block)?;
            } else {
                self.part.params = self.func.dfg.block_params(*block).iter().map(|v| self.fresh_for(*v)).collect();
            }
            for inst in self.func.layout.block_insts(*block) {
                self.inst(inst, &places)?;
            }
            parts.push(std::mem::take(&mut self.part));
            self.edges(*block, &places, &mut parts)?;
        }
        Some(parts)
    }

    /// The parts between a branch and its targets.
    fn edges(&mut self, block: ir::Block, places: &Places, parts: &mut Vec<Part>) -> Option<()> {
        let InstructionData::Brif { blocks, .. } = self.func.dfg.insts[self.func.layout.last_inst(block)?] else {
            return Some(());
        };
        for call in blocks {
            self.jump(&call, places)?;
            parts.push(std::mem::take(&mut self.part));
        }
        Some(())
    }

    fn jump(&mut self, call: &ir::BlockCall, places: &Places) -> Option<()> {
        let lists = &self.func.dfg.value_lists;
        let target = places.blocks[&call.block(lists)];
        let arguments: Vec<Value> = call.args(lists).map(|a| a.as_value()).collect::<Option<_>>()?;
        self.part.arguments = arguments.iter().map(|v| self.use_of(*v)).collect();
        self.part.successors = vec![Block::new(target)];
        self.push(Op::Jump, vec![]);
        Some(())
    }

    fn parameters(&mut self, block: ir::Block) -> Option<()> {
        let params = self.func.dfg.block_params(block).to_vec();
        let mut operands = Vec::new();
        for (v, r) in params.iter().zip(ARGUMENTS) {
            operands.push(Operand::reg_fixed_def(self.fresh_for(*v), general(r)));
        }
        self.push(Op::Parameters, operands);
        for (k, v) in params.iter().enumerate().skip(ARGUMENTS.len()) {
            let to = self.fresh_for(*v);
            self.push(Op::Parameter((k - ARGUMENTS.len()) as i32), vec![Operand::reg_def(to)]);
        }
        Some(())
    }

    fn inst(&mut self, inst: ir::Inst, places: &Places) -> Option<()> {
        match self.func.dfg.insts[inst] {
            InstructionData::Jump { destination, .. } => self.jump(&destination, places),
            InstructionData::Brif { arg, .. } => self.branch(inst, arg, places),
            InstructionData::MultiAry { opcode: Opcode::Return, .. } => {
                self.push(Op::Return, vec![]);
                Some(())
            }
            InstructionData::Call { .. } => self.call(inst),
            InstructionData::Load { arg, offset, .. } => self.load(self.result(inst), arg, offset.into()),
            InstructionData::Store { args: [x, at], offset, .. } => self.store(x, at, offset.into()),
            _ => {
                let to = self.result(inst);
                if self.type_of(to).is_vector() || self.type_of(to).is_float() || self.takes_lanes(inst) {
                    self.lanes(inst, to)
                } else {
                    self.whole(inst, to)
                }
            }
        }
    }

    /// Is the first operand a vector or a real?
    fn takes_lanes(&self, inst: ir::Inst) -> bool {
        let first = self.func.dfg.inst_args(inst).first();
        first.is_some_and(|v| class(self.type_of(*v)) == RegClass::Float)
    }

    fn branch(&mut self, inst: ir::Inst, on: Value, places: &Places) -> Option<()> {
        let block = self.func.layout.inst_block(inst)?;
        let here = places.blocks[&block];
        self.part.successors = vec![Block::new(here + 1), Block::new(here + 2)];
        if let Some((width, condition, a, b)) = self.comparison(on) {
            let operands = vec![self.reg(a), self.any(b)];
            self.push(Op::BranchIf { width, condition }, operands);
        } else {
            let operands = vec![self.reg(on)];
            self.push(Op::Branch, operands);
        }
        Some(())
    }

    fn call(&mut self, inst: ir::Inst) -> Option<()> {
        let InstructionData::Call { func_ref, .. } = self.func.dfg.insts[inst] else { return None };
        let args = self.func.dfg.inst_args(inst).to_vec();
        let (mut wholes, mut reals) = (ARGUMENTS.iter(), 0..8);
        let mut clobbers = caller_saved();
        let mut operands = Vec::new();
        if let [to] = self.func.dfg.inst_results(inst) {
            let (to, class) = (*to, class(self.type_of(*to)));
            clobbers.remove(PReg::new(0, class));
            operands.push(Operand::reg_fixed_def(self.fresh_for(to), PReg::new(0, class)));
        }
        for arg in args {
            let at = match class(self.type_of(arg)) {
                RegClass::Int => general(*wholes.next()?),
                class => PReg::new(reals.next()?, class),
            };
            operands.push(Operand::reg_fixed_use(self.use_of(arg), at));
        }
        let number = self.calls.len() as u32;
        self.calls.push(func_ref);
        self.part.insts.push(Machine { op: Op::Call(number), operands, clobbers });
        Some(())
    }

    fn load(&mut self, to: Value, at: Value, offset: i32) -> Option<()> {
        let width = width(self.type_of(to), false)?;
        let (mem, at) = self.address(at, offset);
        self.define(to, Op::Load(width, mem), at)
    }

    fn store(&mut self, x: Value, at: Value, offset: i32) -> Option<()> {
        let width = width(self.type_of(x), true)?;
        let (mem, at) = self.address(at, offset);
        let operands = [vec![self.reg(x)], at].concat();
        self.push(Op::Store(width, mem), operands);
        Some(())
    }

    /// `base + index * 2^scale + displacement`, with additions and shifts taken in.
    pub fn address(&mut self, at: Value, offset: i32) -> (Mem, Vec<Operand>) {
        let Some((Opcode::Iadd, [mut base, mut index])) = self.binary(at) else {
            return (Mem { index: None, disp: offset }, vec![self.reg(at)]);
        };
        if self.shifted(base).is_some() && self.shifted(index).is_none() {
            std::mem::swap(&mut base, &mut index);
        }
        if let Some(n) = self.number(index).and_then(|n| i32::try_from(n + i64::from(offset)).ok()) {
            return (Mem { index: None, disp: n }, vec![self.reg(base)]);
        }
        let (mut index, scale) = self.shifted(index).unwrap_or((index, 0));
        let mut disp = offset;
        if let Some((Opcode::Iadd, [i, n])) = self.binary(index)
            && let Some(n) = self.number(n)
            && let Ok(moved) = i32::try_from((n << scale) + i64::from(offset))
        {
            (index, disp) = (i, moved);
        }
        (Mem { index: Some(scale), disp }, vec![self.reg(base), self.reg(index)])
    }

    /// The value and the number of bits, at most three, that it is shifted by.
    fn shifted(&self, v: Value) -> Option<(Value, u8)> {
        let (Opcode::Ishl, [x, by]) = self.binary(v)? else { return None };
        let by = self.number(by).filter(|n| (0..=3).contains(n))?;
        (self.type_of(v) == types::I64).then_some((x, by as u8))
    }

    // Values.

    pub fn type_of(&self, v: Value) -> Type {
        self.func.dfg.value_type(v)
    }

    fn result(&self, inst: ir::Inst) -> Value {
        self.func.dfg.inst_results(inst)[0]
    }

    /// The instruction that makes a value.
    pub fn maker(&self, v: Value) -> Option<&InstructionData> {
        match self.func.dfg.value_def(self.func.dfg.resolve_aliases(v)) {
            ValueDef::Result(inst, _) => Some(&self.func.dfg.insts[inst]),
            _ => None,
        }
    }

    pub fn binary(&self, v: Value) -> Option<(Opcode, [Value; 2])> {
        match self.maker(v)? {
            InstructionData::Binary { opcode, args } => Some((*opcode, *args)),
            _ => None,
        }
    }

    /// A whole constant.
    pub fn number(&self, v: Value) -> Option<i64> {
        match self.maker(v)? {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(signed(imm.bits(), self.type_of(v))),
            _ => None,
        }
    }

    /// Is it made in this block, for one use only?
    pub fn is_used_once_here(&self, v: Value) -> bool {
        let v = self.func.dfg.resolve_aliases(v);
        match self.func.dfg.value_def(v) {
            ValueDef::Result(inst, _) => self.uses[v] == 1 && self.func.layout.inst_block(inst) == self.block,
            _ => false,
        }
    }

    pub fn use_of(&mut self, v: Value) -> VReg {
        let v = self.func.dfg.resolve_aliases(v);
        match self.registers[v] {
            Some(r) => r,
            None => self.fresh_for(v),
        }
    }

    fn fresh_for(&mut self, v: Value) -> VReg {
        let r = self.fresh(class(self.type_of(v)));
        self.registers[v] = Some(r);
        r
    }

    pub fn fresh(&mut self, class: RegClass) -> VReg {
        self.count += 1;
        VReg::new(self.count - 1, class)
    }

    /// The value is another one under a new type.
    pub fn same(&mut self, to: Value, from: Value) -> Option<()> {
        let r = self.use_of(from);
        // A use before the definition would have been given another register.
        if self.registers[to].is_some_and(|known| known != r) {
            return None;
        }
        self.registers[to] = Some(r);
        Some(())
    }

    // Operands.

    pub fn reg(&mut self, v: Value) -> Operand {
        Operand::reg_use(self.use_of(v))
    }

    pub fn any(&mut self, v: Value) -> Operand {
        Operand::any_use(self.use_of(v))
    }

    pub fn to(&mut self, v: Value) -> Operand {
        Operand::reg_def(self.use_of(v))
    }

    /// The result lies where the operand of that number lay.
    pub fn over(&mut self, v: Value, operand: usize) -> Operand {
        Operand::reg_reuse_def(self.use_of(v), operand)
    }

    pub fn push(&mut self, op: Op, operands: Vec<Operand>) {
        self.part.insts.push(Machine { op, operands, clobbers: PRegSet::empty() });
    }

    pub fn push_clobbering(&mut self, op: Op, operands: Vec<Operand>, clobbers: PRegSet) {
        self.part.insts.push(Machine { op, operands, clobbers });
    }

    /// An instruction whose result is this value.
    pub fn define(&mut self, to: Value, op: Op, operands: Vec<Operand>) -> Option<()> {
        let operands = [vec![self.to(to)], operands].concat();
        self.push(op, operands);
        Some(())
    }

    /// An instruction with a new result.
    pub fn make(&mut self, op: Op, operands: Vec<Operand>, class: RegClass) -> VReg {
        let to = self.fresh(class);
        self.push(op, [vec![Operand::reg_def(to)], operands].concat());
        to
    }

    /// The place of a constant in the pool. Constants are aligned to their size.
    pub fn pooled(&mut self, bytes: &[u8]) -> u32 {
        if let Some(at) = self.pooled.get(bytes) {
            return *at;
        }
        while !self.pool.len().is_multiple_of(bytes.len()) {
            self.pool.push(0);
        }
        let at = self.pool.len() as u32;
        self.pool.extend_from_slice(bytes);
        self.pooled.insert(bytes.to_vec(), at);
        at
    }
}

pub fn general(r: u8) -> PReg {
    PReg::new(r as usize, RegClass::Int)
}

/// An early use at a late place: what the instruction destroys does not take its register.
pub fn until_end(v: VReg) -> Operand {
    Operand::new(v, OperandConstraint::Reg, OperandKind::Use, OperandPos::Late)
}

pub fn class(ty: Type) -> RegClass {
    if ty.is_float() || ty.is_vector() { RegClass::Float } else { RegClass::Int }
}

fn signed(bits: i64, ty: Type) -> i64 {
    match ty {
        types::I8 => i64::from(bits as i8),
        types::I32 => i64::from(bits as i32),
        _ => bits,
    }
}

fn width(ty: Type, store: bool) -> Option<Width> {
    let code = if store { 0x11 } else { 0x10 };
    let vex = |pp, wide| Some(Width::Vector(Vex { pp, map: 1, code, w: false, wide }));
    match ty {
        types::I8 => Some(Width::Byte),
        types::I32 => Some(Width::Int),
        types::I64 => Some(Width::Long),
        types::F32 => vex(2, false),
        types::F64 => vex(3, false),
        types::F32X8 | types::I32X8 => vex(0, true),
        types::F32X4 | types::I32X4 => vex(0, false),
        _ => None,
    }
}

/// How often each value is used.
fn uses(func: &Function) -> SecondaryMap<Value, u32> {
    let mut uses = SecondaryMap::new();
    for inst in func.layout.blocks().flat_map(|b| func.layout.block_insts(b)) {
        func.dfg.inst_values(inst).for_each(|v| uses[func.dfg.resolve_aliases(v)] += 1);
    }
    uses
}

/// Takes out instructions whose results nobody uses. `None`: something is used that is not made.
fn sweep(parts: &mut [Part], registers: usize) -> Option<()> {
    let mut uses = vec![0usize; registers];
    let mut makers: Vec<Option<(usize, usize)>> = vec![None; registers];
    let mut made = vec![false; registers];
    for (p, part) in parts.iter().enumerate() {
        part.arguments.iter().for_each(|v| uses[v.vreg()] += 1);
        part.params.iter().for_each(|v| made[v.vreg()] = true);
        for (k, inst) in part.insts.iter().enumerate() {
            for o in &inst.operands {
                match o.kind() {
                    OperandKind::Use => uses[o.vreg().vreg()] += 1,
                    OperandKind::Def => {
                        makers[o.vreg().vreg()] = Some((p, k));
                        made[o.vreg().vreg()] = true;
                    }
                }
            }
        }
    }
    if (0..registers).any(|r| uses[r] > 0 && !made[r]) {
        return None;
    }
    let mut dead = vec![Vec::new(); parts.len()];
    let mut idle: Vec<usize> = (0..registers).filter(|r| uses[*r] == 0).collect();
    while let Some(r) = idle.pop() {
        let Some((p, k)) = makers[r].take() else { continue };
        let inst = &parts[p].insts[k];
        if !inst.is_pure() || inst.operands.iter().any(|o| o.kind() == OperandKind::Def && uses[o.vreg().vreg()] > 0) {
            continue;
        }
        dead[p].push(k);
        for o in inst.operands.iter().filter(|o| o.kind() == OperandKind::Use) {
            let used = o.vreg().vreg();
            uses[used] -= 1;
            if uses[used] == 0 {
                idle.push(used);
            }
        }
    }
    for (part, dead) in parts.iter_mut().zip(dead) {
        let mut k = 0;
        let dead: std::collections::BTreeSet<usize> = dead.into_iter().collect();
        part.insts.retain(|_| {
            k += 1;
            !dead.contains(&(k - 1))
        });
    }
    Some(())
}
