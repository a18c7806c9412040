//! Arrays of numbers: NumPy's npy (version 1 to 3) and the idx form of the MNIST family.

use super::source::Fault;
use gannet_lang::diag::Code;

/// Numbers as they were stored.
#[derive(Debug)]
pub enum Numbers {
    U8(Vec<u8>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// An array with its shape; rows are its first axis.
#[derive(Debug)]
pub struct Array {
    /// For messages.
    pub file: String,
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// Row-major.
    pub numbers: Numbers,
}

impl Array {
    /// Entries along the first axis.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Entries in a row.
    pub fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// An entry by its number.
    pub fn get(&self, k: usize) -> f64 {
        match &self.numbers {
            Numbers::U8(v) => f64::from(v[k]),
            Numbers::F32(v) => f64::from(v[k]),
            Numbers::F64(v) => v[k],
        }
    }

    /// Numbers of that shape.
    pub fn new(file: String, shape: Vec<usize>, numbers: Numbers) -> Result<Array, Fault> {
        let held = match &numbers {
            Numbers::U8(v) => v.len(),
            Numbers::F32(v) => v.len(),
            Numbers::F64(v) => v.len(),
        };
        // No file has as many entries as do not fit a number.
        let expected = shape.iter().try_fold(1usize, |n, k| n.checked_mul(*k)).unwrap_or(usize::MAX);
        if held != expected {
            let message = format!("`{file}` is cut off: {held} entries, its shape {shape:?} needs {expected}");
            return Err(Fault::new(Code::G0502, message).hint(CUT));
        }
        if expected == 0 {
            return Err(Fault::new(Code::G0505, format!("`{file}` has no entries (shape {shape:?})")));
        }
        Ok(Array { file, shape, numbers })
    }

    /// An idx file: magic `0 0 type rank`, sizes and numbers in big-endian order.
    pub fn from_idx(bytes: &[u8], file: String) -> Result<Array, Fault> {
        let bad = |what: &str| Fault::new(Code::G0501, format!("`{file}` is no idx file: {what}"));
        let [0, 0, kind, rank, rest @ ..] = bytes else { return Err(bad("its magic number is wrong")) };
        let rank = *rank as usize;
        if rest.len() < 4 * rank {
            return Err(bad("its header is cut off"));
        }
        let (head, body) = rest.split_at(4 * rank);
        let shape: Vec<usize> =
            head.chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]]) as usize).collect();
        let wide = |n: usize, f: fn(&[u8]) -> f64| Numbers::F64(body.chunks_exact(n).map(f).collect());
        let numbers = match kind {
            0x08 => Numbers::U8(body.to_vec()),
            0x09 => wide(1, |c| f64::from(c[0] as i8)),
            0x0B => wide(2, |c| f64::from(i16::from_be_bytes([c[0], c[1]]))),
            0x0C => wide(4, |c| f64::from(i32::from_be_bytes([c[0], c[1], c[2], c[3]]))),
            0x0D => Numbers::F32(body.chunks_exact(4).map(|c| f32::from_be_bytes([c[0], c[1], c[2], c[3]])).collect()),
            0x0E => wide(8, |c| f64::from_be_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]])),
            _ => return Err(bad("its element type is unknown")),
        };
        Array::new(file, shape, numbers)
    }

    /// An npy file.
    pub fn from_npy(bytes: &[u8], file: String) -> Result<Array, Fault> {
        let bad = |e: &dyn std::fmt::Display| {
            Fault::new(Code::G0501, format!("`{file}` is no npy file: {e}"))
                .hint("save it again, with numbers or truth values: `numpy.save(name, x.astype(\"float32\"))`")
        };
        if let Some(needed) = claimed(bytes).filter(|n| *n > bytes.len() as u64) {
            let message = format!("`{file}` is cut off: {} bytes, its shape needs {needed} entries", bytes.len());
            return Err(Fault::new(Code::G0502, message).hint(CUT));
        }
        let npy = npyz::NpyFile::new(bytes).map_err(|e| bad(&e))?;
        if npy.order() == npyz::Order::Fortran && npy.shape().len() > 1 {
            return Err(Fault::new(Code::G0502, format!("`{file}` is stored column by column"))
                .hint("save it in C order: `numpy.save(name, numpy.ascontiguousarray(x))`"));
        }
        let shape: Vec<usize> = npy.shape().iter().map(|n| *n as usize).collect();
        let descr = npy.dtype().descr();
        fn read<T: npyz::Deserialize>(npy: npyz::NpyFile<&[u8]>) -> std::io::Result<Vec<T>> {
            npy.into_vec::<T>()
        }
        let widen = |v: std::io::Result<Vec<f64>>| v.map(Numbers::F64);
        let kind: String = descr.chars().filter(char::is_ascii_alphanumeric).collect();
        let numbers = match kind.as_str() {
            "u1" => read::<u8>(npy).map(Numbers::U8),
            "b1" => read::<bool>(npy).map(|v| Numbers::U8(v.into_iter().map(u8::from).collect())),
            "f4" => read::<f32>(npy).map(Numbers::F32),
            "f8" => widen(read::<f64>(npy)),
            "i1" => widen(read::<i8>(npy).map(|v| v.into_iter().map(f64::from).collect())),
            "i2" => widen(read::<i16>(npy).map(|v| v.into_iter().map(f64::from).collect())),
            "u2" => widen(read::<u16>(npy).map(|v| v.into_iter().map(f64::from).collect())),
            "i4" => widen(read::<i32>(npy).map(|v| v.into_iter().map(f64::from).collect())),
            "u4" => widen(read::<u32>(npy).map(|v| v.into_iter().map(f64::from).collect())),
            "i8" => widen(read::<i64>(npy).map(|v| v.into_iter().map(|x| x as f64).collect())),
            _ => return Err(bad(&format!("element type {descr} is not supported"))),
        };
        Array::new(file.clone(), shape, numbers.map_err(|e| bad(&e))?)
    }
}

/// The way out where a file is shorter than it says.
const CUT: &str = "the file was not written or copied to its end, or its header is damaged";

/// How many entries the header of an npy file speaks of, as far as a number can hold it; each takes a byte or more.
fn claimed(bytes: &[u8]) -> Option<u64> {
    /// What is further behind is no header that NumPy writes: version 1 has 16 bits for its length.
    const HEADER: usize = 1 << 16;
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(HEADER)]);
    let shape = head.split_once("'shape'")?.1.split_once('(')?.1.split_once(')')?.0;
    let sizes = shape.split(',').filter_map(|n| n.trim().trim_end_matches('L').parse::<u64>().ok());
    Some(sizes.fold(1, u64::saturating_mul))
}
