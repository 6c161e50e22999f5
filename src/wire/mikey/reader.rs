//! A cursor over octets that never reads past their end.

use crate::Reject;

#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// The next `len` octets.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Reject> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Reject::MikeyMalformed)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Reject::MikeyMalformed)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Reject> {
        self.array().map(|[octet]| octet)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Reject> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Reject> {
        self.array().map(u32::from_be_bytes)
    }

    /// A length octet and that many octets.
    pub(super) fn prefixed_u8(&mut self) -> Result<&'a [u8], Reject> {
        let len = self.u8()?;
        self.take(len.into())
    }

    /// A 16-bit length and that many octets.
    pub(super) fn prefixed_u16(&mut self) -> Result<&'a [u8], Reject> {
        let len = self.u16()?;
        self.take(len.into())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What has not been read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.0
    }
}

/// Which of 256 code points have occurred: finds a repetition without allocating.
#[derive(Debug, Default)]
pub(super) struct Seen([u128; 2]);

impl Seen {
    /// Notes the code point; refuses it the second time.
    pub(super) fn first_time(&mut self, code: u8) -> Result<(), Reject> {
        let [low, high] = &mut self.0;
        let (half, bit) = (if code < 128 { low } else { high }, 1 << (code & 127));
        if *half & bit != 0 {
            return Err(Reject::MikeyMalformed);
        }
        *half |= bit;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_stops_at_the_end_and_stays_there() {
        let mut reader = Reader::new(&[2, 0xaa, 0xbb, 0, 1]);
        assert_eq!(reader.prefixed_u8(), Ok(&[0xaa, 0xbb][..]));
        assert_eq!(reader.prefixed_u16(), Err(Reject::MikeyMalformed));
        assert!(reader.is_empty());
        assert_eq!(reader.u32(), Err(Reject::MikeyMalformed));
    }

    #[test]
    fn each_code_point_passes_once() {
        let mut seen = Seen::default();
        assert!((0..=255).all(|code| seen.first_time(code).is_ok()));
        assert!((0..=255).all(|code| seen.first_time(code).is_err()));
    }
}
