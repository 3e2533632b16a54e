//! A machine with ports, made of files: the `sys` and the `dev` that tests look at.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A machine made of files.
pub(crate) struct Machine(tempfile::TempDir);

impl Machine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for path in ["sys/class/tty", "dev/serial/by-id"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        Self(dir)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(self.0.path().join(target), path).unwrap();
    }

    /// A tty `name` whose device directory is `device`.
    pub(crate) fn tty(&self, name: &str, device: &str, subsystem: &str, driver: &str) {
        self.write(&format!("{device}/tty/{name}/dev"), "188:0");
        self.link(&format!("sys/class/tty/{name}"), &format!("{device}/tty/{name}"));
        self.link(&format!("{device}/tty/{name}/device"), device);
        self.link(&format!("{device}/subsystem"), &format!("sys/bus/{subsystem}"));
        self.link(&format!("{device}/driver"), &format!("sys/bus/drivers/{driver}"));
        self.write(&format!("dev/{name}"), "");
    }

    pub(crate) fn usb(&self, device: &str, serial: &str) {
        self.link(&format!("{device}/subsystem"), "sys/bus/usb");
        self.write(&format!("{device}/idVendor"), "0403");
        self.write(&format!("{device}/idProduct"), "6001");
        self.write(&format!("{device}/serial"), serial);
        self.write(&format!("{device}/manufacturer"), "FTDI");
        self.write(&format!("{device}/product"), "FT232R USB UART");
    }

    /// A usb-serial port `name` on interface `number` of the adapter at `device`.
    pub(crate) fn usb_tty(&self, name: &str, device: &str, number: u8) {
        let adapter = Path::new(device).file_name().unwrap().to_str().unwrap();
        let interface = format!("{device}/{adapter}:1.{number}");
        self.link(&format!("{interface}/subsystem"), "sys/bus/usb");
        self.write(&format!("{interface}/bInterfaceNumber"), &format!("{number:02x}"));
        self.tty(name, &format!("{interface}/{name}"), "usb-serial", "ftdi_sio");
    }

    /// What stands for `/`.
    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    /// Takes the port `name` away, as pulling its adapter does.
    pub(crate) fn unplug(&self, name: &str) {
        for path in [format!("sys/class/tty/{name}"), format!("dev/{name}")] {
            fs::remove_file(self.0.path().join(path)).unwrap();
        }
    }
}

/// The USB controller.
pub(crate) const ROOT: &str = "sys/devices/pci0000:00/0000:00:14.0";
