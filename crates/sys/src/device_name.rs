//! How a user names a serial device: by its path, or by the USB adapter wherever it turns up.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::ports::{PortInfo, PortKind, list_in};

/// The name of a serial device, in a configuration or on a command line.
///
/// A text that begins with `usb:` names an adapter by one or more of these, separated by commas, in
/// any order; all must fit:
///
/// | part | is |
/// |---|---|
/// | `serial=A10KZP45` | the serial number |
/// | `0403:6001` | vendor and product number, in hexadecimal |
/// | `path=1-1.2` | the socket: bus and chain of hub ports. Also `0403:6001@1-1.2` |
/// | `if=1` | the interface, of an adapter with several |
/// | `port=1` | the port of the interface, of an adapter with several on one |
///
/// `terminal-server --list` shows a name for every port. An adapter with several ports is named by
/// its first one if neither `if` nor `port` is given. Anything else is a path and stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DeviceName {
    /// A device file.
    Path(PathBuf),
    /// A USB adapter.
    Usb(UsbName),
}

/// What a USB adapter must say of itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct UsbName {
    /// Serial number.
    pub serial: Option<String>,
    /// Vendor and product number.
    pub product: Option<(u16, u16)>,
    /// The socket it is plugged into.
    pub location: Option<String>,
    /// Number of the interface.
    pub interface: Option<u8>,
    /// Number of the port within the interface.
    pub port: Option<u32>,
}

/// Why a text names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceNameError {
    /// Nothing was said.
    #[error("a device name is missing")]
    Empty,
    /// A part is of no known kind.
    #[error(
        "`{0}` in `{1}` is not serial=TEXT, VID:PID (four hexadecimal digits each), path=BUS-PORT, if=NUMBER or port=NUMBER"
    )]
    Part(String, String),
    /// The same twice.
    #[error("`{0}` in `{1}` comes twice")]
    Twice(String, String),
    /// An interface alone names no adapter.
    #[error("`{0}` names no adapter; give serial=, VID:PID or path=")]
    NoAdapter(String),
}

/// Why a name stands for no device now. Either may be otherwise the next moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No adapter fits.
    #[error("{name}: no such adapter; {}", Seen(.seen))]
    Absent {
        /// The name.
        name: String,
        /// The USB ports that there are.
        seen: Vec<PortInfo>,
    },
    /// More than one port fits.
    #[error("{name}: fits {} ports, add a part that tells them apart; {}", fitting.len(), Seen(.fitting))]
    Ambiguous {
        /// The name.
        name: String,
        /// The ports that fit.
        fitting: Vec<PortInfo>,
    },
}

impl DeviceName {
    /// The device file that the name stands for now. A path is not looked at.
    ///
    /// # Errors
    /// See [`ResolveError`].
    pub fn resolve(&self) -> Result<PathBuf, ResolveError> {
        self.resolve_in(Path::new("/"))
    }

    /// As [`Self::resolve`], below a `root` that has a `sys` and a `dev` as `/` has. The answer is
    /// below it, too, so that a test can link `dev/ttyUSB0` to a pseudo terminal.
    ///
    /// # Errors
    /// See [`ResolveError`].
    pub fn resolve_in(&self, root: &Path) -> Result<PathBuf, ResolveError> {
        match self {
            Self::Path(path) => Ok(path.clone()),
            Self::Usb(usb) => {
                let port = usb.choose(list_in(root))?;
                Ok(root.join(port.path.strip_prefix("/").unwrap_or(&port.path)))
            }
        }
    }
}

impl UsbName {
    fn choose(&self, ports: Vec<PortInfo>) -> Result<PortInfo, ResolveError> {
        let mut seen = ports;
        seen.retain(|port| matches!(port.kind, PortKind::Usb(_)));
        let mut fitting: Vec<_> = seen.iter().filter(|port| self.fits(port)).cloned().collect();
        // The first port of one adapter stands for it, but not the first of several adapters.
        let places: Vec<_> = fitting.iter().map(location).collect();
        if self.interface.is_none()
            && self.port.is_none()
            && places.windows(2).all(|w| w[0] == w[1])
        {
            let first = |port: &PortInfo| place(port) == Some((0, 0));
            if fitting.len() > 1 && fitting.iter().filter(|port| first(port)).count() == 1 {
                fitting.retain(first);
            }
        }
        match fitting.len() {
            0 => Err(ResolveError::Absent { name: self.to_string(), seen }),
            1 => Ok(fitting.remove(0)),
            _ => Err(ResolveError::Ambiguous { name: self.to_string(), fitting }),
        }
    }

    fn fits(&self, port: &PortInfo) -> bool {
        let PortKind::Usb(usb) = &port.kind else { return false };
        let (interface, number) = place(port).unwrap_or_default();
        self.serial.as_ref().is_none_or(|serial| usb.serial.as_ref() == Some(serial))
            && self.product.is_none_or(|product| product == (usb.vid, usb.pid))
            && self.location.as_ref().is_none_or(|location| *location == usb.location)
            && self.interface.is_none_or(|wanted| wanted == interface)
            && self.port.is_none_or(|wanted| wanted == number)
    }

    fn parse(text: &str, parts: &str) -> Result<Self, DeviceNameError> {
        let mut name = Self::default();
        for part in parts.split(',').map(str::trim) {
            let bad = || DeviceNameError::Part(part.to_owned(), text.to_owned());
            let twice = || DeviceNameError::Twice(part.to_owned(), text.to_owned());
            let fresh = match part.split_once('=') {
                Some((_, "")) => return Err(bad()),
                Some(("serial", serial)) => name.serial.replace(serial.to_owned()).is_none(),
                Some(("path", location)) => name.location.replace(location.to_owned()).is_none(),
                Some(("if", number)) => {
                    name.interface.replace(number.parse().map_err(|_| bad())?).is_none()
                }
                Some(("port", number)) => {
                    name.port.replace(number.parse().map_err(|_| bad())?).is_none()
                }
                Some(_) => return Err(bad()),
                None => {
                    let (product, location) = match part.split_once('@') {
                        Some((_, "")) => return Err(bad()),
                        Some((product, location)) => (product, Some(location)),
                        None => (part, None),
                    };
                    let (vid, pid) = product.split_once(':').ok_or_else(bad)?;
                    let product = (hex4(vid).ok_or_else(bad)?, hex4(pid).ok_or_else(bad)?);
                    location.is_none_or(|at| name.location.replace(at.to_owned()).is_none())
                        && name.product.replace(product).is_none()
                }
            };
            if !fresh {
                return Err(twice());
            }
        }
        if name.serial.is_none() && name.product.is_none() && name.location.is_none() {
            return Err(DeviceNameError::NoAdapter(text.to_owned()));
        }
        Ok(name)
    }
}

impl FromStr for DeviceName {
    type Err = DeviceNameError;

    fn from_str(text: &str) -> Result<Self, DeviceNameError> {
        match text.strip_prefix("usb:") {
            Some(parts) => UsbName::parse(text, parts).map(Self::Usb),
            None if text.is_empty() => Err(DeviceNameError::Empty),
            None => Ok(Self::Path(text.into())),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Usb(usb) => usb.fmt(f),
        }
    }
}

impl fmt::Display for UsbName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.serial.as_ref().map(|serial| format!("serial={serial}")),
            self.product.map(|(vid, pid)| format!("{vid:04x}:{pid:04x}")),
            self.location.as_ref().map(|location| format!("path={location}")),
            self.interface.map(|number| format!("if={number}")),
            self.port.map(|number| format!("port={number}")),
        ];
        write!(f, "usb:{}", parts.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

/// Ports in an error message: each with the name that would find it.
struct Seen<'a>(&'a [PortInfo]);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no USB serial port is there");
        }
        f.write_str("there: ")?;
        for (at, port) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{} ({})", port.stable_id, port.path.display())?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn location(port: &PortInfo) -> Option<String> {
    match &port.kind {
        PortKind::Usb(usb) => Some(usb.location.clone()),
        _ => None,
    }
}

/// The interface and the port within it.
fn place(port: &PortInfo) -> Option<(u8, u32)> {
    match &port.kind {
        PortKind::Usb(usb) => Some((usb.interface.unwrap_or(0), usb.port)),
        _ => None,
    }
}

/// Exactly four digits, as everything that shows such numbers writes them.
fn hex4(text: &str) -> Option<u16> {
    let digits = text.len() == 4 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u16::from_str_radix(text, 16).ok()).flatten()
}

/// Ports that an error message lists. A rack of adapters would fill the log.
const SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Machine, ROOT};

    fn name(text: &str) -> DeviceName {
        text.parse().unwrap()
    }

    fn found(machine: &Machine, text: &str) -> String {
        match name(text).resolve_in(machine.root()) {
            Ok(path) => {
                path.display().to_string().replace(&machine.root().display().to_string(), "")
            }
            Err(error) => error.to_string(),
        }
    }

    fn plug(machine: &Machine, tty: &str, socket: &str, serial: &str, interface: u8) {
        let device = format!("{ROOT}/usb1/{socket}");
        if !machine.root().join(&device).join("idVendor").exists() {
            machine.usb(&device, serial);
        }
        machine.usb_tty(tty, &device, interface);
    }

    #[test]
    fn names_are_read_and_written_back() {
        for (text, canonical) in [
            ("/dev/ttyUSB0", "/dev/ttyUSB0"),
            ("relative", "relative"),
            ("/dev/usb:serial=x", "/dev/usb:serial=x"),
            ("usb:serial=A10KZP45", "usb:serial=A10KZP45"),
            ("usb:serial=34:85:18:AB:CD:EF", "usb:serial=34:85:18:AB:CD:EF"),
            ("usb:0403:6001", "usb:0403:6001"),
            ("usb:1A86:55D3", "usb:1a86:55d3"),
            ("usb:path=1-1.2", "usb:path=1-1.2"),
            ("usb:0403:6001@1-1.2,if=1", "usb:0403:6001,path=1-1.2,if=1"),
            ("usb:port=1, if=00, serial=Q", "usb:serial=Q,if=0,port=1"),
        ] {
            assert_eq!(name(text).to_string(), canonical);
            assert_eq!(name(canonical), name(text));
        }
        assert_eq!(name("/dev/ttyUSB0"), DeviceName::Path("/dev/ttyUSB0".into()));
    }

    #[test]
    fn an_error_names_the_part_at_fault() {
        for (text, part) in [
            ("", "missing"),
            ("usb:", "`` in `usb:`"),
            ("usb:serial=", "`serial=`"),
            ("usb:A10KZP45", "`A10KZP45`"),
            ("usb:403:6001", "`403:6001`"),
            ("usb:+403:6001", "`+403:6001`"),
            ("usb:0403:6001@", "`0403:6001@`"),
            ("usb:serial=A,fi=1", "`fi=1`"),
            ("usb:serial=A,if=256", "`if=256`"),
            ("usb:serial=A,serial=B", "`serial=B` in `usb:serial=A,serial=B` comes twice"),
            ("usb:0403:6001@1-1,path=1-2", "comes twice"),
            ("usb:if=1", "names no adapter"),
        ] {
            let error = text.parse::<DeviceName>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn an_adapter_is_found_under_any_name_and_in_any_socket() {
        let machine = Machine::new();
        plug(&machine, "ttyUSB0", "1-1", "AAA", 0);
        plug(&machine, "ttyUSB1", "1-2", "BBB", 0);
        assert_eq!(found(&machine, "usb:serial=AAA"), "/dev/ttyUSB0");
        assert_eq!(found(&machine, "usb:path=1-2"), "/dev/ttyUSB1");
        machine.unplug("ttyUSB0");
        assert_eq!(
            found(&machine, "usb:serial=AAA"),
            "usb:serial=AAA: no such adapter; there: usb:serial=BBB (/dev/ttyUSB1)"
        );
        // Back in another socket, while a program still held the old name.
        plug(&machine, "ttyUSB2", "1-4", "AAA", 0);
        assert_eq!(found(&machine, "usb:serial=AAA"), "/dev/ttyUSB2");
        machine.unplug("ttyUSB1");
        machine.unplug("ttyUSB2");
        assert_eq!(
            found(&machine, "usb:0403:6001"),
            "usb:0403:6001: no such adapter; no USB serial port is there"
        );
        assert_eq!(found(&machine, "/dev/ttyUSB9"), "/dev/ttyUSB9");
    }

    #[test]
    fn what_fits_two_adapters_is_refused_and_they_are_named() {
        let machine = Machine::new();
        plug(&machine, "ttyUSB0", "1-1", "0001", 0);
        plug(&machine, "ttyUSB1", "1-2", "0001", 0);
        assert_eq!(
            found(&machine, "usb:serial=0001"),
            "usb:serial=0001: fits 2 ports, add a part that tells them apart; there: \
             usb:0403:6001@1-1 (/dev/ttyUSB0), usb:0403:6001@1-2 (/dev/ttyUSB1)"
        );
        assert_eq!(found(&machine, "usb:serial=0001,path=1-2"), "/dev/ttyUSB1");
    }

    #[test]
    fn every_listed_name_finds_its_port() {
        let machine = Machine::new();
        for number in 0..4 {
            plug(&machine, &format!("ttyUSB{number}"), "1-3", "QUAD", number);
        }
        machine.write(&format!("{ROOT}/usb1/1-3/1-3:1.3/ttyUSB3/port_number"), "1");
        plug(&machine, "ttyUSB4", "1-5", "", 0);
        plug(&machine, "ttyUSB5", "1-6", "with,comma", 0);
        plug(&machine, "ttyACM0", "1-7", "ACM", 2);
        for port in list_in(machine.root()) {
            assert_eq!(found(&machine, &port.stable_id), port.path.display().to_string());
        }
        // The only port needs no number, whichever it has.
        assert_eq!(found(&machine, "usb:serial=ACM"), "/dev/ttyACM0");
        assert_eq!(found(&machine, "usb:serial=QUAD,if=2"), "/dev/ttyUSB2");
        assert!(found(&machine, "usb:0403:6001").contains("fits 7 ports"));
    }

    #[test]
    fn an_error_lists_a_handful() {
        let machine = Machine::new();
        for number in 0..12 {
            plug(
                &machine,
                &format!("ttyUSB{number}"),
                &format!("1-{number}"),
                &format!("S{number}"),
                0,
            );
        }
        let error = found(&machine, "usb:serial=none");
        assert!(error.ends_with("usb:serial=S7 (/dev/ttyUSB7) and 4 more"), "{error}");
    }
}
