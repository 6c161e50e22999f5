//! Which protocol a datagram on a media port belongs to.
//!
//! The first step of a lane, for every datagram, before anything is authenticated: two octets decide.
//! A few nanoseconds, no state.

/// Protocol of a datagram, told by its first octets.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// RTP or SRTP: media.
    Rtp,
    /// RTCP or SRTCP: reports and burst control.
    Rtcp,
    /// A MIKEY message: keys.
    Mikey,
    /// Nothing that is expected here; counted as [`crate::Reject::UnknownProtocol`].
    Unknown,
}

/// Tells RTP, RTCP and MIKEY apart on one port. Lengths are proven by the parser of each protocol.
///
/// ```
/// use mcast_srtp::wire::classify::{Class, classify};
///
/// assert_eq!(classify(&[0x80, 0x60, 0, 1]), Class::Rtp);
/// assert_eq!(classify(&[0x85, 204, 0, 2]), Class::Rtcp);
/// ```
#[inline]
#[must_use]
pub fn classify(datagram: &[u8]) -> Class {
    match *datagram {
        //= RFC 5761 §4: packet types 192 to 223 are RTCP, so 64 to 95 are no RTP payload types
        [0x80..=0xbf, 192..=223, ..] => Class::Rtcp,
        //= RFC 7983 §7: 128 to 191 in the first octet is RTP or RTCP
        [0x80..=0xbf, ..] => Class::Rtp,
        //= RFC 3830 §6.1: a MIKEY message starts with its version, 0x01
        [0x01, ..] if !is_stun(datagram) => Class::Mikey,
        _ => Class::Unknown,
    }
}

/// STUN responses also start with 0x01. The magic cookie stands where MIKEY has a random CSB ID, so
/// the length, which is the rest of a STUN message, has to agree as well.
fn is_stun(datagram: &[u8]) -> bool {
    let Some((&[_, _, l0, l1, cookie @ ..], _)) = datagram.split_first_chunk::<8>() else {
        return false;
    };
    //= RFC 5389 §6: 20 octets of header, the cookie at 4 to 7
    cookie == [0x21, 0x12, 0xa4, 0x42]
        && 20 + usize::from(u16::from_be_bytes([l0, l1])) == datagram.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_octet_separates_rtp_from_rtcp() {
        for first in 0x80..=0xbf {
            for second in 0..=255 {
                let expected = if (192..224).contains(&second) { Class::Rtcp } else { Class::Rtp };
                assert_eq!(classify(&[first, second]), expected);
            }
        }
    }

    #[test]
    fn other_first_octets_are_unknown() {
        assert_eq!(classify(&[]), Class::Unknown);
        for first in (0..=255).filter(|first| !(0x80..=0xbf).contains(first) && *first != 1) {
            assert_eq!(classify(&[first, 200, 0, 0]), Class::Unknown, "{first:#x}");
        }
    }

    #[test]
    fn stun_response_is_not_handed_to_the_key_plane() {
        let mut stun = [0; 32];
        stun[..8].copy_from_slice(&[0x01, 0x01, 0, 12, 0x21, 0x12, 0xa4, 0x42]);
        assert_eq!(classify(&stun), Class::Unknown);
    }

    #[test]
    fn mikey_message_with_the_cookie_as_csb_id_still_gets_through() {
        let mut mikey = [0; 300];
        mikey[..8].copy_from_slice(&[0x01, 0x00, 0x0b, 0x00, 0x21, 0x12, 0xa4, 0x42]);
        assert_eq!(classify(&mikey), Class::Mikey);
        assert_eq!(classify(&[0x01]), Class::Mikey);
    }
}
