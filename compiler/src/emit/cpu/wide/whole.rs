//! Instructions on whole numbers and truth values in general registers.

use super::machine::Op;
use super::select::{Select, general, until_end};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, InstructionData, Opcode, Value, types};
use regalloc2::{Operand, PRegSet, RegClass};

impl Select<'_> {
    /// An instruction on general registers alone.
    pub fn whole(&mut self, inst: ir::Inst, to: Value) -> Option<()> {
        match self.func.dfg.insts[inst] {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, .. } => {
                let n = self.number(to)?;
                self.define(to, Op::Number(n), vec![])
            }
            InstructionData::Unary { opcode, arg } => self.whole_unary(opcode, to, arg),
            InstructionData::Binary { opcode, args: [a, b] } => self.whole_binary(opcode, to, a, b),
            InstructionData::IntCompare { .. } => {
                let (width, condition, a, b) = self.comparison(to)?;
                let operands = vec![self.reg(a), self.any(b)];
                self.define(to, Op::Compare { width, condition }, operands)
            }
            InstructionData::Ternary { opcode: Opcode::Select, args: [c, a, b] } => {
                let wide = self.type_of(to) == types::I64;
                let operands = vec![self.over(to, 3), self.reg(c), self.any(a), self.reg(b)];
                self.push(Op::Select { wide }, operands);
                Some(())
            }
            InstructionData::StackAddr { stack_slot, offset, .. } => {
                let before: u32 =
                    self.func.sized_stack_slots.iter().take_while(|(s, _)| *s != stack_slot).map(|(_, d)| d.size).sum();
                let offset: i32 = offset.into();
                self.define(to, Op::Place(before as i32 + offset), vec![])
            }
            _ => None,
        }
    }

    fn whole_unary(&mut self, opcode: Opcode, to: Value, arg: Value) -> Option<()> {
        let (ty, from) = (self.type_of(to), self.type_of(arg));
        match opcode {
            Opcode::Ireduce => self.same(to, arg),
            Opcode::Sextend if (ty, from) == (types::I64, types::I32) => {
                let operands = vec![self.any(arg)];
                self.define(to, Op::Extend, operands)
            }
            Opcode::Uextend if from == types::I8 || from == types::I32 => {
                let operands = vec![self.reg(arg)];
                self.define(to, Op::ExtendZero { byte: from == types::I8 }, operands)
            }
            Opcode::Ineg if from != types::I8 => {
                let operands = vec![self.over(to, 1), self.reg(arg)];
                self.push(Op::Negate { wide: ty == types::I64 }, operands);
                Some(())
            }
            Opcode::Iabs if from != types::I8 => {
                let (wide, x) = (ty == types::I64, self.use_of(arg));
                let minus = self.fresh(RegClass::Int);
                self.push(Op::Negate { wide }, vec![Operand::reg_reuse_def(minus, 1), Operand::reg_use(x)]);
                let operands = vec![self.over(to, 1), Operand::reg_use(x), Operand::reg_use(minus)];
                self.push(Op::Exchange { wide, condition: 12 }, operands);
                Some(())
            }
            _ => None,
        }
    }

    fn whole_binary(&mut self, opcode: Opcode, to: Value, a: Value, b: Value) -> Option<()> {
        let wide = self.type_of(to) == types::I64;
        match opcode {
            Opcode::Iadd if wide => {
                let (mem, operands) = self.address(to, 0);
                self.define(to, Op::Lea(mem), operands)
            }
            Opcode::Iadd => self.alu(0x03, 0, to, a, b),
            Opcode::Isub => self.alu(0x2b, 5, to, a, b),
            Opcode::Band => self.alu(0x23, 4, to, a, b),
            Opcode::Bor => self.alu(0x0b, 1, to, a, b),
            Opcode::Bxor => self.alu(0x33, 6, to, a, b),
            Opcode::Imul => self.times(to, a, b),
            Opcode::Ishl => self.shift(4, to, a, b),
            Opcode::Ushr if self.type_of(to) != types::I8 => self.shift(5, to, a, b),
            Opcode::Sshr if self.type_of(to) != types::I8 => self.shift(7, to, a, b),
            Opcode::Smin | Opcode::Smax if self.type_of(to) != types::I8 => {
                // The second takes the first's place where the first is greater (or less).
                let condition = if opcode == Opcode::Smin { 15 } else { 12 };
                let operands = vec![self.over(to, 1), self.reg(a), self.reg(b)];
                self.push(Op::Exchange { wide, condition }, operands);
                Some(())
            }
            Opcode::Sdiv if self.type_of(to) != types::I8 => {
                let (a, b) = (self.use_of(a), self.use_of(b));
                let to = Operand::reg_fixed_def(self.use_of(to), general(0));
                let mut clobbers = PRegSet::empty();
                clobbers.add(general(2));
                let operands = vec![to, Operand::reg_fixed_use(a, general(0)), until_end(b)];
                self.push_clobbering(Op::Divide { wide }, operands, clobbers);
                Some(())
            }
            _ => None,
        }
    }

    fn alu(&mut self, code: u8, ext: u8, to: Value, a: Value, b: Value) -> Option<()> {
        let wide = self.type_of(to) == types::I64;
        if let Some(imm) = self.number(b).and_then(|n| i32::try_from(n).ok()) {
            let operands = vec![self.over(to, 1), self.reg(a)];
            self.push(Op::AluImm { ext, wide, imm }, operands);
        } else {
            let operands = vec![self.over(to, 1), self.reg(a), self.any(b)];
            self.push(Op::Alu { code, wide }, operands);
        }
        Some(())
    }

    fn times(&mut self, to: Value, a: Value, b: Value) -> Option<()> {
        let wide = self.type_of(to) == types::I64;
        if let Some(imm) = self.number(b).and_then(|n| i32::try_from(n).ok()) {
            let operands = vec![self.any(a)];
            return self.define(to, Op::TimesImm { wide, imm }, operands);
        }
        let operands = vec![self.over(to, 1), self.reg(a), self.any(b)];
        self.push(Op::Times { wide }, operands);
        Some(())
    }

    fn shift(&mut self, ext: u8, to: Value, a: Value, b: Value) -> Option<()> {
        let wide = self.type_of(to) == types::I64;
        let by = u8::try_from(self.number(b)?).ok()? & if wide { 63 } else { 31 };
        let operands = vec![self.over(to, 1), self.reg(a)];
        self.push(Op::Shift { ext, wide, by }, operands);
        Some(())
    }

    /// A comparison of whole numbers: width in bytes, condition, operands.
    pub fn comparison(&self, v: Value) -> Option<(u8, u8, Value, Value)> {
        let InstructionData::IntCompare { args: [a, b], cond, .. } = *self.maker(v)? else { return None };
        let ty = self.type_of(a);
        let condition = match cond {
            IntCC::Equal => 4,
            IntCC::NotEqual => 5,
            IntCC::SignedLessThan => 12,
            IntCC::SignedGreaterThanOrEqual => 13,
            IntCC::SignedLessThanOrEqual => 14,
            IntCC::SignedGreaterThan => 15,
            _ => return None,
        };
        ty.is_int().then_some((ty.bytes() as u8, condition, a, b))
    }
}
