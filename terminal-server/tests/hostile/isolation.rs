//! A hundred lines with a client each that has stopped reading: the others notice nothing.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use sys::{Pty, Slave};

use crate::client::connect;
use crate::stand::{Stand, eventually, pause};
use crate::witness::{Service, Witness};

/// Lines with a client that stalls.
const STALLED: usize = 100;
/// Lines that somebody works on.
const WORKING: usize = 3;

fn lines() -> String {
    let stalled = (0..STALLED).map(|n| {
        format!(
            "[line.stalled{n}]\nvirtual = \"DIR/stalled{n}\"\nring = \"64KiB\"\n\
             listen = [{{ speech = \"raw\", address = \"127.0.3.{}:0\" }}]\n",
            n + 1
        )
    });
    let working = (0..WORKING).map(|n| {
        format!(
            "[line.working{n}]\nvirtual = \"DIR/working{n}\"\nsettings = \"921600,8N1\"\n\
             groups = [\"crew\"]\n\
             listen = [{{ speech = \"line\", address = \"127.0.0.1:0\" }}]\n"
        )
    });
    let vanishing = "[line.vanishing]\nserial = \"DIR/cable\"\n\
                     listen = [{ speech = \"raw\", address = \"127.0.1.1:0\" }]\n";
    stalled.chain(working).collect::<String>() + vanishing
}

fn witnesses(address: SocketAddr) -> Vec<Witness> {
    (0..WORKING).map(|n| Witness::holder(address, &format!("working{n}"))).collect()
}

/// The round trips of a while in which `meanwhile` happens.
fn served(address: SocketAddr, meanwhile: impl FnOnce()) -> Vec<Service> {
    let witnesses = witnesses(address);
    meanwhile();
    witnesses.into_iter().map(Witness::end).collect()
}

/// Generous: other work shares the machine.
#[track_caller]
fn assert_as_good(services: &[Service], quiet: &[Service]) {
    for (service, quiet) in services.iter().zip(quiet) {
        let (median, before) = (service.median(), quiet.median());
        println!("median {median:?}, quiet {before:?}, worst {:?}", service.worst());
        assert!(median < before * 10 + Duration::from_millis(5), "{median:?}, quiet {before:?}");
        assert!(service.worst() < Duration::from_millis(1400), "{:?}", service.worst());
    }
}

#[test]
fn a_stalled_client_on_each_of_a_hundred_lines() {
    let mut stand = Stand::start(&lines());
    let heard: Vec<_> = (0..WORKING).map(|n| stand.far(&format!("working{n}")).echo()).collect();
    let address = stand.at("127.0.0.1");
    let quiet = served(address, || pause(700));
    let mut fars: Vec<_> = (0..STALLED).map(|n| stand.far(&format!("stalled{n}")).tty).collect();
    let status = stand.status();
    let at = |n: usize| {
        let ip = format!("127.0.3.{}:", n + 1);
        let listeners = status["listeners"].as_array().unwrap();
        let mut found = listeners.iter().map(|listener| listener["address"].as_str().unwrap());
        found.find(|address| address.starts_with(&ip)).unwrap().parse().unwrap()
    };
    let stalled: Vec<_> = (0..STALLED).map(|n| connect(at(n))).collect();
    // Some are stalled to the last buffer, and their lines lose input.
    for far in &mut fars[..5] {
        for _ in 0..2048 {
            far.write_all(&[b'x'; 4096]).unwrap();
        }
    }
    let services = served(address, || {
        for _ in 0..50 {
            for far in &mut fars {
                far.write_all(&[b'x'; 512]).unwrap();
            }
            pause(20);
        }
    });
    assert_as_good(&services, &quiet);
    for (n, heard) in heard.iter().enumerate() {
        let sent = [&quiet[n].sent[..], &services[n].sent].concat();
        assert!(*heard.bytes() == sent);
    }
    assert!(stand.count("stalled0", "bytes_lost") > 0, "it was stalled");
    assert!(stand.line("stalled99")["clients"] == 1);
    drop(stalled);
    stand.is_sound();
}

#[test]
fn a_device_that_goes_and_comes_again_and_again() {
    let mut stand = Stand::start(&lines());
    let _heard: Vec<_> = (0..WORKING).map(|n| stand.far(&format!("working{n}")).echo()).collect();
    let address = stand.at("127.0.0.1");
    let quiet = served(address, || pause(700));
    let _client = connect(stand.at("127.0.1.1"));
    // A pseudo terminal belongs to a reactor.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _within = runtime.enter();
    let services = served(address, || {
        for _ in 0..4 {
            let cable = Pty::open(Some(&stand.path("cable")), Slave::Held).unwrap();
            eventually(|| stand.line("vanishing")["up"] == true);
            drop(cable);
            eventually(|| stand.line("vanishing")["up"] == false);
        }
    });
    assert_as_good(&services, &quiet);
    assert_eq!(stand.line("vanishing")["clients"], 1, "its client stays all the while");
    stand.is_sound();
}
