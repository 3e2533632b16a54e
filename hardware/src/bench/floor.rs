//! The floor: what a bridge between TCP and serial lines must cost at least.
//!
//! One thread, one epoll, one buffer; the devices stay open, a line has one client at a time and
//! the next one waits. It numbers nothing, keeps nothing, reports nothing. No program that does more
//! can be much cheaper, so the figures of all others are read against it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// What joins to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Where clients come to.
    pub listen: SocketAddr,
    /// The serial device.
    pub device: PathBuf,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (listen, device) = text.split_once('=').ok_or("give ADDR:PORT=DEVICE")?;
        let listen = listen.parse().map_err(|error| format!("{listen}: {error}"))?;
        Ok(Self { listen, device: device.into() })
    }
}

/// Copies until it is killed.
///
/// # Errors
/// A device or an address cannot be opened, or a device has gone.
pub fn run(pairs: &[Pair]) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let lanes = pairs.iter().zip(0..).map(|(pair, index)| Lane::open(pair, index, epoll.as_fd()));
    let mut lanes = lanes.collect::<io::Result<Vec<_>>>()?;
    let mut buf = vec![0; CHUNK];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let (index, end) = (event.data.u64() / ENDS, event.data.u64() % ENDS);
            let lane = &mut lanes[index as usize];
            match end {
                LISTENER => lane.accept()?,
                DEVICE => lane.device_is_ready(event.flags, &mut buf)?,
                _ => lane.client_is_ready(event.flags, &mut buf)?,
            }
            lane.set_interest(epoll.as_fd())?;
        }
    }
}

/// One line.
struct Lane {
    index: u64,
    listener: TcpListener,
    device: OwnedFd,
    client: Option<TcpStream>,
    /// What the device had no room for.
    to_line: Vec<u8>,
    /// What the client had no room for.
    from_line: Vec<u8>,
    /// What epoll was told last, of the listener, the device and the client.
    interest: [Option<EventFlags>; ENDS as usize],
}

impl Lane {
    fn open(pair: &Pair, index: u64, epoll: BorrowedFd<'_>) -> io::Result<Self> {
        let at =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", pair.listen));
        let listener = TcpListener::bind(pair.listen).map_err(at)?;
        listener.set_nonblocking(true)?;
        let mut lane = Self {
            index,
            listener,
            device: open_device(&pair.device)?,
            client: None,
            to_line: Vec::new(),
            from_line: Vec::new(),
            interest: [None; ENDS as usize],
        };
        lane.set_interest(epoll)?;
        Ok(lane)
    }

    fn accept(&mut self) -> io::Result<()> {
        match self.listener.accept() {
            Ok((client, _)) => {
                client.set_nonblocking(true)?;
                client.set_nodelay(true)?;
                self.client = Some(client);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn device_is_ready(&mut self, flags: EventFlags, buf: &mut [u8]) -> io::Result<()> {
        if flags.contains(EventFlags::OUT) {
            write_device(&self.device, &mut self.to_line)?;
        }
        let Some(client) = &mut self.client else { return Ok(()) };
        if !flags.intersects(EventFlags::IN | EventFlags::HUP) {
            return Ok(());
        }
        let count = match rustix::io::read(&self.device, &mut *buf) {
            Ok(count) => count,
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match client.write(&buf[..count]) {
            Ok(written) => self.from_line.extend_from_slice(&buf[written..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.from_line.extend_from_slice(&buf[..count]);
            }
            Err(_) => self.hang_up(),
        }
        Ok(())
    }

    fn client_is_ready(&mut self, flags: EventFlags, buf: &mut [u8]) -> io::Result<()> {
        let Some(client) = &mut self.client else { return Ok(()) };
        if flags.contains(EventFlags::OUT) && !self.from_line.is_empty() {
            match client.write(&self.from_line) {
                Ok(written) => drop(self.from_line.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.hang_up();
                    return Ok(());
                }
            }
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        match client.read(buf) {
            Ok(0) => self.hang_up(),
            Ok(count) => {
                let written = match rustix::io::write(&self.device, &buf[..count]) {
                    Ok(written) => written,
                    Err(Errno::AGAIN) => 0,
                    Err(error) => return Err(error.into()),
                };
                self.to_line.extend_from_slice(&buf[written..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.hang_up(),
        }
        Ok(())
    }

    fn hang_up(&mut self) {
        // Its descriptor leaves the epoll with it.
        self.client = None;
        self.interest[CLIENT as usize] = None;
        self.from_line.clear();
    }

    /// Asks for what can be used now. A direction whose far side is full is not read.
    fn set_interest(&mut self, epoll: BorrowedFd<'_>) -> io::Result<()> {
        let when = |condition, flag| if condition { flag } else { EventFlags::empty() };
        let (served, held) = (self.client.is_some(), !self.to_line.is_empty());
        let listener = when(!served, EventFlags::IN);
        let device =
            when(served && self.from_line.is_empty(), EventFlags::IN) | when(held, EventFlags::OUT);
        let client =
            when(!held, EventFlags::IN) | when(!self.from_line.is_empty(), EventFlags::OUT);
        let ends = [
            (LISTENER, Some(self.listener.as_fd()), listener),
            (DEVICE, Some(self.device.as_fd()), device),
            (CLIENT, self.client.as_ref().map(AsFd::as_fd), client),
        ];
        for (end, fd, wanted) in ends {
            let (Some(fd), told) = (fd, &mut self.interest[end as usize]) else { continue };
            if *told == Some(wanted) {
                continue;
            }
            let data = EventData::new_u64(self.index * ENDS + end);
            match told {
                None => epoll::add(epoll, fd, data, wanted)?,
                Some(_) => epoll::modify(epoll, fd, data, wanted)?,
            }
            *told = Some(wanted);
        }
        Ok(())
    }
}

fn write_device(device: &OwnedFd, rest: &mut Vec<u8>) -> io::Result<()> {
    match rustix::io::write(device, rest) {
        Ok(written) => drop(rest.drain(..written)),
        Err(Errno::AGAIN) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn open_device(path: &Path) -> io::Result<OwnedFd> {
    let at = |error: Errno| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = rustix::fs::open(path, flags, Mode::empty()).map_err(at)?;
    let mut termios = tcgetattr(&device).map_err(at)?;
    termios.make_raw();
    tcsetattr(&device, OptionalActions::Now, &termios).map_err(at)?;
    Ok(device)
}

/// As much as a pseudo terminal or a socket gives at once on a busy line.
const CHUNK: usize = 64 * 1024;
/// Events taken with one wait.
const EVENTS: usize = 256;
const ENDS: u64 = 3;
const LISTENER: u64 = 0;
const DEVICE: u64 = 1;
const CLIENT: u64 = 2;
