//! Whether the service does its work.

use std::sync::{Mutex, PoisonError};

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
pub(super) struct HealthCell(Mutex<Option<String>>);

impl HealthCell {
    pub(super) fn writable(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn not_writable(&self, why: &str) {
        let text =
            format!("the state cannot be written, so that nothing changes or goes out: {why}");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub(super) fn look(&self) -> Health {
        Health::of(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Health {
    pub(super) const fn of(fault: Option<String>) -> Self {
        Self { ok: fault.is_none(), fault }
    }
}
