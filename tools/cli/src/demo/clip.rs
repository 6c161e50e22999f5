//! The speech that the demo sends: AMR frames, never looked into.

use mcast_srtp::wire::rtp::RtpView;

use crate::rtpdump;

/// See `tools/cli/data/README.md` for where it comes from.
static RECORDING: &[u8] = include_bytes!("../../data/speech.rtpdump");

/// RTP payloads of a recording, one a frame.
#[derive(Debug)]
pub(super) struct Clip {
    payloads: Vec<&'static [u8]>,
    /// As the recording has it.
    pub(super) payload_type: u8,
}

impl Clip {
    /// RTP clock of AMR, in ticks a second.
    pub(super) const CLOCK: u32 = 8000;
    /// Packets a second.
    pub(super) const RATE: u32 = 50;

    /// The clip that is part of the program.
    ///
    /// # Errors
    /// The recording is damaged.
    pub(super) fn built_in() -> Result<Self, String> {
        let records = rtpdump::read(RECORDING)?;
        let views = records.iter().map(|record| RtpView::parse(record.packet));
        let views: Vec<_> = views.collect::<Result<_, _>>().map_err(|reject| reject.to_string())?;
        let first = views.first().ok_or("no packet in the recording")?;
        Ok(Self {
            payload_type: first.payload_type(),
            payloads: views.iter().map(RtpView::payload).collect(),
        })
    }

    /// The payload with this number, counted on through repetitions of the clip.
    pub(super) fn payload(&self, n: usize) -> &'static [u8] {
        self.payloads[n % self.payloads.len()]
    }

    /// Packets in the clip.
    pub(super) fn len(&self) -> usize {
        self.payloads.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_is_seven_seconds_of_amr_12_2() {
        let clip = Clip::built_in().unwrap();
        assert_eq!((clip.len(), clip.payload_type), (354, 97));
        // Mode request, table of contents with FT 7 and Q, 244 bits of speech (RFC 4867).
        assert!(
            (0..354).all(
                |n| matches!(clip.payload(n), [0xf0, 0x3c, speech @ ..] if speech.len() == 31)
            )
        );
        assert_eq!(clip.payload(354 + 7), clip.payload(7));
        assert_ne!(clip.payload(0), clip.payload(1));
    }
}
