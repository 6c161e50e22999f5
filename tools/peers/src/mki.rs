//! The MKI, put into and taken out of packets of an implementation that knows none.
//!
//! With HMAC suites the MKI stands before the tag (RFC 3711 §3.1), with GCM it is the end of the
//! packet, behind the AEAD tag or the SRTCP index (RFC 7714 §8.2, §9.2). In both cases it is
//! followed by the *tag field*, which has no octet with GCM. Neither MKI nor tag is authenticated,
//! so this needs no key.

/// Puts `mki` before the last `tag_len` octets; before everything if there are fewer.
pub fn insert(packet: &mut Vec<u8>, tag_len: usize, mki: &[u8]) {
    let at = packet.len().saturating_sub(tag_len);
    packet.splice(at..at, mki.iter().copied());
}

/// The `mki_len` octets before the last `tag_len`, or `None` if the packet is too short.
#[must_use]
pub fn find(packet: &[u8], tag_len: usize, mki_len: usize) -> Option<&[u8]> {
    let end = packet.len().checked_sub(tag_len)?;
    packet.get(end.checked_sub(mki_len)?..end)
}

/// Moves the tag over the MKI and returns the length that remains, or `None` if the packet is too
/// short. Costs a copy of `tag_len` octets.
#[must_use]
pub fn remove(packet: &mut [u8], tag_len: usize, mki_len: usize) -> Option<usize> {
    let tag = packet.len().checked_sub(tag_len)?;
    let at = tag.checked_sub(mki_len)?;
    packet.copy_within(tag.., at);
    Some(at + tag_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mki_stands_before_the_tag_field() {
        let mut hmac = b"payload-TAG".to_vec();
        insert(&mut hmac, 4, b"[mki]");
        assert_eq!(hmac, b"payload[mki]-TAG");
        assert_eq!(find(&hmac, 4, 5), Some(&b"[mki]"[..]));
        assert_eq!(remove(&mut hmac, 4, 5), Some(11));
        assert_eq!(&hmac[..11], b"payload-TAG");
    }

    #[test]
    fn mki_ends_an_aead_packet() {
        let mut aead = b"ciphertext+tag".to_vec();
        insert(&mut aead, 0, b"[mki]");
        assert_eq!(aead, b"ciphertext+tag[mki]");
        assert_eq!(remove(&mut aead, 0, 5), Some(14));
    }

    #[test]
    fn short_packet_has_no_mki() {
        assert_eq!(find(b"12345", 4, 2), None);
        assert_eq!(remove(&mut [0; 5], 6, 0), None);
    }
}
