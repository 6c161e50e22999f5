//! The hand-shakes between the key thread and lanes, under every interleaving of their steps.
//!
//! `cargo test --release --manifest-path tests/loom/Cargo.toml`. A workspace of its own, so that no other build
//! pays for it. The files under test are those of the library, compiled here over loom's atomics; the
//! swap of the table itself is `arc-swap`'s, and a mutex stands for it, as atomic as that is.

#![cfg(test)]

use loom::sync::{self, atomic};

#[path = "../../../src/runtime/doorbell.rs"]
mod doorbell;
#[path = "../../../src/keys/former.rs"]
mod former;

use doorbell::Doorbell;
use former::Former;
use loom::{
    cell::UnsafeCell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

/// The published generation, and the lane's wake-up.
struct World {
    generation: AtomicU64,
    bell: Doorbell,
    woken: AtomicBool,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            generation: AtomicU64::new(0),
            bell: Doorbell::new(),
            woken: AtomicBool::new(false),
        })
    }

    fn publish(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
        if self.bell.ring() {
            self.woken.store(true, Ordering::Release);
        }
    }
}

#[test]
fn a_lane_that_holds_packets_never_sleeps_over_the_table_they_wait_for() {
    loom::model(|| {
        let world = World::new();
        let keys = Arc::clone(&world);
        let plane = thread::spawn(move || keys.publish(1));
        // The lane has looked at table 0 and is about to sleep.
        let sleeps = world.bell.arm(|| world.generation.load(Ordering::Acquire) != 0);
        plane.join().unwrap();
        assert!(!sleeps || world.woken.load(Ordering::Acquire), "asleep, and nobody will call");
    });
}

#[test]
fn a_lane_that_looks_again_after_a_table_is_not_left_asleep_over_the_next() {
    loom::model(|| {
        let world = World::new();
        let keys = Arc::clone(&world);
        let plane = thread::spawn(move || (1..=2).for_each(|generation| keys.publish(generation)));
        let (mut seen, mut sleeps) = (0, false);
        for _ in 0..2 {
            sleeps = world.bell.arm(|| world.generation.load(Ordering::Acquire) != seen);
            if sleeps {
                break;
            }
            seen = world.generation.load(Ordering::Acquire);
        }
        plane.join().unwrap();
        // A wake-up that was meant for an earlier sleep ends this one as well.
        assert!(!sleeps || seen == 2 || world.woken.load(Ordering::Acquire));
    });
}

#[test]
fn a_bell_that_was_not_armed_wakes_nobody() {
    loom::model(|| {
        let world = World::new();
        let keys = Arc::clone(&world);
        let plane = thread::spawn(move || keys.publish(1));
        plane.join().unwrap();
        assert!(!world.woken.load(Ordering::Acquire));
    });
}

/// A table, which notes who frees it. Reading it while it is freed is a fault that loom finds.
struct Table {
    key: UnsafeCell<u8>,
    freed_by_plane: Arc<AtomicBool>,
    plane: thread::ThreadId,
}

impl Table {
    fn new(key: u8, freed_by_plane: &Arc<AtomicBool>) -> Arc<Self> {
        let (key, freed_by_plane) = (UnsafeCell::new(key), Arc::clone(freed_by_plane));
        Arc::new(Self { key, freed_by_plane, plane: thread::current().id() })
    }

    fn read(&self) -> u8 {
        // SAFETY: loom checks that nobody writes meanwhile.
        self.key.with(|key| unsafe { *key })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.plane, "freed on a lane");
        // SAFETY: loom checks that nobody reads meanwhile.
        self.key.with_mut(|key| unsafe { *key = 0 });
        self.freed_by_plane.store(true, Ordering::Release);
    }
}

/// The key thread replaces table 1 while lanes are in the middle of a batch, or begin one.
fn retire(lanes: usize) {
    let freed = Arc::new(AtomicBool::new(false));
    let unused = Arc::new(AtomicBool::new(false));
    let published = Arc::new(Mutex::new(Table::new(1, &freed)));
    let lanes: Vec<_> = (0..lanes)
        .map(|_| {
            let published = Arc::clone(&published);
            thread::spawn(move || {
                let table = Arc::clone(&published.lock().unwrap());
                assert!([1, 2].contains(&table.read()), "erased under the lane's hands");
            })
        })
        .collect();
    let mut former = Former::new();
    let next = Table::new(2, &unused);
    let replaced = std::mem::replace(&mut *published.lock().unwrap(), next);
    former.put(replaced);
    lanes.into_iter().for_each(|lane| lane.join().unwrap());
    // With the tick after the last batch it is gone.
    former.release();
    assert!(freed.load(Ordering::Acquire) && !unused.load(Ordering::Acquire));
}

#[test]
fn a_table_is_erased_by_the_key_thread_and_not_while_a_lane_reads_it() {
    loom::model(|| retire(1));
}

#[test]
fn the_same_with_two_lanes() {
    loom::model(|| retire(2));
}
