//! Whether the service does its work.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

/// How a service is.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Health {
    /// Whether all is well: the thread runs, and the state can be written.
    pub ok: bool,
    /// What is not, and what it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The same, while it changes.
#[derive(Debug, Default)]
pub(super) struct HealthCell(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    fault: Option<String>,
    /// Since when a write has not returned.
    writes_since: Option<Instant>,
}

impl HealthCell {
    pub(super) fn writable(&self) {
        self.lock().fault = None;
    }

    /// A write begins, or has returned.
    pub(super) fn writes_since(&self, begun: Option<Instant>) {
        self.lock().writes_since = begun;
    }

    pub(super) fn not_writable(&self, why: &str) {
        let text =
            format!("the state cannot be written, so that nothing changes or goes out: {why}");
        self.lock().fault = Some(text);
    }

    pub(super) fn look(&self, now: Instant) -> Health {
        let state = self.lock();
        let waits = state.writes_since.map(|begun| now.saturating_duration_since(begun));
        let hangs = waits.filter(|waits| *waits >= LONGEST_WRITE).map(|waits| {
            format!(
                "a write of the state has not returned for {} s: look at the disk",
                waits.as_secs()
            )
        });
        Health::of(hangs.or_else(|| state.fault.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    pub(super) const fn of(fault: Option<String>) -> Self {
        Self { ok: fault.is_none(), fault }
    }
}

/// A write that takes longer is a fault.
const LONGEST_WRITE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_that_hangs_is_a_fault_and_one_that_answers_late_is_none_any_more() {
        let (cell, now) = (HealthCell::default(), Instant::now());
        cell.writes_since(Some(now));
        assert!(cell.look(now + Duration::from_secs(4)).ok);
        let late = cell.look(now + Duration::from_secs(9));
        assert!(late.fault.unwrap().contains("9 s"));
        cell.writes_since(None);
        assert!(cell.look(now + Duration::from_secs(9)).ok);
    }
}
