//! Many datagrams in one system call, into memory laid out once.
//!
//! An [`Arena`] belongs to a lane. Its slots, and the headers that tell the kernel about them, are
//! set up when it is made; [`Arena::receive`] is one `recvmmsg` and allocates nothing.

#![expect(unsafe_code, reason = "recvmmsg and sendmmsg take pointers to pointers")]

use std::{
    io, mem,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    ptr::{self, NonNull},
    slice,
};

use libc::{c_uint, c_void, iovec, mmsghdr, socklen_t};

use super::{
    Reader, Received,
    control::{Control, Told},
    name::Name,
};

/// Slots to receive into, and the last batch received.
///
/// Slots start a fixed number of octets before a cache line, so that the payload after a plain RTP
/// header starts on one; their distance is an odd number of lines, so that equal places of different
/// datagrams do not compete for the same few sets of the first-level cache.
#[derive(Debug)]
pub struct Arena {
    headers: Pinned<mmsghdr>,
    // The headers point into these three, and each iovec into a slot.
    names: Pinned<Name>,
    controls: Pinned<Control>,
    _iovecs: Pinned<iovec>,
    lines: Pinned<Line>,
    lines_per_slot: usize,
    filled: usize,
    /// Whether the headers offer room for control messages.
    offers_control: bool,
}

// SAFETY: the pointers lead to memory that the arena alone owns; nothing is tied to a thread.
unsafe impl Send for Arena {}

impl Arena {
    /// Datagrams in a batch by default.
    pub const SLOTS: usize = 64;
    /// Octets of a slot by default: more than an Ethernet frame.
    pub const SLOT_LEN: usize = 2048;

    /// Slots of the arena that [`Arena::for_merged`] makes.
    pub const MERGED_SLOTS: usize = 16;

    /// An arena for sockets that merge datagrams ([`ReceiveOptions::gro`]): fewer slots, each as long
    /// as the longest that the kernel merges. Takes 1 MiB.
    ///
    /// [`ReceiveOptions::gro`]: super::ReceiveOptions::gro
    #[must_use]
    pub fn for_merged() -> Self {
        Self::new(Self::MERGED_SLOTS, MAX_DATAGRAM)
    }

    /// An arena for batches of `slots` datagrams (1 to 1024) of up to `slot_len` octets (1 to 65535).
    #[must_use]
    pub fn new(slots: usize, slot_len: usize) -> Self {
        let slots = slots.clamp(1, MAX_SLOTS);
        let slot_len = slot_len.clamp(1, MAX_DATAGRAM);
        let lines_per_slot = (HEADROOM + slot_len).div_ceil(LINE) | 1;

        let lines = Pinned::new(vec![Line([0; LINE]); slots * lines_per_slot]);
        let names = Pinned::new(vec![Name::EMPTY; slots]);
        let controls = Pinned::new(vec![Control::EMPTY; slots]);
        let iovecs = Pinned::from_fn(slots, |slot| iovec {
            // SAFETY: line `slot * lines_per_slot` exists, and the slot has `HEADROOM` octets and more.
            iov_base: unsafe {
                lines.first().add(slot * lines_per_slot).cast::<u8>().add(HEADROOM).cast()
            },
            iov_len: slot_len,
        });
        let headers = Pinned::from_fn(slots, |slot| {
            let mut header = empty_header();
            // SAFETY: `names`, `controls` and `iovecs` have `slots` entries.
            unsafe {
                header.msg_hdr.msg_name = names.first().add(slot).cast();
                header.msg_hdr.msg_control = controls.first().add(slot).cast();
                header.msg_hdr.msg_iov = iovecs.first().add(slot);
            }
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_namelen = Name::LEN as socklen_t; // 28
            header
        });
        Self {
            headers,
            names,
            controls,
            _iovecs: iovecs,
            lines,
            lines_per_slot,
            filled: 0,
            offers_control: false,
        }
    }

    /// How many slots a full batch takes.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.headers.as_slice().len()
    }

    /// Takes what the socket has, up to a batch; 0 if it has nothing. Never waits.
    ///
    /// The datagrams of the batch before are overwritten.
    ///
    /// # Errors
    /// The system's answer, except that a call interrupted by a signal is repeated.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.fill(socket, false)
    }

    /// The same with what a [`Reader`] tells beside the datagrams, if it tells anything: about 50 ns a
    /// datagram then. Returns the slots filled; one slot may hold several datagrams.
    ///
    /// # Errors
    /// As [`Arena::receive`].
    pub fn receive_from(&mut self, reader: &Reader) -> io::Result<usize> {
        self.fill(reader.udp(), reader.tells())
    }

    fn fill(&mut self, socket: &UdpSocket, offer_control: bool) -> io::Result<usize> {
        // The kernel has overwritten the lengths in those headers that it used.
        let stale = if self.offers_control == offer_control { self.filled } else { self.slots() };
        self.offers_control = offer_control;
        let control_len = if offer_control { Control::LEN } else { 0 };
        for header in self.headers.as_mut_slice().iter_mut().take(stale) {
            header.msg_hdr.msg_namelen = Name::LEN as socklen_t; // 28
            header.msg_hdr.msg_controllen = control_len as _; // at most 96
        }
        self.filled = 0;
        let room = self.slots() as c_uint; // at most 1024
        let (flags, forever) = (libc::MSG_DONTWAIT, ptr::null_mut());
        loop {
            // SAFETY: every header points to a name of Name::LEN octets, to control room of which it
            // offers Control::LEN octets or none, and to one iovec, which describes a slot of this
            // arena. No reference leads to any of them, because `self` is borrowed mutably. All of it
            // outlives the call.
            let count = unsafe {
                libc::recvmmsg(socket.as_raw_fd(), self.headers.first(), room, flags, forever)
            };
            if let Ok(count) = usize::try_from(count) {
                self.filled = count;
                return Ok(count);
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(0),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
    }

    /// The datagrams of the last batch, each with its own octets, so that all can be held at once.
    pub fn datagrams(&mut self) -> Datagrams<'_> {
        let lines = self.lines.as_mut_slice();
        // SAFETY: a line is 64 octets without padding, so that the slice of lines is one of octets.
        let bytes = unsafe {
            slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<u8>(), size_of_val(lines))
        };
        let filled = self.headers.as_slice().get(..self.filled).unwrap_or_default();
        Datagrams {
            headers: filled.iter(),
            names: self.names.as_slice().iter(),
            controls: self.controls.as_slice().iter(),
            open: None,
            slots: bytes.chunks_exact_mut(self.lines_per_slot * LINE),
        }
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new(Self::SLOTS, Self::SLOT_LEN)
    }
}

/// Iterator over the last batch: [`Arena::datagrams`].
pub struct Datagrams<'a> {
    headers: slice::Iter<'a, mmsghdr>,
    names: slice::Iter<'a, Name>,
    controls: slice::Iter<'a, Control>,
    slots: slice::ChunksExactMut<'a, u8>,
    /// What is left of a slot with several datagrams.
    open: Option<Slot<'a>>,
}

/// A slot that was filled.
struct Slot<'a> {
    bytes: &'a mut [u8],
    source: SocketAddr,
    told: Told,
    truncated: bool,
}

impl<'a> Datagrams<'a> {
    #[inline]
    fn next_slot(&mut self) -> Option<Slot<'a>> {
        let (header, name, slot) = (self.headers.next()?, self.names.next()?, self.slots.next()?);
        let control = self.controls.next()?;
        let (len, header) = (header.msg_len as usize, &header.msg_hdr); // 32 bits fit
        #[allow(clippy::unnecessary_cast, reason = "the type depends on the C library")]
        let told = match header.msg_controllen as usize {
            0 => Told::default(),
            len => control.read(len),
        };
        Some(Slot {
            bytes: slot.get_mut(HEADROOM..HEADROOM + len)?,
            source: name.to_addr(),
            told,
            truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        })
    }
}

impl<'a> Iterator for Datagrams<'a> {
    type Item = Received<'a>;

    #[inline]
    fn next(&mut self) -> Option<Received<'a>> {
        let slot = match self.open.take() {
            Some(slot) => slot,
            None => self.next_slot()?,
        };
        let Slot { bytes, source, told, truncated } = slot;
        let Told { destination, drops, segment } = told;
        let bytes = match segment {
            Some(segment) if segment < bytes.len() => {
                let (first, rest) = bytes.split_at_mut(segment);
                self.open = Some(Slot { bytes: rest, source, told, truncated });
                first
            }
            _ => bytes,
        };
        // Of merged datagrams, only the last one's end can be missing.
        let truncated = truncated && self.open.is_none();
        Some(Received { bytes, source, destination, drops, truncated })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.headers.len() + usize::from(self.open.is_some()), None)
    }
}

impl std::fmt::Debug for Datagrams<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Datagrams({} slots left)", self.headers.len())
    }
}

/// Sends datagrams in order, up to 64 in a system call, without allocating; returns how many were
/// sent. Fewer than all means that the next one was refused: sending it again tells why.
///
/// # Errors
/// The system's answer, if not even the first could be sent.
pub fn send_batch(socket: &UdpSocket, datagrams: &[(&[u8], SocketAddr)]) -> io::Result<usize> {
    let mut sent = 0;
    for chunk in datagrams.chunks(Arena::SLOTS) {
        match send_chunk(socket, chunk) {
            Ok(count) => sent += count,
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break,
        }
        if sent % Arena::SLOTS != 0 {
            break;
        }
    }
    Ok(sent)
}

fn send_chunk(socket: &UdpSocket, chunk: &[(&[u8], SocketAddr)]) -> io::Result<usize> {
    let mut names = [Name::EMPTY; Arena::SLOTS];
    let mut iovecs = [iovec { iov_base: ptr::null_mut(), iov_len: 0 }; Arena::SLOTS];
    let mut headers = [empty_header(); Arena::SLOTS];
    let parts = names.iter_mut().zip(&mut iovecs).zip(&mut headers);
    for (((name, iov), header), (bytes, to)) in parts.zip(chunk) {
        *name = Name::from_addr(*to);
        // The kernel only reads what a send describes, so that the cast away from const is harmless.
        iov.iov_base = bytes.as_ptr().cast_mut().cast::<c_void>();
        iov.iov_len = bytes.len();
        header.msg_hdr.msg_name = ptr::from_mut(name).cast();
        header.msg_hdr.msg_namelen = name.len();
        header.msg_hdr.msg_iov = iov;
        header.msg_hdr.msg_iovlen = 1;
    }
    let count = chunk.len().min(Arena::SLOTS) as c_uint; // at most 64
    loop {
        // SAFETY: the first `count` headers point to names and iovecs on this stack frame, and those
        // to the caller's octets, which the kernel reads.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
        if let Ok(sent) = usize::try_from(sent) {
            return Ok(sent);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Octets of a slot before the datagram: a 12-octet RTP header then ends with a cache line.
const HEADROOM: usize = LINE - 12;
const LINE: usize = 64;
const MAX_SLOTS: usize = 1024; // what the kernel takes in one call
const MAX_DATAGRAM: usize = 0xffff;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

const fn empty_header() -> mmsghdr {
    // SAFETY: null pointers, zero lengths and no flags make a valid header.
    unsafe { mem::zeroed() }
}

/// A slice that stays where it is, held by a raw pointer so that C structures may point into it.
#[derive(Debug)]
struct Pinned<T>(NonNull<[T]>);

impl<T> Pinned<T> {
    fn new(items: Vec<T>) -> Self {
        Self(NonNull::from(Box::leak(items.into_boxed_slice())))
    }

    fn from_fn(len: usize, item: impl FnMut(usize) -> T) -> Self {
        Self::new((0..len).map(item).collect())
    }

    const fn first(&self) -> *mut T {
        self.0.as_ptr().cast()
    }

    const fn as_slice(&self) -> &[T] {
        // SAFETY: made from a box in `new`; writes from outside happen under `&mut Arena` only.
        unsafe { self.0.as_ref() }
    }

    const fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a leaked box in `new` and is given back once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpSocket, SocketAddr) {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        (receiver, sender, to)
    }

    #[test]
    fn payload_after_a_plain_header_starts_a_cache_line() {
        let (receiver, sender, to) = pair();
        let mut arena = Arena::new(4, 100);
        assert_eq!(arena.lines_per_slot, 3);
        for _ in 0..4 {
            sender.send_to(&[0x80; 100], to).unwrap();
        }
        assert_eq!(arena.receive(&receiver).unwrap(), 4);
        for datagram in arena.datagrams() {
            assert_eq!(datagram.bytes[12..].as_ptr().align_offset(LINE), 0);
            assert_eq!(datagram.bytes.len(), 100);
        }
    }

    #[test]
    fn more_than_a_batch_comes_in_several_and_in_order() {
        let (receiver, sender, to) = pair();
        let mut arena = Arena::default();
        let payloads: Vec<[u8; 2]> = (0..150u16).map(u16::to_be_bytes).collect();
        let batch: Vec<_> = payloads.iter().map(|p| (p.as_slice(), to)).collect();
        assert_eq!(send_batch(&sender, &batch).unwrap(), 150);
        let (mut sizes, mut seen) = (Vec::new(), Vec::new());
        loop {
            sizes.push(arena.receive(&receiver).unwrap());
            if sizes.last() == Some(&0) {
                break;
            }
            seen.extend(arena.datagrams().map(|d| {
                assert_eq!((d.source, d.truncated), (sender.local_addr().unwrap(), false));
                <[u8; 2]>::try_from(&*d.bytes).unwrap()
            }));
        }
        assert_eq!(sizes, [64, 64, 22, 0]);
        assert_eq!(seen, payloads);
        assert!(arena.datagrams().next().is_none());
    }

    #[test]
    fn a_datagram_longer_than_its_slot_is_marked_and_hurts_no_other() {
        let (receiver, sender, to) = pair();
        let mut arena = Arena::new(3, 64);
        for len in [64, 65, 0] {
            sender.send_to(&[0x5a; 65][..len], to).unwrap();
        }
        arena.receive(&receiver).unwrap();
        let all: Vec<_> = arena.datagrams().collect();
        let seen: Vec<_> = all.iter().map(|d| (d.bytes.len(), d.truncated)).collect();
        assert_eq!(seen, [(64, false), (64, true), (0, false)]);
    }

    #[test]
    fn a_refused_datagram_stops_the_batch_and_the_next_call_tells_why() {
        let (_receiver, sender, to) = pair();
        let huge = vec![0; MAX_DATAGRAM];
        let batch = [(&b"fits"[..], to), (&huge[..], to)];
        assert_eq!(send_batch(&sender, &batch).unwrap(), 1);
        let error = send_batch(&sender, &batch[1..]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    }

    #[test]
    fn a_moved_arena_still_receives() {
        let (receiver, sender, to) = pair();
        let arena = Arena::new(1, 8);
        let mut moved = std::thread::spawn(move || Box::new(arena)).join().unwrap();
        sender.send_to(b"here", to).unwrap();
        assert_eq!(moved.receive(&receiver).unwrap(), 1);
        assert_eq!(moved.datagrams().next().unwrap().bytes, b"here");
    }
}
