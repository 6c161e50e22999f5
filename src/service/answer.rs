//! The MIKEY message in what a client answered to an SDP offer.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::error::Error;

/// The message of a whole SDP answer, or of an answer that is the message itself.
pub(super) fn mikey_in(answer: &[u8]) -> Result<Vec<u8>, Error> {
    //= RFC 3830 §6.1: a message begins with its version, 1; a description with `v=`
    if answer.first() == Some(&MIKEY_VERSION) {
        return Ok(answer.to_vec());
    }
    let sdp = str::from_utf8(answer).ok().filter(|text| text.starts_with("v="));
    let sdp = sdp.ok_or_else(|| {
        Error::invalid(
            "an answer is a session description, or a MIKEY message, and this is neither",
        )
    })?;
    let mut messages = sdp.lines().filter_map(key_mgmt);
    //= RFC 4567 §4.1.1: the answer carries the R_MESSAGE in its own attribute
    match (messages.next(), messages.next()) {
        (Some(message), None) => message,
        (None, _) => Err(Error::invalid(
            "the SDP answer has no a=key-mgmt:mikey line, so that it confirms nothing",
        )),
        (Some(_), Some(_)) => Err(Error::invalid(
            "the SDP answer has several a=key-mgmt:mikey lines for one MSK message",
        )),
    }
}

fn key_mgmt(line: &str) -> Option<Result<Vec<u8>, Error>> {
    let value = line.strip_prefix("a=key-mgmt:")?;
    let data = value.strip_prefix(' ').unwrap_or(value).strip_prefix("mikey ")?;
    //= RFC 4567 §3: base64 with padding, on one line
    let message = STANDARD.decode(data.trim_end());
    Some(message.map_err(|error| Error::invalid(format!("a=key-mgmt of the SDP answer: {error}"))))
}

const MIKEY_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_found_at_either_level_or_by_itself() {
        let session = "v=0\r\ns=-\r\na=key-mgmt:mikey AQIDBA==\r\nm=audio 1 RTP/SAVP 97\r\n";
        let media = "v=0\ns=-\nm=audio 1 RTP/SAVP 97\na=key-mgmt: mikey AQIDBA==\n";
        for answer in [session.as_bytes(), media.as_bytes(), &[1, 2, 3, 4]] {
            assert_eq!(mikey_in(answer).unwrap(), [1, 2, 3, 4]);
        }
    }

    #[test]
    fn answer_that_confirms_nothing_says_so() {
        for (answer, why) in [
            ("v=0\ns=-\n", "confirms nothing"),
            ("v=0\na=key-mgmt:MIKEY AQIDBA==\n", "confirms nothing"),
            ("v=0\na=key-mgmt:mikey AQID*A==\n", "a=key-mgmt"),
            ("v=0\na=key-mgmt:mikey AQ==\nm=x\na=key-mgmt:mikey AQ==\n", "several"),
            ("hello", "neither"),
            ("", "neither"),
        ] {
            let error = mikey_in(answer.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{answer:?}: {error}");
        }
    }
}
