//! Lines that may stand before the first `m=` line, for every medium, or below one of them.

use std::{fmt, net::IpAddr, str::FromStr};

use sdp_types::{AddrType, NetType, SourceFilter, SourceFilterAddrType, SourceFilterMode};

use super::{KeyMgmt, invalid};
use crate::error::Error;

/// The lines of one level, session or medium, that may stand at either.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Level {
    /// `c=`: where the datagrams are sent.
    pub connections: Vec<Connection>,
    /// `b=`: kind and value.
    pub bandwidths: Vec<(String, u64)>,
    /// `a=source-filter` (RFC 4570).
    pub filters: Vec<FilterLine>,
    /// `a=key-mgmt` (RFC 4567).
    pub key_mgmt: Vec<KeyMgmt>,
    /// `a=stkmstream`: key streams of BCAST (RFC 5159 §5.1).
    pub key_streams: Vec<u16>,
    /// `a=sendonly` and its sisters, from the view of who made the description.
    pub direction: Option<Direction>,
    /// `a=` lines kept as they are.
    pub attributes: Vec<Attribute>,
}

/// An address, or a run of consecutive ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Connection {
    /// The first address.
    pub address: IpAddr,
    /// TTL; always there for an IPv4 group, never for IPv6.
    pub ttl: Option<u8>,
    /// How many addresses, 1 or more.
    pub count: u8,
}

/// One source filter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FilterLine {
    /// Whether the senders are the wanted ones (`incl`) or the unwanted (`excl`).
    pub include: bool,
    /// Family of its addresses: IPv4 rather than IPv6.
    pub v4: bool,
    /// The group it is for; `None` for all of them (`*`).
    pub destination: Option<IpAddr>,
    /// The senders.
    pub sources: Vec<IpAddr>,
}

/// Who sends, from the view of who made the description.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The maker sends: `sendonly`.
    SendOnly,
    /// The maker receives: `recvonly`.
    RecvOnly,
    /// Both: `sendrecv`.
    SendRecv,
    /// Nobody: `inactive`.
    Inactive,
}

/// An `a=` line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attribute {
    /// What stands before the colon.
    pub name: String,
    /// What stands after it.
    pub value: Option<String>,
}

impl Level {
    pub(super) fn connections(&mut self, lines: &[sdp_types::Connection]) -> Result<(), Error> {
        self.connections = lines.iter().map(Connection::from_parsed).collect::<Result<_, _>>()?;
        Ok(())
    }

    pub(super) fn read(&mut self, line: Attribute) -> Result<(), Error> {
        match line.name.as_str() {
            "source-filter" => self.read_filter(&line)?,
            "key-mgmt" => self.key_mgmt.push(KeyMgmt::parse(line.value()?)?),
            "stkmstream" => {
                let stream = line.number(line.value()?)?;
                if stream == 0 {
                    return Err(line.bad("1 to 65535 name a stream"));
                }
                self.key_streams.push(stream);
            }
            name => match Direction::from_name(name) {
                Some(direction) => self.direction = Some(direction),
                None => self.attributes.push(line),
            },
        }
        Ok(())
    }

    fn read_filter(&mut self, line: &Attribute) -> Result<(), Error> {
        let filter = FilterLine::parse(line)?;
        let same =
            |known: &FilterLine| (known.destination, known.v4) == (filter.destination, filter.v4);
        //= RFC 4570 §3.1: one filter for a destination at each level
        if self.filters.iter().any(same) {
            return Err(line.bad("a second filter for the same destination; join them into one"));
        }
        self.filters.push(filter);
        Ok(())
    }
}

impl Connection {
    /// One address, with its TTL if it is an IPv4 group.
    #[must_use]
    pub const fn new(address: IpAddr, ttl: u8) -> Self {
        let ttl = if address.is_ipv4() && address.is_multicast() { Some(ttl) } else { None };
        Self { address, ttl, count: 1 }
    }

    /// The addresses, as far as they exist and are multicast.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let (first, count) = (self.address, self.count);
        (0..count).map_while(move |place| nth_after(first, place))
    }

    fn from_parsed(line: &sdp_types::Connection) -> Result<Self, Error> {
        let written = format!("c={} {} {}", line.nettype, line.addrtype, line.connection_address);
        let bad = |what: &dyn fmt::Display| invalid(format!("{written}: {what}"));
        if line.nettype != NetType::In {
            return Err(bad(&"network type is not IN"));
        }
        let v4 = match line.addrtype {
            AddrType::Ip4 => true,
            AddrType::Ip6 => false,
            AddrType::Other(_) => return Err(bad(&"address type is neither IP4 nor IP6")),
        };
        let parsed = line.try_address().map_err(|error| bad(&error))?;
        if parsed.ip.is_ipv4() != v4 {
            return Err(bad(&"the address is not of the type before it"));
        }
        let (multicast, count) = (parsed.ip.is_multicast(), parsed.count.unwrap_or(1));
        if v4 && multicast && parsed.ttl.is_none() {
            //= RFC 4566 §5.7: an IPv4 group has its TTL appended
            return Err(bad(&"no TTL; append one, as in 239.1.2.3/16"));
        }
        if !multicast && (parsed.ttl.is_some() || parsed.count.is_some()) {
            return Err(bad(&"only a group has a TTL or a count"));
        }
        let connection = Self { address: parsed.ip, ttl: parsed.ttl, count };
        if count == 0 || connection.addresses().count() != usize::from(count) {
            return Err(bad(&"there are not so many groups"));
        }
        Ok(connection)
    }
}

fn nth_after(first: IpAddr, place: u8) -> Option<IpAddr> {
    let address: IpAddr = match first {
        IpAddr::V4(first) => first.to_bits().checked_add(u32::from(place))?.to_be_bytes().into(),
        IpAddr::V6(first) => first.to_bits().checked_add(u128::from(place))?.to_be_bytes().into(),
    };
    (place == 0 || address.is_multicast()).then_some(address)
}

impl FilterLine {
    /// Whether it can be about this group.
    #[must_use]
    pub fn fits(&self, group: IpAddr) -> bool {
        self.v4 == group.is_ipv4() && self.destination.is_none_or(|address| address == group)
    }

    fn parse(line: &Attribute) -> Result<Self, Error> {
        let parsed: SourceFilter = line.value()?.parse().map_err(|error| line.bad(error))?;
        if parsed.nettype != NetType::In {
            return Err(line.bad("network type is not IN"));
        }
        let v4 = match parsed.addrtype {
            SourceFilterAddrType::Ip4 => true,
            SourceFilterAddrType::Ip6 => false,
            SourceFilterAddrType::Any => {
                return Err(line.bad("names of hosts are not looked up; give IP4 or IP6 addresses"));
            }
        };
        let address = |text: String| match text.parse::<IpAddr>() {
            Ok(address) if address.is_ipv4() == v4 => Ok(address),
            Ok(address) => Err(line.bad(format!("{address} is not of the address type before it"))),
            Err(_) => Err(line.bad(format!("{text} is no address; names are not looked up"))),
        };
        let destination = match parsed.destination {
            sdp_types::SourceFilterDestination::Wildcard => None,
            named @ sdp_types::SourceFilterDestination::Address(_) => {
                Some(address(named.to_string())?)
            }
        };
        let sources = parsed.sources.iter().map(|source| address(source.to_string()));
        Ok(Self {
            include: parsed.mode == SourceFilterMode::Incl,
            v4,
            destination,
            sources: sources.collect::<Result<_, _>>()?,
        })
    }
}

impl Direction {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::SendRecv => "sendrecv",
            Self::Inactive => "inactive",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let all = [Self::SendOnly, Self::RecvOnly, Self::SendRecv, Self::Inactive];
        all.into_iter().find(|direction| direction.name() == name)
    }
}

impl Attribute {
    /// A line with a value.
    #[must_use]
    pub fn new(name: &str, value: impl fmt::Display) -> Self {
        Self { name: name.to_owned(), value: Some(value.to_string()) }
    }

    /// A line that is a name alone.
    #[must_use]
    pub fn flag(name: &str) -> Self {
        Self { name: name.to_owned(), value: None }
    }

    pub(super) fn from_parsed(line: sdp_types::Attribute) -> Self {
        // RFC 4570 §3.2.5 prints `a=source-filter incl …`; the first colon may then be an address's.
        if let Some(start) = line.attribute.strip_prefix("source-filter ") {
            let rest = line.value.map_or_else(String::new, |rest| format!(":{rest}"));
            return Self::new("source-filter", format!("{start}{rest}"));
        }
        Self { name: line.attribute, value: line.value }
    }

    pub(super) fn value(&self) -> Result<&str, Error> {
        self.value.as_deref().ok_or_else(|| self.bad("no value"))
    }

    /// First word of the value, and the rest.
    pub(super) fn pair(&self) -> Result<(&str, &str), Error> {
        let pair = self.value()?.trim_start().split_once(' ');
        let (first, rest) = pair.ok_or_else(|| self.bad("a second word is missing"))?;
        Ok((first, rest.trim()))
    }

    pub(super) fn number<T: FromStr>(&self, text: &str) -> Result<T, Error> {
        let digits = text.trim();
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        let number = if plain { digits.parse().ok() } else { None };
        number.ok_or_else(|| self.bad(format!("{digits:?} is not a number of the range allowed")))
    }

    /// An error that shows the line. Not for lines with keys.
    pub(super) fn bad(&self, what: impl fmt::Display) -> Error {
        let value = self.value.as_ref().map_or_else(String::new, |value| format!(":{value}"));
        invalid(format!("a={}{value}: {what}", self.name))
    }
}
