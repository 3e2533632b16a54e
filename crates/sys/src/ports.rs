//! Which serial ports this machine has, and by what name a port is known tomorrow.
//!
//! Read from sysfs, without libudev. serialport's own listing (its scan without libudev) shows
//! UARTs that do not exist, misses platform ports and knows no interface; it is asked only for
//! what sysfs has no device for, as Bluetooth ports.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A serial port that somebody could open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortInfo {
    /// The device, like `/dev/ttyUSB0`; may name another adapter after the next boot.
    pub path: PathBuf,
    /// udev's stable name in `/dev/serial/by-id`, if udev made one.
    pub by_id: Option<PathBuf>,
    /// What it hangs on.
    pub kind: PortKind,
    /// The kernel driver, like `ftdi_sio`.
    pub driver: Option<String>,
    /// A name that stays with the adapter (`usb:serial=A10KZP45`, with `,if=1` or `,port=1` for
    /// further ports of the same adapter) or, where it has no serial number of its own, with the
    /// socket it is plugged into (`usb:0403:6001@1-1.2`).
    pub stable_id: String,
}

/// What a serial port hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortKind {
    /// A USB adapter.
    Usb(UsbInfo),
    /// A card.
    Pci,
    /// Soldered in: ACPI, device tree or the PC's own.
    Platform,
    /// Something else.
    Unknown,
}

/// How a USB adapter describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsbInfo {
    /// Vendor number.
    pub vid: u16,
    /// Product number.
    pub pid: u16,
    /// Serial number, which cheap adapters lack or share.
    pub serial: Option<String>,
    /// Vendor's name.
    pub manufacturer: Option<String>,
    /// Product's name.
    pub product: Option<String>,
    /// Number of the interface within the adapter; adapters with several ports have several.
    pub interface: Option<u8>,
    /// Number of the port within the interface; a few adapters have several on one.
    pub port: u32,
    /// The socket: bus and chain of hub ports, like `1-1.2`.
    pub location: String,
}

/// The ports of this machine, sorted by device name.
pub fn list() -> Vec<PortInfo> {
    let mut found = list_in(Path::new("/"));
    // serialport's scan panics where there is no sysfs (as in some containers).
    if Path::new("/sys/class/tty").is_dir() {
        for other in serialport::available_ports().unwrap_or_default() {
            if other.port_type != serialport::SerialPortType::BluetoothPort {
                continue;
            }
            let path = PathBuf::from(&other.port_name);
            found.push(PortInfo {
                by_id: None,
                kind: PortKind::Unknown,
                driver: Some("rfcomm".to_owned()),
                stable_id: format!("bluetooth:{}", name_of(&path)),
                path,
            });
        }
    }
    found
}

/// The ports below `root`, which has a `sys` and a `dev` as `/` has.
pub fn list_in(root: &Path) -> Vec<PortInfo> {
    let Ok(entries) = fs::read_dir(root.join("sys/class/tty")) else { return Vec::new() };
    let by_id = by_id(root);
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| port(root, &entry.file_name().into_string().ok()?, &by_id))
        .collect();
    found.sort_by_cached_key(|port| natural(&name_of(&port.path)));
    // Serial numbers that several adapters share (many say 0001) name none of them.
    let mut count = HashMap::<String, usize>::new();
    for port in &found {
        *count.entry(port.stable_id.clone()).or_default() += 1;
    }
    for port in &mut found {
        if let PortKind::Usb(usb) = &port.kind
            && count.get(&port.stable_id).is_some_and(|count| *count > 1)
        {
            let suffix = port.stable_id.split_once(',').map(|(_, suffix)| format!(",{suffix}"));
            port.stable_id = usb.by_location() + &suffix.unwrap_or_default();
        }
    }
    found
}

impl UsbInfo {
    fn read(device: &Path) -> Option<Self> {
        let hex = |file| u16::from_str_radix(&text(&device.join(file))?, 16).ok();
        Some(Self {
            vid: hex("idVendor")?,
            pid: hex("idProduct")?,
            serial: text(&device.join("serial")),
            manufacturer: text(&device.join("manufacturer")),
            product: text(&device.join("product")),
            interface: None,
            port: 0,
            location: name_of(device),
        })
    }

    fn by_location(&self) -> String {
        format!("usb:{:04x}:{:04x}@{}", self.vid, self.pid, self.location)
    }

    fn stable_id(&self) -> String {
        let mut id = match &self.serial {
            // A comma would end the serial number where the name is read back.
            Some(serial) if !serial.contains(',') => format!("usb:serial={serial}"),
            _ => self.by_location(),
        };
        // First ports go without, so that an ordinary adapter has a plain name.
        if let Some(interface @ 1..) = self.interface {
            id += &format!(",if={interface}");
        }
        if self.port > 0 {
            id += &format!(",port={}", self.port);
        }
        id
    }
}

impl fmt::Display for PortKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usb(usb) => {
                write!(f, "usb {:04x}:{:04x}", usb.vid, usb.pid)?;
                for text in [&usb.manufacturer, &usb.product].into_iter().flatten() {
                    write!(f, " {text}")?;
                }
                Ok(())
            }
            Self::Pci => f.write_str("pci"),
            Self::Platform => f.write_str("platform"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The port behind one entry of `/sys/class/tty`, unless it is none (a console, a PTY, an 8250
/// slot without a UART) or has no device file.
fn port(root: &Path, name: &str, by_id: &HashMap<String, PathBuf>) -> Option<PortInfo> {
    let entry = root.join("sys/class/tty").join(name);
    // Virtual terminals have no device.
    let device = entry.join("device").canonicalize().ok()?;
    // 8250 drivers register slots for UARTs that may turn up: type 0 says "none here".
    if text(&entry.join("type")).is_some_and(|kind| kind == "0") {
        return None;
    }
    if !root.join("dev").join(name).exists() {
        return None;
    }
    let top = root.join("sys").canonicalize().ok()?;
    let mut kind = PortKind::Unknown;
    let mut driver = None;
    let mut interface = None;
    let mut stable_id = format!("tty:{name}");
    for step in device.ancestors().take_while(|step| **step != *top) {
        driver = driver.or_else(|| target_name(&step.join("driver")).filter(|d| d != "port"));
        interface = interface
            .or_else(|| u8::from_str_radix(&text(&step.join("bInterfaceNumber"))?, 16).ok());
        match target_name(&step.join("subsystem")).as_deref() {
            Some("usb") => {
                // An interface has no vendor: the adapter is one step further up.
                let Some(usb) = UsbInfo::read(step) else { continue };
                let port = text(&device.join("port_number")).and_then(|text| text.parse().ok());
                let usb = UsbInfo { interface, port: port.unwrap_or(0), ..usb };
                stable_id = usb.stable_id();
                kind = PortKind::Usb(usb);
            }
            Some("pci") => {
                stable_id = format!("pci:{}/{name}", name_of(step));
                kind = PortKind::Pci;
            }
            Some("platform" | "pnp" | "amba") => {
                stable_id = format!("platform:{}/{name}", name_of(step));
                kind = PortKind::Platform;
            }
            _ => continue,
        }
        break;
    }
    // Shown as a user would type it, whatever the root.
    let path = Path::new("/dev").join(name);
    Some(PortInfo { path, by_id: by_id.get(name).cloned(), kind, driver, stable_id })
}

/// udev's names by device name.
fn by_id(root: &Path) -> HashMap<String, PathBuf> {
    let Ok(entries) = fs::read_dir(root.join("dev/serial/by-id")) else { return HashMap::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let target = target_name(&entry.path())?;
            Some((target, Path::new("/dev/serial/by-id").join(entry.file_name())))
        })
        .collect()
}

/// The trimmed contents of a sysfs file, if there are any.
fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The last part of what a link points to.
fn target_name(link: &Path) -> Option<String> {
    Some(name_of(&fs::read_link(link).ok()?))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Sorts `ttyUSB10` after `ttyUSB9`.
fn natural(name: &str) -> (String, u32) {
    let letters = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (letters.to_owned(), name[letters.len()..].parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Machine, ROOT};

    fn ids(machine: &Machine) -> Vec<(String, String)> {
        list_in(machine.root())
            .into_iter()
            .map(|port| (port.path.display().to_string(), port.stable_id))
            .collect()
    }

    #[test]
    fn a_usb_adapter_is_described_in_full() {
        let machine = Machine::new();
        machine.link(&format!("{ROOT}/subsystem"), "sys/bus/pci");
        machine.usb(&format!("{ROOT}/usb1/1-1/1-1.2"), "A10KZP45");
        machine.usb_tty("ttyUSB0", &format!("{ROOT}/usb1/1-1/1-1.2"), 0);
        machine.link("dev/serial/by-id/usb-FTDI_A10KZP45-if00-port0", "dev/ttyUSB0");
        assert_eq!(
            list_in(machine.root()),
            [PortInfo {
                path: "/dev/ttyUSB0".into(),
                by_id: Some("/dev/serial/by-id/usb-FTDI_A10KZP45-if00-port0".into()),
                kind: PortKind::Usb(UsbInfo {
                    vid: 0x0403,
                    pid: 0x6001,
                    serial: Some("A10KZP45".into()),
                    manufacturer: Some("FTDI".into()),
                    product: Some("FT232R USB UART".into()),
                    interface: Some(0),
                    port: 0,
                    location: "1-1.2".into(),
                }),
                driver: Some("ftdi_sio".into()),
                stable_id: "usb:serial=A10KZP45".into(),
            }]
        );
    }

    #[test]
    fn several_ports_of_one_adapter_differ() {
        let machine = Machine::new();
        let device = format!("{ROOT}/usb1/1-3");
        machine.usb(&device, "QUAD");
        for number in 0..3 {
            machine.usb_tty(&format!("ttyUSB{number}"), &device, number);
        }
        let third = format!("{device}/1-3:1.2/ttyUSB2/port_number");
        machine.write(&third, "1");
        let ids: Vec<_> = ids(&machine).into_iter().map(|(_, id)| id).collect();
        assert_eq!(ids, ["usb:serial=QUAD", "usb:serial=QUAD,if=1", "usb:serial=QUAD,if=2,port=1"]);
    }

    #[test]
    fn a_missing_or_shared_serial_number_makes_the_socket_the_name() {
        let machine = Machine::new();
        for (name, socket, serial) in
            [("ttyUSB9", "1-1", "0001"), ("ttyUSB10", "1-2", "0001"), ("ttyUSB11", "1-4", "")]
        {
            machine.usb(&format!("{ROOT}/usb1/{socket}"), serial);
            machine.usb_tty(name, &format!("{ROOT}/usb1/{socket}"), 0);
        }
        let expected = [
            ("/dev/ttyUSB9", "usb:0403:6001@1-1"),
            ("/dev/ttyUSB10", "usb:0403:6001@1-2"),
            ("/dev/ttyUSB11", "usb:0403:6001@1-4"),
        ];
        assert_eq!(ids(&machine), expected.map(|(path, id)| (path.into(), id.into())));
    }

    #[test]
    fn cards_and_soldered_ports_are_listed_and_empty_slots_are_not() {
        let machine = Machine::new();
        machine.tty("ttyS4", "sys/devices/pci0000:00/0000:02:00.0", "pci", "serial");
        machine.tty("ttyS0", "sys/devices/pnp0/00:01/00:01:0/00:01:0.0", "serial-base", "port");
        machine.link("sys/devices/pnp0/00:01/subsystem", "sys/bus/pnp");
        machine.link("sys/devices/pnp0/00:01/driver", "sys/bus/drivers/serial");
        machine.tty("ttyS1", "sys/devices/platform/serial8250", "platform", "serial8250");
        machine.write("sys/devices/platform/serial8250/tty/ttyS1/type", "0");
        machine.write("sys/devices/virtual/tty/tty1/dev", "4:1");
        machine.link("sys/class/tty/tty1", "sys/devices/virtual/tty/tty1");
        machine.write("dev/tty1", "");
        let found = list_in(machine.root());
        let words: Vec<_> = found
            .iter()
            .map(|p| (p.path.to_str().unwrap(), &p.kind, p.stable_id.as_str(), p.driver.as_deref()))
            .collect();
        let driver = Some("serial");
        assert_eq!(
            words,
            [
                ("/dev/ttyS0", &PortKind::Platform, "platform:00:01/ttyS0", driver),
                ("/dev/ttyS4", &PortKind::Pci, "pci:0000:02:00.0/ttyS4", driver),
            ]
        );
    }

    #[test]
    fn no_sysfs_is_no_ports_and_no_panic() {
        assert_eq!(list_in(Path::new("/nonexistent")), []);
        list();
    }
}
