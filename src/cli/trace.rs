//! Traces of a run in the format of Chrome's tracing, which Perfetto reads.
//! Law: times count from the first traced kernel, in microseconds; what ran inside of a loop lies inside of it.

use super::profile::position;
use gannet::lang::diag::{Diagnostic, Sources};
use gannet::runtime::device::cpu::profile::KernelTime;
use gannet::runtime::record::save;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// Writes when each kernel ran.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, functions: &[(String, Vec<KernelTime>)], sources: &Sources) -> Result<(), Diagnostic> {
    let starts = functions.iter().flat_map(|f| f.1.iter()).filter_map(|t| t.trace.first()).map(|call| call.0);
    let mut events = Vec::new();
    if let Some(zero) = starts.min() {
        for (k, (function, times)) in functions.iter().enumerate() {
            events.push(json!({ "ph": "M", "pid": 1, "tid": k, "name": "thread_name", "args": { "name": function } }));
            calls(times, k, zero, sources, &mut events);
        }
    }
    save(path, json!({ "displayTimeUnit": "ms", "traceEvents": events }).to_string().as_bytes())
}

fn calls(times: &[KernelTime], row: usize, zero: Instant, sources: &Sources, events: &mut Vec<Value>) {
    for t in times {
        let about = json!({
            "form": t.form, "line": position(sources, t.span), "flops": t.estimate.flops, "bytes": t.estimate.bytes,
            "estimated us": t.estimate.seconds * 1e6,
        });
        for (start, took) in &t.trace {
            let at = start.duration_since(zero).as_secs_f64() * 1e6;
            events.push(json!({
                "ph": "X", "pid": 1, "tid": row, "name": t.name, "cat": t.form, "ts": at,
                "dur": took.as_secs_f64() * 1e6, "args": about,
            }));
        }
        calls(&t.inside, row, zero, sources, events);
    }
}
