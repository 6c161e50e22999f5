//! Dissection of RTCP and SRTCP datagrams.

use mcast_srtp::{
    Reject,
    srtp::Profile,
    wire::{
        burst::{self, BurstPacket, Subtype},
        rtcp::{Compound, ReportBlock, RtcpPacket, RtcpView, sender_ssrc},
    },
};

use super::rtp::{mki_and_tag, split_end};
use crate::field::Field;

/// The octets that SRTCP leaves readable: type, count and SSRC of the first packet.
///
/// # Errors
/// The verdict on them.
pub(super) fn clear_header(datagram: &[u8]) -> Result<Vec<Field>, Reject> {
    let ssrc = sender_ssrc(datagram)?;
    let [first, packet_type, ..] = *datagram else { return Err(Reject::Truncated) };
    let mut fields = vec![type_field(packet_type)];
    // Of an APP packet the count is a subtype; the name that would tell whose is encrypted.
    match Subtype::peek(datagram) {
        Some(subtype) => {
            let burst = format!("{subtype}, if it is burst control");
            fields.push(Field::number("subtype", first & 0x1f).meaning(burst));
        }
        None => fields.push(Field::number("count", first & 0x1f)),
    }
    fields.push(Field::text("ssrc", ssrc));
    Ok(fields)
}

/// The end of a protected datagram: E flag, index, MKI, tag.
///
/// # Errors
/// [`Reject::Truncated`] if there is no room for them.
pub(super) fn trailer(datagram: &[u8], profile: &Profile) -> Result<Vec<Field>, Reject> {
    let (rest, tag) = split_end(datagram, usize::from(profile.srtcp_tag_len))?;
    let (rest, mki) = split_end(rest, usize::from(profile.mki_len))?;
    let place = rest.len();
    let (rest, word) = split_end(rest, 4)?;
    let word = u32::from_be_bytes(word.try_into().map_err(|_| Reject::Truncated)?);
    let mut fields = Vec::new();
    if profile.aead_tag_len() > 0 {
        let (body, tag) = split_end(rest, profile.aead_tag_len())?;
        let at = format!("at octet {}", body.len());
        fields.push(Field::octets("AEAD tag", tag).meaning(at));
    }
    fields.push(Field::flag("encrypted", word >> 31 == 1));
    fields.push(Field::number("index", word & 0x7fff_ffff));
    fields.extend(mki_and_tag(mki, tag, place));
    Ok(fields)
}

/// Whether a datagram can only be RTCP without protection: SRTCP would end in something else.
pub(super) fn is_plain(datagram: &[u8]) -> bool {
    Compound::parse(datagram).is_ok_and(|compound| {
        compound.packets().all(|packet| (200..=207).contains(&packet.packet_type()))
    })
}

/// Every packet of a plain compound; the second value tells whether burst control is among them.
///
/// # Errors
/// The verdict on the first packet that does not fit.
pub(super) fn compound(plain: &[u8]) -> Result<(Vec<Field>, bool), Reject> {
    let mut fields = Vec::new();
    let mut has_burst = false;
    for packet in Compound::parse(plain)?.packets() {
        fields.push(one(&packet, &mut has_burst)?);
    }
    Ok((fields, has_burst))
}

fn one(packet: &RtcpPacket<'_>, has_burst: &mut bool) -> Result<Field, Reject> {
    Ok(match packet.view()? {
        RtcpView::App(app) if app.name == burst::NAME => {
            *has_burst = true;
            let message = BurstPacket::parse(&app)?;
            let name = message.message.subtype();
            let group = Field::number("burst control", name.0).meaning(name);
            group.with(crate::burst::fields(&message))
        }
        RtcpView::App(app) => Field::group(
            "application-defined",
            vec![
                Field::text("ssrc", app.ssrc),
                Field::number("subtype", app.subtype),
                Field::octets("name", &app.name),
                Field::octets("data", app.data),
            ],
        ),
        RtcpView::SenderReport(report) => {
            let mut fields = vec![
                Field::text("ssrc", report.ssrc),
                Field::number("ntp time", report.info.ntp.0),
                Field::number("rtp timestamp", report.info.rtp_timestamp),
                Field::number("packets sent", report.info.packet_count),
                Field::number("octets sent", report.info.octet_count),
            ];
            fields.extend(report.blocks().map(|block| report_block(&block)));
            Field::group("sender report", fields)
        }
        RtcpView::ReceiverReport(report) => {
            let mut fields = vec![Field::text("ssrc", report.ssrc)];
            fields.extend(report.blocks().map(|block| report_block(&block)));
            Field::group("receiver report", fields)
        }
        RtcpView::SourceDescription(description) => {
            let chunks = description.chunks().map(|chunk| {
                let items =
                    chunk.items().map(|item| Field::text("item", item.text).meaning(item.kind));
                Field::text("ssrc", chunk.ssrc).with(items.collect())
            });
            Field::group("source description", chunks.collect())
        }
        RtcpView::Bye(bye) => {
            let mut fields: Vec<_> = bye.ssrcs().map(|ssrc| Field::text("ssrc", ssrc)).collect();
            fields.extend(bye.reason.map(|reason| Field::text("reason", reason)));
            Field::group("bye", fields)
        }
        _ => type_field(packet.packet_type()).with(vec![
            Field::number("count", packet.count()),
            Field::octets("body", packet.body()),
        ]),
    })
}

fn report_block(block: &ReportBlock) -> Field {
    Field::text("report on", block.ssrc).with(vec![
        Field::number("fraction lost", block.fraction_lost),
        Field::text("lost in all", block.cumulative_lost),
        Field::number("highest sequence number", block.highest_seq),
        Field::number("jitter", block.jitter),
        Field::number("last sender report", block.last_sr),
        Field::number("delay since", block.delay_since_last_sr),
    ])
}

fn type_field(packet_type: u8) -> Field {
    let name = match packet_type {
        200 => "sender report",
        201 => "receiver report",
        202 => "source description",
        203 => "bye",
        204 => "application-defined",
        205 => "transport feedback",
        206 => "payload feedback",
        207 => "extended report",
        _ => "other",
    };
    Field::number("packet type", packet_type).meaning(name)
}
