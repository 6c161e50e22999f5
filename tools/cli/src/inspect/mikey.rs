//! Dissection of MIKEY messages: every payload, every field, nothing decrypted.

use mcast_srtp::wire::{
    Text,
    mikey::{
        CsIdMap, DataType, Extension, Header, Identity, KeyIds, Message, Payload, PolicyParam,
        ProtType, SecurityPolicy, SrtpAuth, SrtpEncr, SrtpParam, Timestamp, VERSION, Validity,
    },
};

use crate::field::Field;

/// What a message is for, from what stands in the open (TS 33.246 §6.5.2).
pub(super) fn kind(message: &Message<'_>) -> &'static str {
    match (message.header().data_type, message.key_ids()) {
        (DataType::PRE_SHARED, Some(KeyIds { mtk: Some(_), .. })) => "mtk_message",
        (DataType::PRE_SHARED, Some(KeyIds { msk: Some(msk), .. })) if msk.number == 0 => {
            "solicited_pull"
        }
        (DataType::PRE_SHARED, Some(KeyIds { msk: Some(_), .. })) => "msk_message",
        (DataType::PRE_SHARED_VERIFICATION, _) => "verification_message",
        (DataType::ERROR, _) => "error_message",
        _ => "other_message",
    }
}

/// Header and payloads.
pub(super) fn fields(message: &Message<'_>) -> Vec<Field> {
    let mut fields = vec![header(message.header())];
    let mut ids = 0;
    fields.extend(message.payloads().map(|payload| {
        ids += usize::from(matches!(payload, Payload::Id(_)));
        one(&payload, id_name(message, ids))
    }));
    fields
}

/// An ID payload has no marker: the first of two is the initiator's, one alone the responder's.
fn id_name(message: &Message<'_>, place: usize) -> &'static str {
    if place == 1 && message.second_id().is_some() { "IDi" } else { "IDr" }
}

fn header(header: &Header<'_>) -> Field {
    let mut fields = vec![
        Field::number("version", VERSION),
        Field::code("data type", header.data_type.0, header.data_type.name()),
        Field::flag("verification wanted", header.verify),
        Field::code("prf", header.prf.0, header.prf.name()),
        Field::text("csb id", format_args!("{:08x}", header.csb.0)),
        Field::number("crypto sessions", header.session_count),
    ];
    let map_type = header.map.map_type();
    let map = Field::code("map", map_type.0, map_type.name());
    fields.push(match &header.map {
        CsIdMap::SrtpId(records) => map.with(
            (1u8..)
                .zip(records.iter())
                .map(|(n, record)| {
                    Field::number("session", n).with(vec![
                        Field::number("policy", record.policy),
                        Field::text("ssrc", record.ssrc),
                        Field::number("roc", record.roc.0),
                    ])
                })
                .collect(),
        ),
        CsIdMap::GenericId(records) => map.with(
            records
                .iter()
                .map(|record| {
                    Field::number("session", record.cs_id).with(vec![
                        Field::code("protocol", record.prot_type.0, record.prot_type.name()),
                        Field::flag("with state", record.has_state),
                        Field::octets("policies", record.policies),
                        Field::octets("session data", record.session_data),
                        Field::octets("spi", record.spi),
                    ])
                })
                .collect(),
        ),
        _ => map,
    });
    Field::group("HDR", fields)
}

fn one(payload: &Payload<'_>, id_name: &'static str) -> Field {
    match payload {
        Payload::Timestamp(timestamp) => time(*timestamp),
        Payload::Rand(rand) => Field::octets("RAND", rand),
        Payload::Id(id) => identity(id_name, id),
        Payload::Policy(policy) => security_policy(policy),
        Payload::Extension(extension) => general_extension(extension),
        Payload::Kemac(kemac) => Field::group(
            "KEMAC",
            vec![
                Field::code("encryption", kemac.encr_alg.0, kemac.encr_alg.name()),
                Field::octets("encrypted key data", kemac.encr_data),
                Field::code("mac algorithm", kemac.mac_alg.0, kemac.mac_alg.name()),
                Field::octets("mac", kemac.mac),
            ],
        ),
        Payload::Verification(verification) => Field::group(
            "V",
            vec![
                Field::code("algorithm", verification.auth_alg.0, verification.auth_alg.name()),
                Field::octets("mac", verification.mac),
            ],
        ),
        Payload::Error(error) => Field::code("ERR", error.0, error.name()),
        Payload::Cert(cert) => Field::code("CERT", cert.cert_type.0, cert.cert_type.name())
            .with(vec![Field::octets("data", cert.data)]),
        Payload::Chash(chash) => Field::code("CHASH", chash.hash_func.0, chash.hash_func.name())
            .with(vec![Field::octets("hash", chash.hash)]),
        Payload::Pke(pke) => Field::group(
            "PKE",
            vec![Field::number("cache", pke.cache), Field::octets("data", pke.data)],
        ),
        Payload::Dh(dh) => Field::code("DH", dh.group.0, dh.group.name())
            .with(vec![Field::octets("value", dh.value), validity(&dh.validity)]),
        Payload::Sign(sign) => Field::code("SIGN", sign.sign_type.0, sign.sign_type.name())
            .with(vec![Field::octets("signature", sign.signature)]),
        other => Field::number("payload", other.payload_type().0).meaning(other.payload_type()),
    }
}

fn time(timestamp: Timestamp) -> Field {
    let ts_type = timestamp.ts_type();
    let value = match timestamp {
        Timestamp::NtpUtc(value) | Timestamp::Ntp(value) => value,
        Timestamp::Counter(value) | Timestamp::NtpUtc32(value) => value.into(),
    };
    Field::number("T", value).meaning(ts_type.name().unwrap_or("unassigned"))
}

fn identity(name: &'static str, id: &Identity<'_>) -> Field {
    Field::text(name, Text::new(id.data)).meaning(id.id_type.name().unwrap_or("unassigned"))
}

fn general_extension(extension: &Extension<'_>) -> Field {
    let ext_type = extension.ext_type();
    let fields = match extension {
        Extension::KeyIds(ids) => ids
            .iter()
            .map(|(id_type, value)| Field::octets(id_type.name().unwrap_or("unknown id"), value))
            .collect(),
        Extension::SdpIds(protocols) => vec![Field::text("protocols", Text::new(protocols))],
        Extension::Bcast(bcast) => vec![
            Field::code("subtype", bcast.subtype.0, bcast.subtype.name()),
            Field::octets("data", bcast.data),
        ],
        Extension::VendorId(data) | Extension::Other { data, .. } => {
            vec![Field::octets("data", data)]
        }
        _ => Vec::new(),
    };
    Field::code("EXT", ext_type.0, ext_type.name()).with(fields)
}

fn security_policy(policy: &SecurityPolicy<'_>) -> Field {
    let mut fields = vec![Field::code("protocol", policy.prot_type.0, policy.prot_type.name())];
    let is_srtp = policy.prot_type == ProtType::SRTP;
    fields.extend(policy.params().map(|param| match param.number() {
        Some(number) if is_srtp => srtp_param(&param, number),
        _ => Field::octets("parameter", param.value).meaning(param.kind.0),
    }));
    Field::number("SP", policy.number).meaning("policy number").with(fields)
}

fn srtp_param(param: &PolicyParam<'_>, number: u32) -> Field {
    let name = param.kind.name().unwrap_or("unknown parameter");
    let field = Field::number(name, number);
    let octet = u8::try_from(number).unwrap_or(u8::MAX);
    match param.kind {
        SrtpParam::ENCRYPTION_ALG => field.meaning(SrtpEncr(octet).name().unwrap_or("unassigned")),
        SrtpParam::AUTH_ALG | SrtpParam::SRTP_AUTH_ALG | SrtpParam::SRTCP_AUTH_ALG => {
            field.meaning(SrtpAuth(octet).name().unwrap_or("unassigned"))
        }
        SrtpParam::PRF => field.meaning(if number == 0 { "AES-CM" } else { "unassigned" }),
        SrtpParam::SRTP_ENCRYPTION | SrtpParam::SRTCP_ENCRYPTION | SrtpParam::SRTP_AUTH => {
            field.meaning(if number == 0 { "off" } else { "on" })
        }
        SrtpParam::ENCRYPTION_KEY_LEN
        | SrtpParam::AUTH_KEY_LEN
        | SrtpParam::SALT_LEN
        | SrtpParam::TAG_LEN
        | SrtpParam::PREFIX_LEN
        | SrtpParam::SRTP_AUTH_KEY_LEN
        | SrtpParam::SRTCP_AUTH_KEY_LEN
        | SrtpParam::SRTP_TAG_LEN
        | SrtpParam::SRTCP_TAG_LEN
        | SrtpParam::AEAD_TAG_LEN => field.meaning("octets"),
        _ => field,
    }
}

fn validity(validity: &Validity<'_>) -> Field {
    let kv_type = validity.kv_type();
    let field = Field::code("validity", kv_type.0, kv_type.name());
    match validity {
        Validity::Spi(spi) => field.with(vec![Field::octets("spi", spi)]),
        Validity::Interval { from, to } => {
            field.with(vec![Field::octets("from", from), Field::octets("to", to)])
        }
        _ => field,
    }
}
