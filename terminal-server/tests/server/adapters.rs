//! USB adapters that are pulled, and come back under whatever name. The machine they are plugged
//! into is made of files.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::termios::tcgetattr;
use sys::{Pty, SerialPort, Slave};
use terminal_server::driver::{Asker, LineReport, Speech};
use terminal_server::{LineOptions, ListenOptions, Options, PortOptions, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use wire::{EventKind, Frame, Input, LineEvent};

use crate::client::Client;
use crate::daemon::{key, read, within, write};
use crate::machine::{Machine, ROOT};

/// A machine with USB sockets, and a terminal server that runs in this process.
struct Rack {
    machine: Machine,
    asker: Option<Asker>,
    stop: CancellationToken,
}

/// A plugged-in adapter, and what is at the far end of its cable.
struct Adapter {
    name: &'static str,
    socket: &'static str,
    /// The pseudo terminal that stands for it.
    tty: PathBuf,
    far: SerialPort,
}

impl Rack {
    fn new() -> Self {
        Self { machine: Machine::new(), asker: None, stop: CancellationToken::new() }
    }

    fn plug(&self, name: &'static str, socket: &'static str, serial: &str) -> Adapter {
        let device = format!("{ROOT}/usb1/{socket}");
        self.machine.usb(&device, serial);
        self.machine.usb_tty(name, &device, 0);
        // What was made is a file, which the terminal server may try in vain.
        let link = self.machine.root().join("dev").join(name);
        std::fs::remove_file(&link).unwrap();
        let pty = Pty::open(Some(&link), Slave::Held).unwrap();
        Adapter { name, socket, tty: pty.slave_path().to_owned(), far: pty.into() }
    }

    fn pull(&self, Adapter { name, socket, far, .. }: Adapter) {
        let root = self.machine.root();
        std::fs::remove_file(root.join("sys/class/tty").join(name)).unwrap();
        std::fs::remove_dir_all(root.join(ROOT).join("usb1").join(socket)).unwrap();
        // Its link goes with it.
        drop(far);
    }

    /// Serves lines, each a name, an adapter and what is spoken; of each speech one address.
    async fn serve(&mut self, lines: &[(&str, &str, Speech)]) {
        let line = |(name, device, speech): &(&str, &str, Speech)| {
            let settings = "9600,8N1".parse().unwrap();
            let port = PortOptions::Tty { name: device.parse().unwrap(), settings };
            let mut line = LineOptions::new(name.parse().unwrap(), port);
            line.listeners = vec![ListenOptions::new(*speech, ([127, 0, 0, 1], 0).into())];
            line.policies.pace = false;
            if *speech == Speech::Line {
                let (group, keys) = ("crew".parse().unwrap(), key().into());
                line.groups = vec![terminal_server::core::GroupKeys { group, keys }];
            }
            line
        };
        let options = Options {
            state: Some(self.machine.root().join("state")),
            new_state: true,
            root: self.machine.root().to_owned(),
            ..Options::new("ts".parse().unwrap(), lines.iter().map(line).collect())
        };
        let server = Server::bind(options).await.unwrap();
        self.asker = Some(server.asker());
        tokio::spawn(server.serve(self.stop.clone()));
        let serves = async {
            while self.asker.as_ref().unwrap().ask().await.lines.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        within(serves).await;
    }

    async fn address(&self, speech: Speech) -> std::net::SocketAddr {
        let report = within(self.asker.as_ref().unwrap().ask()).await;
        let listener = report.listeners.iter().find(|listener| listener.speech == speech.word());
        listener.unwrap().address.parse().unwrap()
    }

    /// How a line stands, as soon as it is so.
    async fn line(&self, name: &str, is_so: impl Fn(&LineReport) -> bool) -> LineReport {
        within(async {
            loop {
                let report = self.asker.as_ref().unwrap().ask().await;
                let found = report.lines.into_iter().find(|line| line.line == name).unwrap();
                if is_so(&found) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    /// The name by which a line's adapter is there.
    async fn file_of(&self, name: &str) -> String {
        let path = PathBuf::from(self.line(name, |line| line.up).await.path.unwrap());
        let path = path.strip_prefix(self.machine.root()).unwrap();
        path.display().to_string()
    }
}

impl Drop for Rack {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn speed_of(adapter: &Adapter) -> u32 {
    let noctty = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
    let mut options = std::fs::OpenOptions::new();
    let tty = options.read(true).custom_flags(noctty).open(&adapter.tty).unwrap();
    tcgetattr(tty).unwrap().output_speed()
}

fn events(client: &Client) -> Vec<LineEvent> {
    let event = |frame: &Frame| match frame {
        Frame::Event(event) => Some(*event),
        _ => None,
    };
    client.skipped.iter().filter_map(event).collect()
}

#[tokio::test]
async fn an_adapter_comes_back_under_another_name_and_its_client_stays() {
    let mut rack = Rack::new();
    let mut adapter = rack.plug("ttyUSB0", "1-1", "AAA");
    rack.serve(&[("pms", "usb:serial=AAA", Speech::Line)]).await;
    let (mut alpha, grant) = Client::granted(rack.address(Speech::Line).await, "alpha").await;
    assert_eq!(rack.file_of("pms").await, "dev/ttyUSB0");
    write(&mut adapter.far, b"before").await;
    alpha.input(6).await;
    rack.pull(adapter);
    let down = rack.line("pms", |line| !line.up).await;
    assert_eq!((down.device.as_str(), down.path), ("usb:serial=AAA", None));

    let other = rack.plug("ttyUSB0", "1-1", "BBB");
    let says = |line: &LineReport| line.trouble.clone().unwrap_or_default();
    let down = rack.line("pms", |line| says(line).contains("BBB")).await;
    assert!(says(&down).starts_with("usb:serial=AAA: no such adapter; there: usb:serial=BBB"));
    let mut adapter = rack.plug("ttyUSB1", "1-4", "AAA");
    assert_eq!(rack.file_of("pms").await, "dev/ttyUSB1");
    write(&mut adapter.far, b"after").await;
    assert_eq!(alpha.input(5).await, (6, b"after".to_vec()));
    alpha.output(grant.position, b"answer", None).await;
    assert_eq!(read(&mut adapter.far, 6).await, b"answer");
    let at = |kind| LineEvent { offset: 6, kind };
    assert_eq!(events(&alpha), [at(EventKind::Down), at(EventKind::Up)]);
    let line = rack.line("pms", |line| line.up).await;
    assert_eq!((line.state.as_str(), line.epoch), ("held", grant.epoch.to_string()));
    rack.pull(other);
}

#[tokio::test]
async fn an_adapter_missing_at_the_start_is_waited_for_and_what_was_missed_is_a_gap() {
    let mut rack = Rack::new();
    rack.serve(&[("pms", "usb:0403:6001", Speech::Line)]).await;
    let line = rack.line("pms", |line| !line.up).await;
    let trouble = line.trouble.unwrap();
    assert_eq!(trouble, "usb:0403:6001: no such adapter; no USB serial port is there");
    let (mut alpha, _) = Client::granted(rack.address(Speech::Line).await, "alpha").await;
    let mut adapter = rack.plug("ttyUSB7", "1-1", "AAA");
    assert_eq!(rack.file_of("pms").await, "dev/ttyUSB7");
    write(&mut adapter.far, b"at last").await;
    assert_eq!(alpha.input(7).await, (0, b"at last".to_vec()));
    let told: Vec<_> = events(&alpha).into_iter().map(|event| event.kind).collect();
    assert_eq!(told, [EventKind::Down, EventKind::Gap(u64::MAX), EventKind::Up]);
    // A second one that fits makes the name useless once the first has gone.
    let second = rack.plug("ttyUSB8", "1-2", "BBB");
    let third = rack.plug("ttyUSB9", "1-3", "CCC");
    rack.pull(adapter);
    let fits = |line: &LineReport| line.trouble.as_ref().is_some_and(|why| why.contains("fits 2"));
    rack.line("pms", fits).await;
    rack.pull(third);
    assert_eq!(rack.file_of("pms").await, "dev/ttyUSB8");
    rack.pull(second);
}

#[tokio::test]
async fn two_adapters_that_swap_their_names_keep_their_lines_and_clients() {
    let mut rack = Rack::new();
    let (mut a, mut b) = (rack.plug("ttyUSB0", "1-1", "AAA"), rack.plug("ttyUSB1", "1-2", "BBB"));
    let lines = [("a", "usb:serial=AAA", Speech::Raw), ("b", "usb:serial=BBB", Speech::Telnet)];
    rack.serve(&lines).await;
    let raw = rack.address(Speech::Raw).await;
    let mut raw = within(TcpStream::connect(raw)).await.unwrap();
    // Telnet begins with what is negotiated: looked past.
    let telnet = rack.address(Speech::Telnet).await;
    let mut telnet = within(TcpStream::connect(telnet)).await.unwrap();
    for round in 0..6 {
        let names = if round % 2 == 0 { ["ttyUSB1", "ttyUSB0"] } else { ["ttyUSB0", "ttyUSB1"] };
        rack.pull(a);
        rack.pull(b);
        rack.line("a", |line| !line.up).await;
        rack.line("b", |line| !line.up).await;
        // In either order.
        if round % 3 == 0 {
            a = rack.plug(names[0], "1-1", "AAA");
            b = rack.plug(names[1], "1-2", "BBB");
        } else {
            b = rack.plug(names[1], "1-2", "BBB");
            a = rack.plug(names[0], "1-1", "AAA");
        }
        for (line, name) in ["a", "b"].into_iter().zip(names) {
            assert_eq!(rack.file_of(line).await, format!("dev/{name}"));
        }
        for (client, adapter, word) in [(&mut raw, &mut a, b"of a"), (&mut telnet, &mut b, b"of b")]
        {
            write(&mut adapter.far, word).await;
            assert!(heard(client, word).await.ends_with(word));
            within(client.write_all(word)).await.unwrap();
            assert_eq!(read(&mut adapter.far, 4).await, word);
        }
    }
}

/// What a client gets up to these bytes.
async fn heard(client: &mut TcpStream, last: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while !all.windows(last.len()).any(|part| part == last) {
        assert_ne!(within(client.read_buf(&mut all)).await.unwrap(), 0, "it stays: {all:?}");
    }
    all
}

#[tokio::test]
async fn a_telnet_clients_settings_are_in_force_again_after_the_return() {
    let mut rack = Rack::new();
    let adapter = rack.plug("ttyUSB0", "1-1", "AAA");
    rack.serve(&[("pms", "usb:serial=AAA", Speech::Telnet)]).await;
    rack.line("pms", |line| line.up).await;
    assert_eq!(speed_of(&adapter), 9600);
    let mut client = TcpStream::connect(rack.address(Speech::Telnet).await).await.unwrap();
    // IAC WILL COM-PORT-OPTION, then SET-BAUDRATE (RFC 2217, 3).
    within(client.write_all(&[255, 251, 44])).await.unwrap();
    let baud = |code: u8, baud: u32| {
        let [a, b, c, d] = baud.to_be_bytes();
        [255, 250, 44, code, a, b, c, d, 255, 240]
    };
    within(client.write_all(&baud(1, 19_200))).await.unwrap();
    heard(&mut client, &baud(101, 19_200)).await;
    assert_eq!(speed_of(&adapter), 19_200);

    rack.pull(adapter);
    rack.line("pms", |line| !line.up).await;
    let adapter = rack.plug("ttyUSB3", "1-2", "AAA");
    rack.line("pms", |line| line.up).await;
    assert_eq!(speed_of(&adapter), 19_200);

    // What is changed while it is away is in force at its return.
    rack.pull(adapter);
    rack.line("pms", |line| !line.up).await;
    within(client.write_all(&baud(1, 38_400))).await.unwrap();
    heard(&mut client, &baud(101, 38_400)).await;
    let adapter = rack.plug("ttyUSB0", "1-1", "AAA");
    rack.line("pms", |line| line.up).await;
    assert_eq!(speed_of(&adapter), 38_400);

    drop(client);
    within(async {
        while speed_of(&adapter) != 9600 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn i3_under_load_nothing_is_doubled_and_what_is_lost_was_lost_while_away() {
    let mut rack = Rack::new();
    let mut adapter = rack.plug("ttyUSB0", "1-1", "AAA");
    rack.serve(&[("pms", "usb:serial=AAA", Speech::Line)]).await;
    let (alpha, _) = Client::granted(rack.address(Speech::Line).await, "alpha").await;
    let reading = tokio::spawn(read_to_the_end(alpha));
    let record = |number: u32| format!("{number:08}\n").into_bytes();
    // With which record each adapter that was plugged in began.
    let (mut number, mut begun) = (0, vec![0]);
    for pull in 1..=PULLS {
        let until = sys::boottime() + Duration::from_millis(15 + 7 * (pull as u64 % 5));
        while sys::boottime() < until {
            write(&mut adapter.far, &record(number)).await;
            number += 1;
        }
        rack.pull(adapter);
        rack.line("pms", |line| !line.up).await;
        let (names, sockets) = (["ttyUSB0", "ttyUSB1", "ttyUSB2"], ["1-1", "1-2"]);
        adapter = rack.plug(names[pull % 3], sockets[pull % 2], "AAA");
        rack.line("pms", |line| line.up).await;
        begun.push(number);
    }
    write(&mut adapter.far, b"the end").await;
    let (stream, mut cuts) = within(reading).await.unwrap();
    assert_eq!(cuts.len(), PULLS);
    cuts.push(stream.len());
    begun.push(number);
    let (mut from, mut lost) = (0, 0);
    for (cut, numbers) in cuts.into_iter().zip(begun.windows(2)) {
        let sent: Vec<u8> = (numbers[0]..numbers[1]).flat_map(record).collect();
        let came = stream[from..cut].strip_suffix(b"the end").unwrap_or_else(|| &stream[from..cut]);
        assert!(sent.starts_with(came), "from {from} to {cut}: not what was sent, in order");
        lost += sent.len() - came.len();
        from = cut;
    }
    println!("{} bytes came, {lost} were in adapters when they were pulled", stream.len());
    assert!(lost < stream.len());
}

/// All that comes, and where the line went down.
async fn read_to_the_end(mut client: Client) -> (Vec<u8>, Vec<usize>) {
    let (mut stream, mut cuts) = (Vec::new(), Vec::new());
    while !stream.ends_with(b"the end") {
        match client.next().await.expect("the client stays") {
            Frame::Input(Input { offset, bytes }) => {
                assert_eq!(offset, stream.len() as u64, "a hole, or something twice");
                stream.extend_from_slice(&bytes);
                client.ack(stream.len() as u64, None).await;
            }
            Frame::Event(LineEvent { offset, kind: EventKind::Down }) => {
                assert_eq!(offset, stream.len() as u64);
                cuts.push(offset as usize);
            }
            Frame::Event(LineEvent { kind: EventKind::Up, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    (stream, cuts)
}

const PULLS: usize = 8;
