//! Who listens to heartbeats and beacons, and writes down when which host sent one; or sends one.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use clap::Args;
use serde_json::json;
use sys::boottime;

/// Where to listen.
#[derive(Debug, Clone, Copy, Args)]
pub struct EarArgs {
    /// The multicast group.
    pub multicast: SocketAddrV4,
    /// This host's address.
    pub interface: Ipv4Addr,
    /// Send one datagram instead.
    #[arg(long)]
    pub call: bool,
}

/// Writes lines as those of the programs' JSON logs, until nobody reads them.
///
/// # Errors
/// The group cannot be joined, or not be sent to.
pub fn listen(args: EarArgs) -> io::Result<()> {
    if args.call {
        // From this address, and so from its interface.
        let socket = UdpSocket::bind((args.interface, 0))?;
        return socket.send_to(b"here", args.multicast).map(drop);
    }
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, args.multicast.port()))?;
    socket.join_multicast_v4(args.multicast.ip(), &args.interface)?;
    let mut datagram = [0; 2048];
    loop {
        let (_, from) = socket.recv_from(&mut datagram)?;
        let at = boottime().as_secs_f64();
        let fields = json!({ "message": HEARD, "from": from.ip().to_string() });
        let line = json!({ "boottime": at, "level": "INFO", "fields": fields });
        writeln!(io::stderr(), "{line}")?;
    }
}

/// The word for a datagram.
pub(crate) const HEARD: &str = "heard";
