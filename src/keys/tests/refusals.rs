//! Messages that lack something, or say what cannot be, on both sides.

use super::*;
use crate::{
    keys::protection::{Algorithms, MessageKeys},
    wire::mikey::{
        CsIdMapFields, Encoder, EncrAlg, ExtType, HeaderFields, IdType, KeyData, KeyType, MacAlg,
        SrtpIdRecord, Timestamp, Validity,
    },
};

/// A message of these payloads that ends with an empty KEMAC of the wrong MAC.
fn unauthentic(build: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut encoder = Encoder::new(&HeaderFields::default());
    build(&mut encoder);
    encoder.kemac(EncrAlg::AES_CM_128, &[], MacAlg::HMAC_SHA_1_160);
    let mut message = encoder.finish().unwrap();
    message.extend([0; 20]);
    message
}

/// What an MSK message starts with.
fn msk_start(encoder: &mut Encoder) -> &mut Encoder {
    encoder.key_ids(DOMAIN, ID, None).timestamp(Timestamp::Counter(9))
}

fn identities(encoder: &mut Encoder) -> &mut Encoder {
    encoder.id(IdType::URI, b"bmsc.example.com").id(IdType::NAI, b"b-tid@bsf.example.com")
}

#[test]
fn an_msk_message_needs_both_identities_a_rand_and_a_counter() {
    let mut store = store_with_msk();
    let mut verdict = |build: &dyn Fn(&mut Encoder)| refused(&mut store, &unauthentic(build));
    let complete = verdict(&|e| _ = identities(msk_start(e).rand(&[3; 16])));
    assert_eq!(complete, Reject::KeyAuthFailed);

    assert_eq!(verdict(&|e| _ = msk_start(e).rand(&[3; 16])), Reject::UnknownMuk);
    let one =
        verdict(&|e| _ = msk_start(e).rand(&[3; 16]).id(IdType::NAI, b"b-tid@bsf.example.com"));
    assert_eq!(one, Reject::UnknownMuk);
    assert_eq!(verdict(&|e| _ = identities(msk_start(e))), Reject::MikeyMalformed);
    let short_rand = verdict(&|e| _ = identities(msk_start(e).rand(&[3; 15])));
    assert_eq!(short_rand, Reject::MikeyMalformed);
    let no_counter = verdict(&|e| _ = identities(e.key_ids(DOMAIN, ID, None).rand(&[3; 16])));
    assert_eq!(no_counter, Reject::MikeyMalformed);
}

#[test]
fn an_mtk_message_has_a_counter_and_no_rand() {
    let mut store = store_with_msk();
    let mut verdict = |build: &dyn Fn(&mut Encoder)| {
        refused(&mut store, &unauthentic(|e| build(e.key_ids(DOMAIN, ID, Some(MtkId(2))))))
    };
    let counter = Timestamp::Counter(9);
    assert_eq!(verdict(&|e| _ = e.timestamp(counter)), Reject::KeyAuthFailed);
    assert_eq!(verdict(&|e| _ = e.timestamp(counter).rand(&[3; 16])), Reject::MikeyMalformed);
    assert_eq!(verdict(&|e| _ = e.timestamp(Timestamp::NtpUtc32(9))), Reject::MikeyMalformed);
    assert_eq!(verdict(&|_| ()), Reject::MikeyMalformed);
}

#[test]
fn key_ids_without_domain_or_msk_are_not_of_mbms() {
    let mut store = store_with_msk();
    for ids in [&[][..], &[0, 3, 0, 0xf1, 0x10], &[1, 4, 0, 7, 0, 1], &[2, 2, 0, 2]] {
        let message =
            unauthentic(|e| _ = e.extension(ExtType::KEY_ID, ids).timestamp(Timestamp::Counter(9)));
        assert_eq!(refused(&mut store, &message), Reject::MikeyNotMbms, "{ids:?}");
    }
}

/// An authentic MSK message with the V flag, the policy of this number, and this map.
pub(super) fn authentic(map: CsIdMapFields<'_>, counter: u32, policy: Option<u8>) -> Vec<u8> {
    let mut encoder = Encoder::new(&HeaderFields { verify: true, map, ..HeaderFields::default() });
    encoder.key_ids(DOMAIN, ID, None).timestamp(Timestamp::Counter(counter)).rand(&[3; 16]);
    identities(&mut encoder);
    if let Some(number) = policy {
        encoder.srtp_policy(number, &[]);
    }
    let validity = Validity::Interval { from: &[1], to: &[9] };
    let key = KeyData { key_type: KeyType::TGK, key: &[3; 16], salt: None, validity };
    let keys = MessageKeys::derive(&[1; 32], &[3; 16], CsbId(0), Algorithms::MBMS).unwrap();
    let mut key_data = key.encode().unwrap();
    keys.crypt(Timestamp::Counter(counter), &mut key_data);
    encoder.kemac(EncrAlg::AES_CM_128, &key_data, MacAlg::HMAC_SHA_1_160);
    let mut message = encoder.finish().unwrap();
    let mac = keys.mac(&[&message]);
    message.extend(mac);
    message
}

#[test]
fn an_msk_for_download_or_of_a_policy_not_given_is_refused_unconfirmed() {
    let records = [SrtpIdRecord { policy: 4, ssrc: Ssrc(0), roc: Roc(0) }];
    let streaming = CsIdMapFields::SrtpId(&records);
    let mut store = store();
    for (message, reject) in [
        (authentic(CsIdMapFields::Empty, 1, None), Reject::MikeyUnsupported),
        (authentic(streaming, 2, Some(3)), Reject::MikeyMalformed),
    ] {
        assert_eq!(store.receive(&message).unwrap_err(), reject);
        assert_eq!(store.msks().count(), 0);
    }
    // They were the server's, so their counters count.
    assert_eq!(store.muk_counters().next().unwrap().1, Some(2));
    // With its policy the same is accepted; and without any, when all defaults hold.
    for (counter, policy) in [(3, Some(4)), (4, None)] {
        store.receive(&authentic(streaming, counter, policy)).unwrap();
    }
}

#[test]
fn what_no_client_would_accept_is_not_sealed() {
    let (id, nobody) = (muk_id(), MukId { idr: String::new(), ..muk_id() });
    let of =
        |key: usize, rand: usize| Msk { key: SecretBytes::new(&vec![3; key]), rand: vec![3; rand] };
    let (good, others) = (msk(3), [of(0, 16), of(15, 16), of(33, 16), of(16, 15), of(16, 256)]);
    let mut issues: Vec<_> = others.iter().map(|msk| issue(&id, msk)).collect();
    issues.push(MskIssue { msk_id: MskId { number: 0, ..ID }, ..issue(&id, &good) });
    issues.push(MskIssue { profile: Profile::default().with_mki_len(0), ..issue(&id, &good) });
    let stray = [CryptoSession { policy: 1, ..ANY_STREAM[0] }];
    issues.push(MskIssue { sessions: &stray, ..issue(&id, &good) });
    let many = [ANY_STREAM[0]; 256];
    issues.push(MskIssue { sessions: &many, ..issue(&id, &good) });
    issues.push(issue(&nobody, &good));
    for issue in issues {
        seal_msk(&issue, &muk(1)).unwrap_err();
    }
    seal_msk(&issue(&id, &good), &muk(1)).unwrap();

    seal_solicited_pull(DOMAIN, 7, 1, &id, &muk(1), &[5; 15]).unwrap_err();
    seal_solicited_pull(DOMAIN, 7, 1, &nobody, &muk(1), &[5; 16]).unwrap_err();

    let mtk = |key: &[u8], salt: Option<&[u8]>| Mtk {
        key: SecretBytes::new(key),
        salt: salt.map(SecretBytes::new),
    };
    let seal = |msk_id, msk: &Msk, mtk: &Mtk| {
        let (mtk_id, csb) = (MtkId(1), CsbId(0));
        seal_mtk(&MtkIssue { domain: DOMAIN, msk_id, mtk_id, counter: 1, csb, msk, mtk })
    };
    let usual = mtk(&[9; 16], Some(&[8; 14]));
    seal(ID, &good, &usual).unwrap();
    seal(MskId { number: 0, ..ID }, &good, &usual).unwrap_err();
    others.iter().for_each(|msk| _ = seal(ID, msk, &usual).unwrap_err());
    seal(ID, &good, &mtk(&[], None)).unwrap_err();
    seal(ID, &good, &mtk(&[9; 16], Some(&[]))).unwrap_err();
}
