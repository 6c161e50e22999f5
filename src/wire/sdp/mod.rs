//! Session descriptions of talk groups: text to fields and back.
//!
//! `sdp-types` splits the text into lines; this module reads the lines that protected multicast
//! needs, strictly, and keeps the others as they are. [`crate::group`] makes a group of the result.
//! Runs once per join, never per packet.

#![warn(clippy::indexing_slicing)]

mod crypto;
mod key_mgmt;
mod level;
mod write;

use std::net::{IpAddr, Ipv4Addr};

use crate::{error::Error, ids::Ssrc};

pub use crypto::{Crypto, CryptoKey};
pub use key_mgmt::KeyMgmt;
pub use level::{Attribute, Connection, Direction, FilterLine, Level};

/// Longest description read, in octets: about a hundred MSK messages.
pub const MAX_LEN: usize = 64 * 1024;

/// A session description.
///
/// The lines of a level that are not understood are in [`Level::attributes`]. Writing (by
/// [`ToString`]) leaves out what only other programs need: `a=crypto`, `k=`, repeat times, titles.
#[non_exhaustive]
#[derive(Debug)]
pub struct Description {
    /// Who made it, and which version it is.
    pub origin: Origin,
    /// `s=`: name of the group.
    pub name: String,
    /// Lines that hold for every medium without its own.
    pub session: Level,
    /// `a=bcastversion`, major and minor (RFC 5159 §5.1).
    pub bcast_version: Option<(u32, u32)>,
    /// Media, in order.
    pub media: Vec<Medium>,
}

/// `o=`: who made a description.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Login name; `-` for none.
    pub username: String,
    /// Identifies the session together with name and address.
    pub session_id: u64,
    /// Rises with every change.
    pub version: u64,
    /// Host it was made on.
    pub address: IpAddr,
}

/// One `m=` line and what follows it.
#[non_exhaustive]
#[derive(Debug)]
pub struct Medium {
    /// `audio`, `video`, `application`.
    pub media_type: String,
    /// UDP port.
    pub port: u16,
    /// How many ports, or pairs of RTP and RTCP ports: 1 unless written `port/count`.
    pub ports: u16,
    /// Transport as written: `RTP/SAVP`, `udp`.
    pub protocol: String,
    /// Formats as written: payload types, `TBCP`.
    pub formats: Vec<String>,
    /// Connections, source filters, key management, direction and bandwidths of this medium.
    pub level: Level,
    /// `a=rtpmap`: payload type, encoding.
    pub rtpmaps: Vec<(u8, String)>,
    /// `a=fmtp`: format, parameters.
    pub fmtps: Vec<(String, String)>,
    /// `a=rtcp`: port, and address if there is one (RFC 3605).
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    /// `a=rtcp-mux` (RFC 5761).
    pub rtcp_mux: bool,
    /// `a=ssrc`: stream, and its canonical name if it is told (RFC 5576).
    pub ssrcs: Vec<(Ssrc, Option<String>)>,
    /// `a=SRTPAuthentication`: 2, 3 or 4 for RCC mode 1, 2 or 3 (RFC 5159 §5.1).
    pub srtp_authentication: Option<u8>,
    /// `a=SRTPROCTxRate`: every how many packets the rollover counter is sent.
    pub roc_tx_rate: Option<u16>,
    /// `a=crypto` of suites known here (RFC 4568).
    pub crypto: Vec<Crypto>,
}

/// What a medium carries, as far as this library can tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// RTP; `protected` if the transport says so. Security announced elsewhere leaves it open.
    Rtp {
        /// `RTP/SAVP` rather than `RTP/AVP`.
        protected: bool,
    },
    /// Talk burst control: `udp TBCP` (PoC 1.0) or `udp MBCP` (PoC 2).
    BurstControl,
    /// Key stream of BCAST: `udp vnd.oma.bcast.stkm`.
    KeyStream,
    /// Something else, which is not joined.
    Other,
}

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the line and what is wrong with it. One bad line that matters
    /// fails the whole: a group joined by half of its description would fail later and silently.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_LEN {
            return Err(invalid(format!("longer than {MAX_LEN} octets")));
        }
        let parsed = sdp_types::Session::parse(text.as_bytes())
            .map_err(|error| invalid(format!("{error}")))?;
        let mut session = Level::default();
        session.connections(parsed.connection.as_slice())?;
        session.bandwidths = bandwidths(&parsed.bandwidths);
        let mut bcast_version = None;
        for line in parsed.attributes {
            let line = Attribute::from_parsed(line);
            match line.name.as_str() {
                "bcastversion" => bcast_version = Some(read_bcast_version(&line)?),
                _ => session.read(line)?,
            }
        }
        let media = parsed.medias.into_iter().map(Medium::from_parsed).collect::<Result<_, _>>()?;
        let origin = Origin::from_parsed(&parsed.origin);
        Ok(Self { origin, name: parsed.session_name, session, bcast_version, media })
    }

    /// An empty description, to be filled and written.
    #[must_use]
    pub fn new(origin: Origin, name: impl Into<String>) -> Self {
        let (session, media) = (Level::default(), Vec::new());
        Self { origin, name: name.into(), session, bcast_version: None, media }
    }

    /// The connections of a medium: its own, else the session's.
    #[must_use]
    pub fn connections_of<'a>(&'a self, medium: &'a Medium) -> &'a [Connection] {
        let own = &medium.level.connections;
        if own.is_empty() { &self.session.connections } else { own }
    }

    /// The filter of a medium for one of its addresses: its own, else the session's.
    #[must_use]
    pub fn filter_of<'a>(&'a self, medium: &'a Medium, group: IpAddr) -> Option<&'a FilterLine> {
        //= RFC 4570 §3: filters of a medium replace those of the session completely
        let own = &medium.level.filters;
        let lines = if own.is_empty() { &self.session.filters } else { own };
        let named = lines.iter().find(|line| line.destination == Some(group));
        named.or_else(|| {
            let wild = |line: &&FilterLine| line.destination.is_none() && line.fits(group);
            lines.iter().find(wild)
        })
    }

    /// The key-management lines of a medium: its own, else the session's.
    #[must_use]
    pub fn key_mgmt_of<'a>(&'a self, medium: &'a Medium) -> &'a [KeyMgmt] {
        //= RFC 4567 §3.1: those of a medium replace those of the session
        let own = &medium.level.key_mgmt;
        if own.is_empty() { &self.session.key_mgmt } else { own }
    }
}

impl Origin {
    /// An origin without a login name, version 1.
    #[must_use]
    pub fn new(session_id: u64, address: IpAddr) -> Self {
        Self { username: "-".to_owned(), session_id, version: 1, address }
    }

    /// Lenient, because nothing here depends on it: what is no number or address becomes 0.
    fn from_parsed(line: &sdp_types::Origin) -> Self {
        Self {
            username: line.username.clone().unwrap_or_else(|| "-".to_owned()),
            session_id: line.sess_id.parse().unwrap_or(0),
            version: line.sess_version,
            address: line.unicast_address.parse().unwrap_or_else(|_| Ipv4Addr::UNSPECIFIED.into()),
        }
    }
}

impl Medium {
    /// A medium without attributes, to be filled and written.
    #[must_use]
    pub fn new(media_type: &str, port: u16, protocol: &str, formats: Vec<String>) -> Self {
        Self {
            media_type: media_type.to_owned(),
            port,
            ports: 1,
            protocol: protocol.to_owned(),
            formats,
            level: Level::default(),
            rtpmaps: Vec::new(),
            fmtps: Vec::new(),
            rtcp: None,
            rtcp_mux: false,
            ssrcs: Vec::new(),
            srtp_authentication: None,
            roc_tx_rate: None,
            crypto: Vec::new(),
        }
    }

    /// What it carries.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let is = |text: &str| self.protocol.eq_ignore_ascii_case(text);
        let format = |text: &str| self.formats.iter().any(|f| f.eq_ignore_ascii_case(text));
        if is("RTP/SAVP") || is("RTP/SAVPF") {
            Kind::Rtp { protected: true }
        } else if is("RTP/AVP") || is("RTP/AVPF") {
            Kind::Rtp { protected: false }
        } else if is("udp") && (format("TBCP") || format("MBCP")) {
            Kind::BurstControl
        } else if is("udp") && format("vnd.oma.bcast.stkm") {
            Kind::KeyStream
        } else {
            Kind::Other
        }
    }

    fn from_parsed(parsed: sdp_types::Media) -> Result<Self, Error> {
        let formats = parsed.fmt.split_ascii_whitespace().map(str::to_owned).collect();
        let mut medium = Self::new(&parsed.media, parsed.port, &parsed.proto, formats);
        medium.ports = parsed.num_ports.unwrap_or(1);
        medium.level.connections(&parsed.connections)?;
        medium.level.bandwidths = bandwidths(&parsed.bandwidths);
        for line in parsed.attributes {
            medium.read(Attribute::from_parsed(line))?;
        }
        Ok(medium)
    }

    fn read(&mut self, line: Attribute) -> Result<(), Error> {
        match line.name.as_str() {
            "rtpmap" => {
                let (payload_type, encoding) = line.pair()?;
                self.rtpmaps.push((line.number(payload_type)?, encoding.to_owned()));
            }
            "fmtp" => {
                let (format, parameters) = line.pair()?;
                self.fmtps.push((format.to_owned(), parameters.to_owned()));
            }
            "rtcp" => self.rtcp = Some(read_rtcp(&line)?),
            "rtcp-mux" => self.rtcp_mux = true,
            "ssrc" => self.read_ssrc(&line)?,
            "SRTPAuthentication" => {
                let method = line.number(line.value()?)?;
                if !(2..=4).contains(&method) {
                    return Err(line.bad("2, 3 and 4 are defined"));
                }
                self.srtp_authentication = Some(method);
            }
            "SRTPROCTxRate" => {
                let rate = line.number(line.value()?)?;
                if rate == 0 {
                    return Err(line.bad("1 to 65535 are defined"));
                }
                self.roc_tx_rate = Some(rate);
            }
            //= RFC 4568 §7.1.1: a suite that is not known makes its line, and no other, useless
            "crypto" => self.crypto.extend(Crypto::parse(line.value()?)?),
            _ => self.level.read(line)?,
        }
        Ok(())
    }

    fn read_ssrc(&mut self, line: &Attribute) -> Result<(), Error> {
        let (ssrc, what) = line.pair()?;
        let ssrc = Ssrc(line.number(ssrc)?);
        let cname = what.strip_prefix("cname:").map(str::to_owned);
        match self.ssrcs.iter_mut().find(|(known, _)| *known == ssrc) {
            Some((_, known)) => *known = cname.or_else(|| known.take()),
            None => self.ssrcs.push((ssrc, cname)),
        }
        Ok(())
    }
}

fn read_bcast_version(line: &Attribute) -> Result<(u32, u32), Error> {
    let version = line.value()?.split_once('.');
    let (major, minor) = version.ok_or_else(|| line.bad("it is written major.minor"))?;
    Ok((line.number(major)?, line.number(minor)?))
}

fn read_rtcp(line: &Attribute) -> Result<(u16, Option<IpAddr>), Error> {
    let rtcp: sdp_types::Rtcp = line.value()?.parse().map_err(|error| line.bad(error))?;
    let address = rtcp.try_address().transpose().map_err(|error| line.bad(error))?;
    Ok((rtcp.port, address.map(|address| address.ip)))
}

fn bandwidths(parsed: &[sdp_types::Bandwidth]) -> Vec<(String, u64)> {
    parsed.iter().map(|line| (line.bwtype.clone(), line.bandwidth)).collect()
}

fn invalid(what: impl std::fmt::Display) -> Error {
    Error::invalid(format!("session description: {what}"))
}
