//! Instructions on reals and vectors.

use super::encode::Vex;
use super::machine::Op;
use super::select::Select;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self, InstructionData, Opcode, Type, Value, types};
use regalloc2::{Operand, RegClass, VReg};

/// How a real type is encoded: prefix of its arithmetic, and whether it has 256 bits.
fn prefix(ty: Type) -> Option<(u8, bool)> {
    match ty {
        types::F32 => Some((2, false)),
        types::F64 => Some((3, false)),
        types::F32X8 => Some((0, true)),
        _ => None,
    }
}

const fn vex(pp: u8, map: u8, code: u8, wide: bool) -> Vex {
    Vex { pp, map, code, w: false, wide }
}

/// A move of 32 bits from a general register, and to one.
const MOVE_IN: Vex = vex(1, 1, 0x6e, false);
const MOVE_OUT: Vex = vex(1, 1, 0x7e, false);
/// The same 32 bits in all lanes.
const SPREAD: Vex = vex(1, 2, 0x18, true);
/// The upper half, and putting one there.
const UPPER: Vex = vex(1, 3, 0x19, true);
const JOIN: Vex = vex(1, 3, 0x18, true);

impl Select<'_> {
    /// An instruction that makes or takes reals or vectors.
    pub fn lanes(&mut self, inst: ir::Inst, to: Value) -> Option<()> {
        match self.func.dfg.insts[inst] {
            InstructionData::UnaryIeee32 { imm, .. } => self.constant(to, &imm.bits().to_le_bytes(), 2),
            InstructionData::UnaryIeee64 { imm, .. } => self.constant(to, &imm.bits().to_le_bytes(), 3),
            InstructionData::UnaryConst { constant_handle, .. } => {
                let bytes = self.func.dfg.constants.get(constant_handle).as_slice().to_vec();
                if bytes.len() != 32 {
                    return None;
                }
                let at = self.pooled(&bytes);
                self.define(to, Op::Constant { vex: vex(0, 1, 0x10, true), imm: None, at }, vec![])
            }
            InstructionData::LoadNoOffset { opcode: Opcode::Bitcast, arg, .. } => self.bitcast(to, arg),
            InstructionData::Unary { opcode, arg } => self.unary(opcode, to, arg),
            InstructionData::Binary { opcode, args: [a, b] } => self.two(opcode, to, a, b),
            InstructionData::Ternary { opcode, args } => self.ternary(opcode, to, args),
            InstructionData::TernaryImm8 { opcode: Opcode::Insertlane, args: [v, x], imm } => {
                self.insert(to, v, x, imm)
            }
            InstructionData::BinaryImm8 { opcode: Opcode::Extractlane, arg, imm } => self.extract(to, arg, imm),
            InstructionData::FloatCompare { args: [a, b], cond, .. } => self.compare(to, a, b, cond),
            InstructionData::IntCompare { args: [a, b], cond, .. } => self.compare_whole(to, a, b, cond),
            _ => None,
        }
    }

    fn constant(&mut self, to: Value, bytes: &[u8], pp: u8) -> Option<()> {
        if bytes.iter().all(|b| *b == 0) {
            return self.define(to, Op::Zero, vec![]);
        }
        let at = self.pooled(bytes);
        self.define(to, Op::Constant { vex: vex(pp, 1, 0x10, false), imm: None, at }, vec![])
    }

    /// The place of 32 bits in all lanes.
    fn everywhere(&mut self, bits: u32) -> u32 {
        self.pooled(&bits.to_le_bytes().repeat(8))
    }

    fn unary(&mut self, opcode: Opcode, to: Value, arg: Value) -> Option<()> {
        let (ty, from) = (self.type_of(to), self.type_of(arg));
        let by_type = |code| prefix(ty).map(|(pp, wide)| vex(pp, 1, code, wide));
        match opcode {
            Opcode::Sqrt => self.rounded(by_type(0x51)?, None, to, arg),
            Opcode::Floor => self.round(to, arg, 9),
            Opcode::Ceil => self.round(to, arg, 10),
            Opcode::Nearest => self.round(to, arg, 8),
            Opcode::Fneg => self.with_bits(0x57, 1 << 31, to, arg),
            Opcode::Fabs => self.with_bits(0x54, !(1 << 31), to, arg),
            Opcode::Bnot if ty == types::I32X8 => self.with_bits(0x57, u32::MAX, to, arg),
            Opcode::Splat => self.splat(to, arg),
            Opcode::Iabs if ty == types::I32X8 => self.define_two(vex(1, 2, 0x1e, true), to, arg),
            Opcode::Ineg if ty == types::I32X8 => {
                let zero = self.make(Op::Zero, vec![], RegClass::Float);
                let operands = vec![Operand::reg_use(zero), self.any(arg)];
                self.define(to, Op::Three(vex(1, 1, 0xfa, true), None), operands)
            }
            Opcode::FcvtFromSint if ty == types::F32X8 => self.define_two(vex(0, 1, 0x5b, true), to, arg),
            Opcode::FcvtFromSint if from.is_int() && from != types::I8 => {
                let code = Vex { w: from == types::I64, ..by_type(0x2a)? };
                let operands = vec![self.any(arg)];
                self.define(to, Op::FromWhole(code), operands)
            }
            Opcode::FcvtToSintSat => self.as_whole(to, arg),
            Opcode::Fdemote => self.rounded(vex(3, 1, 0x5a, false), None, to, arg),
            Opcode::Fpromote => self.rounded(vex(2, 1, 0x5a, false), None, to, arg),
            _ => None,
        }
    }

    fn define_two(&mut self, vex: Vex, to: Value, arg: Value) -> Option<()> {
        let operands = vec![self.any(arg)];
        self.define(to, Op::Two(vex, None), operands)
    }

    /// A function of one operand; that of a single real takes it twice.
    fn rounded(&mut self, vex: Vex, imm: Option<u8>, to: Value, arg: Value) -> Option<()> {
        if vex.wide {
            let operands = vec![self.any(arg)];
            return self.define(to, Op::Two(vex, imm), operands);
        }
        let operands = vec![self.reg(arg), self.reg(arg)];
        self.define(to, Op::Three(vex, imm), operands)
    }

    fn round(&mut self, to: Value, arg: Value, mode: u8) -> Option<()> {
        let code = match self.type_of(to) {
            types::F32X8 => vex(1, 3, 0x08, true),
            types::F32 => vex(1, 3, 0x0a, false),
            _ => return None,
        };
        self.rounded(code, Some(mode), to, arg)
    }

    /// A logical function with the same bits in all lanes.
    fn with_bits(&mut self, code: u8, bits: u32, to: Value, arg: Value) -> Option<()> {
        let wide = self.type_of(to).is_vector();
        if !wide && self.type_of(to) != types::F32 {
            return None;
        }
        let at = self.everywhere(bits);
        let operands = vec![self.reg(arg)];
        self.define(to, Op::Constant { vex: vex(0, 1, code, wide), imm: None, at }, operands)
    }

    fn splat(&mut self, to: Value, arg: Value) -> Option<()> {
        if !matches!(self.type_of(to), types::F32X8 | types::I32X8) {
            return None;
        }
        let bits = match self.maker(arg) {
            Some(InstructionData::UnaryIeee32 { imm, .. }) => Some(imm.bits()),
            _ => self.number(arg).map(|n| n as i32 as u32),
        };
        match bits {
            Some(0) => self.define(to, Op::Zero, vec![]),
            Some(bits) => {
                let at = self.pooled(&bits.to_le_bytes());
                self.define(to, Op::Constant { vex: SPREAD, imm: None, at }, vec![])
            }
            None if self.type_of(arg) == types::F32 => self.define_two(SPREAD, to, arg),
            None => {
                let moved = vec![self.any(arg)];
                let moved = self.make(Op::Two(MOVE_IN, None), moved, RegClass::Float);
                self.define(to, Op::Two(SPREAD, None), vec![Operand::reg_use(moved)])
            }
        }
    }

    fn bitcast(&mut self, to: Value, arg: Value) -> Option<()> {
        match (self.type_of(to), self.type_of(arg)) {
            (a, b) if a.is_vector() && b.is_vector() => self.same(to, arg),
            (types::F32, types::I32) => self.define_two(MOVE_IN, to, arg),
            (types::I32, types::F32) => {
                let operands = vec![self.reg(arg)];
                self.define(to, Op::Out(MOVE_OUT, None), operands)
            }
            _ => None,
        }
    }

    fn two(&mut self, opcode: Opcode, to: Value, a: Value, b: Value) -> Option<()> {
        let ty = self.type_of(to);
        let whole = |pp, map, code| (ty == types::I32X8).then_some(vex(pp, map, code, true));
        let real = |code| prefix(ty).map(|(pp, wide)| vex(pp, 1, code, wide));
        let code = match opcode {
            Opcode::Fadd => real(0x58)?,
            Opcode::Fsub => real(0x5c)?,
            Opcode::Fmul => real(0x59)?,
            Opcode::Fdiv => real(0x5e)?,
            Opcode::Iadd => whole(1, 1, 0xfe)?,
            Opcode::Isub => whole(1, 1, 0xfa)?,
            Opcode::Imul => whole(1, 2, 0x40)?,
            Opcode::Smin => whole(1, 2, 0x39)?,
            Opcode::Smax => whole(1, 2, 0x3d)?,
            Opcode::Band => whole(0, 1, 0x54)?,
            Opcode::Bor => whole(0, 1, 0x56)?,
            Opcode::Bxor => whole(0, 1, 0x57)?,
            Opcode::Ishl => return self.shift_lanes(6, to, a, b),
            Opcode::Ushr => return self.shift_lanes(2, to, a, b),
            Opcode::Sshr => return self.shift_lanes(4, to, a, b),
            _ => return None,
        };
        let operands = vec![self.reg(a), self.any(b)];
        self.define(to, Op::Three(code, None), operands)
    }

    fn shift_lanes(&mut self, ext: u8, to: Value, a: Value, b: Value) -> Option<()> {
        if self.type_of(to) != types::I32X8 {
            return None;
        }
        let by = u8::try_from(self.number(b)?).ok()? & 31;
        let operands = vec![self.reg(a)];
        self.define(to, Op::ShiftLanes { vex: vex(1, 1, 0x72, true), ext, by }, operands)
    }

    fn ternary(&mut self, opcode: Opcode, to: Value, [a, b, c]: [Value; 3]) -> Option<()> {
        match opcode {
            Opcode::Fma => self.fused(to, a, b, c),
            Opcode::Bitselect => self.choice(to, a, b, c),
            Opcode::Select if self.type_of(to) == types::F32 => self.choice(to, a, b, c),
            _ => None,
        }
    }

    /// `x y + z`, written over the operand that is likely not needed any more.
    fn fused(&mut self, to: Value, x: Value, y: Value, z: Value) -> Option<()> {
        let (code, wide) = match self.type_of(to) {
            types::F32X8 => (0, true),
            types::F32 => (1, false),
            _ => return None,
        };
        let form = |base: u8| Op::Fused(vex(1, 2, base | code, wide));
        let once = |v: Value| self.is_used_once_here(v);
        let (op, operands) = match (once(z), once(x), once(y)) {
            // z = x y + z, x = y x + z, y = x y + z.
            (true, ..) => (form(0xb8), vec![self.over(to, 1), self.reg(z), self.reg(x), self.any(y)]),
            (_, false, true) => (form(0xa8), vec![self.over(to, 1), self.reg(y), self.reg(x), self.any(z)]),
            _ => (form(0xa8), vec![self.over(to, 1), self.reg(x), self.reg(y), self.any(z)]),
        };
        self.push(op, operands);
        Some(())
    }

    /// `a` where the condition holds, else `b`; least and greatest are single instructions.
    fn choice(&mut self, to: Value, c: Value, a: Value, b: Value) -> Option<()> {
        let ty = self.type_of(to);
        let wide = ty.is_vector();
        if ty == types::F32X8 || ty == types::F32 {
            let (pp, wide) = prefix(ty)?;
            if let Some((p, q)) = self.less_than(c, ty) {
                let same = |x, y| self.func.dfg.resolve_aliases(x) == self.func.dfg.resolve_aliases(y);
                let code = match () {
                    () if same(p, a) && same(q, b) => Some(0x5d),
                    () if same(p, b) && same(q, a) => Some(0x5f),
                    () => None,
                };
                if let Some(code) = code {
                    let operands = vec![self.reg(a), self.any(b)];
                    return self.define(to, Op::Three(vex(pp, 1, code, wide), None), operands);
                }
            }
        }
        let mask = if wide { self.use_of(c) } else { self.mask(c)? };
        let operands = vec![self.reg(b), self.any(a), Operand::reg_use(mask)];
        self.define(to, Op::Blend(vex(1, 3, 0x4a, wide)), operands)
    }

    /// The operands of a comparison of this type that holds if the first is less.
    fn less_than(&self, c: Value, ty: Type) -> Option<(Value, Value)> {
        let maker = match self.maker(c)? {
            InstructionData::LoadNoOffset { opcode: Opcode::Bitcast, arg, .. } => self.maker(*arg)?,
            other => other,
        };
        let InstructionData::FloatCompare { args: [p, q], cond, .. } = *maker else { return None };
        if self.type_of(p) != ty {
            return None;
        }
        match cond {
            FloatCC::LessThan => Some((p, q)),
            FloatCC::GreaterThan => Some((q, p)),
            _ => None,
        }
    }

    /// All ones where a truth value holds.
    fn mask(&mut self, c: Value) -> Option<VReg> {
        if let Some(InstructionData::FloatCompare { args: [a, b], cond, .. }) = self.maker(c).cloned()
            && self.type_of(a) == types::F32
        {
            let (op, operands) = self.compared(a, b, cond)?;
            return Some(self.make(op, operands, RegClass::Float));
        }
        let operands = vec![self.reg(c)];
        let long = self.make(Op::ExtendZero { byte: true }, operands, RegClass::Int);
        let mask = self.fresh(RegClass::Int);
        self.push(Op::Negate { wide: false }, vec![Operand::reg_reuse_def(mask, 1), Operand::reg_use(long)]);
        Some(self.make(Op::Two(MOVE_IN, None), vec![Operand::reg_use(mask)], RegClass::Float))
    }

    fn compared(&mut self, a: Value, b: Value, cond: FloatCC) -> Option<(Op, Vec<Operand>)> {
        let (kind, swap) = match cond {
            FloatCC::Equal => (0, false),
            FloatCC::NotEqual => (4, false),
            FloatCC::LessThan => (1, false),
            FloatCC::LessThanOrEqual => (2, false),
            FloatCC::GreaterThan => (1, true),
            FloatCC::GreaterThanOrEqual => (2, true),
            _ => return None,
        };
        let (pp, wide) = prefix(self.type_of(a))?;
        let (a, b) = if swap { (b, a) } else { (a, b) };
        let operands = vec![self.reg(a), self.any(b)];
        Some((Op::Three(vex(pp, 1, 0xc2, wide), Some(kind)), operands))
    }

    fn compare(&mut self, to: Value, a: Value, b: Value, cond: FloatCC) -> Option<()> {
        let (op, operands) = self.compared(a, b, cond)?;
        if self.type_of(to).is_vector() {
            return self.define(to, op, operands);
        }
        let mask = self.make(op, operands, RegClass::Float);
        let bits = self.make(Op::Out(MOVE_OUT, None), vec![Operand::reg_use(mask)], RegClass::Int);
        let operands = vec![self.over(to, 1), Operand::reg_use(bits)];
        self.push(Op::AluImm { ext: 4, wide: false, imm: 1 }, operands);
        Some(())
    }

    fn compare_whole(&mut self, to: Value, a: Value, b: Value, cond: IntCC) -> Option<()> {
        let (equal, more) = (vex(1, 1, 0x76, true), vex(1, 1, 0x66, true));
        let (code, swap, not) = match cond {
            IntCC::Equal => (equal, false, false),
            IntCC::NotEqual => (equal, false, true),
            IntCC::SignedGreaterThan => (more, false, false),
            IntCC::SignedLessThan => (more, true, false),
            IntCC::SignedLessThanOrEqual => (more, false, true),
            IntCC::SignedGreaterThanOrEqual => (more, true, true),
            _ => return None,
        };
        if self.type_of(a) != types::I32X8 {
            return None;
        }
        let (a, b) = if swap { (b, a) } else { (a, b) };
        let operands = vec![self.reg(a), self.any(b)];
        if !not {
            return self.define(to, Op::Three(code, None), operands);
        }
        let found = self.make(Op::Three(code, None), operands, RegClass::Float);
        let at = self.everywhere(u32::MAX);
        self.define(to, Op::Constant { vex: vex(0, 1, 0x57, true), imm: None, at }, vec![Operand::reg_use(found)])
    }

    /// Rounds towards nought and keeps within 32 bits; NaN becomes 0.
    fn as_whole(&mut self, to: Value, arg: Value) -> Option<()> {
        let (from, single) = (self.type_of(arg), !self.type_of(to).is_vector());
        if !matches!(from, types::F32X8 | types::F32) {
            return if from == types::F64 && self.type_of(to) == types::I32 {
                self.long_as_whole(to, arg)
            } else {
                None
            };
        }
        let float = RegClass::Float;
        let three = |s: &mut Self, code, imm, a, b| {
            s.make(Op::Three(vex(0, 1, code, !single), imm), vec![Operand::reg_use(a), Operand::reg_use(b)], float)
        };
        let x = self.use_of(arg);
        let ordered = three(self, 0xc2, Some(7), x, x);
        let x = three(self, 0x54, None, x, ordered);
        // Where it is too great the conversion gives the least number, whose complement is the greatest.
        let at = self.everywhere(2_147_483_648.0_f32.to_bits());
        let bound = self.make(Op::Constant { vex: vex(0, 1, 0x10, !single), imm: None, at }, vec![], float);
        let over = three(self, 0xc2, Some(2), bound, x);
        let whole = self.make(Op::Two(vex(2, 1, 0x5b, !single), None), vec![Operand::reg_use(x)], float);
        if !single {
            let operands = vec![Operand::reg_use(whole), Operand::reg_use(over)];
            return self.define(to, Op::Three(vex(0, 1, 0x57, true), None), operands);
        }
        let kept = three(self, 0x57, None, whole, over);
        self.define(to, Op::Out(MOVE_OUT, None), vec![Operand::reg_use(kept)])
    }

    /// The same for 64 bits: kept within bounds first.
    fn long_as_whole(&mut self, to: Value, arg: Value) -> Option<()> {
        let float = RegClass::Float;
        let x = self.use_of(arg);
        let both = |a, b| vec![Operand::reg_use(a), Operand::reg_use(b)];
        let ordered = self.make(Op::Three(vex(3, 1, 0xc2, false), Some(7)), both(x, x), float);
        let mut x = self.make(Op::Three(vex(1, 1, 0x54, false), None), both(x, ordered), float);
        for (code, bound) in [(0x5d, f64::from(i32::MAX)), (0x5f, f64::from(i32::MIN))] {
            let at = self.pooled(&bound.to_le_bytes());
            x = self.make(
                Op::Constant { vex: vex(3, 1, code, false), imm: None, at },
                vec![Operand::reg_use(x)],
                float,
            );
        }
        self.define(to, Op::Two(vex(3, 1, 0x2c, false), None), vec![Operand::reg_use(x)])
    }

    /// One lane; that of the upper half is fetched from there.
    fn extract(&mut self, to: Value, arg: Value, lane: u8) -> Option<()> {
        let ty = self.type_of(arg);
        if !matches!(ty, types::F32X8 | types::I32X8) {
            return None;
        }
        let mut from = self.use_of(arg);
        if lane >= 4 {
            from = self.make(Op::Out(UPPER, Some(1)), vec![Operand::reg_use(from)], RegClass::Float);
        }
        let from = vec![Operand::reg_use(from)];
        if ty == types::F32X8 {
            return self.define(to, Op::Two(vex(1, 3, 0x04, false), Some(lane & 3)), from);
        }
        self.define(to, Op::Out(vex(1, 3, 0x16, false), Some(lane & 3)), from)
    }

    /// Lanes are put together two halves at a time; anything but all lanes in order is not known here.
    fn insert(&mut self, to: Value, v: Value, x: Value, lane: u8) -> Option<()> {
        if lane < 7 {
            // Only the last of a chain may be used: this one is never made.
            return Some(());
        }
        let mut lanes = vec![x];
        let mut so_far = v;
        for expected in (1..7).rev() {
            match self.maker(so_far)? {
                InstructionData::TernaryImm8 { opcode: Opcode::Insertlane, args: [v, x], imm } if *imm == expected => {
                    lanes.push(*x);
                    so_far = *v;
                }
                _ => return None,
            }
        }
        let InstructionData::Unary { opcode: Opcode::Splat, arg } = self.maker(so_far)? else { return None };
        lanes.push(*arg);
        lanes.reverse();
        let whole = self.type_of(x) == types::I32;
        let low = self.half(&lanes[..4], whole);
        let high = self.half(&lanes[4..], whole);
        self.define(to, Op::Three(JOIN, Some(1)), vec![Operand::reg_use(low), Operand::reg_use(high)])
    }

    /// Four lanes in one register of 128 bits.
    fn half(&mut self, lanes: &[Value], whole: bool) -> VReg {
        let mut so_far = self.use_of(lanes[0]);
        if whole {
            so_far = self.make(Op::Two(MOVE_IN, None), vec![Operand::reg_use(so_far)], RegClass::Float);
        }
        for (k, x) in lanes.iter().enumerate().skip(1) {
            let (code, imm) = if whole { (0x22, k as u8) } else { (0x21, (k as u8) << 4) };
            // A real on the stack has its lane first, as in a register.
            let operands = vec![Operand::reg_use(so_far), self.any(*x)];
            so_far = self.make(Op::Three(vex(1, 3, code, false), Some(imm)), operands, RegClass::Float);
        }
        so_far
    }
}
