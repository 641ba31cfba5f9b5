//! Counts what is allocated, so that a target can say how much its input may cost.
#![expect(
    unsafe_code,
    reason = "an allocator that hands every call to the system's as it is, and counts"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes that this thread has ever asked for.
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: the system's allocator keeps the contract; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

fn count(bytes: usize) {
    ALLOCATED.set(ALLOCATED.get().wrapping_add(bytes));
}

/// What `work` on `input` gives. It may ask for memory in proportion to the input, whatever lengths stand in there.
///
/// # Panics
/// When it asks for more.
pub(crate) fn bounded<I: AsRef<[u8]> + ?Sized, T>(input: &I, work: impl FnOnce() -> T) -> T {
    /// The longest messages of errors, and the first allocation of a list.
    const BYTES: usize = 4 * 1024;
    /// Values and tokens of some 60 bytes are one byte in the input, and their list doubles as it grows.
    const PER_BYTE: usize = 256;
    let before = ALLOCATED.get();
    let result = work();
    let allocated = ALLOCATED.get().wrapping_sub(before);
    let length = input.as_ref().len();
    assert!(
        allocated <= BYTES + PER_BYTE * length,
        "{allocated} bytes were allocated for an input of {length}"
    );
    result
}

/// What `work` gives, which asks for no memory.
///
/// # Panics
/// When it does.
pub(crate) fn free<T>(work: impl FnOnce() -> T) -> T {
    let before = ALLOCATED.get();
    let result = work();
    let allocated = ALLOCATED.get().wrapping_sub(before);
    assert!(allocated == 0, "{allocated} bytes were allocated");
    result
}
