//! What it costs to keep what was accepted: one commit for a drain of the key queue.
//!
//! `cargo bench --features state --bench state [FILTER]`. The file is in the target folder, so that the figure is
//! that of its disk; `records` is the part without it.

use std::time::{Duration, Instant};

use criterion::{Bencher, Criterion};
use mcast_srtp::{
    ids::{CsbId, KeyDomainId, MskId, MtkId, Roc, Ssrc},
    keys::{
        CryptoSession, Interval, KeyPlane, Msk, Mtk, Muk, MukId, PlaneLimits,
        issue::{MskIssue, MtkIssue, seal_msk, seal_mtk},
    },
    secret::{Secret, SecretBytes},
    srtp::Profile,
    state::{ReceiverState, StateOptions},
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .without_plots()
        .configure_from_args();

    // MTK messages, of as many key groups, that one drain of the queue has accepted.
    for (name, sealed) in [("commit/open", false), ("commit/sealed", true)] {
        let mut group = criterion.benchmark_group(name);
        for key_groups in [1, 256] {
            group.bench_function(key_groups.to_string(), |b| commit(b, key_groups, sealed));
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group("records");
    for key_groups in [1, 256] {
        group.bench_function(key_groups.to_string(), |b| {
            let mut plane = plane(key_groups);
            plane.restore([]).unwrap();
            timed(b, key_groups, &mut plane, |plane| drop(plane.take_changes()));
        });
    }
    group.finish();
    criterion.final_summary();
}

fn commit(b: &mut Bencher<'_>, key_groups: u16, sealed: bool) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = StateOptions::new(folder.path().join("state"));
    let options = if sealed { options.sealed_with(Secret::new([1; 32])) } else { options };
    let mut state = ReceiverState::open(options).unwrap();
    let mut plane = KeyPlane::new(PlaneLimits::default());
    state.restore(&mut plane).unwrap();
    fill(&mut plane, key_groups);
    state.commit(&mut plane).unwrap();
    timed(b, key_groups, &mut plane, |plane| assert!(state.commit(plane).unwrap()));
}

/// Times `keep` after each round of MTK messages, without the messages themselves.
fn timed(
    b: &mut Bencher<'_>,
    key_groups: u16,
    plane: &mut KeyPlane,
    mut keep: impl FnMut(&mut KeyPlane),
) {
    let mut number = 0;
    b.iter_custom(|iterations| {
        let mut time = Duration::ZERO;
        for _ in 0..iterations {
            number += 1;
            for key_group in 0..key_groups {
                plane.receive(None, &mtk_message(key_group, number), Instant::now()).unwrap();
            }
            let start = Instant::now();
            keep(plane);
            time += start.elapsed();
        }
        time
    });
}

fn plane(key_groups: u16) -> KeyPlane {
    let mut plane = KeyPlane::new(PlaneLimits::default());
    fill(&mut plane, key_groups);
    plane
}

fn fill(plane: &mut KeyPlane, key_groups: u16) {
    let id = MukId { idi: "bmsc.example".into(), idr: "c1@bsf.example".into() };
    plane.insert_muk(id.clone(), Muk(Secret::new([2; 32]))).unwrap();
    for key_group in 0..key_groups {
        let issue = MskIssue {
            domain: DOMAIN,
            msk_id: MskId { group: key_group, number: 1 },
            msk: &msk(),
            interval: Interval { low: MtkId(0), high: MtkId(u16::MAX) },
            counter: u32::from(key_group) + 1,
            csb: CsbId(0),
            muk_id: &id,
            verify: false,
            profile: Profile::default(),
            sessions: &[CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }],
            sdp_ids: None,
        };
        let message = seal_msk(&issue, &Muk(Secret::new([2; 32]))).unwrap();
        plane.receive(None, &message, Instant::now()).unwrap();
    }
}

fn msk() -> Msk {
    Msk { key: SecretBytes::new(&[3; 16]), rand: vec![4; 16] }
}

fn mtk_message(key_group: u16, number: u16) -> Vec<u8> {
    let issue = MtkIssue {
        domain: DOMAIN,
        msk_id: MskId { group: key_group, number: 1 },
        mtk_id: MtkId(number),
        counter: number.into(),
        csb: CsbId(0),
        msk: &msk(),
        mtk: &Mtk { key: SecretBytes::new(&[5; 16]), salt: Some(SecretBytes::new(&[6; 14])) },
    };
    seal_mtk(&issue).unwrap()
}

const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);
