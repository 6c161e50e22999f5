//! Memory asked for ahead of its use, and written so that it is read back without a wait.

/// Asks for the cache line at an address, which need not be anybody's. Without effect on what the
/// program does, and on other processors none at all.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch never faults, whatever the address; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The octets of two numbers, one after the other as they lie in memory.
///
/// A kernel loads the sixteen at once. Had they been stored in halves, that load would wait until both
/// have left the store buffer, which is when everything before them is done: 16 ns for a packet alone.
#[inline(always)]
pub(crate) fn joined(left: u64, right: u64) -> [u8; 16] {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128i, _mm_set_epi64x};
        let (left, right) = (left.cast_signed(), right.cast_signed());
        // SAFETY: SSE2 is part of x86-64; both types are sixteen octets, of which any value is valid.
        unsafe { std::mem::transmute::<__m128i, [u8; 16]>(_mm_set_epi64x(right, left)) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&left.to_ne_bytes());
        octets[8..].copy_from_slice(&right.to_ne_bytes());
        octets
    }
}

/// Has the stack frame of the function it is called from aligned to 64 octets.
///
/// What does not fit in the registers of a kernel is kept there. The compiler decides too late for wide
/// registers to align a frame for them; stores across two cache lines do not forward to the loads that
/// follow, 5 ns each time.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn align_frame() {
    use std::{
        arch::{asm, x86_64::__m512i},
        mem::MaybeUninit,
    };
    let line = MaybeUninit::<__m512i>::uninit();
    // SAFETY: the template is a comment; the pointer is not used.
    unsafe { asm!("/* {0} */", in(reg) line.as_ptr(), options(nostack, preserves_flags)) }
}
