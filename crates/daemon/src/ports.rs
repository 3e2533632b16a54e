//! This machine's serial ports, for people and for machines.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};
use sys::{PortInfo, PortKind};

/// The ports as a table, each line ended, or a sentence if there are none.
pub fn table(ports: &[PortInfo]) -> String {
    if ports.is_empty() {
        return "no serial ports found; is the adapter plugged in?\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["PORT", "ID", "WHAT"]);
    for port in ports {
        table.add_row([&port.path.display().to_string(), &port.stable_id, &port.kind.to_string()]);
    }
    table.trim_fmt() + "\n"
}

/// The ports as a JSON array of objects.
pub fn json(ports: &[PortInfo]) -> Value {
    ports.iter().map(one).collect()
}

fn one(port: &PortInfo) -> Value {
    let usb = match &port.kind {
        PortKind::Usb(usb) => json!({
            "vid": format!("{:04x}", usb.vid),
            "pid": format!("{:04x}", usb.pid),
            "serial": usb.serial,
            "manufacturer": usb.manufacturer,
            "product": usb.product,
            "interface": usb.interface,
            "location": usb.location,
        }),
        _ => Value::Null,
    };
    json!({
        "path": port.path,
        "by_id": port.by_id,
        "id": port.stable_id,
        "driver": port.driver,
        "usb": usb,
    })
}
