//! Instructions per packet of the batch call, counted one by one: what a noisy machine cannot blur.
//!
//! `cargo bench --bench instructions` prints a table, `-- --check` compares it with
//! `benches/instructions.txt` and fails where a count has grown, `-- --update` rewrites the lines of
//! that file that this processor can count.
//!
//! The processor's trap flag makes it raise SIGTRAP after every instruction, and the handler counts.
//! So kernels are counted too that no emulator knows (valgrind has neither SHA-NI nor AVX-512). Only
//! the call is counted, in a process that has already made it a few times.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[expect(dead_code, reason = "who is measured beside is for benches/unprotect.rs")]
mod support;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[path = "instructions/count.rs"]
mod count;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[path = "instructions/table.rs"]
mod table;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn main() -> std::process::ExitCode {
    table::main()
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn main() {
    println!("instructions: counted on x86-64 Linux only");
}
