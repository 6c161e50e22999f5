//! Source descriptions (RFC 3550 §6.5): names of the participants.

use super::split_ssrc;
use crate::{Reject, ids::Ssrc, wire::Text};

/// SDES packet: one chunk for each source.
#[derive(Clone, Copy, Debug)]
pub struct SourceDescription<'a> {
    count: u8,
    chunks: &'a [u8],
}

impl<'a> SourceDescription<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, Reject> {
        let mut rest = body;
        for _ in 0..count {
            (_, rest) = Chunk::split(rest)?;
        }
        Ok(Self { count, chunks: body })
    }

    /// The chunks in their order.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk<'a>> + use<'a> {
        let mut rest = self.chunks;
        (0..self.count).map_while(move |_| {
            let chunk;
            (chunk, rest) = Chunk::split(rest).ok()?;
            Some(chunk)
        })
    }
}

/// What is told about one source.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The source.
    pub ssrc: Ssrc,
    items: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Items up to a zero octet, then zero octets up to a multiple of four.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Reject> {
        let (ssrc, items) = split_ssrc(bytes)?;
        let mut rest = items;
        while let Some((_, after)) = SdesItem::split(rest)? {
            rest = after;
        }
        let len = items.len() - rest.len();
        let (items_and_end, rest) =
            items.split_at_checked((len + 1).next_multiple_of(4)).ok_or(Reject::BadRtcp)?;
        Ok((Self { ssrc, items: items_and_end }, rest))
    }

    /// The items in their order.
    pub fn items(&self) -> impl Iterator<Item = SdesItem<'a>> + use<'a> {
        let mut rest = self.items;
        std::iter::from_fn(move || {
            let item;
            (item, rest) = SdesItem::split(rest).ok()??;
            Some(item)
        })
    }

    /// The canonical name, which names the participant over all its streams.
    #[must_use]
    pub fn cname(&self) -> Option<Text<'a>> {
        self.items().find(|item| item.kind == SdesItem::CNAME).map(|item| item.text)
    }
}

/// One fact about a source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SdesItem<'a> {
    /// What the text is, for example [`SdesItem::CNAME`].
    pub kind: u8,
    /// The text, at most 255 octets.
    pub text: Text<'a>,
}

impl<'a> SdesItem<'a> {
    /// Ends a list of items.
    pub(in crate::wire) const END: u8 = 0;
    /// Canonical name.
    pub const CNAME: u8 = 1;
    /// Name as a person would write it.
    pub const NAME: u8 = 2;

    /// A canonical name.
    #[must_use]
    pub const fn cname(text: Text<'a>) -> Self {
        Self { kind: Self::CNAME, text }
    }

    /// Splits off one item, `None` at the octet that ends the list.
    pub(in crate::wire) fn split(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, Reject> {
        let (&kind, rest) = bytes.split_first().ok_or(Reject::BadRtcp)?;
        if kind == Self::END {
            return Ok(None);
        }
        let (&len, rest) = rest.split_first().ok_or(Reject::BadRtcp)?;
        let (text, rest) = rest.split_at_checked(usize::from(len)).ok_or(Reject::BadRtcp)?;
        Ok(Some((Self { kind, text: Text::new(text) }, rest)))
    }
}
