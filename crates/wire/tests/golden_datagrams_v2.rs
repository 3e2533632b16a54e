//! The exact bytes of what version 2 of the datagrams brought: a heartbeat with more flags, and the
//! version that its sender reads. Beacons are still those of `golden_v1.rs`.
//!
//! If one of these fails, do NOT change the test: the wire changed, and the programs already
//! installed somewhere do not understand it. A new version gets a new file beside this one.
//!
//! The bytes were made by a second encoder in another language, with another implementation of
//! HMAC. Groups of digits are fields, in the order of `docs/wire-format.md`.

use wire::{BootId, Datagram, Epoch, Heartbeat, Key, Name, PeerEcho, Role};

#[test]
fn constants() {
    assert_eq!((wire::datagram::VERSION_MIN, wire::datagram::VERSION), (1, 2));
    assert_eq!(wire::keyring::MAX_KEYS, 4);
}

#[test]
fn heartbeat_of_a_lonely_node() {
    datagram(
        Heartbeat::new(name("billing"), name("node-a"), BootId(boot()), 1),
        "4c4b4447 02 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000001 00 64 00 02 0000000000000000 0000000000000000 00
         0d51d515ceee45d3ede896201355ad1fb7e2d03b7552e876b4b961762e12fcf6",
    );
}

#[test]
fn heartbeat_of_a_coordinator_with_two_peers() {
    let (challenge, echo) = (0x1111_1111_1111_1111, 0x2222_2222_2222_2222);
    let heard = PeerEcho { node: name("node-b"), challenge, echo, heard_ms: 12 };
    let challenge = 0x3333_3333_3333_3333;
    let unheard = PeerEcho { node: name("node-c"), challenge, echo: 0, heard_ms: u16::MAX };
    datagram(
        Heartbeat {
            seq: 258,
            role: Role::Coordinator,
            priority: 200,
            hears_beacons: true,
            connect_failed: true,
            held_down: true,
            leaving: true,
            observer: true,
            barred: true,
            maintenance: true,
            unhealthy: true,
            speaks: 3,
            digest: 0x0123_4567_89ab_cdef,
            peers: vec![heard, unheard],
            ..heartbeat()
        },
        "4c4b4447 02 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000102 02 c8 ff 03 000000030000000a 0123456789abcdef 02 066e6f64652d62
         1111111111111111 2222222222222222 000c 066e6f64652d63 3333333333333333 0000000000000000
         ffff e7d799dc0e4f8b72919b27a6234c576e4a7dda66eba7d051878622ffa5c2cddf",
    );
}

#[test]
fn heartbeat_flags_one_by_one() {
    datagram(
        Heartbeat { hears_beacons: true, ..heartbeat() },
        "4c4b4447 02 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 01 02 000000030000000a 0000000000000009 00
         b3d3a991737f921d5a99fc416499de170a741e88e5508b2cb581d54760ef0a6a",
    );
    datagram(
        Heartbeat { connect_failed: true, ..heartbeat() },
        "4c4b4447 02 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 02 02 000000030000000a 0000000000000009 00
         dc3367e85ba5914c6ff0a464bcfc615fb229bb57ba20eafb4e26468053566b45",
    );
    datagram(
        Heartbeat { held_down: true, ..heartbeat() },
        "4c4b4447 02 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 04 02 000000030000000a 0000000000000009 00
         5c0e73b8e2eca91828ddbe511ce9db16089945451a4845c73e20cecf95d4e400",
    );
    datagram(
        Heartbeat { leaving: true, ..heartbeat() },
        "4c4b4447 02 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 08 02 000000030000000a 0000000000000009 00
         45e8d96c07d1513f0bd81d5ff9e3e6735ec45b652a17cd5593e6c3912eb203c2",
    );
    datagram(
        Heartbeat { observer: true, ..heartbeat() },
        "4c4b4447 02 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 10 02 000000030000000a 0000000000000009 00
         d09cddf604365c8c0a67d3d4c3d9140864f7ea24d7c1c732d6a733c5b28457f8",
    );
    datagram(
        Heartbeat { barred: true, ..heartbeat() },
        "4c4b4447 02 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 20 02 000000030000000a 0000000000000009 00
         940faf18bf87252e3f8e6f80ce9730bd4ccec89887286dcccdcc2df3f5fade89",
    );
    datagram(
        Heartbeat { maintenance: true, ..heartbeat() },
        "4c4b4447 02 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 40 02 000000030000000a 0000000000000009 00
         bc08eb8cda15b6518c11ebcb7dfa3a13aa5960b971ae306ac3e6511cd6bc3dcd",
    );
    datagram(
        Heartbeat { unhealthy: true, ..heartbeat() },
        "4c4b4447 02 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
         0000000000000002 01 01 80 02 000000030000000a 0000000000000009 00
         7ea9bf6891f9f4e4e0448703821fcf9499a4492e89242324eea52c3a901dd648",
    );
}

/// What a node of the release before is told of one that must not be coordinator or is not well.
#[test]
fn heartbeat_for_version_1() {
    let set_back = [
        Heartbeat { observer: true, ..heartbeat() },
        Heartbeat { barred: true, ..heartbeat() },
        Heartbeat { maintenance: true, ..heartbeat() },
        Heartbeat { unhealthy: true, ..heartbeat() },
        Heartbeat { held_down: true, ..heartbeat() },
    ];
    for heartbeat in set_back {
        datagram(
            heartbeat.for_version_1(0xfedc_ba98_7654_3210),
            "4c4b4447 01 01 07 0762696c6c696e67 066e6f64652d61 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
             0000000000000002 01 01 04 000000030000000a fedcba9876543210 00
             daf4e7c3a5661fc101c7d1d298e2bda833e6b815925aabdd778e7d0c43995cfd",
        );
    }
}

#[track_caller]
fn datagram(value: Heartbeat, golden: &str) {
    let (value, key) = (Datagram::Heartbeat(value), Key::new(7, std::array::from_fn(|i| i as u8)));
    let encoded = value.encode(&key);
    let digits: String = encoded.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(digits, golden.split_whitespace().collect::<String>(), "encoded");
    let decoded = Datagram::decode(&encoded, &name("billing"), |id| (id == 7).then_some(&key));
    assert_eq!(decoded, Ok(value), "decoded");
}

fn name(text: &str) -> Name {
    text.parse().expect("names in this file are valid")
}

fn boot() -> [u8; 16] {
    std::array::from_fn(|i| 0xc0 + i as u8)
}

fn heartbeat() -> Heartbeat {
    Heartbeat {
        role: Role::Candidate,
        priority: 1,
        epoch: Epoch::new(3, 10),
        digest: 9,
        ..Heartbeat::new(name("billing"), name("node-a"), BootId(boot()), 2)
    }
}
