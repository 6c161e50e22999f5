//! What waits for the journal: records on their way, new keys, and who is to hear that a document is
//! held.

use std::{
    collections::BTreeSet,
    mem,
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use super::{Held, on_air::Done, thread::Thread};
use crate::record::Record;

/// What goes to the writer, and who waits for it.
#[derive(Default)]
pub(super) struct Journal {
    /// Channels with news for the next write.
    pub(super) news: BTreeSet<u64>,
    /// Records for the next write, of whatever channel.
    pub(super) records: Vec<Record>,
    /// Channels whose news is under way or was refused, and who is to be told.
    waits: Vec<(u64, Vec<(u64, Done)>)>,
    at_work: bool,
    pub(super) retry_at: Option<Instant>,
}

impl Thread {
    /// Takes note of a channel that has news for the journal.
    pub(super) fn note_news(&mut self, number: u64) {
        if self.channels.get(&number).is_some_and(|channel| channel.has_news()) {
            self.journal.news.insert(number);
        }
    }

    /// Hands what has changed to the writer, unless it is at work or has to pause.
    pub(super) fn write_changes(&mut self) {
        let journal = &mut self.journal;
        if journal.at_work || journal.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let again = journal.retry_at.take().is_some();
        let news = mem::take(&mut journal.news);
        if news.is_empty() && journal.records.is_empty() && !again {
            return;
        }
        for number in news {
            let Some(channel) = self.channels.get_mut(&number) else { continue };
            journal.records.append(&mut channel.take_changes());
            journal.waits.push((number, mem::take(&mut channel.answers)));
        }
        // There is room: one batch is under way at a time.
        let records = mem::take(&mut journal.records);
        journal.at_work = self.ends.records.try_send(records).is_ok();
    }

    /// Learns what has become of the last write; if it is in the journal, its effects may be seen.
    pub(super) fn take_written(&mut self) {
        let Ok(result) = self.ends.written.try_recv() else { return };
        self.journal.at_work = false;
        let now = Instant::now();
        if let Err(error) = result {
            self.overall.commits_failed.add(1);
            self.journal.retry_at = Some(now + RETRY);
            if let Some(times) = self.failing.note(now) {
                warn!(%error, times, "no new key is announced before the journal can be written");
            }
            return;
        }
        self.overall.commits.add(1);
        for (number, answers) in mem::take(&mut self.journal.waits) {
            let Some(channel) = self.channels.get_mut(&number) else { continue };
            for (version, done) in answers {
                done(Ok(Held { channel: channel.id.clone(), version }));
            }
            // A key made since then is in the next write.
            if !channel.changed {
                channel.stored(now, &mut self.out);
                self.reschedule(number);
            }
        }
    }

    /// Writes what is left, once, and lets the writer end.
    pub(super) fn finish(mut self) {
        if mem::take(&mut self.journal.at_work) {
            let _last = self.ends.written.recv();
        }
        self.journal.retry_at = None;
        for channel in self.channels.values_mut() {
            self.journal.records.append(&mut channel.take_changes());
        }
        self.write_changes();
        if self.journal.at_work
            && let Ok(Err(error)) = self.ends.written.recv()
        {
            warn!(%error, "the last changes are not in the journal; none has been seen outside");
        }
        debug!("all channels are off the air");
    }
}

/// Wait before the journal is written again.
const RETRY: Duration = Duration::from_secs(1);
