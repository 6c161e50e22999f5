//! Descriptions as text.

use std::{fmt, net::IpAddr};

use super::{Attribute, Connection, Description, FilterLine, Level, Medium, Origin};

impl fmt::Display for Description {
    /// Writes the text, with the line ends of RFC 4566. Keys of `a=crypto` lines are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.trim().is_empty() { "-" } else { self.name.trim() };
        let mut session = sdp_types::Session::new(self.origin.to_parsed(), name);
        session.connection = self.session.connections.first().map(Connection::line);
        session.bandwidths = bandwidths(&self.session);
        if let Some((major, minor)) = self.bcast_version {
            session.attributes.push(line("bcastversion", format!("{major}.{minor}")));
        }
        self.session.write(&mut session.attributes);
        session.medias = self.media.iter().map(Medium::to_parsed).collect();
        write!(f, "{session}")
    }
}

impl Origin {
    fn to_parsed(&self) -> sdp_types::Origin {
        // A blank would shift every field after it.
        let username: String = self.username.split_whitespace().collect();
        let mut origin =
            sdp_types::Origin::with_ip_addr(self.session_id, self.version, self.address);
        origin.username = (!username.is_empty() && username != "-").then_some(username);
        origin
    }
}

impl Level {
    fn write(&self, attributes: &mut Vec<sdp_types::Attribute>) {
        attributes.extend(self.direction.map(|direction| flag(direction.name())));
        let filters = self.filters.iter().map(|filter| line("source-filter", filter.value()));
        attributes.extend(filters);
        attributes.extend(self.key_mgmt.iter().map(|key| line("key-mgmt", key.value())));
        attributes.extend(self.key_streams.iter().map(|stream| line("stkmstream", stream)));
        attributes.extend(self.attributes.iter().map(Attribute::to_parsed));
    }
}

impl Medium {
    fn to_parsed(&self) -> sdp_types::Media {
        let mut attributes = Vec::new();
        let mut put = |name: &str, value: String| attributes.push(line(name, value));
        for (payload_type, encoding) in &self.rtpmaps {
            put("rtpmap", format!("{payload_type} {encoding}"));
        }
        for (format, parameters) in &self.fmtps {
            put("fmtp", format!("{format} {parameters}"));
        }
        if let Some((port, address)) = self.rtcp {
            put("rtcp", address.map_or_else(|| port.to_string(), |a| format!("{port} {}", net(a))));
        }
        for (ssrc, cname) in &self.ssrcs {
            // The attribute needs a word after the number, and `cname` a value.
            let cname = cname.as_deref().unwrap_or("-");
            put("ssrc", format!("{} cname:{cname}", ssrc.0));
        }
        if let Some(method) = self.srtp_authentication {
            put("SRTPAuthentication", method.to_string());
        }
        if let Some(rate) = self.roc_tx_rate {
            put("SRTPROCTxRate", rate.to_string());
        }
        if self.rtcp_mux {
            attributes.push(flag("rtcp-mux"));
        }
        self.level.write(&mut attributes);
        sdp_types::Media {
            media: self.media_type.clone(),
            port: self.port,
            num_ports: (self.ports != 1).then_some(self.ports),
            proto: self.protocol.clone(),
            fmt: self.formats.join(" "),
            media_title: None,
            connections: self.level.connections.iter().map(Connection::line).collect(),
            bandwidths: bandwidths(&self.level),
            key: None,
            attributes,
        }
    }
}

impl Connection {
    fn line(&self) -> sdp_types::Connection {
        let mut address = self.address.to_string();
        if let Some(ttl) = self.ttl {
            address.push_str(&format!("/{ttl}"));
        }
        if self.count != 1 {
            address.push_str(&format!("/{}", self.count));
        }
        let (nettype, addrtype) = (sdp_types::NetType::In, self.address.into());
        sdp_types::Connection { nettype, addrtype, connection_address: address }
    }
}

impl FilterLine {
    /// With the blank that RFC 4570 prints after the colon.
    fn value(&self) -> String {
        let mode = if self.include { "incl" } else { "excl" };
        let family = if self.v4 { "IP4" } else { "IP6" };
        let group = self.destination.map_or_else(|| "*".to_owned(), |group| group.to_string());
        let mut value = format!(" {mode} IN {family} {group}");
        for source in &self.sources {
            value.push_str(&format!(" {source}"));
        }
        value
    }
}

impl Attribute {
    fn to_parsed(&self) -> sdp_types::Attribute {
        sdp_types::Attribute { attribute: self.name.clone(), value: self.value.clone() }
    }
}

fn bandwidths(level: &Level) -> Vec<sdp_types::Bandwidth> {
    let lines = level.bandwidths.iter();
    lines
        .map(|(kind, value)| sdp_types::Bandwidth { bwtype: kind.clone(), bandwidth: *value })
        .collect()
}

fn net(address: IpAddr) -> String {
    format!("IN {} {address}", if address.is_ipv4() { "IP4" } else { "IP6" })
}

fn line(name: &str, value: impl fmt::Display) -> sdp_types::Attribute {
    Attribute::new(name, value).to_parsed()
}

fn flag(name: &str) -> sdp_types::Attribute {
    Attribute::flag(name).to_parsed()
}
