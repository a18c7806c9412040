//! Instructions before registers are given out, and what the register allocator wants to know of them.

use super::encode::Vex;
use regalloc2::{Block, Inst, InstRange, Operand, PReg, PRegSet, RegClass, VReg};

/// The operation of an instruction; its operands are listed with each. A `/m` operand may lie on the stack.
#[derive(Clone, Debug)]
pub enum Op {
    /// to, first, second/m.
    Three(Vex, Option<u8>),
    /// to, from/m.
    Two(Vex, Option<u8>),
    /// to (as the second operand of the encoding), from.
    Out(Vex, Option<u8>),
    /// to, otherwise, where/m, mask.
    Blend(Vex),
    /// to (the same as the next), x, y, z/m.
    Fused(Vex),
    /// to, first if there is one, and a constant of the pool.
    Constant { vex: Vex, imm: Option<u8>, at: u32 },
    /// to, from: a shift of the extension `ext`.
    ShiftLanes { vex: Vex, ext: u8, by: u8 },
    /// to: all bits nought.
    Zero,
    /// to, and the address.
    Load(Width, Mem),
    /// from, and the address.
    Store(Width, Mem),
    /// to: a whole number.
    Number(i64),
    /// to, and the address.
    Lea(Mem),
    /// to (the same as the next), first, second/m.
    Alu { code: u8, wide: bool },
    /// to (the same as the next), first.
    AluImm { ext: u8, wide: bool, imm: i32 },
    /// to (the same as the next), first, second/m.
    Times { wide: bool },
    /// to, first/m.
    TimesImm { wide: bool, imm: i32 },
    /// to (the same as the next), first.
    Shift { ext: u8, wide: bool, by: u8 },
    /// to (the same as the next), first.
    Negate { wide: bool },
    /// to, from/m: 32 bits with their sign.
    Extend,
    /// to, from: a byte or 32 bits, with noughts.
    ExtendZero { byte: bool },
    /// to, first, second/m: 1 if the comparison holds.
    Compare { width: u8, condition: u8 },
    /// to (the same as `otherwise`), condition, chosen/m, otherwise.
    Select { wide: bool },
    /// to (the same as first), first, second: the second where the comparison of first and second holds.
    Exchange { wide: bool, condition: u8 },
    /// to (fixed), first (fixed), second.
    Divide { wide: bool },
    /// to, from/m: a whole number as a real.
    FromWhole(Vex),
    /// to: the address of a place on the stack.
    Place(i32),
    /// The parameters of the function in registers.
    Parameters,
    /// to: a parameter on the stack, by its number there.
    Parameter(i32),
    /// result if there is one, arguments: the host function of that number.
    Call(u32),
    /// To the only successor.
    Jump,
    /// condition: to the first successor if it is not nought.
    Branch,
    /// first, second/m: to the first successor if the comparison holds.
    BranchIf { width: u8, condition: u8 },
    /// From the function.
    Return,
}

/// What a load or store moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Byte,
    Int,
    Long,
    Vector(Vex),
}

/// An address: the base and the index, if there is one, are the last operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mem {
    pub index: Option<u8>,
    pub disp: i32,
}

/// An instruction.
#[derive(Clone, Debug)]
pub struct Machine {
    pub op: Op,
    pub operands: Vec<Operand>,
    pub clobbers: PRegSet,
}

impl Machine {
    /// May it be left out if nobody uses its result?
    pub fn is_pure(&self) -> bool {
        !matches!(
            self.op,
            Op::Store(..) | Op::Parameters | Op::Call(_) | Op::Jump | Op::Branch | Op::BranchIf { .. } | Op::Return
        )
    }
}

/// A block of instructions.
#[derive(Clone, Debug, Default)]
pub struct Part {
    pub params: Vec<VReg>,
    pub insts: Vec<Machine>,
    pub successors: Vec<Block>,
    /// What the only successor's parameters become.
    pub arguments: Vec<VReg>,
    pub predecessors: Vec<Block>,
}

/// A function, in the order in which it is laid out.
pub struct Code {
    pub parts: Vec<Part>,
    pub insts: Vec<Machine>,
    ranges: Vec<InstRange>,
    registers: usize,
}

impl Code {
    /// Numbers instructions and finds predecessors.
    pub fn new(mut parts: Vec<Part>, registers: usize) -> Code {
        let (mut insts, mut ranges) = (Vec::new(), Vec::new());
        for k in 0..parts.len() {
            for s in parts[k].successors.clone() {
                parts[s.index()].predecessors.push(Block::new(k));
            }
            let from = insts.len();
            insts.append(&mut parts[k].insts);
            ranges.push(InstRange::new(Inst::new(from), Inst::new(insts.len())));
        }
        Code { parts, insts, ranges, registers }
    }
}

impl regalloc2::Function for Code {
    fn num_insts(&self) -> usize {
        self.insts.len()
    }

    fn num_blocks(&self) -> usize {
        self.parts.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        self.ranges[block.index()]
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        &self.parts[block.index()].successors
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        &self.parts[block.index()].predecessors
    }

    fn block_params(&self, block: Block) -> &[VReg] {
        &self.parts[block.index()].params
    }

    fn is_ret(&self, inst: Inst) -> bool {
        matches!(self.insts[inst.index()].op, Op::Return)
    }

    fn is_branch(&self, inst: Inst) -> bool {
        matches!(self.insts[inst.index()].op, Op::Jump | Op::Branch | Op::BranchIf { .. })
    }

    fn branch_blockparams(&self, block: Block, _: Inst, _: usize) -> &[VReg] {
        &self.parts[block.index()].arguments
    }

    fn inst_operands(&self, inst: Inst) -> &[Operand] {
        &self.insts[inst.index()].operands
    }

    fn inst_clobbers(&self, inst: Inst) -> PRegSet {
        self.insts[inst.index()].clobbers
    }

    fn num_vregs(&self) -> usize {
        self.registers
    }

    /// In units of eight bytes.
    fn spillslot_size(&self, class: RegClass) -> usize {
        if class == RegClass::Int { 1 } else { 4 }
    }
}

/// Registers that a called function may change.
pub fn caller_saved() -> PRegSet {
    let mut set = PRegSet::empty();
    for k in [0, 1, 2, 6, 7, 8, 9, 10, 11] {
        set.add(PReg::new(k, RegClass::Int));
    }
    (0..16).for_each(|k| set.add(PReg::new(k, RegClass::Float)));
    set
}

/// Registers that a function gives back as it found them.
pub const CALLEE_SAVED: [u8; 6] = [3, 5, 12, 13, 14, 15];

/// Registers that carry whole arguments.
pub const ARGUMENTS: [u8; 6] = [7, 6, 2, 1, 8, 9];
