//! Memory of the step loop as a test, under an allocator that counts.
//! Law: once every batch size has been seen, a training step allocates nothing.

use gannet::runtime::train::{Observer, Progress};
use gannet::{Model, Options};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The system's allocator, counting each request of new or larger memory by any thread.
struct Counting;

static REQUESTS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Steps before counting starts: more than two epochs, so that the short last batch of an epoch has been seen.
const FROM: u64 = 100;
/// The last step counted.
const TO: u64 = 400;

/// Notes the count after the first and the last step of the interval.
#[derive(Default)]
struct Watch {
    from: u64,
    to: u64,
}

impl Observer for Watch {
    fn stepped(&mut self, progress: &Progress) {
        match progress.step {
            FROM => self.from = REQUESTS.load(Ordering::SeqCst),
            TO => self.to = REQUESTS.load(Ordering::SeqCst),
            _ => {}
        }
    }
}

/// One test for all numbers of threads: tests beside it would be counted too.
#[test]
fn steps_allocate_nothing() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits_mlp.gnt");
    let model = Model::from_file(path, &[]).expect("the example is accepted");
    for threads in [1, 2] {
        let mut watch = Watch::default();
        let options = Options { threads, seed: 1, steps: Some(TO + 20), ..Default::default() };
        let stop = AtomicBool::new(false);
        model.train_watched(Some("digits_mlp"), &options, &mut watch, &stop).expect("the example trains");
        assert!(watch.from > 0, "loading and compiling are counted");
        let requests = watch.to - watch.from;
        assert_eq!(requests, 0, "{requests} allocations in {} steps with {threads} threads", TO - FROM);
    }
}
