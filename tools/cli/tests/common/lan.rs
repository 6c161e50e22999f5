//! A bridge in this network namespace, and hosts with namespaces of their own on it.

use std::{
    fs,
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The bridge, and this namespace's address on it.
pub(crate) struct Lan(());

/// A namespace with one interface on the bridge, which lives as long as this does.
pub(crate) struct Host {
    pub(crate) address: Ipv4Addr,
    /// A process that does nothing but be in the namespace.
    holder: Child,
}

impl Lan {
    /// This namespace's address.
    pub(crate) const HUB: Ipv4Addr = Ipv4Addr::new(10, 23, 0, 1);

    /// Makes the bridge, in a namespace that is the test's own.
    ///
    /// # Errors
    /// The system has no bridges, or no `ip`.
    pub(crate) fn new() -> Result<Self, String> {
        for line in [
            // It floods multicast, as a network for it would.
            "link add br0 address 02:00:00:00:00:01 type bridge mcast_snooping 0".to_owned(),
            format!("addr add {}/24 dev br0", Self::HUB),
            "link set br0 up".to_owned(),
            "route add 224.0.0.0/4 dev br0".to_owned(),
        ] {
            complete(Command::new("ip").args(line.split(' ')))?;
        }
        Ok(Self(()))
    }

    /// A host with the address that ends in this number, which is above 1.
    pub(crate) fn host(&self, number: u8) -> Host {
        let [a, b, c, _] = Self::HUB.octets();
        let holder = Command::new("unshare")
            .args(["--net", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn();
        let host = Host { address: [a, b, c, number].into(), holder: holder.unwrap() };
        host.wait_for_namespace();
        let (port, pid) = (host.port(), host.holder.id());
        for line in [
            format!("link add {port} type veth peer name eth0 netns {pid}"),
            format!("link set {port} master br0 up"),
        ] {
            complete(Command::new("ip").args(line.split(' '))).unwrap();
        }
        for line in [
            "link set lo up".to_owned(),
            format!("addr add {}/24 dev eth0", host.address),
            "link set eth0 up".to_owned(),
            "route add 224.0.0.0/4 dev eth0".to_owned(),
        ] {
            complete(host.command("ip").args(line.split(' '))).unwrap();
        }
        host
    }
}

impl Host {
    /// A command that will run on this host.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg(program);
        command
    }

    /// Unplugs the host from the network, or plugs it in again.
    pub(crate) fn plug(&self, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        complete(Command::new("ip").args(["link", "set", &self.port(), state])).unwrap();
    }

    /// Its interface at the bridge.
    fn port(&self) -> String {
        format!("port{}", self.address.octets()[3])
    }

    /// `unshare` is there before it has made the namespace.
    fn wait_for_namespace(&self) {
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).unwrap();
        let (own, holder) = (of("self"), self.holder.id().to_string());
        let start = Instant::now();
        while of(&holder) == own {
            assert!(start.elapsed() < Duration::from_secs(20), "unshare makes no namespace");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

fn complete(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}
