//! What a MIKEY message may look like and what it may not, and that what is written is read back.

use mcast_srtp::{
    Reject,
    ids::{CsbId, KeyDomainId, MskId, MtkId, Roc, Ssrc},
    wire::mikey::{
        BcastSubtype, CertType, CsIdMap, CsIdMapFields, DataType, Encoder, EncrAlg, ErrorNo,
        ExtType, Extension, HeaderFields, IdType, MacAlg, MapType, Message, Payload, PayloadType,
        PrfFunc, SrtpIdRecord, SrtpParam, Timestamp,
    },
};
use proptest::prelude::*;

const DOMAIN: KeyDomainId = KeyDomainId([0x00, 0xf1, 0x10]);
const MSK: MskId = MskId { group: 7, number: 2 };
const STREAMING: HeaderFields<'_> = HeaderFields {
    data_type: DataType::PRE_SHARED,
    verify: false,
    prf: PrfFunc::MIKEY_1,
    csb: CsbId(0),
    map: CsIdMapFields::SrtpId(&[]),
};

fn message(header: &HeaderFields<'_>, build: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut encoder = Encoder::new(header);
    build(&mut encoder);
    encoder.finish().unwrap()
}

/// The verdict on a message of these payloads, with the SRTP-ID map.
fn verdict(build: impl FnOnce(&mut Encoder)) -> Result<(), Reject> {
    Message::parse(&message(&STREAMING, build)).map(|_| ())
}

/// An MSK message with every payload that MBMS and BCAST know.
fn full_message() -> Vec<u8> {
    let records = [SrtpIdRecord { policy: 3, ssrc: Ssrc(0xcafe_babe), roc: Roc(5) }];
    let map = CsIdMapFields::SrtpId(&records);
    let header = HeaderFields { verify: true, csb: CsbId(0xdead_beef), map, ..STREAMING };
    let mut octets = message(&header, |e| {
        e.key_ids(DOMAIN, MSK, None)
            .sdp_ids("mikey")
            .bcast(BcastSubtype::LTKM, &[1, 2, 3])
            .extension(ExtType::VENDOR_ID, b"vendor")
            .timestamp(Timestamp::Counter(77))
            .rand(&[9; 16])
            .id(IdType::URI, b"bmsc.example.com")
            .id(IdType::NAI, b"tid@bsf.example.com")
            .cert(CertType::X509_URL, b"https://example.com")
            .srtp_policy(3, &[(SrtpParam::TAG_LEN, &[4]), (SrtpParam::ROC_RATE, &[1, 0])])
            .kemac(EncrAlg::AES_CM_128, &[0xee; 24], MacAlg::HMAC_SHA_1_160);
    });
    octets.extend([0xdd; 20]);
    octets
}

#[test]
fn every_field_of_a_full_message_is_read_back() {
    let octets = full_message();
    let view = Message::parse(&octets).unwrap();
    let header = view.header();
    assert_eq!((header.data_type, header.verify), (DataType::PRE_SHARED, true));
    assert_eq!((header.prf, header.csb), (PrfFunc::MIKEY_1, CsbId(0xdead_beef)));
    let CsIdMap::SrtpId(map) = header.map else { panic!("{:?}", header.map) };
    let record = SrtpIdRecord { policy: 3, ssrc: Ssrc(0xcafe_babe), roc: Roc(5) };
    assert_eq!(map.iter().collect::<Vec<_>>(), [record]);

    let ids = view.key_ids().unwrap();
    assert_eq!((ids.domain, ids.msk, ids.mtk), (Some(DOMAIN), Some(MSK), None));
    assert_eq!(view.sdp_ids(), Some(&b"mikey"[..]));
    let bcast = view.bcast().unwrap();
    assert_eq!((bcast.subtype, bcast.data), (BcastSubtype::LTKM, &[1, 2, 3][..]));
    assert_eq!(view.timestamp(), Some(Timestamp::Counter(77)));
    assert_eq!(view.rand(), Some(&[9; 16][..]));
    assert_eq!(view.first_id().unwrap().data, b"bmsc.example.com");
    assert_eq!(view.second_id().unwrap().id_type, IdType::NAI);
    let policy = view.policies().next().unwrap();
    assert_eq!((policy.number, policy.param(SrtpParam::ROC_RATE)), (3, Some(256)));
    let kemac = view.kemac().unwrap();
    assert_eq!((kemac.encr_data, kemac.mac), (&[0xee; 24][..], &[0xdd; 20][..]));
    assert_eq!(view.without_mac(), &octets[..octets.len() - 20]);
    let kinds: Vec<_> = view.payloads().map(|payload| payload.payload_type().0).collect();
    assert_eq!(kinds, [21, 21, 21, 21, 5, 11, 6, 6, 7, 10, 1]);
}

#[test]
fn error_message_is_read_back() {
    let header = HeaderFields { data_type: DataType::ERROR, ..STREAMING };
    let octets = message(&header, |e| {
        e.timestamp(Timestamp::NtpUtc(1 << 63)).error(ErrorNo::TIMESTAMP).error(ErrorNo::PRF);
    });
    let payloads: Vec<_> = Message::parse(&octets).unwrap().payloads().skip(1).collect();
    assert!(matches!(
        payloads[..],
        [Payload::Error(ErrorNo::TIMESTAMP), Payload::Error(ErrorNo::PRF)]
    ));
}

#[test]
fn message_cut_anywhere_or_lengthened_is_malformed() {
    let octets = full_message();
    for len in 0..octets.len() {
        assert_eq!(Message::parse(&octets[..len]).unwrap_err(), Reject::MikeyMalformed, "{len}");
    }
    let longer = [&octets[..], &[0]].concat();
    assert_eq!(Message::parse(&longer).unwrap_err(), Reject::MikeyMalformed);
}

#[test]
fn payloads_that_may_occur_once_are_refused_twice() {
    let twice: [fn(&mut Encoder); 8] = [
        |e| _ = e.timestamp(Timestamp::Counter(1)).timestamp(Timestamp::Counter(1)),
        |e| _ = e.rand(&[1; 16]).rand(&[1; 16]),
        |e| _ = e.id(IdType::URI, b"a").id(IdType::NAI, b"b").id(IdType::NAI, b"c"),
        |e| _ = e.key_ids(DOMAIN, MSK, None).key_ids(DOMAIN, MSK, None),
        |e| _ = e.sdp_ids("mikey").sdp_ids("mikey"),
        |e| _ = e.bcast(BcastSubtype::LTKM, &[]).bcast(BcastSubtype::STKM, &[]),
        |e| _ = e.extension(ExtType::KEY_ID, &[2, 2, 0, 1, 2, 2, 0, 1]),
        |e| _ = e.srtp_policy(7, &[]).srtp_policy(7, &[]),
    ];
    for (case, build) in twice.into_iter().enumerate() {
        assert_eq!(verdict(build), Err(Reject::MikeyMalformed), "case {case}");
    }
    // Policies of different numbers, extensions nobody looks into, and certificates may repeat.
    assert_eq!(verdict(|e| _ = e.srtp_policy(0, &[]).srtp_policy(255, &[])), Ok(()));
    let vendors = |e: &mut Encoder| {
        e.extension(ExtType::VENDOR_ID, b"a").extension(ExtType::VENDOR_ID, b"b");
    };
    assert_eq!(verdict(vendors), Ok(()));
    assert_eq!(verdict(|e| _ = e.cert(CertType::X509, b"a").cert(CertType::X509, b"b")), Ok(()));
}

#[test]
fn extensions_may_stand_anywhere_and_in_any_order() {
    let order: [fn(&mut Encoder); 3] = [
        |e| _ = e.key_ids(DOMAIN, MSK, None).bcast(BcastSubtype::STKM, &[1]).rand(&[1; 16]),
        |e| _ = e.bcast(BcastSubtype::STKM, &[1]).key_ids(DOMAIN, MSK, None).rand(&[1; 16]),
        |e| _ = e.rand(&[1; 16]).bcast(BcastSubtype::STKM, &[1]).key_ids(DOMAIN, MSK, None),
    ];
    for build in order {
        let octets = message(&STREAMING, build);
        let view = Message::parse(&octets).unwrap();
        assert_eq!(view.key_ids().unwrap().msk, Some(MSK));
        assert_eq!(view.bcast().unwrap().data, [1]);
    }
}

#[test]
fn kemac_and_v_are_the_last_payloads() {
    // The MAC of no octets lets the encoder go on behind it.
    let kemac_first = |data_type| {
        let octets = message(&HeaderFields { data_type, ..STREAMING }, |e| {
            e.kemac(EncrAlg::NULL, &[], MacAlg::NULL).timestamp(Timestamp::Counter(1));
        });
        Message::parse(&octets).map(|_| ())
    };
    assert_eq!(kemac_first(DataType::PRE_SHARED), Err(Reject::MikeyMalformed));
    // In the public-key mode the envelope and the signature follow.
    assert_eq!(kemac_first(DataType::PUBLIC_KEY), Ok(()));
    let v_first = |e: &mut Encoder| {
        e.verification(MacAlg::NULL).timestamp(Timestamp::Counter(1));
    };
    assert_eq!(verdict(v_first), Err(Reject::MikeyMalformed));
}

#[test]
fn empty_map_has_no_info_whatever_the_count_says_and_no_policy() {
    let empty = |session_count| {
        let map_type = MapType::EMPTY;
        let map = CsIdMapFields::Echo { session_count, map_type, info: &[] };
        HeaderFields { map, ..STREAMING }
    };
    let octets = message(&empty(9), |e| _ = e.timestamp(Timestamp::Counter(1)));
    let view = Message::parse(&octets).unwrap();
    assert_eq!((view.header().session_count, view.timestamp()), (9, Some(Timestamp::Counter(1))));
    let octets = message(&empty(0), |e| _ = e.srtp_policy(0, &[]));
    assert_eq!(Message::parse(&octets).unwrap_err(), Reject::MikeyMalformed);
}

#[test]
fn generic_map_is_read_and_a_map_of_unknown_type_is_unsupported() {
    let with_map = |map_type, info: &[u8]| {
        let map = CsIdMapFields::Echo { session_count: 2, map_type, info };
        message(&HeaderFields { map, ..STREAMING }, |e| _ = e.rand(&[1; 16]))
    };
    let info = [
        1, 0, 0x81, 5, 0, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 3, 6, 1, 2, 3, 4, 5,
        6, // with ROC and SEQ
        2, 0, 0x02, 5, 6, 0, 4, 0, 0, 0, 9, 0, // two policies, no SPI
    ];
    let octets = with_map(MapType::GENERIC_ID, &info);
    let view = Message::parse(&octets).unwrap();
    let CsIdMap::GenericId(map) = view.header().map else { panic!("{:?}", view.header().map) };
    let records: Vec<_> = map.iter().collect();
    assert_eq!((records[0].cs_id, records[0].has_state), (1, true));
    assert_eq!((records[0].policies, records[0].spi), (&[5][..], &[1, 2, 3, 4, 5, 6][..]));
    assert_eq!((records[1].policies, records[1].session_data), (&[5, 6][..], &[0, 0, 0, 9][..]));
    assert_eq!(view.rand(), Some(&[1; 16][..]));
    for len in 0..octets.len() {
        assert_eq!(Message::parse(&octets[..len]).unwrap_err(), Reject::MikeyMalformed, "{len}");
    }
    let unknown = with_map(MapType(3), &[]);
    assert_eq!(Message::parse(&unknown).unwrap_err(), Reject::MikeyUnsupported);
}

#[test]
fn code_points_whose_layout_nobody_knows_end_the_decoding() {
    let mut octets = message(&STREAMING, |e| _ = e.rand(&[1; 16]));
    for kind in (13..=u8::MAX).map(PayloadType).filter(|kind| *kind != PayloadType::EXT) {
        octets[2] = kind.0;
        assert_eq!(Message::parse(&octets).unwrap_err(), Reject::MikeyUnsupported, "{kind}");
    }
    octets[2] = PayloadType::LAST.0;
    assert_eq!(Message::parse(&octets).unwrap_err(), Reject::MikeyMalformed);
    octets[0] = 2;
    assert_eq!(Message::parse(&octets).unwrap_err(), Reject::MikeyUnsupported);
}

#[test]
fn values_too_long_for_their_length_field_are_not_written() {
    let too_long: [fn(&mut Encoder); 6] = [
        |e| _ = e.rand(&[0; 256]),
        |e| _ = e.id(IdType::URI, &[0; 0x1_0000]),
        |e| _ = e.cert(CertType::X509, &[0; 0x1_0000]),
        |e| _ = e.extension(ExtType::VENDOR_ID, &[0; 0x1_0000]),
        |e| _ = e.srtp_policy(0, &[(SrtpParam::KDR, &[0; 256])]),
        |e| _ = e.kemac(EncrAlg::AES_CM_128, &[0; 0x1_0000], MacAlg::HMAC_SHA_1_160),
    ];
    for build in too_long {
        let mut encoder = Encoder::new(&STREAMING);
        build(&mut encoder);
        assert!(encoder.finish().unwrap_err().to_string().contains("at most"));
    }
    let map = CsIdMapFields::SrtpId(&[SrtpIdRecord { policy: 0, ssrc: Ssrc(0), roc: Roc(0) }; 256]);
    assert!(Encoder::new(&HeaderFields { map, ..STREAMING }).finish().is_err());
}

proptest! {
    /// Whatever the octets, decoding ends, and what it accepts can be walked through.
    #[test]
    fn damaged_messages_never_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut octets = full_message();
        for (at, value) in damage {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        if cuts {
            octets.truncate(cut.index(octets.len()));
        }
        if let Ok(view) = Message::parse(&octets) {
            let walked = view.payloads().count();
            prop_assert!(walked <= octets.len());
            prop_assert!(view.without_mac().len() <= octets.len());
            for payload in view.payloads() {
                let text = format!("{payload:?}");
                prop_assert!(!text.is_empty());
                if let Payload::Extension(Extension::KeyIds(ids)) = payload {
                    prop_assert!(ids.iter().count() <= 128);
                }
            }
        }
    }

    /// What an encoder was told comes out of the view.
    #[test]
    fn what_is_written_is_read_back(
        verify: bool,
        prf in 0_u8..128,
        csb: u32,
        records in prop::collection::vec((any::<u8>(), any::<u32>(), any::<u32>()), 0..5),
        counter: u32,
        mtk: Option<u16>,
        rand in prop::collection::vec(any::<u8>(), 0..256),
        ids in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..3),
        encr_data in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let record = |(policy, ssrc, roc)| SrtpIdRecord { policy, ssrc: Ssrc(ssrc), roc: Roc(roc) };
        let records: Vec<_> = records.into_iter().map(record).collect();
        let map = CsIdMapFields::SrtpId(&records);
        let (prf, csb, mtk) = (PrfFunc(prf), CsbId(csb), mtk.map(MtkId));
        let header = HeaderFields { verify, prf, csb, map, ..STREAMING };
        let octets = message(&header, |e| {
            e.key_ids(DOMAIN, MSK, mtk).timestamp(Timestamp::Counter(counter)).rand(&rand);
            ids.iter().for_each(|id| _ = e.id(IdType::BYTES, id));
            e.kemac(EncrAlg::AES_CM_256, &encr_data, MacAlg::NULL);
        });
        let view = Message::parse(&octets).unwrap();
        let read = view.header();
        prop_assert_eq!((read.verify, read.prf, read.csb), (verify, prf, csb));
        let CsIdMap::SrtpId(map) = read.map else { panic!("{:?}", read.map) };
        prop_assert_eq!(map.iter().collect::<Vec<_>>(), records);
        prop_assert_eq!(view.key_ids().unwrap().mtk, mtk);
        prop_assert_eq!(view.timestamp(), Some(Timestamp::Counter(counter)));
        prop_assert_eq!(view.rand().unwrap(), rand);
        prop_assert_eq!(view.first_id().map(|id| id.data), ids.first().map(|id| &id[..]));
        prop_assert_eq!(view.second_id().map(|id| id.data), ids.get(1).map(|id| &id[..]));
        prop_assert_eq!(view.kemac().unwrap().encr_data, encr_data);
    }
}
