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

    /// The session description for this client: `template` with the message at session level, and with
    /// the counter of the message as the version of its `o=` line, which rises from message to message,
    /// by 1 or more.
    ///
    /// # Errors
    /// The message was made for UDP, so that it does not vouch for the SDP; or the template has a
    /// key-mgmt attribute already, no media line, or no `o=` line of six fields.
    pub fn in_sdp(&self, template: &str) -> Result<String, Error> {
        if matches!(self.to, Route::Udp(_)) {
            return Err(Error::invalid(format!(
                "client {} is reached over UDP; relocate it to SDP first",
                self.client
            )));
        }
        let Template { head, session, media } = check_template(template)?;
        let line_end = if template.contains("\r\n") { "\r\n" } else { "\n" };
        let (version, key_mgmt) = (self.counter, self.key_mgmt_line());
        //= RFC 3264 §8: a description that differs from the one before has a higher version
        Ok(format!("{head}{version}{session}{key_mgmt}{line_end}{media}"))
    }
}

/// The parts of a session description between which something is put in.
pub(super) struct Template<'a> {
    /// Up to the version in its `o=` line.
    head: &'a str,
    /// From behind the version up to the first `m=` line.
    session: &'a str,
    media: &'a str,
}

/// Checks that a message may stand in this template.
pub(super) fn check_template(template: &str) -> Result<Template<'_>, Error> {
    //= RFC 4567 §3.1: a media-level attribute would replace the one of the session
    //= RFC 4567 §4.1.4: the protocol identifiers under the MAC are those of the SDP: one `mikey`
    if template.lines().any(|line| line.starts_with("a=key-mgmt:")) {
        return Err(Error::invalid("the SDP template has an a=key-mgmt line; leave it out"));
    }
    let media = media_start(template).ok_or_else(|| {
        Error::invalid("the SDP template has no m= line, so there is nothing to protect")
    })?;
    let (session, media) = template.split_at(media);
    let (head, session) = around_version(session).ok_or_else(|| {
        Error::invalid(
            "the SDP template has no line o=USER ID VERSION IN IP4 ADDRESS before its m= line",
        )
    })?;
    Ok(Template { head, session, media })
}

/// What stands before and behind the version in the `o=` line.
//= RFC 8866 §5.2: user, session, version, network type, address type and address
fn around_version(session: &str) -> Option<(&str, &str)> {
    let start = if session.starts_with("o=") { 0 } else { session.find("\no=")? + 1 };
    let line = session.get(start..)?.lines().next()?;
    let fields: Vec<_> = line.split(' ').collect();
    let [user, id, version, _, _, _] = fields[..] else { return None };
    if fields.contains(&"") || !version.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let version_at = start + user.len() + id.len() + 2;
    session.get(..version_at).zip(session.get(version_at + version.len()..))
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
        let sdp = "v=0\r\no=poc 17 0 IN IP4 192.0.2.1\r\ns=Group 17\r\nt=0 0\r\n\
                   m=audio 49170 RTP/SAVP 97\r\na=ptime:200\r\n";
        assert_eq!(
            message(Route::SdpOffer).in_sdp(sdp).unwrap(),
            "v=0\r\no=poc 17 1 IN IP4 192.0.2.1\r\ns=Group 17\r\nt=0 0\r\na=key-mgmt:mikey AQAV\r\nm=audio 49170 RTP/SAVP 97\r\n\
             a=ptime:200\r\n"
        );
    }

    #[test]
    fn template_that_would_void_the_attribute_is_refused() {
        let refusal = |to, sdp: &str| message(to).in_sdp(sdp).unwrap_err().to_string();
        let media_level = "v=0\nm=audio 1 RTP/SAVP 97\na=key-mgmt:mikey AAAA\n";
        assert!(refusal(Route::SdpOffer, media_level).contains("a=key-mgmt"));
        assert!(refusal(Route::SdpAnswer, "v=0\ns=m=\n").contains("no m= line"));
        for origin in
            ["s=-", "o=- 1 1 IN IP4", "o=- 1 v IN IP4 192.0.2.1", "o=- 1  IN IP4 192.0.2.1"]
        {
            let without =
                format!("v=0\n{origin}\nm=audio 1 RTP/SAVP 97\no=- 1 1 IN IP4 192.0.2.1\n");
            assert!(refusal(Route::SdpOffer, &without).contains("o=USER ID VERSION"), "{origin}");
        }
        let udp = Route::Udp("192.0.2.1:2269".parse().unwrap());
        assert!(refusal(udp, "m=audio 1 RTP/SAVP 97\n").contains("over UDP"));
    }
}
