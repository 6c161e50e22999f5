//! Key messages and derivations against a second implementation, octet by octet.
//! `tools/vectors/make_mikey.py` made the files.

use mcast_srtp::{
    ids::{CsbId, KeyDomainId, MskId, MtkId, Roc, Ssrc},
    keys::{
        CryptoSession, Interval, KeyLimits, KeyStore, Msk, Mtk, Muk, MukId, Outcome,
        gba::{Bootstrapped, Variant},
        issue::{MskIssue, MtkIssue, open_verification, seal_msk, seal_mtk, seal_solicited_pull},
    },
    secret::{Secret, SecretBytes},
    srtp::Profile,
};
use serde_json::Value;

fn file(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn mikey() -> Value {
    file(include_str!("vectors/mikey-mbms.json"))
}

fn octets(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    octets(value).try_into().unwrap()
}

fn number<T: TryFrom<u64>>(value: &Value) -> T {
    T::try_from(value.as_u64().unwrap()).ok().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// What is the same for the MSK message and the messages under it.
struct Case {
    domain: KeyDomainId,
    msk_id: MskId,
    msk: Msk,
    profile: Profile,
}

impl Case {
    fn of(case: &Value) -> Self {
        let key = SecretBytes::new(&octets(&case["msk"]));
        Self {
            domain: KeyDomainId(array(&case["domain"])),
            msk_id: MskId::from_bytes(array(&case["msk_id"])),
            msk: Msk { key, rand: octets(&case["rand"]) },
            profile: Profile::from_name(case["profile"].as_str().unwrap()).unwrap(),
        }
    }
}

fn sessions(case: &Value) -> Vec<CryptoSession> {
    let record = |r: &Value| CryptoSession {
        policy: number(&r[0]),
        ssrc: Ssrc(number(&r[1])),
        roc: Roc(number(&r[2])),
    };
    case["sessions"].as_array().unwrap().iter().map(record).collect()
}

fn muk_id(case: &Value) -> MukId {
    MukId { idi: text(&case["idi"]), idr: text(&case["idr"]) }
}

fn muk(case: &Value) -> Muk {
    Muk(Secret::new(array(&case["muk"])))
}

fn store_for(case: &Value) -> KeyStore {
    let mut store = KeyStore::new(KeyLimits::default());
    store.insert_muk(muk_id(case), muk(case)).unwrap();
    store
}

fn seal(case: &Value) -> Vec<u8> {
    let Case { domain, msk_id, msk, profile } = Case::of(case);
    let (id, sessions) = (muk_id(case), sessions(case));
    let issue = MskIssue {
        domain,
        msk_id,
        msk: &msk,
        interval: Interval {
            low: MtkId(number(&case["seql"])),
            high: MtkId(number(&case["sequ"])),
        },
        counter: number(&case["counter"]),
        csb: CsbId(number(&case["csb"])),
        muk_id: &id,
        verify: case["verify"].as_bool().unwrap(),
        profile,
        sessions: &sessions,
        sdp_ids: case["sdp_ids"].as_str(),
    };
    seal_msk(&issue, &muk(case)).unwrap()
}

#[test]
fn msk_messages_are_reproduced_octet_by_octet() {
    for case in mikey()["msk"].as_array().unwrap() {
        assert_eq!(hex::encode(seal(case)), text(&case["message"]));
    }
}

#[test]
fn msk_messages_open_and_are_answered_octet_by_octet() {
    for case in mikey()["msk"].as_array().unwrap() {
        let Case { domain, msk_id, msk, profile } = Case::of(case);
        let mut store = store_for(case);
        let Outcome::Msk(accepted) = store.receive(&octets(&case["message"])).unwrap() else {
            panic!("no MSK")
        };
        assert_eq!((accepted.domain, accepted.msk_id, accepted.profile), (domain, msk_id, profile));
        assert_eq!(*accepted.sessions, *sessions(case));
        assert_eq!(accepted.interval.low, MtkId(number(&case["seql"])));
        assert_eq!(accepted.interval.high, MtkId(number(&case["sequ"])));
        assert_eq!(accepted.verification.is_some(), case["verification"].is_string());
        if let Some(answer) = accepted.verification {
            assert_answer(&answer, case, &msk);
        }
    }
}

/// The answer to the MSK message is the second implementation's, and the server takes it.
fn assert_answer(answer: &[u8], case: &Value, msk: &Msk) {
    assert_eq!(hex::encode(answer), text(&case["verification"]));
    let counter = open_verification(answer, &msk.rand, &muk_id(case), &muk(case));
    assert_eq!(counter, Ok(number(&case["counter"])));
}

#[test]
fn revocation_and_solicited_pull_are_reproduced_and_opened() {
    let vectors = mikey();
    let (first, revocation) = (&vectors["msk"][0], &vectors["revocation"]);
    assert_eq!(hex::encode(seal(revocation)), text(&revocation["message"]));
    let mut store = store_for(first);
    store.receive(&octets(&first["message"])).unwrap();
    let outcome = store.receive(&octets(&revocation["message"])).unwrap();
    let Outcome::MskDeleted { msk_id, verification, .. } = outcome else { panic!("not revoked") };
    assert_eq!(msk_id, Case::of(first).msk_id);
    assert_answer(&verification.unwrap(), revocation, &Case::of(first).msk);
    assert_eq!(store.msks().count(), 0);

    let pull = &vectors["pull"];
    let (domain, key_group) = (KeyDomainId(array(&pull["domain"])), number(&pull["key_group"]));
    let (counter, rand) = (number(&pull["counter"]), octets(&pull["rand"]));
    let sealed =
        seal_solicited_pull(domain, key_group, counter, &muk_id(pull), &muk(pull), &rand).unwrap();
    assert_eq!(hex::encode(&sealed), text(&pull["message"]));
    let Outcome::MskRequested { domain: of, key_group: asked } =
        store_for(pull).receive(&sealed).unwrap()
    else {
        panic!("no pull")
    };
    assert_eq!((of, asked), (domain, key_group));
}

#[test]
fn messages_of_stronger_algorithms_open_and_are_answered_in_kind() {
    let (msk_case, mtk_case) = (&mikey()["strong"]["msk"], &mikey()["strong"]["mtk"]);
    let mut store = store_for(msk_case);
    let Outcome::Msk(accepted) = store.receive(&octets(&msk_case["message"])).unwrap() else {
        panic!("no MSK")
    };
    assert_answer(&accepted.verification.unwrap(), msk_case, &Case::of(msk_case).msk);
    let Outcome::Mtk(accepted) = store.receive(&octets(&mtk_case["message"])).unwrap() else {
        panic!("no MTK")
    };
    assert_eq!(accepted.mtk.key.expose(), octets(&mtk_case["mtk"]));
    assert_eq!(accepted.mtk.salt.unwrap().expose(), octets(&mtk_case["salt"]));
}

#[test]
fn mtk_messages_open_under_their_msk_and_are_reproduced() {
    let vectors = mikey();
    let mut count = 0;
    for msk_case in vectors["msk"].as_array().unwrap() {
        let mut store = store_for(msk_case);
        store.receive(&octets(&msk_case["message"])).unwrap();
        let under = |case: &&Value| case["msk_id"] == msk_case["msk_id"];
        for case in vectors["mtk"].as_array().unwrap().iter().filter(under) {
            let Case { domain, msk_id, msk, .. } = Case::of(case);
            let salt = octets(&case["salt"]);
            let salt = (!salt.is_empty()).then(|| SecretBytes::new(&salt));
            let mtk = Mtk { key: SecretBytes::new(&octets(&case["mtk"])), salt };
            let issue = MtkIssue {
                domain,
                msk_id,
                mtk_id: MtkId(number(&case["mtk_id"])),
                counter: number(&case["counter"]),
                csb: CsbId(number(&case["csb"])),
                msk: &msk,
                mtk: &mtk,
            };
            let message = seal_mtk(&issue).unwrap();
            assert_eq!(hex::encode(&message), text(&case["message"]));
            let Outcome::Mtk(accepted) = store.receive(&message).unwrap() else { panic!("no MTK") };
            assert_eq!(accepted.mtk_id, issue.mtk_id);
            assert!(accepted.mtk.key.same_as(&mtk.key));
            let exposed = |mtk: &Mtk| mtk.salt.as_ref().map(|salt| salt.expose().to_vec());
            assert_eq!(exposed(&accepted.mtk), exposed(&mtk));
            count += 1;
        }
    }
    assert_eq!(count, 16);
}

#[test]
fn muk_and_mrk_follow_from_bootstrapping() {
    let file = file(include_str!("vectors/gba.json"));
    for case in file["cases"].as_array().unwrap() {
        let (ck, ik) = (Secret::new(array(&case["ck"])), Secret::new(array(&case["ik"])));
        let keys = Bootstrapped {
            ck: &ck,
            ik: &ik,
            rand: array(&case["rand"]),
            impi: case["impi"].as_str().unwrap(),
            naf: case["naf"].as_str().unwrap(),
        }
        .user_keys(if case["variant"] == "u" { Variant::U } else { Variant::Me });
        assert_eq!(hex::encode(keys.muk.0.expose()), text(&case["muk"]));
        assert_eq!(hex::encode(keys.mrk.expose()), text(&case["mrk"]));
    }
}
