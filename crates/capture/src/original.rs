//! Where a redirected connection was going.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use socket2::SockRef;

/// The address that the peer of an accepted connection had connected to, before the redirection (`SO_ORIGINAL_DST`).
/// A connection that came directly gives the listener's own address. v4-mapped addresses are folded to IPv4.
///
/// # Errors
/// What the system said: the kernel does not track the connection, so it was not redirected.
pub fn original_destination(stream: &impl AsFd) -> io::Result<SocketAddr> {
    let socket = SockRef::from(stream);
    let here = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
    // An IPv6 socket that holds an IPv4 connection is tracked as the IPv4 connection that it is.
    let original = if here.ip().to_canonical().is_ipv4() {
        socket.original_dst_v4()?
    } else {
        socket.original_dst_v6()?
    };
    let original = original.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok(SocketAddr::new(original.ip().to_canonical(), original.port()))
}
