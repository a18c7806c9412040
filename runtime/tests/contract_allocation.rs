//! A product allocates nothing in the steady state, on one thread or on several.

use gannet_runtime::device::cpu::contract::{Batch, Offsets, Operand, OperandMut, Product, run, scratch_len};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations five hundred products of ones make in the steady state.
fn allocations(m: usize, n: usize, k: usize) -> usize {
    let (a, b, mut c) = (vec![1.0f32; m * k], vec![1.0f32; k * n], vec![0.0f32; m * n]);
    let mut scratch = vec![0.0f32; scratch_len(m, n, k, 3)];
    let rows = |width: usize| Offsets::Strided(width as isize);
    let product = Product {
        m,
        n,
        k,
        a: Operand { base: a.as_ptr(), rows: rows(k), cols: Offsets::Strided(1) },
        b: Operand { base: b.as_ptr(), rows: rows(n), cols: Offsets::Strided(1) },
        c: Some(OperandMut { base: c.as_mut_ptr(), rows: rows(n), cols: Offsets::Strided(1) }),
        accumulate: false,
        epilogue: None,
        batch: Batch::ONE,
    };
    // SAFETY: the operands were made for these extents.
    let mut repeat = |times| (0..times).for_each(|_| unsafe { run(&product, &mut scratch, 3) });
    repeat(50);
    // A thread of the pool that wakes late sets itself up late: the steady state is what some round has.
    let mut round = || {
        let before = COUNT.load(Ordering::Relaxed);
        repeat(500);
        COUNT.load(Ordering::Relaxed) - before
    };
    let count = (0..5).map(|_| round()).min().expect("there are rounds");
    assert!(c.iter().all(|&x| x == k as f32));
    count
}

#[test]
fn products_allocate_nothing() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("three threads can be started");
    for (m, n, k) in [(128, 200, 100), (128, 10, 512), (2, 900, 900), (20, 30, 9000)] {
        assert_eq!(pool.install(|| allocations(m, n, k)), 0, "{m} x {n} x {k}");
    }
}
