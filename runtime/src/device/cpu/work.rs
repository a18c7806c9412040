//! How much work a kernel's body is, for deciding whether to split it.

use gannet_compiler::plan::Stmt;

/// Statements executed by one iteration (loops counted with their trips).
pub fn of_body(body: &[Stmt], sizes: &[u64]) -> i64 {
    body.iter()
        .map(|stmt| match stmt {
            Stmt::Loop(l) => l.range.count(sizes).saturating_mul(of_body(&l.body, sizes) + l.accs.len() as i64),
            _ => 1,
        })
        .fold(0, i64::saturating_add)
}
