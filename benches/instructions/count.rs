//! How many instructions a piece of work takes.

use std::{
    arch::asm,
    mem, ptr,
    sync::{
        Once,
        atomic::{AtomicU64, Ordering},
    },
};

/// Instructions that `work` executes.
pub(crate) fn instructions(work: impl FnOnce()) -> u64 {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(install);
    let empty = stepped(|| ());
    stepped(work).saturating_sub(empty)
}

fn stepped(work: impl FnOnce()) -> u64 {
    STEPS.store(0, Ordering::Relaxed);
    // SAFETY: only the trap flag changes; SIGTRAP has a handler. Without `nostack` the compiler keeps
    // nothing below the stack pointer.
    unsafe { asm!("pushfq", "or qword ptr [rsp], {flag}", "popfq", flag = const TRAP_FLAG) };
    work();
    // SAFETY: as above.
    unsafe { asm!("pushfq", "and qword ptr [rsp], {others}", "popfq", others = const !TRAP_FLAG) };
    STEPS.load(Ordering::Relaxed)
}

fn install() {
    // SAFETY: all zero is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
    // SAFETY: `action` is complete, and the handler only touches an atomic.
    let result = unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, ptr::null_mut()) };
    assert_eq!(result, 0, "no handler for SIGTRAP");
}

/// Runs after each instruction, with the trap flag off.
extern "C" fn count(_signal: libc::c_int) {
    STEPS.fetch_add(1, Ordering::Relaxed);
}

static STEPS: AtomicU64 = AtomicU64::new(0);

/// TF in RFLAGS (AMD64 Architecture Programmer's Manual, volume 2, §3.1.6).
const TRAP_FLAG: i32 = 0x100;
