//! The system's list of network interfaces, as safe functions.

#![expect(unsafe_code, reason = "the list is a C interface")]

use std::{
    ffi::{CStr, CString},
    io,
    net::IpAddr,
    ptr,
};

use super::interface::InterfaceAddress;

/// Number of an interface, by name.
pub(super) fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: `name` is a C string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Name of an interface, by number.
pub(super) fn interface_name(index: u32) -> io::Result<String> {
    let mut name = [0u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the IF_NAMESIZE octets that the function may write.
    if unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) }.is_null() {
        return Err(io::Error::last_os_error());
    }
    let name = CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
    Ok(name.to_string_lossy().into_owned())
}

/// Every interface with each of its addresses; one without address appears once.
pub(super) fn interface_addresses() -> io::Result<Vec<InterfaceAddress>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: the function stores one pointer.
    if unsafe { libc::getifaddrs(&raw mut list) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut entry = list;
    // SAFETY: every entry of the list, and the name and address it points to, are valid until
    // `freeifaddrs`; the last one's `ifa_next` is null. An address of family AF_INET or AF_INET6
    // has the size of that family's structure.
    unsafe {
        while let Some(this) = entry.as_ref() {
            let name = CStr::from_ptr(this.ifa_name).to_string_lossy().into_owned();
            let address = match this.ifa_addr.as_ref().map(|a| i32::from(a.sa_family)) {
                Some(libc::AF_INET) => {
                    let addr = this.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned();
                    Some(IpAddr::from(addr.sin_addr.s_addr.to_ne_bytes()))
                }
                Some(libc::AF_INET6) => {
                    let addr = this.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned();
                    Some(IpAddr::from(addr.sin6_addr.s6_addr))
                }
                _ => None,
            };
            found.push(InterfaceAddress { name, address });
            entry = this.ifa_next;
        }
        libc::freeifaddrs(list);
    }
    Ok(found)
}
