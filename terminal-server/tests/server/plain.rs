//! Raw clients and what befalls them: pauses, ends, resets, over a line that is slow or held back.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::daemon::{Site, read, within, write};

/// With a raw line over a cable, at full speed if `bulk`.
fn site(settings: &str, bulk: bool) -> Site {
    let mut site = Site::bare();
    let near = sys::Pty::open(Some(&site.path("cable")), sys::Slave::Held).unwrap();
    site.cable = Some(near.into());
    let serial = format!("{},{settings}", site.path("cable").display());
    site.add(&["--line", "pms", "--serial", &serial, "--listen-raw", "127.0.0.1:0"]);
    if bulk {
        site.add(&["--pace", "off", "--ring", "8MiB"]);
    }
    site
}

#[tokio::test]
async fn a_client_that_paused_gets_all_when_it_reads_again_though_the_line_is_silent() {
    let mut site = site("115200,8N1", true);
    let daemon = site.restart().await;
    let mut far = site.far_end();
    let mut client = within(TcpStream::connect(daemon.address)).await.unwrap();
    let block = vec![b'x'; 64 * 1024];
    let count = 96;
    for _ in 0..count {
        write(&mut far, &block).await;
    }
    // The line is silent from here on; only the client's reading can move anything.
    let mut got = 0;
    let mut buf = vec![0; 64 * 1024];
    while got < count * block.len() {
        let read = within(client.read(&mut buf)).await.unwrap();
        assert!(read > 0, "after {got} bytes");
        got += read;
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a_file_that_takes_longer_than_patience_is_written_to_its_end() {
    // 12 s on the wire; a connection that had ended used to be given 10 s in all.
    let mut site = site("1200,8N1", false);
    let daemon = site.restart().await;
    let mut far = site.far_end();
    let mut client = within(TcpStream::connect(daemon.address)).await.unwrap();
    let file: Vec<u8> = (0..1440_u32).map(|n| n as u8).collect();
    within(client.write_all(&file)).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read(&mut far, file.len()).await, file);
    daemon.stop().await;
}

#[tokio::test]
async fn a_client_that_was_reset_over_a_line_that_is_held_back_does_not_keep_it() {
    let mut site = site("115200,8N1", true);
    let daemon = site.restart().await;
    let _far = site.far_end();
    let client = within(TcpStream::connect(daemon.address)).await.unwrap();
    let block = vec![b'x'; 64 * 1024];
    // Nobody reads the far end: it fills up, and then the client is not read any more.
    let mut refused = 0;
    while refused < 5 {
        match client.try_write(&block) {
            Ok(_) => refused = 0,
            Err(_) => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    within(async {
        while site.status().await["lines"][0]["state"] != "free" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    daemon.kill().await;
}

#[tokio::test]
async fn i3_the_spool_of_a_raw_line_stays_small_and_gives_back_only_what_nobody_had() {
    let mut site = site("115200,8N1", true);
    let state = site.path("state").display().to_string();
    site.add(&["--spool", "--state", &state]);
    let daemon = site.start().await;
    let mut far = site.far_end();
    let mut client = within(TcpStream::connect(daemon.address)).await.unwrap();
    let mut buf = vec![0; 16 * 1024];
    for _ in 0..256 {
        write(&mut far, &buf).await;
        within(client.read_exact(&mut buf)).await.unwrap();
    }
    let spool = site.path("state").join("pms.spool");
    let size = std::fs::metadata(&spool).unwrap().len();
    assert!(size < 2 << 20, "{size} bytes for 4 MiB that were all delivered");
    // The client may have the last bytes a moment before the spool knows that it was given them.
    within(async {
        while site.status().await["lines"][0]["acked"] != 4 << 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    daemon.kill().await;
    let daemon = site.restart().await;
    let line = &site.status().await["lines"][0];
    assert_eq!(line["acked"], line["end"], "nothing is left to be given again");
    assert_eq!(line["end"], 4 << 20);
    daemon.stop().await;
}
