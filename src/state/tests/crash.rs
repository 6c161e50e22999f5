//! The power is cut at every step: what was acknowledged is there, what was accepted stays accepted.

use std::time::Instant;

use super::disk::{Disk, Unsynced};
use crate::{
    Error, Reject,
    ids::{CsbId, GroupId, KeyDomainId, MskId, MtkId, PacketIndex, Roc, Ssrc},
    keys::{
        CryptoSession, Interval, KeyPlane, Msk, Mtk, Muk, MukId, PlaneLimits,
        issue::{MskIssue, MtkIssue, seal_msk, seal_mtk},
    },
    secret::{Secret, SecretBytes},
    srtp::Profile,
    state::{ReceiverState, seal::Owner},
};

const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);
const GROUP: GroupId = GroupId(0);
const UNSYNCED: [Unsynced; 7] = [
    Unsynced::Lost,
    Unsynced::Begun(1),
    Unsynced::Begun(500),
    Unsynced::Begun(999),
    Unsynced::Begun(1000),
    Unsynced::Sectors(0x5555_5555),
    Unsynced::Sectors(0xaaaa_aaaa),
];

fn muk_id() -> MukId {
    MukId { idi: "bmsc.example".into(), idr: "c1@bsf.example".into() }
}

fn muk() -> Muk {
    Muk(Secret::new([1; 32]))
}

fn msk_id(number: u16) -> MskId {
    MskId { group: 7, number }
}

fn msk(number: u16) -> Msk {
    let [_, octet] = number.to_be_bytes();
    Msk { key: SecretBytes::new(&[octet; 16]), rand: vec![octet; 16] }
}

/// What is sent to the client, in this order.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Msk(u16),
    Revoke(u16),
    Mtk(u16, u16),
}

impl Sent {
    fn message(self, counter: u32) -> Vec<u8> {
        let msk_message = |number: u16, interval: Interval| {
            let issue = MskIssue {
                domain: DOMAIN,
                msk_id: msk_id(number),
                msk: &msk(number),
                interval,
                counter,
                csb: CsbId(0),
                muk_id: &muk_id(),
                verify: true,
                profile: Profile::default(),
                sessions: &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }; 20],
                sdp_ids: None,
            };
            seal_msk(&issue, &muk()).unwrap()
        };
        match self {
            Self::Msk(number) => msk_message(number, Interval { low: MtkId(1), high: MtkId(99) }),
            Self::Revoke(number) => msk_message(number, Interval { low: MtkId(2), high: MtkId(1) }),
            Self::Mtk(number, mtk) => {
                let key = Mtk { key: SecretBytes::new(&[9; 16]), salt: None };
                let issue = MtkIssue {
                    domain: DOMAIN,
                    msk_id: msk_id(number),
                    mtk_id: MtkId(mtk),
                    counter,
                    csb: CsbId(0),
                    msk: &msk(number),
                    mtk: &key,
                };
                seal_mtk(&issue).unwrap()
            }
        }
    }
}

/// What comes with each drain of the key queue.
const DRAINS: &[&[Sent]] = &[
    &[Sent::Msk(1)],
    &[Sent::Mtk(1, 1)],
    &[Sent::Mtk(1, 2), Sent::Mtk(1, 3), Sent::Msk(2)],
    &[Sent::Mtk(2, 1)],
    &[Sent::Mtk(2, 2)],
    &[Sent::Msk(3), Sent::Mtk(3, 1)],
    &[Sent::Mtk(2, 3)],
    &[Sent::Revoke(2), Sent::Mtk(3, 2)],
    &[Sent::Mtk(3, 3)],
    &[Sent::Msk(4), Sent::Mtk(3, 4)],
];

fn drains() -> Vec<Vec<(Sent, Vec<u8>)>> {
    let mut counter = 0;
    let mut message = |sent: &Sent| {
        counter += 1;
        (*sent, sent.message(counter))
    };
    DRAINS.iter().map(|drain| drain.iter().map(&mut message).collect()).collect()
}

struct Client {
    plane: KeyPlane,
    state: ReceiverState,
}

impl Client {
    fn start(disk: &Disk, sealed: bool) -> Result<Self, Error> {
        let key = sealed.then_some(0x5a);
        let state = ReceiverState::on(disk.journal(Owner::Receiver, key)?);
        let mut plane = KeyPlane::new(PlaneLimits::default());
        state.restore(&mut plane)?;
        plane.insert_muk(muk_id(), muk())?;
        plane.add_group(GROUP, None);
        plane.locate_group(GROUP, b"239.0.0.1:5004");
        Ok(Self { plane, state })
    }

    fn receive(&mut self, message: &[u8]) -> Result<(), Reject> {
        self.plane.receive(Some(GROUP), message, Instant::now()).map(drop)
    }

    fn msks(&self) -> Vec<u16> {
        self.plane.store().msks().map(|held| held.msk_id.number).collect()
    }

    fn traffic_keys(&self) -> Vec<(u16, u16)> {
        let live = self.plane.live_keys(GROUP);
        live.iter().map(|key| (key.msk.number, key.mtk.0)).collect()
    }
}

/// What the world has seen of a client.
#[derive(Clone, Debug, Default)]
struct Acknowledged {
    messages: Vec<Vec<u8>>,
    msks: Vec<u16>,
    traffic_keys: Vec<(u16, u16)>,
}

/// Runs a client until its drains are done or its disk has no power.
fn live(disk: &Disk, sealed: bool) -> Acknowledged {
    let mut seen = Acknowledged::default();
    let Ok(mut client) = Client::start(disk, sealed) else { return seen };
    for drain in drains() {
        for (sent, message) in &drain {
            client.receive(message).unwrap_or_else(|reject| panic!("{sent:?}: {reject}"));
        }
        if client.state.commit(&mut client.plane).is_err() {
            break;
        }
        seen.messages.extend(drain.into_iter().map(|(_, message)| message));
        (seen.msks, seen.traffic_keys) = (client.msks(), client.traffic_keys());
    }
    seen
}

/// Checks a client that starts after the cut.
fn assert_nothing_forgotten(disk: &Disk, sealed: bool, seen: &Acknowledged, told: &str) {
    let mut client = Client::start(disk, sealed).unwrap_or_else(|error| panic!("{told}: {error}"));
    // The drain that was under way has either happened or not.
    let at = seen.messages.len();
    let mut done = 0;
    let after = DRAINS.iter().find(|drain| {
        done += drain.len();
        done > at
    });
    let (msks, keys) = (client.msks(), client.traffic_keys());
    if msks != seen.msks || keys != seen.traffic_keys {
        let mut expected = Client::start(&Disk::default(), sealed).unwrap();
        drains().iter().flatten().take(done).for_each(|(_, message)| {
            expected.receive(message).unwrap();
        });
        let next = (expected.msks(), expected.traffic_keys());
        assert_eq!((msks, keys), next, "{told}: neither before nor after {after:?}");
    }
    for (n, message) in seen.messages.iter().enumerate() {
        client.receive(message).expect_err(&format!("{told}: message {n} is accepted again"));
    }
}

#[test]
fn power_cut_at_every_step_forgets_nothing_that_was_acknowledged() {
    for sealed in [false, true] {
        let whole = Disk::default();
        let all = live(&whole, sealed);
        assert_eq!(all.messages.len(), DRAINS.iter().map(|drain| drain.len()).sum::<usize>());
        assert_eq!((&*all.msks, all.traffic_keys[0]), (&[3, 4][..], (3, 4)));
        let steps = whole.0.lock().unwrap().steps;
        // Two steps a commit, and new files between.
        assert!(steps > 5 + 2 * DRAINS.len() + 5, "{steps}");
        for cut in 0..steps {
            let disk = Disk::default();
            disk.0.lock().unwrap().cut_at = Some(cut);
            let seen = live(&disk, sealed);
            for unsynced in UNSYNCED {
                let told = format!("sealed {sealed}, cut at {cut}, {unsynced:?}");
                let after = disk.after_the_cut(unsynced);
                assert_nothing_forgotten(&after, sealed, &seen, &told);
            }
        }
    }
}

#[test]
fn second_power_cut_while_starting_again_forgets_nothing_either() {
    let whole = Disk::default();
    live(&whole, true);
    let steps = whole.0.lock().unwrap().steps;
    for cut in (0..steps).step_by(5) {
        let disk = Disk::default();
        disk.0.lock().unwrap().cut_at = Some(cut);
        let seen = live(&disk, true);
        for second in 0..5 {
            for unsynced in UNSYNCED {
                let again = disk.after_the_cut(unsynced);
                again.0.lock().unwrap().cut_at = Some(second);
                assert!(Client::start(&again, true).is_err());
                let told = format!("cut at {cut}, then at {second}, {unsynced:?}");
                assert_nothing_forgotten(&again.after_the_cut(unsynced), true, &seen, &told);
            }
        }
    }
}

#[test]
fn full_disk_holds_up_the_commit_until_there_is_room() {
    let whole = Disk::default();
    live(&whole, true);
    let steps = whole.0.lock().unwrap().steps;
    for first in 5..steps {
        let disk = Disk::default();
        let mut client = Client::start(&disk, true).unwrap();
        let mut seen = Acknowledged::default();
        for drain in drains() {
            for (_, message) in &drain {
                client.receive(message).unwrap();
            }
            let steps = disk.0.lock().unwrap().steps;
            if (steps..steps + 2).contains(&first) {
                disk.0.lock().unwrap().fail = 3;
            }
            let mut tries = 0;
            while let Err(error) = client.state.commit(&mut client.plane) {
                assert!(error.to_string().starts_with("the disk: "), "{error}");
                tries += 1;
                assert!(tries <= 3);
            }
            seen.messages.extend(drain.into_iter().map(|(_, message)| message));
            (seen.msks, seen.traffic_keys) = (client.msks(), client.traffic_keys());
        }
        // Whatever was not synced is lost: every commit that returned had synced.
        let after = disk.after_the_cut(Unsynced::Lost);
        assert_nothing_forgotten(&after, true, &seen, &format!("full at {first}"));
    }
}

#[test]
fn damage_is_told_and_never_taken_for_a_crash() {
    for sealed in [false, true] {
        let disk = Disk::default();
        live(&disk, sealed);
        let whole = disk.octets();
        let start = |octets: Vec<u8>| Client::start(&Disk::with(Some(octets)), sealed);
        let whole_msks = start(whole.clone()).unwrap().msks();
        let mut told = 0;
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            match start(damaged) {
                Err(error) => {
                    assert!(error.to_string().starts_with("the disk: "), "{error}");
                    told += 1;
                }
                // Within the last frame it looks like a write that was cut short.
                Ok(client) => assert!(client.msks() == whole_msks || client.msks() == [3]),
            }
        }
        assert!(told > whole.len() / 2, "{told} of {}", whole.len());
        for len in 0..whole.len() {
            // A file without its first frame has never been in place.
            if let Err(error) = start(whole[..len].to_vec()) {
                assert!(error.to_string().starts_with("the disk: "), "{error}");
            }
        }
    }
}

#[test]
fn head_that_is_lost_in_the_middle_is_told_and_never_taken_for_a_crash() {
    for sealed in [false, true] {
        let disk = Disk::default();
        let mut client = Client::start(&disk, sealed).unwrap();
        let mut begins = Vec::new();
        for (counter, number) in (1..).zip(1..=4) {
            begins.push(disk.octets().len());
            client.receive(&Sent::Msk(number).message(counter)).unwrap();
            client.state.commit(&mut client.plane).unwrap();
        }
        let whole = disk.octets();
        let start = |octets: Vec<u8>| Client::start(&Disk::with(Some(octets)), sealed);
        for (n, begin) in begins.iter().enumerate() {
            let lost = |end: usize| {
                let mut lost = whole.clone();
                lost[*begin..end].fill(0);
                start(lost)
            };
            // Padding lies before some heads: they are shorter than a sector, and cross none.
            for end in [begin + 48, *begins.get(n + 1).unwrap_or(&whole.len())] {
                let is_last = n + 1 == begins.len();
                match lost(end) {
                    Ok(client) => assert!(is_last && client.msks() == [2, 3]),
                    Err(error) => assert!(!is_last && error.to_string().contains("is damaged")),
                }
            }
        }
        // Several frames with their heads.
        let mut lost = whole.clone();
        lost[begins[1]..begins[3]].fill(0);
        assert!(start(lost).is_err());
    }
}

#[test]
fn streams_are_found_where_they_were() {
    let disk = Disk::default();
    let at = PacketIndex::from_value(5 << 16 | 7);
    let mut client = Client::start(&disk, true).unwrap();
    for (counter, sent) in [(1, Sent::Msk(1)), (2, Sent::Mtk(1, 1))] {
        client.receive(&sent.message(counter)).unwrap();
    }
    client.plane.note_streams([(GROUP, Ssrc(9), at)]);
    assert!(client.state.commit(&mut client.plane).unwrap());
    client.plane.note_streams([(GROUP, Ssrc(9), at)]);
    assert!(!client.state.commit(&mut client.plane).unwrap());
    let mut client = Client::start(&disk, true).unwrap();
    client.plane.publish();
    let table = client.plane.published().load();
    // Bound to its key group as well: the traffic key is there without any message.
    let ring = table.ring(GROUP).unwrap();
    assert_eq!((ring.keys().len(), ring.expected_roc(Ssrc(9), at.seq())), (1, Roc(5)));
}
