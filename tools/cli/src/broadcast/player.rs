//! Sends recordings in their own time: one thread for all of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
    vec,
};

use mcast_srtp::{
    broadcast::ChannelId,
    ids::{PacketIndex, Ssrc},
    service::{BroadcastService, broadcast::Input},
};

use super::{
    config::Channel,
    recording::{Entry, Recording},
};
use crate::exit::Failure;

/// The thread that sends recordings.
#[derive(Debug)]
pub(super) struct Player {
    stop: Arc<AtomicBool>,
    finished: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Player {
    /// Sends the recording of every channel that has one, from when its first key is in force.
    ///
    /// # Errors
    /// Usage: a recording cannot be read.
    pub(super) fn start(service: &BroadcastService, channels: &[Channel]) -> Result<Self, Failure> {
        let mut tracks = Vec::new();
        for channel in channels {
            let Some(file) = &channel.file else { continue };
            let media = 0..channel.channel.group.media.len();
            let inputs = media.map(|medium| service.input(channel.id(), medium));
            tracks.push(Track {
                id: channel.id().clone(),
                recording: Recording::read(file)?,
                again: file.again,
                inputs: inputs.collect::<Result<_, _>>()?,
                progress: None,
            });
        }
        let (stop, finished) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (stopped, end, service) = (Arc::clone(&stop), Arc::clone(&finished), service.clone());
        let thread = std::thread::Builder::new().name("recordings".to_owned()).spawn(move || {
            play(&service, tracks, &stopped);
            end.store(true, Ordering::Relaxed);
        });
        let thread = thread.map_err(|error| Failure::failed(format!("no thread: {error}")))?;
        Ok(Self { stop, finished, thread: Some(thread) })
    }

    /// Whether all recordings are over. One that is repeated is never.
    pub(super) fn has_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// A recording and where it is.
struct Track {
    id: ChannelId,
    recording: Recording,
    again: bool,
    inputs: Vec<Input>,
    progress: Option<Progress>,
}

struct Progress {
    start: Instant,
    round: u32,
    highest: Vec<(Ssrc, PacketIndex)>,
    left: vec::IntoIter<Entry>,
    next: Option<Entry>,
}

impl Track {
    /// Sends what is due, and tells when the next packet is; `None` when the recording is over.
    fn play(&mut self, service: &BroadcastService, now: Instant) -> Option<Instant> {
        let Self { id, recording, again, inputs, progress } = self;
        let Some(progress) = progress else {
            let report = service.report(id).ok()?;
            if report.mki.is_some() {
                let mut left = entries(recording, 0, &report.highest);
                let next = left.next();
                let (start, highest) = (now, report.highest);
                *progress = Some(Progress { start, round: 0, highest, left, next });
            }
            return Some(now + if progress.is_some() { Duration::ZERO } else { LOOK });
        };
        loop {
            let due = progress.start + progress.next.as_ref()?.at;
            if due > now {
                return Some(due);
            }
            if let Some(entry) = progress.next.take()
                && let Some(input) = inputs.get(entry.medium)
            {
                // What finds no room is counted there.
                let _full = input.push(entry.packet);
            }
            progress.next = progress.left.next();
            if progress.next.is_none() && *again {
                progress.round = progress.round.wrapping_add(1);
                progress.left = entries(recording, progress.round, &progress.highest);
                progress.next = progress.left.next();
            }
        }
    }
}

fn entries(
    recording: &Recording,
    round: u32,
    highest: &[(Ssrc, PacketIndex)],
) -> vec::IntoIter<Entry> {
    recording.round(round, highest).collect::<Vec<_>>().into_iter()
}

fn play(service: &BroadcastService, mut tracks: Vec<Track>, stop: &AtomicBool) {
    while !tracks.is_empty() && !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let mut next = now + LOOK;
        tracks.retain_mut(|track| match track.play(service, now) {
            Some(due) => {
                next = next.min(due);
                true
            }
            None => false,
        });
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// How long the end may go unnoticed, and a first key.
const LOOK: Duration = Duration::from_millis(50);
