//! The least that receives 64 datagrams in a system call: no addresses, no layout, nothing looked at
//! but lengths. What everything else is measured against; the bench `lane` uses it too.

#![expect(unsafe_code, reason = "recvmmsg and nothing else")]

use std::{io, mem, net::UdpSocket, os::fd::AsRawFd, ptr};

/// Memory for a batch and its description for the kernel.
pub(crate) struct Bare {
    headers: Vec<libc::mmsghdr>,
    // The headers point to these, and they into the slots.
    _parts: Vec<libc::iovec>,
    _slots: Vec<[u8; 2048]>,
}

impl Bare {
    pub(crate) const BATCH: usize = 64;

    pub(crate) fn new() -> Self {
        let mut slots = vec![[0; 2048]; Self::BATCH];
        let part = |slot: &mut [u8; 2048]| libc::iovec {
            iov_base: slot.as_mut_ptr().cast(),
            iov_len: slot.len(),
        };
        let mut parts: Vec<_> = slots.iter_mut().map(part).collect();
        let header = |part: &mut libc::iovec| {
            // SAFETY: all zeros is a header without address, buffers and control data.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header
        };
        Self { headers: parts.iter_mut().map(header).collect(), _parts: parts, _slots: slots }
    }

    /// Takes what the socket has; tells datagrams and octets. Never waits.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<(usize, u64)> {
        // SAFETY: each header points to one buffer of this value, which is borrowed mutably.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                Self::BATCH as libc::c_uint, // 64
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok((0, 0)) } else { Err(error) };
        };
        let octets = self.headers[..count].iter().map(|header| u64::from(header.msg_len)).sum();
        Ok((count, octets))
    }
}
