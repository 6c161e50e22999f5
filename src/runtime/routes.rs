//! From the destination of a datagram to its port, on a socket that groups share.

use std::{net::IpAddr, sync::Arc};

use crate::{
    ids::GroupId,
    rx::{GroupCounters, PortId},
};

/// The ports at one socket. Looked up for every datagram, changed when a group is joined or left.
#[derive(Debug)]
pub(super) struct Routes {
    /// In order of address, each address once.
    list: Vec<Route>,
    /// Every datagram belongs to the only port: the socket is bound to its address.
    single: bool,
}

#[derive(Debug)]
struct Route {
    address: u128,
    port: PortId,
    group: GroupId,
    counters: Arc<GroupCounters>,
}

impl Routes {
    /// No ports yet, at a socket that groups share or at one of a single group.
    pub(super) const fn new(shared: bool) -> Self {
        Self { list: Vec::new(), single: !shared }
    }

    pub(super) fn add(
        &mut self,
        address: IpAddr,
        port: PortId,
        group: GroupId,
        counters: Arc<GroupCounters>,
    ) {
        let address = number(address);
        let place = self.list.partition_point(|route| route.address < address);
        self.list.insert(place, Route { address, port, group, counters });
    }

    /// Takes a group's ports off, and hands each to `gone`.
    pub(super) fn remove(&mut self, group: GroupId, mut gone: impl FnMut(PortId)) {
        self.list.retain(|route| {
            let stays = route.group != group;
            if !stays {
                gone(route.port);
            }
            stays
        });
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The port of a datagram; `None` if it was sent to no group here. `near` is where the one before
    /// was found: datagrams of a group come in runs.
    #[inline]
    pub(super) fn find(&self, destination: Option<IpAddr>, near: &mut usize) -> Option<PortId> {
        if self.single {
            return self.list.first().map(|route| route.port);
        }
        let address = number(destination?);
        let guess = self.list.get(*near).filter(|route| route.address == address);
        if let Some(route) = guess {
            return Some(route.port);
        }
        *near = self.list.binary_search_by_key(&address, |route| route.address).ok()?;
        self.list.get(*near).map(|route| route.port)
    }

    /// Counts drops of the socket for every group that uses it: the system does not say whose they were.
    pub(super) fn count_drops(&self, drops: u64) {
        for (place, route) in self.list.iter().enumerate() {
            let counted = self.list.iter().take(place).any(|other| other.group == route.group);
            if !counted {
                route.counters.socket_drops.add(drops);
            }
        }
    }
}

/// An address as a number. The addresses at a socket are all of one family.
#[inline]
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([239, 1, 1, n])
    }

    #[test]
    fn every_destination_leads_to_its_port_and_others_to_none() {
        let mut routes = Routes::new(true);
        let counters = Arc::<GroupCounters>::default();
        for n in [7, 3, 9, 5, 1] {
            routes.add(
                address(n),
                PortId(n.into()),
                GroupId(u32::from(n % 4)),
                Arc::clone(&counters),
            );
        }
        let mut near = 0;
        for n in 0..=10 {
            let expected = [1, 3, 5, 7, 9].contains(&n).then(|| PortId(n.into()));
            for _ in 0..2 {
                assert_eq!(routes.find(Some(address(n)), &mut near), expected);
            }
        }
        assert_eq!(routes.find(None, &mut near), None);
        let mut gone = Vec::new();
        routes.remove(GroupId(1), |port| gone.push(port.0));
        assert_eq!(gone, [1, 5, 9]);
        assert_eq!(routes.find(Some(address(5)), &mut near), None);
        routes.remove(GroupId(3), |_| ());
        assert!(routes.is_empty());
    }

    #[test]
    fn a_socket_of_a_single_group_needs_no_destination() {
        let mut routes = Routes::new(false);
        assert_eq!(routes.find(None, &mut 0), None);
        routes.add(address(1), PortId(4), GroupId(0), Arc::default());
        assert_eq!(routes.find(None, &mut 0), Some(PortId(4)));
    }

    #[test]
    fn drops_count_once_for_a_group_with_several_addresses() {
        let mut routes = Routes::new(true);
        let (twice, once) = (Arc::<GroupCounters>::default(), Arc::<GroupCounters>::default());
        routes.add(address(1), PortId(0), GroupId(0), Arc::clone(&twice));
        routes.add(address(2), PortId(1), GroupId(1), Arc::clone(&once));
        routes.add(address(3), PortId(2), GroupId(0), Arc::clone(&twice));
        routes.count_drops(5);
        assert_eq!((twice.socket_drops.value(), once.socket_drops.value()), (5, 5));
    }
}
