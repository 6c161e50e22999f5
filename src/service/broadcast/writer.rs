//! The thread that writes the journal: one write and one `fdatasync` for all that have waited.

use crossbeam_channel::{Receiver, Sender};

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
    for records in records {
        let result = state.commit(records).map(drop);
        if written.send(result).is_err() {
            return;
        }
        bell.ring();
    }
}
