//! Bytes of a function whose registers are given out.

use super::Object;
use super::encode::{Assembler, RSP, Reg, Rm, Vex};
use super::machine::{CALLEE_SAVED, Code, Mem, Op, Width};
use cranelift_codegen::ir::FuncRef;
use regalloc2::{Allocation, AllocationKind, Block, Edit, Inst, InstOrEdit, Output, RegClass};

/// A move of a whole vector register, aligned or not.
const MOVE: Vex = Vex { pp: 0, map: 1, code: 0x10, w: false, wide: true };

/// Where things lie on the stack, upwards: spilled values, the function's own places, saved registers.
struct Frame {
    places: i32,
    size: i32,
    saved: Vec<Reg>,
}

struct Emit<'a> {
    code: &'a Code,
    asm: Assembler,
    frame: Frame,
    calls: Vec<(u32, FuncRef)>,
    functions: &'a [FuncRef],
    /// Parts that do nothing but jump: they are left out.
    empty: Vec<bool>,
}

pub fn emit(code: &Code, found: &Output, pool: &[u8], slots: &[u32], functions: &[FuncRef]) -> Object {
    let saved = saved(found);
    let places = 8 * found.num_spillslots as i32;
    let mut size = (places + slots.iter().sum::<u32>() as i32 + 15) / 16 * 16;
    // A called function finds the stack at a multiple of 16, before the return address.
    if saved.len().is_multiple_of(2) {
        size += 8;
    }
    let frame = Frame { places, size, saved };
    let empty = empty(code, found);
    let mut e = Emit { code, asm: Assembler::default(), frame, calls: Vec::new(), functions, empty };
    e.enter();
    for k in 0..code.parts.len() {
        if e.empty[k] {
            continue;
        }
        e.asm.label(k);
        for step in found.block_insts_and_edits(code, Block::new(k)) {
            match step {
                InstOrEdit::Edit(Edit::Move { from, to }) => e.moved(*from, *to),
                InstOrEdit::Inst(inst) => e.inst(k, inst, found.inst_allocs(inst)),
            }
        }
    }
    Object { bytes: e.asm.finish(pool), calls: e.calls }
}

/// Which parts only jump, with nothing to move on the way?
fn empty(code: &Code, found: &Output) -> Vec<bool> {
    let only_jumps = |k: usize| {
        let mut steps = found.block_insts_and_edits(code, Block::new(k));
        let jumps = |i: &Inst| matches!(code.insts[i.index()].op, Op::Jump);
        steps.all(|s| matches!(s, InstOrEdit::Inst(i) if jumps(&i)))
    };
    (0..code.parts.len()).map(only_jumps).collect()
}

/// The registers used that must be given back.
fn saved(found: &Output) -> Vec<Reg> {
    let moved = found.edits.iter().map(|(_, Edit::Move { to, .. })| *to);
    let mut used: Vec<Reg> = found
        .allocs
        .iter()
        .copied()
        .chain(moved)
        .filter_map(Allocation::as_reg)
        .filter(|r| r.class() == RegClass::Int)
        .map(|r| r.hw_enc() as Reg)
        .filter(|r| CALLEE_SAVED.contains(r))
        .collect();
    used.sort_unstable();
    used.dedup();
    used
}

impl Emit<'_> {
    fn enter(&mut self) {
        for r in self.frame.saved.clone() {
            self.push_pop(0x50, r);
        }
        self.stack_pointer(5);
    }

    fn leave(&mut self) {
        self.stack_pointer(0);
        for r in self.frame.saved.clone().into_iter().rev() {
            self.push_pop(0x58, r);
        }
        // Code with legacy vector instructions would be slow after ours.
        self.asm.bytes.extend_from_slice(&[0xc5, 0xf8, 0x77, 0xc3]);
    }

    fn push_pop(&mut self, code: u8, r: Reg) {
        if r >= 8 {
            self.asm.byte(0x41);
        }
        self.asm.byte(code | r & 7);
    }

    fn stack_pointer(&mut self, ext: u8) {
        if self.frame.size > 0 {
            self.asm.general(true, &[0x81], ext, Rm::Reg(RSP), false, 4);
            self.asm.i32(self.frame.size);
        }
    }

    fn moved(&mut self, from: Allocation, to: Allocation) {
        let class = from.as_reg().or(to.as_reg()).expect("the allocator moves through registers").class();
        let (code, (reg, rm)) = match (from.kind(), to.kind()) {
            (_, AllocationKind::Stack) => (1, (number(from), self.rm(to))),
            _ => (0, (number(to), self.rm(from))),
        };
        match class {
            RegClass::Int => self.asm.general(true, &[if code == 1 { 0x89 } else { 0x8b }], reg, rm, false, 0),
            _ => self.asm.vex(Vex { code: MOVE.code + code, ..MOVE }, reg, 0, rm, None),
        }
    }

    fn rm(&self, a: Allocation) -> Rm {
        match a.as_stack() {
            Some(slot) => Rm::Mem { base: RSP, index: None, disp: 8 * slot.index() as i32 },
            None => Rm::Reg(number(a)),
        }
    }

    /// The address in an instruction's last operands.
    fn mem(&self, mem: Mem, a: &[Allocation]) -> Rm {
        match (mem.index, a) {
            (Some(scale), [.., base, index]) => {
                Rm::Mem { base: number(*base), index: Some((number(*index), scale)), disp: mem.disp }
            }
            (_, [.., base]) => Rm::Mem { base: number(*base), index: None, disp: mem.disp },
            _ => unreachable!("an address has a base"),
        }
    }

    fn inst(&mut self, part: usize, inst: Inst, a: &[Allocation]) {
        let machine = &self.code.insts[inst.index()];
        match &machine.op {
            Op::Parameters => {}
            Op::Jump => self.go(self.code.parts[part].successors[0].index(), part),
            Op::Branch => {
                self.asm.general(false, &[0x84], number(a[0]), Rm::Reg(number(a[0])), true, 0);
                self.branch(part, 5);
            }
            Op::BranchIf { width, condition } => {
                self.compare(*width, a[0], a[1]);
                self.branch(part, *condition);
            }
            Op::Return => self.leave(),
            Op::Call(k) => self.call(*k),
            Op::Three(..) | Op::Two(..) | Op::Out(..) | Op::Blend(_) | Op::Fused(_) | Op::Constant { .. } => {
                self.lanes(&machine.op, a);
            }
            Op::ShiftLanes { .. } | Op::Zero | Op::FromWhole(_) => self.lanes(&machine.op, a),
            Op::Load(width, mem) => self.load(*width, number(a[0]), self.mem(*mem, a)),
            Op::Store(width, mem) => self.store(*width, number(a[0]), self.mem(*mem, a)),
            op => self.whole(op, a),
        }
    }

    fn lanes(&mut self, op: &Op, a: &[Allocation]) {
        let to = number(a[0]);
        match op {
            Op::Three(vex, imm) => self.asm.vex(*vex, to, number(a[1]), self.rm(a[2]), *imm),
            Op::Two(vex, imm) => self.asm.vex(*vex, to, 0, self.rm(a[1]), *imm),
            Op::Out(vex, imm) => self.asm.vex(*vex, number(a[1]), 0, Rm::Reg(to), *imm),
            Op::Blend(vex) => self.asm.vex(*vex, to, number(a[1]), self.rm(a[2]), Some(number(a[3]) << 4)),
            Op::Fused(vex) => self.asm.vex(*vex, to, number(a[2]), self.rm(a[3]), None),
            Op::Constant { vex, imm, at } => {
                let first = a.get(1).map_or(0, |a| number(*a));
                self.asm.vex(*vex, to, first, Rm::Pool(*at), *imm);
            }
            Op::ShiftLanes { vex, ext, by } => self.asm.vex(*vex, *ext, to, Rm::Reg(number(a[1])), Some(*by)),
            Op::Zero => self.nothing(to),
            Op::FromWhole(vex) => {
                // The upper part comes from the second operand: one that waits for nothing.
                self.nothing(to);
                self.asm.vex(*vex, to, to, self.rm(a[1]), None);
            }
            _ => unreachable!("the others are not on lanes"),
        }
    }

    fn nothing(&mut self, r: Reg) {
        self.asm.vex(Vex { code: 0x57, wide: false, ..MOVE }, r, r, Rm::Reg(r), None);
    }

    fn load(&mut self, width: Width, to: Reg, from: Rm) {
        match width {
            Width::Byte => self.asm.general(false, &[0x0f, 0xb6], to, from, false, 0),
            Width::Int => self.asm.general(false, &[0x8b], to, from, false, 0),
            Width::Long => self.asm.general(true, &[0x8b], to, from, false, 0),
            Width::Vector(vex) => self.asm.vex(vex, to, 0, from, None),
        }
    }

    fn store(&mut self, width: Width, x: Reg, to: Rm) {
        match width {
            Width::Byte => self.asm.general(false, &[0x88], x, to, true, 0),
            Width::Int => self.asm.general(false, &[0x89], x, to, false, 0),
            Width::Long => self.asm.general(true, &[0x89], x, to, false, 0),
            Width::Vector(vex) => self.asm.vex(vex, x, 0, to, None),
        }
    }

    fn whole(&mut self, op: &Op, a: &[Allocation]) {
        let to = number(a[0]);
        let on = Rm::Reg(to);
        match op {
            Op::Number(n) => self.number(to, *n),
            Op::Lea(mem) => self.asm.general(true, &[0x8d], to, self.mem(*mem, a), false, 0),
            Op::Alu { code, wide } => self.asm.general(*wide, &[*code], to, self.rm(a[2]), false, 0),
            Op::AluImm { ext, wide, imm } => {
                self.asm.general(*wide, &[0x81], *ext, on, false, 4);
                self.asm.i32(*imm);
            }
            Op::Times { wide } => self.asm.general(*wide, &[0x0f, 0xaf], to, self.rm(a[2]), false, 0),
            Op::TimesImm { wide, imm } => {
                self.asm.general(*wide, &[0x69], to, self.rm(a[1]), false, 4);
                self.asm.i32(*imm);
            }
            Op::Shift { ext, wide, by } => {
                self.asm.general(*wide, &[0xc1], *ext, on, false, 1);
                self.asm.byte(*by);
            }
            Op::Negate { wide } => self.asm.general(*wide, &[0xf7], 3, on, false, 0),
            Op::Extend => self.asm.general(true, &[0x63], to, self.rm(a[1]), false, 0),
            Op::ExtendZero { byte: true } => self.asm.general(false, &[0x0f, 0xb6], to, self.rm(a[1]), true, 0),
            Op::ExtendZero { byte: false } => self.asm.general(false, &[0x8b], to, self.rm(a[1]), false, 0),
            Op::Compare { width, condition } => {
                self.compare(*width, a[1], a[2]);
                self.asm.general(false, &[0x0f, 0x90 | condition], 0, on, true, 0);
                self.asm.general(false, &[0x0f, 0xb6], to, on, true, 0);
            }
            Op::Select { wide } => {
                let c = number(a[1]);
                self.asm.general(false, &[0x84], c, Rm::Reg(c), true, 0);
                self.asm.general(*wide, &[0x0f, 0x45], to, self.rm(a[2]), false, 0);
            }
            Op::Exchange { wide, condition } => {
                let second = Rm::Reg(number(a[2]));
                self.asm.general(*wide, &[0x3b], to, second, false, 0);
                self.asm.general(*wide, &[0x0f, 0x40 | condition], to, second, false, 0);
            }
            Op::Divide { wide } => {
                self.asm.bytes.extend_from_slice(if *wide { &[0x48, 0x99] } else { &[0x99] });
                self.asm.general(*wide, &[0xf7], 7, Rm::Reg(number(a[2])), false, 0);
            }
            Op::Place(at) => {
                let place = Rm::Mem { base: RSP, index: None, disp: self.frame.places + at };
                self.asm.general(true, &[0x8d], to, place, false, 0);
            }
            Op::Parameter(k) => {
                // Above the frame lie the saved registers and the return address.
                let disp = self.frame.size + 8 * (self.frame.saved.len() as i32 + 1 + k);
                self.asm.general(true, &[0x8b], to, Rm::Mem { base: RSP, index: None, disp }, false, 0);
            }
            _ => unreachable!("the others are not on whole numbers"),
        }
    }

    fn number(&mut self, to: Reg, n: i64) {
        if let Ok(n) = i32::try_from(n) {
            self.asm.general(true, &[0xc7], 0, Rm::Reg(to), false, 4);
            self.asm.i32(n);
        } else {
            self.asm.byte(0x48 | to >> 3);
            self.asm.byte(0xb8 | to & 7);
            self.asm.bytes.extend_from_slice(&n.to_le_bytes());
        }
    }

    fn compare(&mut self, width: u8, a: Allocation, b: Allocation) {
        let code = if width == 1 { 0x3a } else { 0x3b };
        self.asm.general(width == 8, &[code], number(a), self.rm(b), width == 1, 0);
    }

    /// To the first successor under a condition, else to the second.
    fn branch(&mut self, part: usize, condition: u8) {
        let [yes, no] = self.code.parts[part].successors[..] else { unreachable!("a branch has two targets") };
        let (yes, no) = (self.target(yes.index()), self.target(no.index()));
        if self.follows(part, yes) {
            self.asm.jump(Some(condition ^ 1), no);
        } else {
            self.asm.jump(Some(condition), yes);
            self.go(no, part);
        }
    }

    fn go(&mut self, target: usize, part: usize) {
        let target = self.target(target);
        if !self.follows(part, target) {
            self.asm.jump(None, target);
        }
    }

    /// Where a jump to a part ends.
    fn target(&self, mut part: usize) -> usize {
        while self.empty[part] {
            part = self.code.parts[part].successors[0].index();
        }
        part
    }

    /// Does the target lie right behind the part?
    fn follows(&self, part: usize, target: usize) -> bool {
        part < target && self.empty[part + 1..target].iter().all(|e| *e)
    }

    fn call(&mut self, k: u32) {
        self.asm.bytes.extend_from_slice(&[0xc5, 0xf8, 0x77, 0x48, 0xb8]);
        self.calls.push((self.asm.bytes.len() as u32, self.functions[k as usize]));
        self.asm.bytes.extend_from_slice(&[0; 8]);
        self.asm.bytes.extend_from_slice(&[0xff, 0xd0]);
    }
}

fn number(a: Allocation) -> Reg {
    a.as_reg().expect("this operand is in a register").hw_enc() as Reg
}
