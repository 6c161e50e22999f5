//! Coded items: code, length, value. Later versions add codes, so unknown ones are kept, not refused.

use crate::{Error, Reject, wire::writer::Writer};

/// Number of participants, 2 octets.
pub(super) const PARTICIPANTS: u8 = 100;
/// Stop-talking time, 2 octets.
pub(super) const STOP_TALKING: u8 = 101;
/// Priority of a request, 2 octets.
pub(super) const PRIORITY: u8 = 102;
/// Time stamp of a request, 8 octets.
pub(super) const TIME_STAMP: u8 = 103;

/// One coded item.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Item<'a> {
    /// What it is, 100 or more.
    pub code: u8,
    /// Its value.
    pub value: &'a [u8],
}

/// Walks the coded items of a message from an offset on, and stops where no item fits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Items<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Items<'a> {
    pub(super) fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at }
    }

    /// The value of the item with this code, if it is there.
    ///
    /// A second such item, or one of another length, is refused: which value is meant would be a guess.
    pub(super) fn value<const N: usize>(mut self, code: u8) -> Result<Option<[u8; N]>, Reject> {
        let mut found = None;
        for item in self.by_ref().filter(|item| item.code == code) {
            let value = item.value.try_into().map_err(|_| Reject::BadBurst)?;
            if found.replace(value).is_some() {
                return Err(Reject::BadBurst);
            }
        }
        let runs_past_the_end = self.rest().first() == Some(&code);
        if runs_past_the_end { Err(Reject::BadBurst) } else { Ok(found) }
    }

    fn rest(&self) -> &'a [u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    /// Steps over zero octets up to the next multiple of four; no code and no text type is zero.
    fn skip_padding(&mut self) {
        let aligned = self.at.next_multiple_of(4).min(self.data.len());
        if self.data.get(self.at..aligned).is_some_and(is_zero) {
            self.at = aligned;
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        self.skip_padding();
        let &[code @ PARTICIPANTS..=u8::MAX, len, ref rest @ ..] = self.rest() else { return None };
        let value = rest.get(..usize::from(len))?;
        self.at += 2 + value.len();
        Some(Item { code, value })
    }
}

/// What follows the known fields of a message: items of later versions, or octets nobody understands.
#[derive(Clone, Copy, Debug)]
pub struct Trailing<'a> {
    items: Items<'a>,
    known: &'static [u8],
}

impl<'a> Trailing<'a> {
    pub(super) const NONE: Self = Self { items: Items { data: &[], at: 0 }, known: &[] };

    pub(super) fn new(items: Items<'a>, known: &'static [u8]) -> Self {
        Self { items, known }
    }

    /// Items that this version does not define for the message, as they stand in the packet.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let known = self.known;
        self.items.filter(move |item| !known.contains(&item.code))
    }

    /// How many octets after the last item are neither an item nor padding. They are ignored.
    #[must_use]
    pub fn ignored(&self) -> usize {
        let mut items = self.items;
        items.by_ref().for_each(drop);
        let rest = items.rest();
        rest.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1)
    }
}

impl Default for Trailing<'_> {
    fn default() -> Self {
        Self::NONE
    }
}

pub(super) fn put(out: &mut Writer<'_>, code: u8, value: &[u8]) -> Result<(), Error> {
    let len = u8::try_from(value.len())
        .map_err(|_| Error::invalid("a burst-control item has at most 255 octets"))?;
    out.put(&[code, len])?;
    out.put(value)
}

fn is_zero(octets: &[u8]) -> bool {
    octets.iter().all(|octet| *octet == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(data: &[u8]) -> Trailing<'_> {
        Trailing::new(Items::new(data, 0), &[PARTICIPANTS])
    }

    #[test]
    fn items_of_later_versions_are_kept_and_junk_is_counted() {
        let data = [100, 2, 0, 5, 104, 1, 7, 0, 200, 0, 0, 0, 99, 1, 0, 0];
        let trailing = items(&data);
        assert!(
            trailing.items().eq([Item { code: 104, value: &[7] }, Item { code: 200, value: &[] }])
        );
        assert_eq!(trailing.ignored(), 2);
        assert_eq!(items(&[0; 9]).ignored(), 0);
        assert_eq!(items(&[0, 0, 0, 0, 104, 0]).ignored(), 5);
        assert_eq!(items(&[104, 3, 1, 1]).ignored(), 4);
    }

    #[test]
    fn known_item_is_read_once_and_in_its_length() {
        let value = |data: &[u8]| Items::new(data, 0).value::<2>(PARTICIPANTS);
        assert_eq!(value(&[104, 0, 0, 0, 100, 2, 0, 5]), Ok(Some([0, 5])));
        assert_eq!(value(&[104, 0]), Ok(None));
        assert_eq!(value(&[100, 3, 0, 0, 5]), Err(Reject::BadBurst));
        assert_eq!(value(&[100, 2, 0, 5, 100, 2, 0, 5]), Err(Reject::BadBurst));
        for cut in 1..4 {
            assert_eq!(value(&[100, 2, 0, 5][..cut]), Err(Reject::BadBurst));
        }
    }
}
