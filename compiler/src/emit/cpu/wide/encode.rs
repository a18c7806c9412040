//! Bytes of x86-64 instructions: the few that bodies need, with registers of 256 bits.
//! Law: an encoder knows no values, only numbers of registers.

/// A general or vector register, by its number in the encoding.
pub type Reg = u8;

/// The stack pointer.
pub const RSP: Reg = 4;

/// The second operand of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rm {
    /// A register.
    Reg(Reg),
    /// `[base + index * 2^scale + disp]`.
    Mem { base: Reg, index: Option<(Reg, u8)>, disp: i32 },
    /// A constant of the pool, by its place there in bytes.
    Pool(u32),
}

/// A VEX instruction: prefix (0 none, 1 66, 2 F3, 3 F2), table of codes (1 0F, 2 0F38, 3 0F3A), code, 64-bit operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vex {
    pub pp: u8,
    pub map: u8,
    pub code: u8,
    pub w: bool,
    /// 256 bits?
    pub wide: bool,
}

/// Machine code being written, and what is to be filled in.
#[derive(Default)]
pub struct Assembler {
    pub bytes: Vec<u8>,
    /// Places of four bytes that reach for the pool: (place, end of the instruction, place in the pool).
    pools: Vec<(usize, usize, u32)>,
    /// Places of four bytes that reach for a label: (place, label).
    jumps: Vec<(usize, usize)>,
    /// Where labels lie.
    labels: Vec<Option<usize>>,
}

impl Assembler {
    pub fn byte(&mut self, b: u8) {
        self.bytes.push(b);
    }

    pub fn i32(&mut self, x: i32) {
        self.bytes.extend_from_slice(&x.to_le_bytes());
    }

    /// A VEX instruction: `reg`, `vvvv` (0 if there is none), `rm`, and up to one byte behind.
    pub fn vex(&mut self, v: Vex, reg: Reg, vvvv: Reg, rm: Rm, imm: Option<u8>) {
        let (x, b) = extensions(rm);
        let last = (!vvvv & 15) << 3 | u8::from(v.wide) << 2 | v.pp;
        if v.map == 1 && !v.w && x == 0 && b == 0 {
            self.bytes.extend_from_slice(&[0xc5, (!(reg >> 3) & 1) << 7 | last]);
        } else {
            let first = (!(reg >> 3) & 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | v.map;
            self.bytes.extend_from_slice(&[0xc4, first, u8::from(v.w) << 7 | last]);
        }
        self.byte(v.code);
        self.modrm(reg, rm, usize::from(imm.is_some()));
        self.bytes.extend(imm);
    }

    /// An instruction on general registers; `code` may have an escape byte in front. `small` operands are bytes.
    pub fn general(&mut self, wide: bool, code: &[u8], reg: Reg, rm: Rm, small: bool, behind: usize) {
        let (x, b) = extensions(rm);
        let rex = 0x40 | u8::from(wide) << 3 | (reg >> 3) << 2 | x << 1 | b;
        if rex != 0x40 || small {
            self.byte(rex);
        }
        self.bytes.extend_from_slice(code);
        self.modrm(reg, rm, behind);
    }

    fn modrm(&mut self, reg: Reg, rm: Rm, behind: usize) {
        let reg = (reg & 7) << 3;
        match rm {
            Rm::Reg(r) => self.byte(0xc0 | reg | r & 7),
            Rm::Pool(at) => {
                self.byte(reg | 5);
                let place = self.bytes.len();
                self.pools.push((place, place + 4 + behind, at));
                self.i32(0);
            }
            Rm::Mem { base, index, disp } => {
                // Without a displacement, base 5 would mean something else.
                let mode = match disp {
                    0 if base & 7 != 5 => 0,
                    -128..=127 => 1,
                    _ => 2,
                };
                if index.is_some() || base & 7 == 4 {
                    let (i, scale) = index.unwrap_or((4, 0));
                    self.byte(mode << 6 | reg | 4);
                    self.byte(scale << 6 | (i & 7) << 3 | base & 7);
                } else {
                    self.byte(mode << 6 | reg | base & 7);
                }
                match mode {
                    0 => {}
                    1 => self.byte(disp as i8 as u8),
                    _ => self.i32(disp),
                }
            }
        }
    }

    /// A jump to a label: always if there is no condition.
    pub fn jump(&mut self, condition: Option<u8>, label: usize) {
        match condition {
            Some(c) => self.bytes.extend_from_slice(&[0x0f, 0x80 | c]),
            None => self.byte(0xe9),
        }
        self.jumps.push((self.bytes.len(), label));
        self.i32(0);
    }

    /// The label lies here.
    pub fn label(&mut self, label: usize) {
        if self.labels.len() <= label {
            self.labels.resize(label + 1, None);
        }
        self.labels[label] = Some(self.bytes.len());
    }

    /// Code and pool, with all reaches filled in. The pool starts at a multiple of 32 bytes.
    pub fn finish(mut self, pool: &[u8]) -> Vec<u8> {
        while !self.bytes.len().is_multiple_of(32) {
            self.byte(0x90);
        }
        let start = self.bytes.len();
        let mut fill = |place: usize, reach: i64| {
            self.bytes[place..place + 4].copy_from_slice(&(reach as i32).to_le_bytes());
        };
        for (place, end, at) in &self.pools {
            fill(*place, (start + *at as usize) as i64 - *end as i64);
        }
        for (place, label) in &self.jumps {
            let target = self.labels[*label].expect("every label is placed");
            fill(*place, target as i64 - (*place as i64 + 4));
        }
        self.bytes.extend_from_slice(pool);
        self.bytes
    }
}

/// The extension bits of an index and of a base or register.
fn extensions(rm: Rm) -> (u8, u8) {
    match rm {
        Rm::Reg(r) => (0, r >> 3),
        Rm::Pool(_) => (0, 0),
        Rm::Mem { base, index, .. } => (index.map_or(0, |i| i.0 >> 3), base >> 3),
    }
}
