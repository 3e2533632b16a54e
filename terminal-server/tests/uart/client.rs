//! An RFC 2217 client that sees every byte it is sent.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::rfc2217::{Command, Control, Sender};
use wire::telnet::{Verb, encode_data, encode_negotiation};
use wire::telnet_options::option;
use wire::{CrLf, TelnetEvent, TelnetParser};

use crate::daemon::within;

/// A connected client, with RFC 2217 and binary data both ways.
pub struct Client {
    pub stream: TcpStream,
    parser: TelnetParser,
    heard: VecDeque<Heard>,
}

/// What it is sent, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Data(Bytes),
    Command(Command),
}

impl Client {
    /// Has agreed on all; the first modem state is the second result.
    pub async fn connect(address: SocketAddr) -> (Self, u8) {
        let stream = within(TcpStream::connect(address)).await.unwrap();
        let mut parser = TelnetParser::new(CrLf::Keep);
        parser.set_binary(true);
        let mut client = Self { stream, parser, heard: VecDeque::new() };
        let mut hello = BytesMut::new();
        for (verb, option) in [
            (Verb::Will, option::BINARY),
            (Verb::Do, option::BINARY),
            (Verb::Will, option::COM_PORT),
        ] {
            encode_negotiation(verb, option, &mut hello);
        }
        client.send(&hello).await;
        let state = client.modem_state().await;
        (client, state)
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.unwrap();
    }

    /// Data for the line.
    pub async fn write(&mut self, data: &[u8]) {
        let mut bytes = BytesMut::new();
        encode_data(data, true, &mut bytes);
        self.send(&bytes).await;
    }

    /// All of them in one segment.
    pub async fn tell(&mut self, commands: &[Command]) {
        let mut bytes = BytesMut::new();
        for command in commands {
            command.encode(Sender::Client, &mut bytes);
        }
        self.send(&bytes).await;
    }

    /// The answer to a command is the next that is no notification.
    pub async fn ask(&mut self, command: Command) -> Command {
        self.tell(&[command]).await;
        self.answer().await
    }

    pub async fn answer(&mut self) -> Command {
        loop {
            match self.next().await {
                Heard::Command(Command::ModemState(_) | Command::LineState(_)) => {}
                Heard::Command(command) => return command,
                Heard::Data(data) => panic!("{} instead of an answer", data.escape_ascii()),
            }
        }
    }

    /// Sets something, which must be echoed.
    pub async fn set(&mut self, command: Command) {
        assert_eq!(self.ask(command.clone()).await, command);
    }

    pub async fn control(&mut self, control: Control) {
        self.set(Command::Control(control)).await;
    }

    /// The next notification of the modem lines.
    pub async fn modem_state(&mut self) -> u8 {
        loop {
            if let Heard::Command(Command::ModemState(bits)) = self.next().await {
                return bits;
            }
        }
    }

    /// The next thing that it is sent. Data comes in any pieces.
    pub async fn next(&mut self) -> Heard {
        while self.heard.is_empty() {
            let mut buf = BytesMut::new();
            let count = within(self.stream.read_buf(&mut buf)).await.unwrap();
            assert!(count > 0, "closed");
            let mut bytes = buf.freeze();
            while let Some(event) = self.parser.handle_bytes(&mut bytes) {
                match event {
                    TelnetEvent::Data(data) => self.heard.push_back(Heard::Data(data)),
                    TelnetEvent::Subnegotiation(option::COM_PORT, sub) => {
                        let command = Command::decode(Sender::Server, &sub).unwrap();
                        self.heard.push_back(Heard::Command(command));
                    }
                    _ => {}
                }
            }
        }
        self.heard.pop_front().unwrap()
    }

    /// All that it is sent up to data that ends so: data as text, line states as `<16>`.
    pub async fn transcript(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            match self.next().await {
                Heard::Data(data) => text += &data.escape_ascii().to_string(),
                Heard::Command(Command::LineState(bits)) => text += &format!("<{bits}>"),
                Heard::Command(_) => {}
            }
        }
        text
    }
}
