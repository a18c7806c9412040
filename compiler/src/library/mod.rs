//! Library operations in f64, plainly: the reference that the CPU's kernels are tested against, and what runs where no
//! faster code is kept.
//! Law: the result for one member of a batch depends on that member alone, and is the same on every machine.
//!
//! An operand that holds NaN or an infinity gives NaN (for `Sort` and `Assign`: see there), never a fault; a fault is an
//! operand for which the mathematics has no answer, such as a singular matrix.

mod along;
mod assign;
mod factor;
mod solve;

pub use factor::{CUT, point_up, upper};
pub use solve::{SINGULAR, least_pivot};

use gannet_lang::program::{Host, LibFun};

/// Entries of one member of a batch, row-major by the groups of the operand or part.
pub type Entries = Vec<f64>;

/// All parts of an operation on one member of a batch. `sizes`: the number of entries of each group, with the one that
/// follows from the operands last; see [`gannet_lang::program::Lib::all_groups`].
///
/// # Errors
/// What is wrong with the operands: the end of a sentence that starts with the operation's name.
pub fn eval(fun: LibFun, sizes: &[usize], operands: &[&[f64]]) -> Result<Vec<Entries>, String> {
    let finite = operands.iter().all(|o| o.iter().all(|x| x.is_finite()));
    let spreads = !matches!(fun, LibFun::Sort | LibFun::Recur(_) | LibFun::Fft(_) | LibFun::Assign | LibFun::Host(..));
    if spreads && !finite {
        return Ok(part_sizes(fun, sizes).into_iter().map(|n| vec![f64::NAN; n]).collect());
    }
    let a = operands.first().copied().unwrap_or_default();
    Ok(match fun {
        LibFun::Sort => along::sort(a),
        LibFun::Recur(way) => vec![along::recur(way, a, operands[1])],
        LibFun::Fft(way) => along::fourier(way, a, operands[1]),
        LibFun::Solve => vec![solve::solve(sizes[0], sizes[2], a, operands[1])?],
        LibFun::Cholesky => vec![solve::cholesky(sizes[0], a)?],
        LibFun::LogDet => {
            let (log, sign) = solve::logdet(sizes[0], a);
            vec![vec![log], vec![sign]]
        }
        LibFun::Expm => vec![solve::expm(sizes[0], a)],
        LibFun::Qr => factor::qr(sizes[0], sizes[1], a),
        LibFun::Eigh => factor::eigh(sizes[0], a),
        LibFun::Svd => factor::svd(sizes[0], sizes[1], a),
        LibFun::Pinv => vec![factor::pinv(sizes[0], sizes[1], a)],
        LibFun::Assign => vec![assign::assign(sizes[0], sizes[1], a)?],
        LibFun::Host(..) => return Err("its function is not at hand".to_string()),
    })
}

/// As [`eval`], with the functions of the embedding program; `plain` computes all others.
///
/// # Errors
/// As [`eval`]; a function that is not given, that fails, or whose result has another number of entries.
pub fn eval_with(
    hosts: &[Host],
    fun: LibFun,
    sizes: &[usize],
    operands: &[&[f64]],
    plain: impl Fn(LibFun, &[usize], &[&[f64]]) -> Result<Vec<Entries>, String>,
) -> Result<Vec<Entries>, String> {
    let LibFun::Host(k, _) = fun else { return plain(fun, sizes, operands) };
    let host = hosts.get(k as usize).ok_or("it is no function of this unit")?;
    let call = host.call.as_ref().ok_or("the embedding program does not give it")?;
    let found = call(operands)?;
    let wanted = part_sizes(fun, sizes)[0];
    if found.len() != wanted {
        return Err(format!("it gave {} numbers, {wanted} are needed", found.len()));
    }
    Ok(vec![found])
}

/// The number of entries of each part of one member of a batch.
pub fn part_sizes(fun: LibFun, sizes: &[usize]) -> Vec<usize> {
    let parts = fun.signature().parts;
    parts.iter().map(|p| p.groups.iter().map(|g| sizes[*g]).product()).collect()
}

/// What a user reads when an operation has no answer.
pub fn fault(hosts: &[Host], fun: LibFun, reason: &str) -> String {
    let name = match fun {
        LibFun::Host(k, _) => hosts.get(k as usize).map_or("extern fn", |h| &h.name),
        _ => fun.signature().name,
    };
    format!("`{name}` has no result: {reason}")
}

#[cfg(test)]
mod tests;
