//! Media and burst events as an asynchronous stream (feature `tokio`).
//!
//! The gateway's threads stay as they are; this is a bounded queue between its callback and a task.
//! Lanes do not wait for the task: what finds the queue full is dropped and counted.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::mpsc::{Receiver, channel};

use crate::{
    error::Error,
    ids::{GroupId, PacketIndex, Seq, Ssrc},
    runtime::{Gateway, GatewayBuilder},
    rx::{Burst, Event},
    wire::burst::BurstEvent,
};

/// A gateway read as a stream of owned items.
///
/// ```no_run
/// # use mcast_srtp::{aio::{Item, MediaStream}, Gateway};
/// # async fn example() -> Result<(), mcast_srtp::Error> {
/// let mut media = MediaStream::start(Gateway::builder(), 1024)?;
/// while let Some(item) = media.recv().await {
///     if let Item::Media(media) = item {
///         println!("{} {:?}: {} octets", media.ssrc, media.index, media.payload().len());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MediaStream {
    gateway: Gateway,
    items: Receiver<Item>,
    dropped: Arc<AtomicU64>,
}

/// What a [`MediaStream`] yields.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Item {
    /// A media packet.
    Media(MediaItem),
    /// A burst-control message.
    Burst(BurstItem),
}

/// One media packet, owned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MediaItem {
    /// Its talk group.
    pub group: GroupId,
    /// Its stream.
    pub ssrc: Ssrc,
    /// Its place in the stream.
    pub index: PacketIndex,
    /// Who sent it.
    pub source: SocketAddr,
    /// Whether anything proves it: see [`Media::authenticated`](crate::rx::Media::authenticated).
    pub authenticated: bool,
    packet: Box<[u8]>,
    header_len: usize,
    payload_len: usize,
}

/// One burst-control message, owned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BurstItem {
    /// Its talk group.
    pub group: GroupId,
    /// SSRC of its sender: the PoC server's.
    pub ssrc: Ssrc,
    /// Name of the event: `taken`, `idle` …
    pub event: &'static str,
    /// SSRC of the talker's stream, if the message says who talks.
    pub talker: Option<Ssrc>,
    /// SIP URI of the talker, likewise.
    pub uri: Option<String>,
}

impl MediaItem {
    /// Payload without RTP padding.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        let end = self.header_len + self.payload_len;
        self.packet.get(self.header_len..end).unwrap_or_default()
    }

    /// The whole plain RTP packet.
    #[must_use]
    pub const fn packet(&self) -> &[u8] {
        &self.packet
    }

    /// Its sequence number.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.index.seq()
    }
}

impl MediaStream {
    /// Starts a gateway whose media and burst events go into a queue of `capacity` items.
    ///
    /// # Errors
    /// As [`GatewayBuilder::start`].
    pub fn start(builder: GatewayBuilder, capacity: usize) -> Result<Self, Error> {
        let (sender, items) = channel(capacity.max(1));
        let dropped = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&dropped);
        let gateway = builder.start(move |event: Event<'_>| {
            if let Some(item) = Item::from_event(&event)
                && sender.try_send(item).is_err()
            {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        Ok(Self { gateway, items, dropped })
    }

    /// The next item. `None` never comes while the gateway runs.
    pub async fn recv(&mut self) -> Option<Item> {
        self.items.recv().await
    }

    /// Items lost because the queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The gateway, to join and leave groups and to read its counters.
    pub const fn gateway(&mut self) -> &mut Gateway {
        &mut self.gateway
    }
}

impl Stream for MediaStream {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.items.poll_recv(cx)
    }
}

impl BurstItem {
    fn new(burst: &Burst<'_>) -> Self {
        let taken = match &burst.event {
            BurstEvent::Taken(taken) => Some(taken),
            _ => None,
        };
        Self {
            group: burst.group,
            ssrc: burst.ssrc,
            event: burst.event.name(),
            talker: taken.map(|taken| taken.talker),
            uri: taken.and_then(|taken| taken.cname.as_str()).map(str::to_owned),
        }
    }
}

impl Item {
    fn from_event(event: &Event<'_>) -> Option<Self> {
        match event {
            Event::Media(media) => Some(Self::Media(MediaItem {
                group: media.group,
                ssrc: media.ssrc,
                index: media.index,
                source: media.source,
                authenticated: media.authenticated,
                packet: media.packet.into(),
                header_len: media.rtp.header_len(),
                payload_len: media.payload.len(),
            })),
            Event::Burst(burst) => Some(Self::Burst(BurstItem::new(burst))),
            _ => None,
        }
    }
}
