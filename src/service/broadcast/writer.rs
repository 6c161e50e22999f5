//! The thread that writes the journal: one write and one `fdatasync` for all that have waited.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tracing::warn;

use super::service::Bell;
use crate::{error::Error, record::Record, state::BroadcastState};

/// Writes until the other thread lets go of its end. One write is under way at a time: what changes
/// meanwhile goes into the next.
pub(super) fn write(
    mut state: BroadcastState,
    records: &Receiver<Vec<Record>>,
    written: &Sender<Result<(), Error>>,
    bell: &Bell,
) {
    loop {
        match records.recv_timeout(LOOK_AFTER) {
            Ok(records) => {
                let result = state.commit(records).map(drop);
                if written.send(result).is_err() {
                    return;
                }
                bell.ring();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // The next commit begins another file then, and says what is wrong.
        if let Err(error) = state.shed(Instant::now()) {
            warn!(%error, "erased MSKs are in the old state file still");
        }
    }
}

/// How long after the last write it is looked whether the file holds erased MSKs.
const LOOK_AFTER: Duration = Duration::from_secs(60);
