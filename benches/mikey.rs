//! Key messages: what a receiver pays for each, and what the issuing side pays.
//!
//! `cargo bench --bench mikey [FILTER]`. An iteration is one message. Those that have to be new each
//! time are made before the clock runs, for a store that holds what they need.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Bencher, Criterion};
use mcast_srtp::{
    Reject,
    ids::{CsbId, KeyDomainId, MskId, MtkId, Roc, Ssrc},
    keys::{
        CryptoSession, Interval, KeyLimits, KeyStore, Msk, Mtk, Muk, MukId, Outcome,
        issue::{MskIssue, MtkIssue, open_verification, seal_msk, seal_mtk},
    },
    secret::{Secret, SecretBytes},
    srtp::Profile,
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .without_plots()
        .configure_from_args();
    let issuer = Issuer::new();

    let mut open = criterion.benchmark_group("open");
    open.bench_function("msk", |b| receive(b, |n| issuer.msk_message(n, false), &issuer, is_ok));
    open.bench_function("msk-and-verification", |b| {
        receive(b, |n| issuer.msk_message(n, true), &issuer, is_ok);
    });
    open.bench_function("mtk", |b| receive(b, |n| issuer.mtk_message(n), &issuer, is_ok));
    // What a group address carries most of the time, and what anybody can send to it: until a first
    // message is accepted, a forged one costs the derivation of the message keys each time.
    let repeat = issuer.mtk_message(1);
    open.bench_function("mtk-repeated", |b| {
        receive(
            b,
            |_| repeat.clone(),
            &issuer,
            |outcome| matches!(outcome, Ok(_) | Err(Reject::KeyRepeated)),
        );
    });
    open.bench_function("mtk-forged", |b| {
        receive(
            b,
            |n| forged(issuer.mtk_message(n)),
            &issuer,
            |outcome| matches!(outcome, Err(Reject::KeyAuthFailed)),
        );
    });
    open.finish();

    let mut seal = criterion.benchmark_group("seal");
    seal.bench_function("msk", |b| b.iter(|| issuer.msk_message(black_box(7), false)));
    seal.bench_function("mtk", |b| b.iter(|| issuer.mtk_message(black_box(7))));
    seal.bench_function("verification-check", |b| issuer.check_verification(b));
    seal.finish();
    criterion.final_summary();
}

/// Times a store that receives messages 1, 2, 3 and so on, a thousand to a store.
fn receive(
    bencher: &mut Bencher<'_>,
    message: impl Fn(u16) -> Vec<u8>,
    issuer: &Issuer,
    expected: impl Fn(&Result<Outcome, Reject>) -> bool,
) {
    const MESSAGES: u16 = 1000;
    let messages: Vec<_> = (1..=MESSAGES).map(message).collect();
    bencher.iter_custom(|iterations| {
        let (mut left, mut spent) = (iterations, Duration::ZERO);
        while left > 0 {
            let mut store = issuer.store();
            let count = left.min(MESSAGES.into());
            let before = Instant::now();
            for message in messages.iter().take(count as usize) {
                assert!(expected(&store.receive(black_box(message))));
            }
            spent += before.elapsed();
            left -= count;
        }
        spent
    });
}

/// The issuing side of one group of users.
struct Issuer {
    muk_id: MukId,
    muk: Muk,
    msk: Msk,
    mtk: Mtk,
}

impl Issuer {
    fn new() -> Self {
        Self {
            muk_id: MukId { idi: "bmsc.example.com".into(), idr: "b-tid@bsf.example.com".into() },
            muk: Muk(Secret::new([1; 32])),
            msk: Msk { key: SecretBytes::new(&[3; 16]), rand: vec![4; 16] },
            mtk: Mtk { key: SecretBytes::new(&[9; 16]), salt: Some(SecretBytes::new(&[8; 14])) },
        }
    }

    /// A receiver that holds the MUK and the MSK.
    fn store(&self) -> KeyStore {
        let mut store = KeyStore::new(KeyLimits::default());
        let (id, muk) = (self.muk_id.clone(), Muk(Secret::new([1; 32])));
        store.insert_muk(id, muk).expect("room for one client key");
        store.receive(&self.msk_message(0, false)).expect("an MSK");
        store
    }

    /// The same MSK again under the next counter.
    fn msk_message(&self, number: u16, verify: bool) -> Vec<u8> {
        let sessions = [CryptoSession { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }];
        let issue = MskIssue {
            domain: DOMAIN,
            msk_id: MSK,
            msk: &self.msk,
            interval: Interval { low: MtkId(1), high: MtkId(0xffff) },
            counter: u32::from(number) + 1,
            csb: CsbId(0),
            muk_id: &self.muk_id,
            verify,
            profile: Profile::default(),
            sessions: &sessions,
            sdp_ids: None,
        };
        seal_msk(&issue, &self.muk).expect("an MSK message")
    }

    fn mtk_message(&self, number: u16) -> Vec<u8> {
        let issue = MtkIssue {
            domain: DOMAIN,
            msk_id: MSK,
            mtk_id: MtkId(number),
            counter: number.into(),
            csb: CsbId(0),
            msk: &self.msk,
            mtk: &self.mtk,
        };
        seal_mtk(&issue).expect("an MTK message")
    }

    fn check_verification(&self, bencher: &mut Bencher<'_>) {
        let mut store = self.store();
        let Ok(Outcome::Msk(accepted)) = store.receive(&self.msk_message(1, true)) else {
            panic!("the MSK message was not accepted");
        };
        let message = accepted.verification.expect("a verification message");
        bencher.iter(|| {
            open_verification(black_box(&message), &self.msk.rand, &self.muk_id, &self.muk)
                .expect("a verification message that matches")
        });
    }
}

fn forged(mut message: Vec<u8>) -> Vec<u8> {
    if let Some(last) = message.last_mut() {
        *last ^= 1;
    }
    message
}

const fn is_ok(outcome: &Result<Outcome, Reject>) -> bool {
    outcome.is_ok()
}

const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);
const MSK: MskId = MskId { group: 7, number: 1 };
