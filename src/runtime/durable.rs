//! What the key thread has accepted and nobody has seen yet, until it will survive a crash.
//!
//! ```text
//! drain of the queue ─► plane ─► commit, once ─► verification messages, events, answers ─► publish
//!                                   └─ refused: all of it waits; nothing more is accepted meanwhile
//! ```

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::queue::Command;
use crate::{
    error::Error,
    ids::{GroupId, PacketIndex, Ssrc},
    keys::{KeyEvent, KeyPlane},
    srtp::SessionId,
};

/// An accepted message that nobody has heard of.
pub(super) struct Pending {
    pub(super) event: Option<KeyEvent>,
    /// Group and source of a message that came by the network.
    pub(super) from: Option<(Option<GroupId>, SocketAddr)>,
    /// Who waits for an answer.
    pub(super) done: Option<Sender<Result<(), Error>>>,
}

/// What waits for the next commit, and what commits; without a state nothing waits for long.
#[derive(Default)]
pub(super) struct Durable {
    #[cfg(feature = "state")]
    state: Option<crate::state::ReceiverState>,
    pending: Vec<Pending>,
    sessions: BTreeMap<SessionId, GroupId>,
    failing: bool,
}

impl Durable {
    /// Commits to this state.
    #[cfg(feature = "state")]
    pub(super) fn in_state(state: crate::state::ReceiverState) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    /// The last commit was refused: nothing may be accepted.
    pub(super) const fn is_failing(&self) -> bool {
        self.failing
    }

    pub(super) fn wait(&mut self, pending: Pending) {
        self.pending.push(pending);
    }

    /// Commits what the plane has accepted; what waited for that may be seen then. Also tells whether
    /// anything was written.
    ///
    /// # Errors
    /// Those of the file. Who waits for an answer has it; the rest waits on.
    pub(super) fn commit(&mut self, plane: &mut KeyPlane) -> Result<(bool, Vec<Pending>), Error> {
        match self.write(plane) {
            Ok(written) => {
                self.failing = false;
                Ok((written, std::mem::take(&mut self.pending)))
            }
            Err(error) => {
                self.failing = true;
                for pending in &mut self.pending {
                    if let Some(done) = pending.done.take() {
                        let _ = done.send(Err(Error::invalid(error.to_string())));
                    }
                }
                Err(error)
            }
        }
    }

    #[cfg(feature = "state")]
    fn write(&mut self, plane: &mut KeyPlane) -> Result<bool, Error> {
        self.state.as_mut().map_or(Ok(false), |state| state.commit(plane))
    }

    #[cfg(not(feature = "state"))]
    #[expect(clippy::unnecessary_wraps, reason = "with the feature it can fail")]
    fn write(&mut self, _: &mut KeyPlane) -> Result<bool, Error> {
        Ok(false)
    }

    /// Takes down which sessions are whose.
    pub(super) fn add_group(&mut self, group: GroupId, sessions: Vec<SessionId>) {
        self.sessions.extend(sessions.into_iter().map(|session| (session, group)));
    }

    pub(super) fn remove_group(&mut self, group: GroupId) {
        self.sessions.retain(|_, of| *of != group);
    }

    /// Tells the plane where the streams of a lane are.
    pub(super) fn note_streams(&self, plane: &mut KeyPlane, streams: &[StreamPlace]) {
        plane.note_streams(streams.iter().filter_map(|(session, ssrc, index)| {
            self.sessions.get(session).map(|group| (*group, *ssrc, *index))
        }));
    }
}

/// The newest authenticated index of a stream.
pub(super) type StreamPlace = (SessionId, Ssrc, PacketIndex);

/// Memory for the streams of a lane on their way to the key thread, and where it goes back to.
pub(super) struct StreamList {
    pub(super) streams: Vec<StreamPlace>,
    home: Sender<Vec<StreamPlace>>,
}

impl StreamList {
    pub(super) fn give_back(self) {
        let _ = self.home.try_send(self.streams);
    }
}

/// A lane's end: tells the key thread now and then where streams are, without waiting or allocating.
pub(super) struct StreamWatch {
    /// `None` where nobody keeps them.
    every: Option<Duration>,
    limit: usize,
    next: Option<Instant>,
    queue: Sender<Command>,
    home: (Sender<Vec<StreamPlace>>, Receiver<Vec<StreamPlace>>),
}

impl StreamWatch {
    /// For a lane with at most `limit` streams.
    pub(super) fn new(every: Option<Duration>, limit: usize, queue: Sender<Command>) -> Self {
        let home = bounded(1);
        if every.is_some() {
            let _ = home.0.try_send(Vec::with_capacity(limit));
        }
        Self { every, limit, next: None, queue, home }
    }

    /// Passes the streams on if it is time to.
    pub(super) fn look(&mut self, now: Instant, streams: &mut dyn Iterator<Item = StreamPlace>) {
        let Some(every) = self.every else { return };
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        let first = self.next.is_none();
        self.next = Some(now + every);
        // At first there is nothing to tell.
        if first {
            return;
        }
        if let Ok(mut list) = self.home.1.try_recv() {
            list.clear();
            list.extend(streams.take(self.limit));
            let list = StreamList { streams: list, home: self.home.0.clone() };
            if let Err(refused) = self.queue.try_send(Command::Streams(list))
                && let Command::Streams(list) = refused.into_inner()
            {
                list.give_back();
            }
        }
    }

    /// Passes the streams on for the last time. The key thread outlives the lanes, so that it takes
    /// them.
    pub(super) fn finish(&self, streams: impl Iterator<Item = StreamPlace>) {
        if self.every.is_some() {
            let list = StreamList { streams: streams.collect(), home: self.home.0.clone() };
            let _ = self.queue.send(Command::Streams(list));
        }
    }
}

impl Clone for StreamWatch {
    /// For another lane of the same gateway.
    fn clone(&self) -> Self {
        Self::new(self.every, self.limit, self.queue.clone())
    }
}
