//! Every socket of a gateway: which groups use it, on which lane, and on which interface.
//!
//! Kept by the threads that join, leave and follow interfaces; lanes hold [`Reader`]s and never come
//! here.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use tracing::{info, warn};

use crate::{
    error::Error,
    group::{Interface, SocketSpec, SourceFilter},
    ids::GroupId,
    net::{Reader, ReceiveOptions, ReceiveSocket, ResolvedInterface, is_full},
};

/// The sockets of all lanes.
#[derive(Debug, Default)]
pub(super) struct SocketTable {
    list: Vec<Entry>,
    /// Where key messages come by unicast: if the address is unspecified, a socket that groups share on
    /// that port would take them.
    key_address: Option<SocketAddr>,
    /// Interfaces that are known to be gone, so that each is told of once.
    lost: BTreeSet<String>,
    /// Kinds of sockets that have been looked at: interface, IPv4, by sender, buffer. The others would
    /// say the same, and looking reads files that grow with the groups.
    looked_at: BTreeSet<(String, bool, bool, usize)>,
    /// What has been warned of.
    warned: BTreeSet<String>,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    socket: ReceiveSocket,
    users: Vec<(GroupId, IpAddr)>,
    /// The system takes no further group here.
    full: bool,
}

/// What sockets must have in common for a group to be on any of them.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Kind {
    lane: usize,
    port: u16,
    v4: bool,
    interface: Interface,
    options: ReceiveOptions,
}

/// What following the interfaces has led to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Followed {
    /// Interfaces found to be gone.
    pub(super) lost: u64,
    /// Groups joined again, counted by address and port.
    pub(super) rejoined: u64,
}

impl SocketTable {
    pub(super) fn new(key_address: Option<SocketAddr>) -> Self {
        Self { key_address, ..Self::default() }
    }

    /// Joins one address and port of a group on a lane: on a socket of its own while there are few, else
    /// on one that it shares. The lane has to be given the reader.
    ///
    /// # Errors
    /// As [`ReceiveSocket::open`]; nothing is joined then.
    pub(super) fn join(
        &mut self,
        lane: usize,
        group: GroupId,
        spec: &SocketSpec,
        interface: &Interface,
        options: &ReceiveOptions,
    ) -> Result<Reader, Error> {
        let (port, v4) = (spec.port, spec.group.is_ipv4());
        let kind = Kind { lane, port, v4, interface: interface.clone(), options: *options };
        let user = (group, spec.group);
        let room = options.room(spec.group);
        let own = self.list.iter().filter(|entry| entry.kind == kind && !entry.is_shared()).count();
        if room < 2 || own < options.own_sockets || self.is_key_port(port) {
            let socket = ReceiveSocket::open(spec, interface, options)?;
            return Ok(self.add(kind, socket, user));
        }
        let mut filled = Vec::new();
        for (place, entry) in self.list.iter_mut().enumerate() {
            if entry.kind != kind || !entry.takes(spec.group, room) {
                continue;
            }
            match entry.socket.join(spec.group, &spec.sources, interface) {
                Ok(()) => {
                    entry.users.push(user);
                    return Ok(self.look_at(place));
                }
                // A limit of this socket; another may help.
                Err(error) if is_full(&error) => {
                    entry.full = true;
                    filled.push(place);
                }
                Err(error) => return Err(error),
            }
        }
        let mut socket = ReceiveSocket::bind_shared(spec.group, port, options)?;
        if let Err(error) = socket.join(spec.group, &spec.sources, interface) {
            // It was the group's fault, then, not that of the sockets before.
            filled.into_iter().for_each(|place| self.list[place].full = false);
            return Err(error);
        }
        self.warn_of_many(&kind, room);
        Ok(self.add(kind, socket, user))
    }

    /// Leaves everything that a group has joined, and closes the sockets that nobody else uses as soon
    /// as their lane has let go.
    pub(super) fn leave(&mut self, group: GroupId) {
        self.list.retain_mut(|Entry { socket, users, full, .. }| {
            let before = users.len();
            users.retain(|(user, address)| {
                let leaves = *user == group;
                if leaves {
                    // Gone with its interface, perhaps.
                    let _gone = socket.leave(*address);
                }
                !leaves
            });
            *full &= users.len() == before;
            !users.is_empty()
        });
    }

    /// Sockets open, and how many of them are for several groups.
    pub(super) fn count(&self) -> (usize, usize) {
        let shared = self.list.iter().filter(|entry| entry.is_shared());
        (self.list.len(), shared.count())
    }

    /// Whether an interface is gone that groups are to be joined on.
    pub(super) fn waits(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Looks whether the interfaces are still those that the groups were joined on, and joins again
    /// where they are not. `deleted` are numbers of interfaces that have gone meanwhile.
    pub(super) fn follow(&mut self, deleted: &[u32]) -> Followed {
        let mut wanted: Vec<Interface> = Vec::new();
        for Entry { kind, socket, .. } in &mut self.list {
            deleted.iter().for_each(|index| socket.lose(*index));
            if !wanted.contains(&kind.interface) {
                wanted.push(kind.interface.clone());
            }
        }
        // One that no group is on any more is not waited for.
        self.lost.retain(|name| wanted.iter().any(|interface| interface.to_string() == *name));
        let mut followed = Followed::default();
        for interface in wanted {
            let name = interface.to_string();
            let (groups, failure) = self.follow_one(&interface);
            followed.rejoined += groups;
            if let Some(error) = failure {
                if self.lost.insert(name) {
                    followed.lost += 1;
                    warn!(%interface, %error, "interface is gone; its groups will be joined again");
                }
            } else if self.lost.remove(&name) || groups > 0 {
                info!(%interface, groups, "interface is back; its groups are joined again");
            }
        }
        followed
    }

    fn follow_one(&mut self, interface: &Interface) -> (u64, Option<Error>) {
        let found = match ResolvedInterface::find(interface) {
            Ok(found) => found,
            Err(error) => return (0, Some(error)),
        };
        let (mut groups, mut failure) = (0, None);
        for entry in self.list.iter_mut().filter(|entry| entry.kind.interface == *interface) {
            failure = entry.socket.follow(&found, &mut groups).err().or(failure);
        }
        (groups, failure)
    }

    fn add(&mut self, kind: Kind, socket: ReceiveSocket, user: (GroupId, IpAddr)) -> Reader {
        self.list.push(Entry { kind, socket, users: vec![user], full: false });
        self.look_at(self.list.len() - 1)
    }

    /// Warns of what the system says about a socket.
    fn look_at(&mut self, place: usize) -> Reader {
        let Entry { kind, socket, .. } = &self.list[place];
        let named = |(_, filter): (_, &SourceFilter)| matches!(filter, SourceFilter::Include(_));
        let specific = socket.memberships().any(named);
        let looked_at = (kind.interface.to_string(), kind.v4, specific, kind.options.buffer);
        if self.looked_at.insert(looked_at) {
            for warning in socket.facts().warnings() {
                if self.warned.insert(warning.clone()) {
                    warn!("{warning}");
                }
            }
        }
        self.list[place].socket.reader()
    }

    /// Warns once where a low limit makes for many sockets.
    fn warn_of_many(&mut self, kind: &Kind, room: usize) {
        let shared = self.list.iter().filter(|entry| entry.kind == *kind && entry.is_shared());
        let wanted = kind.options.groups_per_socket.min(ReceiveOptions::MAX_GROUPS_PER_SOCKET);
        if shared.count() < MANY || room >= wanted {
            return;
        }
        let warning = format!(
            "more than {MANY} sockets of {room} groups each on one port: fewer cost less; raise \
             net.ipv4.igmp_max_memberships to {wanted}"
        );
        if self.warned.insert(warning.clone()) {
            warn!("{warning}");
        }
    }

    fn is_key_port(&self, port: u16) -> bool {
        self.key_address.is_some_and(|key| key.ip().is_unspecified() && key.port() == port)
    }
}

impl Entry {
    fn is_shared(&self) -> bool {
        self.socket.reader().is_shared()
    }

    /// Whether a further group has room; its address must be new here, to be told apart.
    fn takes(&self, group: IpAddr, room: usize) -> bool {
        let known = |(_, address): &(GroupId, IpAddr)| *address == group;
        self.is_shared() && !self.full && self.users.len() < room && !self.users.iter().any(known)
    }
}

/// Sockets that share a port before a low limit is warned of.
const MANY: usize = 8;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    struct World {
        table: SocketTable,
        options: ReceiveOptions,
        port: u16,
    }

    impl World {
        fn new(own_sockets: usize, groups_per_socket: usize) -> Self {
            let port = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
            let options = ReceiveOptions::default().with_buffer(8 << 10);
            let options = options.with_sharing(own_sockets, groups_per_socket);
            Self { table: SocketTable::default(), options, port }
        }

        fn join(&mut self, lane: usize, group: u32, address: [u8; 4]) -> Result<Reader, Error> {
            let spec = SocketSpec::new(address.into(), self.port);
            self.table.join(lane, GroupId(group), &spec, &Interface::name("lo"), &self.options)
        }
    }

    #[test]
    fn the_first_groups_have_their_own_sockets_and_the_others_share() {
        let mut world = World::new(3, 5);
        for n in 0..3 {
            assert!(!world.join(0, n, [239, 255, 69, n as u8]).unwrap().is_shared());
        }
        for n in 3..14 {
            assert!(world.join(0, n, [239, 255, 69, n as u8]).unwrap().is_shared());
        }
        assert_eq!(world.table.count(), (3 + 3, 3));
        // A lane never reads from a socket of another.
        for n in 14..20 {
            world.join(1, n, [239, 255, 69, n as u8]).unwrap();
        }
        assert_eq!(world.table.count(), (3 + 3 + 3 + 1, 3 + 1));
    }

    #[test]
    fn a_group_left_makes_room_and_the_last_one_closes_the_socket() {
        let mut world = World::new(0, 4);
        for n in 0..8 {
            world.join(0, n, [239, 255, 70, n as u8]).unwrap();
        }
        assert_eq!(world.table.count(), (2, 2));
        world.table.leave(GroupId(2));
        world.join(0, 8, [239, 255, 70, 8]).unwrap();
        assert_eq!(world.table.count(), (2, 2));
        for n in [0, 1, 3] {
            world.table.leave(GroupId(n));
        }
        assert_eq!(world.table.count(), (2, 2));
        world.table.leave(GroupId(8));
        assert_eq!(world.table.count(), (1, 1));
    }

    #[test]
    fn one_address_twice_is_on_two_sockets() {
        let mut world = World::new(0, 100);
        let first = world.join(0, 0, [239, 255, 71, 1]).unwrap();
        let second = world.join(0, 1, [239, 255, 71, 1]).unwrap();
        assert!(!first.is(&second));
        assert!(world.join(0, 2, [239, 255, 71, 2]).unwrap().is(&first));
    }

    #[test]
    fn a_socket_that_the_system_calls_full_is_followed_by_another() {
        let mut world = World::new(0, 100);
        // More senders than a group may have: the group's fault, whatever the socket.
        world.join(0, 0, [239, 255, 72, 1]).unwrap();
        let senders = (1..250).map(|n| IpAddr::from([127, 0, 3, n])).collect();
        let spec = SocketSpec::new([232, 255, 72, 2].into(), world.port)
            .with_sources(SourceFilter::Include(senders));
        let lo = Interface::name("lo");
        let refused = world.table.join(0, GroupId(1), &spec, &lo, &world.options);
        assert!(refused.unwrap_err().to_string().contains("igmp_max_msf"));
        assert_eq!(world.table.count(), (1, 1));
        world.join(0, 1, [239, 255, 72, 3]).unwrap();
        assert_eq!(world.table.count(), (1, 1));
    }

    #[test]
    fn key_messages_by_unicast_are_not_taken_by_groups_on_their_port() {
        let mut world = World::new(0, 100);
        world.table = SocketTable::new(Some(SocketAddr::from(([0, 0, 0, 0], world.port))));
        assert!(!world.join(0, 0, [239, 255, 73, 1]).unwrap().is_shared());
        world.table = SocketTable::new(Some(SocketAddr::from(([127, 0, 0, 1], world.port))));
        assert!(world.join(0, 0, [239, 255, 73, 1]).unwrap().is_shared());
    }

    #[test]
    fn nothing_is_lost_or_joined_again_while_the_interfaces_stay() {
        let mut world = World::new(1, 100);
        (0..3).for_each(|n| drop(world.join(0, n, [239, 255, 74, n as u8]).unwrap()));
        assert_eq!(world.table.follow(&[4_000_000]), Followed::default());
        let lo = ResolvedInterface::find(&Interface::name("lo")).unwrap().index;
        assert_eq!(world.table.follow(&[lo]), Followed { lost: 0, rejoined: 3 });
        assert!(!world.table.waits());
    }
}
