//! From what a person calls an interface to what system calls want: its number and addresses.

use std::net::{IpAddr, Ipv4Addr};

#[cfg(unix)]
use super::ifaddrs as list;
use crate::{error::Error, group::Interface};

/// An interface that exists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResolvedInterface {
    /// The system's number; 0 lets routing choose.
    pub index: u32,
    /// Its name, unless routing chooses.
    pub name: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// One line of the system's list of interfaces.
#[derive(Debug)]
pub(super) struct InterfaceAddress {
    pub(super) name: String,
    pub(super) address: Option<IpAddr>,
}

impl ResolvedInterface {
    /// Looks the interface up. An index can change while a name stays: look up at every join.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the interfaces there are; [`Error::Io`] if the list cannot be read.
    pub fn find(wanted: &Interface) -> Result<Self, Error> {
        if *wanted == Interface::Any {
            return Ok(Self { index: 0, name: None, addresses: Vec::new() });
        }
        let lines = list::interface_addresses()
            .map_err(|error| Error::io("cannot list the network interfaces", error))?;
        let name = match wanted {
            Interface::Any => None,
            Interface::Name(name) => Some(name.clone()),
            Interface::Addr(addr) => {
                lines.iter().find(|line| line.address == Some(*addr)).map(|line| line.name.clone())
            }
            Interface::Index(index) => list::interface_name(*index).ok(),
        };
        let found = name.and_then(|name| Some((list::interface_index(&name).ok()?, name)));
        let Some((index, name)) = found else {
            return Err(unknown(wanted, &lines));
        };
        let own = lines.iter().filter(|line| line.name == name).filter_map(|line| line.address);
        Ok(Self { index, addresses: own.collect(), name: Some(name) })
    }

    /// The address to send IPv4 multicast from: the one asked for, or the interface's first.
    pub(super) fn source_v4(&self, wanted: &Interface) -> Option<Ipv4Addr> {
        let v4 = |addr: &IpAddr| match addr {
            IpAddr::V4(addr) => Some(*addr),
            IpAddr::V6(_) => None,
        };
        match wanted {
            Interface::Addr(IpAddr::V4(addr)) => Some(*addr),
            _ => self.addresses.iter().find_map(v4),
        }
    }

    /// The name for messages to people.
    pub(super) fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| "the interface that routing chooses".to_owned())
    }
}

/// Without a list of interfaces, only [`Interface::Any`] and numbers can be used.
#[cfg(not(unix))]
mod list {
    use std::io;

    pub(super) fn interface_addresses() -> io::Result<Vec<super::InterfaceAddress>> {
        Ok(Vec::new())
    }

    pub(super) fn interface_index(name: &str) -> io::Result<u32> {
        name.parse().map_err(|_| io::ErrorKind::NotFound.into())
    }

    pub(super) fn interface_name(index: u32) -> io::Result<String> {
        Ok(index.to_string())
    }
}

fn unknown(wanted: &Interface, lines: &[InterfaceAddress]) -> Error {
    let mut there = Vec::new();
    for line in lines {
        if there.last() != Some(&line.name) && !there.contains(&line.name) {
            there.push(line.name.clone());
        }
    }
    let described: Vec<_> = there
        .iter()
        .map(|name| {
            let own = lines.iter().filter(|line| line.name == *name);
            let own: Vec<_> = own.filter_map(|line| Some(line.address?.to_string())).collect();
            if own.is_empty() { name.clone() } else { format!("{name} ({})", own.join(", ")) }
        })
        .collect();
    let what = match wanted {
        Interface::Addr(addr) => format!("no interface has the address {addr}"),
        Interface::Index(index) => format!("there is no interface number {index}"),
        Interface::Name(_) | Interface::Any => format!("there is no interface \"{wanted}\""),
    };
    Error::invalid(format!("{what}; this host has {}", described.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_by_name_address_and_number() {
        let by_name = ResolvedInterface::find(&Interface::name("lo")).unwrap();
        let by_addr =
            ResolvedInterface::find(&Interface::Addr(Ipv4Addr::LOCALHOST.into())).unwrap();
        let by_index = ResolvedInterface::find(&Interface::Index(by_name.index)).unwrap();
        assert_eq!(by_name, by_addr);
        assert_eq!(by_name, by_index);
        assert_eq!(by_name.source_v4(&Interface::name("lo")), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(ResolvedInterface::find(&Interface::Any).unwrap().index, 0);
    }

    #[test]
    fn unknown_interface_lists_those_that_exist() {
        for wanted in ["nosuch0", "203.0.113.77", "99999"] {
            let wanted: Interface = wanted.parse().unwrap();
            let text = ResolvedInterface::find(&wanted).unwrap_err().to_string();
            assert!(text.contains(&wanted.to_string()) && text.contains("lo (127.0.0.1"), "{text}");
        }
    }

    #[test]
    fn a_name_with_a_nul_is_unknown_too() {
        assert!(ResolvedInterface::find(&Interface::name("lo\0")).is_err());
    }
}
