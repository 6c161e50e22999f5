//! A change of keys: from an MTK message to the table that lanes see.
//!
//! `cargo bench --bench rekey [FILTER]`. Key changes must stay cheap beside the packets: a thousand
//! groups that change their MTK every second are `round/1000` once a second.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Bencher, Criterion};
use mcast_srtp::{
    ids::{CsbId, GroupId, KeyDomainId, Mki, MskId, MtkId, Roc, Ssrc},
    keys::{
        CryptoSession, Interval, KeyPlane, Msk, Mtk, Muk, MukId, PlaneLimits,
        issue::{MskIssue, MtkIssue, seal_msk, seal_mtk},
    },
    secret::{Secret, SecretBytes},
    srtp::{Profile, TrafficKey},
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .without_plots()
        .configure_from_args();

    let mut group = criterion.benchmark_group("traffic-key");
    for (name, profile) in Profile::NAMED {
        let master = vec![7; profile.cipher.key_len()];
        let mki = Mki::mbms(MSK, MtkId(1));
        group.bench_function(*name, |b| {
            b.iter(|| TrafficKey::new(mki, *profile, black_box(&master), &[9; 14]));
        });
    }
    group.finish();

    // One group of many changes its key: message accepted, table built, published.
    let mut group = criterion.benchmark_group("change");
    for groups in [1, 1000] {
        group.bench_function(groups.to_string(), |b| rekey(b, groups, Publish::EachMessage));
    }
    group.finish();

    // All groups change their keys, and one table is published. An iteration is the whole round.
    let mut group = criterion.benchmark_group("round");
    for groups in [1, 1000] {
        group.bench_function(groups.to_string(), |b| rekey(b, groups, Publish::EachRound));
    }
    group.finish();

    // What a lane does once a batch.
    let plane = plane(1000);
    criterion.bench_function("load", |b| b.iter(|| plane.published().load().generation()));
    criterion.final_summary();
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Publish {
    EachMessage,
    EachRound,
}

/// Receives new MTK messages for group after group. Messages are made before the clock runs.
fn rekey(bencher: &mut Bencher<'_>, groups: u32, publish: Publish) {
    let (mut plane, mut number) = (plane(groups), 0);
    bencher.iter_custom(|iterations| {
        let mut spent = Duration::ZERO;
        let mut left = iterations;
        while left > 0 {
            number += 1;
            let messages: Vec<_> = (0..groups).map(|group| mtk_message(group, number)).collect();
            let now = Instant::now();
            match publish {
                Publish::EachRound => {
                    let before = Instant::now();
                    for (group, message) in (0..).zip(&messages) {
                        plane.receive(Some(GroupId(group)), message, now).expect("a new MTK");
                    }
                    assert!(plane.publish());
                    spent += before.elapsed();
                    left -= 1;
                }
                Publish::EachMessage => {
                    let count = left.min(messages.len() as u64);
                    let before = Instant::now();
                    for (group, message) in (0..).zip(&messages).take(count as usize) {
                        plane.receive(Some(GroupId(group)), message, now).expect("a new MTK");
                        assert!(plane.publish());
                    }
                    spent += before.elapsed();
                    left -= count;
                }
            }
            if number == u16::MAX {
                (plane, number) = (self::plane(groups), 0);
            }
        }
        spent
    });
}

/// A key plane whose groups have an MSK each and know it.
fn plane(groups: u32) -> KeyPlane {
    let mut plane = KeyPlane::new(PlaneLimits::default());
    plane.insert_muk(muk_id(), muk()).expect("room for one client key");
    for group in 0..groups {
        plane.add_group(GroupId(group), Some(DOMAIN));
        plane.announce(GroupId(group), &msk_message(group), Instant::now()).expect("an MSK");
    }
    plane.publish();
    plane
}

fn msk_message(group: u32) -> Vec<u8> {
    let issue = MskIssue {
        domain: DOMAIN,
        msk_id: msk_id(group),
        msk: &msk(),
        interval: Interval { low: MtkId(1), high: MtkId(0xffff) },
        counter: group + 1,
        csb: CsbId(0),
        muk_id: &muk_id(),
        verify: false,
        profile: Profile::default(),
        sessions: &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }],
        sdp_ids: None,
    };
    seal_msk(&issue, &muk()).expect("an MSK message")
}

fn mtk_message(group: u32, number: u16) -> Vec<u8> {
    let mtk = Mtk { key: SecretBytes::new(&[9; 16]), salt: Some(SecretBytes::new(&[8; 14])) };
    let issue = MtkIssue {
        domain: DOMAIN,
        msk_id: msk_id(group),
        mtk_id: MtkId(number),
        counter: number.into(),
        csb: CsbId(0),
        msk: &msk(),
        mtk: &mtk,
    };
    seal_mtk(&issue).expect("an MTK message")
}

fn msk_id(group: u32) -> MskId {
    // Far fewer groups than 2^16.
    MskId { group: (group & 0xffff) as u16, ..MSK }
}

fn muk_id() -> MukId {
    MukId { idi: "bmsc.example.com".into(), idr: "b-tid@bsf.example.com".into() }
}

fn muk() -> Muk {
    Muk(Secret::new([1; 32]))
}

fn msk() -> Msk {
    Msk { key: SecretBytes::new(&[3; 16]), rand: vec![4; 16] }
}

const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);
const MSK: MskId = MskId { group: 7, number: 1 };
