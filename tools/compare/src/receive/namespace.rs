//! Two network namespaces and the wire between them.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{INTERFACE, RECEIVER, SENDER};

/// A virtual Ethernet from this namespace to another one, which lives as long as this does.
pub(super) struct Wire {
    /// A process that does nothing but be in the other namespace.
    holder: Child,
}

impl Wire {
    pub(super) fn new() -> Result<Self, String> {
        let holder = Command::new("unshare")
            .args(["--net", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .map_err(|e| format!("cannot run unshare: {e}"))?;
        let wire = Self { holder };
        wire.wait_for_namespace()?;
        let pid = wire.holder.id().to_string();
        let there = |address| format!("{address}/24");
        for line in [
            "link set lo up".to_owned(),
            format!("link add veth-a type veth peer name {INTERFACE} netns {pid}"),
            format!("addr add {} dev veth-a", there(SENDER)),
            "link set veth-a up".to_owned(),
            "route add 224.0.0.0/4 dev veth-a".to_owned(),
        ] {
            complete(Command::new("ip").args(line.split(' ')))?;
        }
        for line in [
            "link set lo up".to_owned(),
            format!("addr add {} dev {INTERFACE}", there(RECEIVER)),
            format!("link set {INTERFACE} up"),
            format!("route add 224.0.0.0/4 dev {INTERFACE}"),
        ] {
            complete(wire.command("ip").args(line.split(' ')))?;
        }
        Ok(wire)
    }

    /// A command that will run at the other end.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg(program);
        command
    }

    /// The sockets at the other end with this UDP port: octets that wait, datagrams dropped.
    pub(super) fn socket(&self, port: u16) -> Option<(u64, u64)> {
        let text = fs::read_to_string(format!("/proc/{}/net/udp", self.holder.id())).ok()?;
        let port = format!(":{port:04X}");
        let line = text.lines().find(|line| {
            line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&port))
        })?;
        let fields: Vec<_> = line.split_whitespace().collect();
        let (_, waiting) = fields.get(4)?.split_once(':')?;
        Some((u64::from_str_radix(waiting, 16).ok()?, fields.last()?.parse().ok()?))
    }

    /// `unshare` is there before it has made the namespace.
    fn wait_for_namespace(&self) -> Result<(), String> {
        let link = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
        let (own, pid) = (link("self").map_err(|e| e.to_string())?, self.holder.id().to_string());
        until("the second namespace", || link(&pid).is_ok_and(|theirs| theirs != own))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Waits for something that takes milliseconds.
pub(super) fn until(what: &str, mut reached: impl FnMut() -> bool) -> Result<(), String> {
    let start = Instant::now();
    while !reached() {
        if start.elapsed() > PATIENCE {
            return Err(format!("{what} did not come about within {} s", PATIENCE.as_secs()));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn complete(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{shown}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
