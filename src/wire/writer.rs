//! Appends octets to a buffer of the caller's, and refuses to run past its end.

use crate::Error;

/// A position in a buffer; what lies before it has been written.
#[derive(Debug)]
pub(super) struct Writer<'b> {
    out: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    pub(super) fn new(out: &'b mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    pub(super) fn put(&mut self, octets: &[u8]) -> Result<(), Error> {
        let end = self.len.saturating_add(octets.len());
        let Some(place) = self.out.get_mut(self.len..end) else {
            return Err(Error::invalid(format!(
                "the packet needs more than the {} octets of the buffer; give a larger one",
                self.out.len()
            )));
        };
        place.copy_from_slice(octets);
        self.len = end;
        Ok(())
    }

    /// Appends zero octets until the length since `start` is a multiple of 4.
    pub(super) fn align(&mut self, start: usize) -> Result<(), Error> {
        let over = (self.len - start) % 4;
        let zeros = [0; 3];
        self.put(zeros.get(..(4 - over) % 4).unwrap_or_default())
    }

    /// Overwrites octets that have been written before.
    pub(super) fn patch<const N: usize>(&mut self, at: usize, octets: [u8; N]) {
        if let Some(place) = self.out.get_mut(..self.len).and_then(|written| written.get_mut(at..))
            && let Some(place) = place.first_chunk_mut()
        {
            *place = octets;
        }
    }

    /// Takes back what was written after `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_patches_and_stops_at_the_end() {
        let mut out = [0xff; 8];
        let mut writer = Writer::new(&mut out);
        writer.put(&[1, 2, 3]).unwrap();
        writer.align(1).unwrap();
        assert_eq!(writer.len(), 5);
        writer.patch(1, [9]);
        writer.patch(5, [7]);
        assert!(writer.put(&[0; 4]).is_err());
        assert_eq!(writer.len(), 5);
        assert_eq!(out, [1, 9, 3, 0, 0, 0xff, 0xff, 0xff]);
    }
}
