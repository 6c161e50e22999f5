//! Runs a test again in a network namespace of its own, where it may change routes and settings, or
//! lacks every right. Needs `unshare` of util-linux and a kernel that lets users make namespaces.

use std::{
    env,
    ffi::OsStr,
    net::{Ipv6Addr, UdpSocket},
    os::fd::AsRawFd,
    process::{Command, Stdio},
};

/// Set in the second process.
pub(crate) const INSIDE: &str = "MCAST_SRTP_PRIVATE_NET";

/// Runs `body` in a namespace of its own, in a second process that runs this test alone. `test` is
/// the test's own name. With rights, the process owns the namespace and finds a loopback interface
/// ready; without, it may change nothing. Returns whether it could run: if not, the reason is printed.
pub(crate) fn run(test: &str, with_rights: bool, body: impl FnOnce()) -> bool {
    if env::var_os(INSIDE).is_some() {
        if with_rights {
            prepare_loopback();
        }
        body();
        return true;
    }
    let user = if with_rights { "--map-user=0" } else { "--map-user=65534" };
    let unshare = |program: &OsStr| {
        let mut command = Command::new("unshare");
        command.args(["--user", user, "--net"]).arg(program).env(INSIDE, "1");
        command
    };
    let possible = unshare("true".as_ref()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("{test}: this host makes no network namespace (unshare --user --net)");
        return false;
    }
    let this = env::current_exe().expect("a test knows its program");
    let inside = unshare(this.as_os_str())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .output()
        .expect("unshare ran a moment ago");
    let output = String::from_utf8_lossy(&inside.stdout).into_owned()
        + &String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && output.contains("1 passed"), "{output}");
    true
}

/// A new namespace has its loopback interface down and no IPv6 multicast route on it.
fn prepare_loopback() {
    let socket = UdpSocket::bind("[::]:0").expect("IPv6 exists");
    let fd = socket.as_raw_fd();
    let route = RouteRequest {
        destination: Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).octets(),
        source: [0; 16],
        gateway: [0; 16],
        kind: libc::RTN_LOCAL.into(),
        destination_bits: 8,
        source_bits: 0,
        metric: 1,
        info: 0,
        flags: u32::from(libc::RTF_UP) | libc::RTF_LOCAL,
        interface: 1,
    };
    // SAFETY: all zeros is a valid `ifreq`; both requests read their structure during the call only.
    unsafe {
        let mut up: libc::ifreq = std::mem::zeroed();
        up.ifr_name[0] = b'l' as _;
        up.ifr_name[1] = b'o' as _;
        up.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_LOOPBACK) as _;
        assert_eq!(libc::ioctl(fd, libc::SIOCSIFFLAGS, &raw const up), 0, "lo up");
        assert_eq!(libc::ioctl(fd, libc::SIOCADDRT, &raw const route), 0, "route on lo");
    }
}

/// `struct in6_rtmsg` of the kernel.
#[repr(C)]
struct RouteRequest {
    destination: [u8; 16],
    source: [u8; 16],
    gateway: [u8; 16],
    kind: u32,
    destination_bits: u16,
    source_bits: u16,
    metric: u32,
    info: libc::c_ulong,
    flags: u32,
    interface: i32,
}
