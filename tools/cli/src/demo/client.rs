//! A PoC client of the demo: a gateway with its MUK, and a check of every packet it delivers.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::Sender,
    },
    time::{Duration, Instant},
};

use mcast_srtp::{
    Gateway, Reject,
    group::GroupSpec,
    keys::KeyEvent,
    runtime::GatewayStats,
    rx::{Event, GroupStats, Limits, Media},
    wire::burst::BurstEvent,
};

use super::{cast::Subscriber, plan::Plan};
use crate::exit::Failure;

/// A client with its sockets and threads.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: &'static str,
    /// Where its MSK messages go.
    pub(super) key_address: SocketAddr,
    gateway: Gateway,
    tally: Arc<Tally>,
}

/// Something for the timeline.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) client: &'static str,
    pub(super) at: Instant,
    pub(super) what: String,
}

/// What a client has delivered.
#[derive(Debug)]
pub(super) struct Tally {
    plan: Arc<Plan>,
    /// By place in the plan.
    delivered: Vec<AtomicBool>,
    /// Packets nobody has planned, with other octets than the clip's, or delivered twice.
    wrong: AtomicU64,
    bursts: AtomicU64,
}

impl Client {
    /// How long packets are held back for their key. A machine at its limits may need longer than a
    /// network.
    pub(super) const HOLD_TIME: Duration = Duration::from_secs(1);

    /// Joins the group and listens for MSK messages on a port of its own.
    ///
    /// # Errors
    /// The system refuses a socket or a thread.
    pub(super) fn start(
        subscriber: &Subscriber,
        group: &GroupSpec,
        plan: &Arc<Plan>,
        heard: Sender<Heard>,
    ) -> Result<Self, Failure> {
        let name = subscriber.name;
        let tally = Arc::new(Tally::new(Arc::clone(plan)));
        let counted = Arc::clone(&tally);
        let mut limits = Limits::default();
        limits.hold_time = Self::HOLD_TIME;
        let gateway = Gateway::builder()
            .limits(limits)
            .muk(subscriber.muk_id(), subscriber.muk())
            .key_address((Ipv4Addr::LOCALHOST, 0).into())
            .group(group.clone())
            .start(move |event| {
                counted.count(&event);
                if let Some(what) = story(&event) {
                    // The timeline has ended if nobody listens.
                    let _ = heard.send(Heard { client: name, at: Instant::now(), what });
                }
            })?;
        let key_address = gateway.key_address().ok_or_else(|| {
            Failure::failed(format!("{name} has no address for its MSK messages"))
        })?;
        Ok(Self { name, key_address, gateway, tally })
    }

    /// What it has delivered so far.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Packets that were held back, or refused, because their key was not there.
    pub(super) fn packets_without_key(&self) -> u64 {
        let count = |group: &GroupStats| group.held + group.rejects.count(Reject::UnknownMki);
        self.stats().groups.iter().map(|(_, _, group)| count(group)).sum()
    }

    /// The gateway's counters.
    pub(super) fn stats(&self) -> GatewayStats {
        self.gateway.stats()
    }
}

impl Tally {
    fn new(plan: Arc<Plan>) -> Self {
        let delivered = plan.packets.iter().map(|_| AtomicBool::new(false)).collect();
        Self { plan, delivered, wrong: AtomicU64::new(0), bursts: AtomicU64::new(0) }
    }

    fn count(&self, event: &Event<'_>) {
        match event {
            Event::Media(media) => self.media(media),
            Event::Burst(_) => {
                self.bursts.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn media(&self, media: &Media<'_>) {
        let place = self.plan.place(media.ssrc, media.index);
        let as_planned = place.is_some_and(|place| {
            let planned = &self.plan.packets[place];
            planned.payload == media.payload
                && planned.timestamp == media.rtp.timestamp()
                && !self.delivered[place].swap(true, Ordering::Relaxed)
        });
        if !as_planned {
            self.wrong.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Packets delivered of a range of places.
    pub(super) fn delivered(&self, places: std::ops::Range<usize>) -> u64 {
        let delivered = self.delivered.get(places).unwrap_or_default();
        delivered.iter().filter(|packet| packet.load(Ordering::Relaxed)).count() as u64
    }

    /// Packets that were not as planned.
    pub(super) fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }

    /// Burst-control messages delivered.
    pub(super) fn bursts(&self) -> u64 {
        self.bursts.load(Ordering::Relaxed)
    }
}

fn story(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Key(KeyEvent::Msk { msk, .. }) => format!("MSK {msk} opened and confirmed"),
        Event::Key(KeyEvent::Mtk { mki }) => format!("MTK of MKI {mki} opened"),
        Event::Burst(burst) => match &burst.event {
            BurstEvent::Taken(taken) => {
                format!("Taken: {} talks", taken.name.unwrap_or(taken.cname))
            }
            BurstEvent::Idle => "Idle: nobody talks".to_owned(),
            _ => return None,
        },
        _ => return None,
    })
}
