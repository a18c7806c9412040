//! Random well-typed programs over all constructs of the language, run in every way: the reference evaluator on the graph
//! as built, on the rewritten graph, and machine code in single and double precision on one and two threads agree;
//! gradients are the differences of what they are gradients of, forwards, backwards and mixed, up to the third.
//!
//! `GANNET_RANDOM=2000` runs so many programs, `GANNET_SEED=17` only that one. A failure shows the seed and a small
//! program that fails in the same way.

#[path = "../common/gpu.rs"]
mod gpu;

mod compare;
mod cover;
mod generate;
mod graphs;
mod program;
mod scalar;
mod structured;
mod tensor;
mod windows;

use compare::{Failure, agree};
use gannet::runtime::device::Choice;
use gpu::has_gpu;
use program::Program;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const NORMAL: u64 = 200;
const ON_GPU: u64 = 60;

fn wanted(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A program that fails in the same way, without what can be left out.
fn shrunk(program: &Program, seed: u64, device: Choice, failure: Failure) -> (Program, Failure) {
    let (mut program, mut failure) = (program.clone(), failure);
    'again: loop {
        for less in program.smaller() {
            if let Err(f) = agree(&less, seed, device)
                && f.kind == failure.kind
            {
                (program, failure) = (less, f);
                continue 'again;
            }
        }
        return (program, failure);
    }
}

#[test]
fn all_ways_agree() {
    let only = wanted("GANNET_SEED");
    let count = wanted("GANNET_RANDOM").unwrap_or(NORMAL);
    let seen = run_all(only, count, Choice::Cpu);
    if only.is_none() && count >= NORMAL {
        let missing = seen.missing();
        assert!(missing.is_empty(), "these constructs never occurred: {missing:?}");
    }
}

/// Fewer: a software driver compiles each shader anew.
#[test]
fn shaders_agree() {
    if has_gpu("random programs") {
        run_all(wanted("GANNET_SEED"), wanted("GANNET_RANDOM").unwrap_or(ON_GPU), Choice::Gpu);
    }
}

/// Runs so many programs, or only one of them.
fn run_all(only: Option<u64>, count: u64, device: Choice) -> cover::Cover {
    let next = AtomicU64::new(only.unwrap_or(0));
    let end = only.map_or(count, |s| s + 1);
    let (seen, failures) = (Mutex::new(cover::Cover::default()), Mutex::new(Vec::new()));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            break;
        }
        let program = generate::program(seed);
        match agree(&program, seed, device) {
            Ok(one) => seen.lock().expect("nobody panics here").add(&one),
            Err(failure) => failures.lock().expect("nobody panics here").push((seed, program, failure)),
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| {
            std::thread::Builder::new().stack_size(16 << 20).spawn_scoped(scope, work).expect("a thread starts");
        });
    });
    let failures = failures.into_inner().expect("nobody panics here");
    let mut kinds: Vec<String> = Vec::new();
    let mut out = String::new();
    for (seed, program, failure) in &failures {
        if kinds.contains(&failure.kind) {
            continue;
        }
        kinds.push(failure.kind.clone());
        let (small, f) = shrunk(program, *seed, device, failure.clone());
        out += &format!("seed {seed}, {}:\n{}\n{}\n{:?}\n\n", f.kind, f.text, small.text(), small.files);
    }
    let seeds: Vec<(u64, &str)> = failures.iter().map(|f| (f.0, f.2.kind.as_str())).collect();
    assert!(failures.is_empty(), "{} of {} programs fail: {seeds:?}\n{out}", failures.len(), end);
    seen.into_inner().expect("nobody panics here")
}

#[test]
fn the_same_seed_gives_the_same_program() {
    for seed in 0..40 {
        assert_eq!(generate::program(seed).text(), generate::program(seed).text());
    }
}
