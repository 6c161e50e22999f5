//! An MSK message inside the SDP body made for its client (RFC 4567).

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{MskMessage, Route};
use crate::error::Error;

impl MskMessage {
    /// The attribute line `a=key-mgmt:mikey …`, without a line end.
    #[must_use]
    pub fn key_mgmt_line(&self) -> String {
        //= RFC 4567 §3: base64 with padding, on one line
        format!("a=key-mgmt:mikey {}", STANDARD.encode(&self.octets))
    }

    /// The session description for this client: `template` with the message at session level.
    ///
    /// # Errors
    /// The message was made for UDP, so that it does not vouch for the SDP; or the template has a
    /// key-mgmt attribute already, or no media line.
    pub fn in_sdp(&self, template: &str) -> Result<String, Error> {
        if matches!(self.to, Route::Udp(_)) {
            return Err(Error::invalid(format!(
                "client {} is reached over UDP; relocate it to SDP first",
                self.client
            )));
        }
        let media = check_template(template)?;
        let (session, media) = template.split_at(media);
        let line_end = if template.contains("\r\n") { "\r\n" } else { "\n" };
        Ok(format!("{session}{}{line_end}{media}", self.key_mgmt_line()))
    }
}

/// Checks that a message may stand in this template, before its first `m=` line, which begins at the
/// octet returned.
pub(super) fn check_template(template: &str) -> Result<usize, Error> {
    //= RFC 4567 §3.1: a media-level attribute would replace the one of the session
    //= RFC 4567 §4.1.4: the protocol identifiers under the MAC are those of the SDP: one `mikey`
    if template.lines().any(|line| line.starts_with("a=key-mgmt:")) {
        return Err(Error::invalid("the SDP template has an a=key-mgmt line; leave it out"));
    }
    media_start(template).ok_or_else(|| {
        Error::invalid("the SDP template has no m= line, so there is nothing to protect")
    })
}

/// Where the first `m=` line begins.
fn media_start(sdp: &str) -> Option<usize> {
    if sdp.starts_with("m=") {
        return Some(0);
    }
    sdp.find("\nm=").map(|line_end| line_end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::MskId, keyserver::Purpose};

    fn message(to: Route) -> MskMessage {
        MskMessage {
            channel: "17".into(),
            client: "c1".into(),
            to,
            msk_id: MskId { group: 1, number: 1 },
            purpose: Purpose::Deliver,
            counter: 1,
            octets: vec![1, 0, 21],
        }
    }

    #[test]
    fn attribute_stands_at_session_level_with_the_line_end_of_the_template() {
        let sdp = "v=0\r\ns=Group 17\r\nt=0 0\r\nm=audio 49170 RTP/SAVP 97\r\na=ptime:200\r\n";
        assert_eq!(
            message(Route::SdpOffer).in_sdp(sdp).unwrap(),
            "v=0\r\ns=Group 17\r\nt=0 0\r\na=key-mgmt:mikey AQAV\r\nm=audio 49170 RTP/SAVP 97\r\n\
             a=ptime:200\r\n"
        );
    }

    #[test]
    fn template_that_would_void_the_attribute_is_refused() {
        let refusal = |to, sdp: &str| message(to).in_sdp(sdp).unwrap_err().to_string();
        let media_level = "v=0\nm=audio 1 RTP/SAVP 97\na=key-mgmt:mikey AAAA\n";
        assert!(refusal(Route::SdpOffer, media_level).contains("a=key-mgmt"));
        assert!(refusal(Route::SdpAnswer, "v=0\ns=m=\n").contains("no m= line"));
        let udp = Route::Udp("192.0.2.1:2269".parse().unwrap());
        assert!(refusal(udp, "m=audio 1 RTP/SAVP 97\n").contains("over UDP"));
    }
}
