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
    action.sa_sigaction =
        count as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: `action` is complete, and the handler only touches an atomic.
    let result = unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, ptr::null_mut()) };
    assert_eq!(result, 0, "no handler for SIGTRAP");
}

/// Runs after each instruction, with the trap flag off.
extern "C" fn count(_signal: libc::c_int, _i: *mut libc::siginfo_t, c: *mut libc::c_void) {
    #[expect(clippy::all)]
    unsafe {
        let c = c.cast::<libc::ucontext_t>();
        let rip = (*c).uc_mcontext.gregs[libc::REG_RIP as usize] as u64;
        let n = STEPS.load(Ordering::Relaxed) as usize;
        if n < RIPS.len() {
            RIPS[n].store(rip, Ordering::Relaxed);
        }
    }
    STEPS.fetch_add(1, Ordering::Relaxed);
}

static STEPS: AtomicU64 = AtomicU64::new(0);

/// TF in RFLAGS (AMD64 Architecture Programmer's Manual, volume 2, §3.1.6).
const TRAP_FLAG: i32 = 0x100;

pub(crate) static RIPS: [AtomicU64; 1 << 20] = [const { AtomicU64::new(0) }; 1 << 20];
pub(crate) fn dump(path: &str) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let base =
        u64::from_str_radix(maps.lines().next().unwrap().split('-').next().unwrap(), 16).unwrap();
    let n = STEPS.load(Ordering::Relaxed) as usize;
    let text: String = RIPS[..n.min(1 << 20)]
        .iter()
        .map(|r| format!("{:x}\n", r.load(Ordering::Relaxed).wrapping_sub(base)))
        .collect();
    std::fs::write(path, text).unwrap();
}
