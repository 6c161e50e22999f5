//! Dissection of RTP and SRTP packets.

use mcast_srtp::{Reject, ids::Mki, srtp::Profile, wire::rtp::RtpView};

use crate::field::Field;

/// The header, which SRTP never encrypts.
pub(super) fn header(view: &RtpView<'_>) -> Vec<Field> {
    let mut fields = vec![
        Field::number("payload type", view.payload_type()),
        Field::flag("marker", view.marker()),
        Field::number("sequence number", view.seq().0),
        Field::number("timestamp", view.timestamp()),
        Field::text("ssrc", view.ssrc()),
    ];
    fields.extend(view.csrcs().map(|csrc| Field::text("csrc", csrc)));
    if let Some(extension) = view.extension() {
        fields.push(Field::group(
            "header extension",
            vec![
                Field::octets("profile", &extension.profile.to_be_bytes()),
                Field::octets("data", extension.data),
            ],
        ));
    }
    fields
}

/// The end of a protected packet: where MKI, rollover counter and tag stand under this profile.
///
/// # Errors
/// [`Reject::Truncated`] if there is no room for them.
pub(super) fn trailer(view: &RtpView<'_>, profile: &Profile) -> Result<Vec<Field>, Reject> {
    let protected = view.payload();
    let tag_len = profile.tag_len_at(view.seq());
    let (rest, tag) = split_end(protected, tag_len)?;
    let (encrypted, mki) = split_end(rest, usize::from(profile.mki_len))?;
    let place = view.header_len() + encrypted.len();
    let mut fields =
        vec![Field::number("encrypted payload", encrypted.len() as u64).meaning("octets")];
    if profile.aead_tag_len() > 0 {
        let (_, tag) = split_end(encrypted, profile.aead_tag_len())?;
        let at = place - tag.len();
        fields.push(Field::octets("AEAD tag", tag).meaning(format_args!("at octet {at}")));
    }
    let carries_roc = profile.rcc.is_some_and(|rcc| rcc.carries_roc(view.seq()));
    let Some((roc, mac)) = tag.split_first_chunk().filter(|_| carries_roc) else {
        fields.extend(mki_and_tag(mki, tag, place));
        return Ok(fields);
    };
    fields.extend(mki_and_tag(mki, &[], place));
    let at = place + mki.len();
    let roc_field = Field::number("rollover counter", u32::from_be_bytes(*roc));
    fields.push(roc_field.meaning(format_args!("at octet {at}")));
    fields.extend(mki_and_tag(&[], mac, at + roc.len()));
    Ok(fields)
}

/// The two fields that end SRTP and SRTCP packets alike; `place` is the octet at which the MKI stands.
pub(super) fn mki_and_tag(mki: &[u8], tag: &[u8], place: usize) -> Vec<Field> {
    let mut fields = Vec::new();
    if !mki.is_empty() {
        let keys = Mki::new(mki).and_then(|mki| mki.split_mbms());
        let ids = keys.map(|(msk, mtk)| vec![Field::text("msk", msk), Field::text("mtk", mtk)]);
        let field = Field::octets("mki", mki).meaning(format_args!("at octet {place}"));
        fields.push(field.with(ids.unwrap_or_default()));
    }
    if !tag.is_empty() {
        let at = place + mki.len();
        fields.push(Field::octets("tag", tag).meaning(format_args!("at octet {at}")));
    }
    fields
}

/// Cuts `len` octets off the end.
pub(super) fn split_end(octets: &[u8], len: usize) -> Result<(&[u8], &[u8]), Reject> {
    let at = octets.len().checked_sub(len).ok_or(Reject::Truncated)?;
    Ok(octets.split_at(at))
}
