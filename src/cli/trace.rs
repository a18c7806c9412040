//! Traces of a run in the format of Chrome's tracing, which Perfetto reads.
//! Law: times count from the first traced kernel, in microseconds; what ran inside of a loop lies below it, steps
//! that ran side by side in rows of their own.

use super::profile::position;
use gannet::lang::diag::{Diagnostic, Sources};
use gannet::runtime::device::cpu::profile::KernelTime;
use gannet::runtime::record::save;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

/// Rows that a function has: one for each thread that takes steps of a loop side by side with others.
const ROWS: usize = 256;

/// Writes when each kernel ran.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, functions: &[(String, Vec<KernelTime>)], sources: &Sources) -> Result<(), Diagnostic> {
    let starts = functions.iter().flat_map(|f| f.1.iter()).filter_map(|t| t.trace.first()).map(|call| call.start);
    let mut events = Vec::new();
    if let Some(zero) = starts.min() {
        for (k, (function, times)) in functions.iter().enumerate() {
            let mut rows = BTreeSet::new();
            calls(times, (k, zero), sources, &mut rows, &mut events);
            events.extend(rows.into_iter().map(|lane| named(function, k, lane)));
        }
    }
    save(path, json!({ "displayTimeUnit": "ms", "traceEvents": events }).to_string().as_bytes())
}

/// The name of a row.
fn named(function: &str, k: usize, lane: usize) -> Value {
    let name = if lane == 0 { function.to_string() } else { format!("{function}, thread {}", lane + 1) };
    json!({ "ph": "M", "pid": 1, "tid": k * ROWS + lane, "name": "thread_name", "args": { "name": name } })
}

fn calls(
    times: &[KernelTime],
    (function, zero): (usize, Instant),
    sources: &Sources,
    rows: &mut BTreeSet<usize>,
    events: &mut Vec<Value>,
) {
    for t in times {
        let about = json!({
            "form": t.form, "line": position(sources, t.span), "flops": t.estimate.flops, "bytes": t.estimate.bytes,
            "estimated us": t.estimate.seconds * 1e6,
        });
        for call in &t.trace {
            rows.insert(call.lane);
            events.push(json!({
                "ph": "X", "pid": 1, "tid": function * ROWS + call.lane, "name": t.name, "cat": t.form,
                "ts": call.start.duration_since(zero).as_secs_f64() * 1e6, "dur": call.took.as_secs_f64() * 1e6,
                "args": about,
            }));
        }
        calls(&t.inside, (function, zero), sources, rows, events);
    }
}
