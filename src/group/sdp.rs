//! Groups from session descriptions, and descriptions of groups.

use std::net::IpAddr;

use super::{Codec, GroupSpec, Interface, MediaKind, MediaSpec, RtcpPlace, SourceFilter};
use crate::{
    error::Error,
    srtp::{Profile, Rcc, RccMode},
    wire::{
        mikey::Message,
        sdp::{Connection, Crypto, Description, FilterLine, KeyMgmt, Kind, Level, Medium, Origin},
    },
};

/// Most media a description may make, counting those written as a run of ports or addresses.
const MAX_MEDIA: usize = 256;

impl GroupSpec {
    /// Reads a session description.
    ///
    /// ```
    /// use mcast_srtp::group::{GroupSpec, Interface};
    ///
    /// let spec = GroupSpec::from_sdp(
    ///     "v=0\r\no=poc 1 1 IN IP4 192.0.2.10\r\ns=Group 17\r\nt=0 0\r\n\
    ///      c=IN IP4 232.10.0.17/16\r\n\
    ///      a=source-filter: incl IN IP4 232.10.0.17 192.0.2.10\r\n\
    ///      m=audio 49170 RTP/SAVP 97\r\n\
    ///      m=application 49172 udp TBCP\r\n",
    ///     Interface::name("eth1"),
    /// )?;
    /// assert_eq!((spec.name.as_str(), spec.media.len()), ("Group 17", 2));
    /// # Ok::<(), mcast_srtp::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the line, or what [`GroupSpec::validate`] finds.
    pub fn from_sdp(text: &str, interface: Interface) -> Result<Self, Error> {
        Self::from_description(&Description::parse(text)?, interface)
    }

    /// Makes a group of a description already read.
    ///
    /// Media that carry neither RTP, burst control nor key messages are passed over.
    ///
    /// # Errors
    /// As [`GroupSpec::from_sdp`].
    pub fn from_description(from: &Description, interface: Interface) -> Result<Self, Error> {
        let mut spec = Self::new(from.name.trim(), interface);
        read_keys(from, &mut spec)?;
        for medium in &from.media {
            let in_line = |error: Error| invalid(medium, error);
            let media = read_medium(from, medium).map_err(in_line)?;
            spec.media.extend(media);
            if spec.media.len() > MAX_MEDIA {
                return Err(invalid(medium, format!("more than {MAX_MEDIA} media so far")));
            }
        }
        if spec.media.is_empty() {
            return Err(Error::invalid(
                "session description: no medium to join; wanted is an m= line with RTP/SAVP, \
                 RTP/AVP, udp TBCP or udp MBCP",
            ));
        }
        if spec.media.iter().any(|media| media.kind == MediaKind::KeyMessages) {
            spec.mikey_port = None;
        }
        spec.validate()?;
        Ok(spec)
    }

    /// Writes a session description, with `a=key-mgmt:mikey` for each key message (RFC 4567): what
    /// the key server sends to one client.
    ///
    /// # Errors
    /// As [`GroupSpec::to_description`].
    pub fn to_sdp(&self, origin: Origin) -> Result<String, Error> {
        Ok(self.to_description(origin)?.to_string())
    }

    /// Makes a description, to which lines may be added before it is written.
    ///
    /// The interface, the key domain and the profile have no place in it. A port of MTK messages
    /// other than [`GroupSpec::MIKEY_PORT`] becomes a key stream of BCAST.
    ///
    /// # Errors
    /// What [`GroupSpec::validate`] finds, or RTP without a payload type.
    pub fn to_description(&self, origin: Origin) -> Result<Description, Error> {
        self.validate()?;
        let mut to = Description::new(origin, &self.name);
        to.session.key_mgmt = self.key_messages.iter().cloned().map(KeyMgmt::mikey).collect();
        let mut media = self.media.clone();
        if let Some(port) = self.mikey_port.filter(|port| *port != Self::MIKEY_PORT) {
            for one in &self.media {
                let stream = MediaSpec::key_messages(one.group, port).with_ttl(one.ttl);
                let stream = stream.with_sources(one.sources.clone());
                if !media.contains(&stream) {
                    media.push(stream);
                }
            }
        }
        for one in &media {
            to.media.push(write_medium(one)?);
        }
        hoist(&mut to);
        Ok(to)
    }
}

/// The profile that an `a=crypto` line stands for, with the MKI length of its keys.
///
/// # Errors
/// [`Error::Invalid`] where the parameters contradict the suite.
pub fn profile_of(line: &Crypto) -> Result<Profile, Error> {
    let mki_len = line.keys.first().map_or(0, |key| key.mki.as_bytes().len());
    let mki_len = u8::try_from(mki_len).unwrap_or(u8::MAX); // at most 128
    let mut profile = Profile::of_suite(line.suite)?.with_mki_len(mki_len).with_kdr(line.kdr);
    let weakened = !(line.encrypt_srtp && line.encrypt_srtcp && line.authenticate_srtp);
    if profile.cipher.is_aead() && weakened {
        //= RFC 7714 §14.2: the parameters that switch a half off do not go with AEAD
        return Err(Error::invalid(format!(
            "session description: a=crypto: {} cannot go without encryption or authentication",
            line.suite
        )));
    }
    profile.encrypt_srtp &= line.encrypt_srtp;
    profile.encrypt_srtcp &= line.encrypt_srtcp;
    if !line.authenticate_srtp {
        profile.srtp_tag_len = 0;
    }
    profile.validate()?;
    Ok(profile)
}

fn read_keys(from: &Description, spec: &mut GroupSpec) -> Result<(), Error> {
    let levels = std::iter::once(&from.session).chain(from.media.iter().map(|m| &m.level));
    for lines in levels.map(|level| level.key_mgmt.as_slice()).filter(|lines| !lines.is_empty()) {
        //= RFC 4567 §4.1.2: one protocol of each level is used; if none can be, the whole fails
        let mut offered: Vec<_> = lines.iter().map(|line| line.protocol.as_str()).collect();
        offered.dedup();
        let mikey = lines.iter().filter(|line| line.is_mikey());
        if !lines.iter().any(KeyMgmt::is_mikey) {
            return Err(Error::invalid(format!(
                "session description: a=key-mgmt offers {}; only mikey is supported",
                offered.join(" and ")
            )));
        }
        let offered = offered.join(";");
        for line in mikey {
            message_lists_the_protocols_offered(&line.data, &offered)?;
            if !spec.key_messages.contains(&line.data) {
                spec.key_messages.push(line.data.clone());
            }
        }
        spec.key_protocols.get_or_insert(offered);
    }
    Ok(())
}

/// A list of protocols in a MIKEY message is the one of the description it came with. The MAC, checked
/// later, covers the list; nothing protects the description, from which a better protocol could
/// have been taken away.
//= RFC 4567 §4.1.4, §7: a mismatch should be refused; a message need not list any
fn message_lists_the_protocols_offered(message: &[u8], offered: &str) -> Result<(), Error> {
    match Message::parse(message).ok().and_then(|message| message.sdp_ids()) {
        Some(listed) if listed != offered.as_bytes() => Err(Error::invalid(format!(
            "session description: a=key-mgmt offers {offered}, the MIKEY message under it lists {}: \
             somebody has changed the description, or it is not this message's",
            String::from_utf8_lossy(listed)
        ))),
        _ => Ok(()),
    }
}

fn read_medium(from: &Description, medium: &Medium) -> Result<Vec<MediaSpec>, Error> {
    let kind = medium.kind();
    if kind == Kind::Other {
        return Ok(Vec::new());
    }
    let mut read = Vec::new();
    for (place, (group, ttl, port)) in places(from, medium)?.into_iter().enumerate() {
        let mut one = match kind {
            Kind::Rtp { .. } => MediaSpec::rtp(group, port).with_rtcp(read_rtcp(
                from,
                medium,
                port,
                u16::try_from(place).unwrap_or(u16::MAX), // at most 255
            )),
            Kind::KeyStream => MediaSpec::key_messages(group, port),
            Kind::BurstControl | Kind::Other => MediaSpec::burst(group, port),
        };
        one.media_type.clone_from(&medium.media_type);
        one.ttl = ttl;
        one.sources = from.filter_of(medium, group).map_or(SourceFilter::Any, read_filter);
        one.ssrcs = medium.ssrcs.iter().map(|(ssrc, _)| *ssrc).collect();
        one.rcc = read_rcc(medium);
        match one.kind {
            MediaKind::Rtp { .. } => read_formats(medium, &mut one)?,
            MediaKind::BurstControl => one.parameters = read_parameters(medium),
            MediaKind::KeyMessages => {}
        }
        read.push(one);
    }
    Ok(read)
}

/// Group, TTL and port of each flow that an `m=` line stands for.
fn places(from: &Description, medium: &Medium) -> Result<Vec<(IpAddr, u8, u16)>, Error> {
    let groups: Vec<_> = from
        .connections_of(medium)
        .iter()
        .flat_map(|c| c.addresses().map(|group| (group, c.ttl.unwrap_or(MediaSpec::TTL))))
        .take(MAX_MEDIA + 1)
        .collect();
    if groups.is_empty() {
        return Err(Error::invalid("no c= line for it, at its level or the session's"));
    }
    if medium.port == 0 {
        return Err(Error::invalid("port 0 switches the medium off; give its UDP port"));
    }
    //= RFC 4566 §5.14: ports of RTP count in pairs, because RTCP has the odd ones
    let pairs = matches!(medium.kind(), Kind::Rtp { .. }) && !medium.rtcp_mux;
    let step = if pairs { 2 } else { 1 };
    let ports = (0..medium.ports).map(|place| medium.port.checked_add(place.checked_mul(step)?));
    let ports: Option<Vec<_>> = ports.take(MAX_MEDIA + 1).collect();
    let ports = ports.filter(|ports| !ports.is_empty());
    let ports = ports.ok_or_else(|| Error::invalid("there are not so many ports"))?;
    match (groups.as_slice(), ports.as_slice()) {
        (groups, [port]) => Ok(groups.iter().map(|(g, ttl)| (*g, *ttl, *port)).collect()),
        ([(g, ttl)], ports) => Ok(ports.iter().map(|port| (*g, *ttl, *port)).collect()),
        (groups, ports) if groups.len() == ports.len() => {
            Ok(groups.iter().zip(ports).map(|((g, ttl), port)| (*g, *ttl, *port)).collect())
        }
        _ => Err(Error::invalid(format!(
            "{} addresses do not go with {} ports",
            groups.len(),
            ports.len()
        ))),
    }
}

fn read_rtcp(from: &Description, medium: &Medium, port: u16, place: u16) -> RtcpPlace {
    let bandwidth = |kind: &str| {
        let find = |level: &Level| {
            level.bandwidths.iter().find(|(k, _)| k == kind).map(|(_, value)| *value)
        };
        find(&medium.level).or_else(|| find(&from.session))
    };
    match medium.rtcp {
        _ if medium.rtcp_mux => RtcpPlace::Mux,
        // A unicast address is where feedback goes; what a listener receives has the group's.
        Some((rtcp, address)) => {
            let rtcp = rtcp.checked_add(place.saturating_mul(2)).unwrap_or(0);
            RtcpPlace::Port(rtcp, address.filter(IpAddr::is_multicast))
        }
        //= RFC 3556 §2: no bandwidth for senders and receivers means no RTCP
        None if bandwidth("RS") == Some(0) && bandwidth("RR") == Some(0) => RtcpPlace::None,
        None => RtcpPlace::Port(port.checked_add(1).unwrap_or(0), None),
    }
}

fn read_filter(line: &FilterLine) -> SourceFilter {
    if line.include {
        SourceFilter::Include(line.sources.clone())
    } else {
        SourceFilter::Exclude(line.sources.clone())
    }
}

fn read_rcc(medium: &Medium) -> Option<Rcc> {
    let mode = match medium.srtp_authentication? {
        2 => RccMode::M1,
        3 => RccMode::M2,
        _ => RccMode::M3,
    };
    Some(Rcc { mode, rate: medium.roc_tx_rate.unwrap_or(1) })
}

fn read_formats(medium: &Medium, one: &mut MediaSpec) -> Result<(), Error> {
    for format in &medium.formats {
        let payload_type = format.parse().ok().filter(|t| *t <= 0x7f);
        let payload_type = payload_type
            .ok_or_else(|| Error::invalid(format!("{format:?} is no payload type, 0 to 127")))?;
        one.payload_types.push(payload_type);
        let Some((_, encoding)) = medium.rtpmaps.iter().find(|(t, _)| *t == payload_type) else {
            continue;
        };
        let parameters = medium.fmtps.iter().find(|(f, _)| f == format);
        one.codecs.push(Codec {
            payload_type,
            encoding: encoding.clone(),
            parameters: parameters.map(|(_, parameters)| parameters.clone()),
        });
    }
    Ok(())
}

/// Splits `queuing=1; tb_priority=2`, with or without blanks. Unknown names are kept.
fn read_parameters(medium: &Medium) -> Vec<(String, String)> {
    let lines = medium.fmtps.iter().flat_map(|(_, parameters)| parameters.split(';'));
    let words = lines.map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| word.split_once('=').unwrap_or((word, "")))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

fn write_medium(one: &MediaSpec) -> Result<Medium, Error> {
    let (protocol, formats) = match one.kind {
        MediaKind::Rtp { .. } if one.payload_types.is_empty() => {
            return Err(Error::invalid(format!(
                "{} port {}: a description names the payload types; add at least one",
                one.group, one.port
            )));
        }
        MediaKind::Rtp { .. } => {
            ("RTP/SAVP", one.payload_types.iter().map(u8::to_string).collect())
        }
        MediaKind::BurstControl => ("udp", vec!["TBCP".to_owned()]),
        MediaKind::KeyMessages => ("udp", vec!["vnd.oma.bcast.stkm".to_owned()]),
    };
    let mut to = Medium::new(&one.media_type, one.port, protocol, formats);
    to.level.connections.push(Connection::new(one.group, one.ttl));
    to.level.filters.extend(write_filter(one));
    for codec in &one.codecs {
        to.rtpmaps.push((codec.payload_type, codec.encoding.clone()));
        let parameters = codec.parameters.clone();
        to.fmtps.extend(parameters.map(|p| (codec.payload_type.to_string(), p)));
    }
    let parameters = one.parameters.iter().map(|(name, value)| match value.as_str() {
        "" => name.clone(),
        value => format!("{name}={value}"),
    });
    let parameters: Vec<_> = parameters.collect();
    if let MediaKind::BurstControl = one.kind
        && !parameters.is_empty()
    {
        to.fmtps.push(("TBCP".to_owned(), parameters.join("; ")));
    }
    to.ssrcs = one.ssrcs.iter().map(|ssrc| (*ssrc, None)).collect();
    if let Some(rcc) = one.rcc {
        to.srtp_authentication = Some(match rcc.mode {
            RccMode::M1 => 2,
            RccMode::M2 => 3,
            RccMode::M3 => 4,
        });
        to.roc_tx_rate = (rcc.rate != 1).then_some(rcc.rate);
    }
    match one.kind {
        MediaKind::Rtp { rtcp: RtcpPlace::Mux } => to.rtcp_mux = true,
        MediaKind::Rtp { rtcp: RtcpPlace::None } => {
            to.level.bandwidths = vec![("RS".to_owned(), 0), ("RR".to_owned(), 0)];
        }
        MediaKind::Rtp { rtcp: RtcpPlace::Port(port, group) }
            if group.is_some() || port.checked_sub(1) != Some(one.port) =>
        {
            to.rtcp = Some((port, group));
        }
        _ => {}
    }
    Ok(to)
}

fn write_filter(one: &MediaSpec) -> Option<FilterLine> {
    let include = match one.sources {
        SourceFilter::Any => return None,
        SourceFilter::Include(_) => true,
        SourceFilter::Exclude(_) => false,
    };
    let (v4, destination) = (one.group.is_ipv4(), Some(one.group));
    Some(FilterLine { include, v4, destination, sources: one.sources.addresses().to_vec() })
}

/// Moves connection and source filter to the session where all media agree.
fn hoist(to: &mut Description) {
    let Some(first) = to.media.first() else { return };
    let (connections, filters) = (first.level.connections.clone(), first.level.filters.clone());
    if to.media.iter().any(|m| m.level.connections != connections || m.level.filters != filters) {
        return;
    }
    for medium in &mut to.media {
        medium.level.connections.clear();
        medium.level.filters.clear();
    }
    to.session.connections = connections;
    to.session.filters = filters;
}

fn invalid(medium: &Medium, what: impl std::fmt::Display) -> Error {
    Error::invalid(format!(
        "session description: m={} {} {} {}: {what}",
        medium.media_type,
        medium.port,
        medium.protocol,
        medium.formats.join(" ")
    ))
}
