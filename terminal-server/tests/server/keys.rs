//! One key replaces another while the line is held.

use std::os::unix::fs::PermissionsExt;

use wire::handshake;
use wire::{Claim, Frame, Grant, Key, KeyRing, Refuse, RefuseWhy};

use crate::beacons::Ear;
use crate::client::{Client, claim};
use crate::daemon::{SECRET, key, write};
use crate::reload::{KEYED, Many};

fn new_secret() -> String {
    SECRET.replace("00", "77")
}

fn new_key() -> Key {
    Key::from_file_content(1, new_secret().as_bytes()).unwrap()
}

/// Claims the line with `key`.
async fn claim_with(many: &Many, node: &str, key: &Key) -> (Client, Claim, Frame) {
    let mut client = Client::connect(many.address("line").await).await;
    let transcript = client.hello("pms").await.unwrap();
    let claim = transcript.sign_claim(key, Claim { key_id: key.id(), ..claim(node) });
    client.send(Frame::Claim(claim.clone())).await;
    let answer = client.next().await.expect("an answer");
    (client, claim, answer)
}

/// Why a claim with `key` was refused. What is refused for the key's sake carries no MAC.
async fn refused(many: &Many, node: &str, key: &Key) -> RefuseWhy {
    let (_, claim, answer) = claim_with(many, node, key).await;
    let Frame::Refuse(refuse) = answer else { panic!("{answer:?}") };
    let Refuse { why, mac, .. } = refuse;
    match why {
        RefuseWhy::Mac => assert_eq!(mac, [0; 32]),
        _ => assert!(handshake::verify_refuse(key, &claim.mac, &refuse)),
    }
    why
}

async fn granted(many: &Many, node: &str, key: &Key) -> (Client, Grant) {
    let (client, claim, answer) = claim_with(many, node, key).await;
    let Frame::Grant(grant) = answer else { panic!("{answer:?}") };
    assert!(handshake::verify_grant(key, &claim.mac, &grant));
    (client, grant)
}

/// Until beacons are signed by this one; each is signed by one of the two.
async fn hear_signed_by(ear: &Ear, id: u8) {
    let both = KeyRing::new(vec![key(), new_key()], 0).unwrap();
    let mut last = (0, 0);
    loop {
        let (signed_by, beacon) = ear.hear_signed(&both).await;
        assert!((beacon.start, beacon.seq) > last, "nobody would believe it");
        last = (beacon.start, beacon.seq);
        if signed_by == id {
            return;
        }
    }
}

#[tokio::test]
async fn a_key_replaces_another_and_no_grant_ends() {
    let mut many = Many::new("");
    let group = many.site.add_beacons();
    many.site.args.truncate(4);
    let ear = Ear::new(group);
    let beacons = format!("[beacons]\nto = [\"{group}\"]\ninterface = \"127.0.0.1\"\n");
    let lines = beacons + KEYED;
    std::fs::write(many.site.path("new"), new_secret()).unwrap();
    std::fs::set_permissions(many.site.path("new"), PermissionsExt::from_mode(0o600)).unwrap();
    many.write(&lines);
    let mut daemon = many.site.start().await;
    let mut far = many.site.far_end_of("line");

    let (mut alpha, grant) = granted(&many, "alpha", &key()).await;
    assert_eq!(refused(&many, "beta", &new_key()).await, RefuseWhy::Mac);
    hear_signed_by(&ear, 0).await;

    // Added: either will do.
    many.write_with_keys("keys = { 0 = \"DIR/key\", 1 = \"DIR/new\" }", &lines);
    many.reload(&mut daemon).await;
    assert_eq!(refused(&many, "beta", &new_key()).await, RefuseWhy::Held);
    assert_eq!(refused(&many, "beta", &key()).await, RefuseWhy::Held);
    alpha.renew(1).await;
    hear_signed_by(&ear, 0).await;

    // The new one sends.
    many.write_with_keys("keys = { 0 = \"DIR/key\", 1 = \"DIR/new\" }\nsend_key = 1", &lines);
    many.reload(&mut daemon).await;
    hear_signed_by(&ear, 1).await;
    alpha.renew(2).await;

    // The old one is gone, and alpha, who claimed with it, is not.
    many.write_with_keys("keys = { 1 = \"DIR/new\" }", &lines);
    many.reload(&mut daemon).await;
    assert_eq!(refused(&many, "alpha", &key()).await, RefuseWhy::Mac);
    alpha.renew(3).await;
    write(&mut far, b"still alpha's").await;
    assert_eq!(alpha.input(13).await, (0, b"still alpha's".to_vec()));
    let line = many.line("pms").await;
    assert_eq!((&line["state"], &line["epoch"]), (&"held".into(), &grant.epoch.to_string().into()));

    drop(alpha);
    daemon.event("ended").await;
    assert_eq!(
        refused(&many, "alpha", &key()).await,
        RefuseWhy::Mac,
        "a new claim needs a new key"
    );
    let (_beta, next) = granted(&many, "beta", &new_key()).await;
    assert_eq!(Some(next.epoch), grant.epoch.next(), "the line was never started again");
    daemon.stop().await;
}

#[tokio::test]
async fn a_key_file_that_cannot_be_read_changes_no_key() {
    let many = Many::new(KEYED);
    let mut daemon = many.site.start().await;
    let (mut alpha, _) = granted(&many, "alpha", &key()).await;
    many.write_with_keys("keys = { 1 = \"DIR/missing\" }", KEYED);
    daemon.signal(sys::process::Signal::HUP);
    let said = daemon.event("the configuration was not taken; nothing has changed").await;
    assert!(said["error"].as_str().unwrap().contains("missing"), "{said}");
    assert_eq!(refused(&many, "beta", &key()).await, RefuseWhy::Held);
    alpha.renew(1).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_key_comes_as_a_credential_of_systemds() {
    let mut many = Many::new("");
    many.write_with_keys("keys = { 0 = \"credential:key\" }", KEYED);
    let (code, said) = many.site.fails(&["--new-state"]).await;
    assert_eq!(code, Some(64));
    assert!(
        said.contains("ts.toml:6:14: credential:key: $CREDENTIALS_DIRECTORY is not set"),
        "{said}"
    );
    let credentials = many.site.dir.path().as_os_str().to_owned();
    many.site.envs.push(("CREDENTIALS_DIRECTORY", credentials));
    let daemon = many.site.start().await;
    let (alpha, _) = granted(&many, "alpha", &key()).await;
    drop(alpha);
    daemon.stop().await;
}
