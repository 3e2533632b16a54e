//! Bench lines: plain bytes, owned by connecting.

use sys::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::daemon::{Site, read, within, write};

fn bench() -> Site {
    let mut site = Site::bare();
    let link = format!("{},115200,8N1", site.path("line").display());
    site.add(&["--virtual", &link, "--listen-raw", "127.0.0.1:0", "--pace", "off"]);
    site
}

#[tokio::test]
async fn bytes_pass_both_ways_and_the_line_outlives_its_clients() {
    let mut site = bench();
    let mut daemon = site.restart().await;
    let mut far = site.far_end();
    let all: Vec<u8> = (0..=255).cycle().take(50_000).collect();
    for _ in 0..2 {
        let mut client = within(TcpStream::connect(daemon.address)).await.unwrap();
        let (mut reading, mut writing) = client.split();
        let sending = async {
            writing.write_all(&all).await.unwrap();
        };
        let (_, got) = within(async { tokio::join!(sending, read(&mut far, all.len())) }).await;
        assert_eq!(got, all);
        let mut back = vec![0; all.len()];
        let receiving = async {
            reading.read_exact(&mut back).await.unwrap();
        };
        within(async { tokio::join!(write(&mut far, &all), receiving) }).await;
        assert_eq!(back, all);
        drop(client);
        assert_eq!(daemon.event("ended").await["cause"], "closed");
    }
}

#[tokio::test]
async fn i1_a_second_client_is_refused() {
    let site = bench();
    let daemon = site.restart().await;
    let mut first = within(TcpStream::connect(daemon.address)).await.unwrap();
    site.counted("granted", 1).await;
    let mut second = within(TcpStream::connect(daemon.address)).await.unwrap();
    assert_eq!(within(second.read(&mut [0; 10])).await.unwrap(), 0);
    assert_eq!(site.count("refused_busy").await, 1);
    first.write_all(b"x").await.unwrap();
}

#[tokio::test]
async fn a_file_sent_and_closed_is_written_to_its_end() {
    let mut site = Site::bare();
    let link = format!("{},115200,8N1", site.path("line").display());
    site.add(&["--virtual", &link, "--listen-raw", "127.0.0.1:0"]);
    let mut daemon = site.restart().await;
    let mut far = site.far_end();
    let file: Vec<u8> = (0..=255).cycle().take(6000).collect();
    let mut client = within(TcpStream::connect(daemon.address)).await.unwrap();
    within(client.write_all(&file)).await.unwrap();
    within(client.shutdown()).await.unwrap();
    assert_eq!(read(&mut far, file.len()).await, file);
    assert_eq!(within(client.read(&mut [0; 10])).await.unwrap(), 0, "then it is let go");
    assert_eq!(daemon.event("ended").await["dropped"], 0);
    within(TcpStream::connect(daemon.address)).await.unwrap();
    site.counted("granted", 2).await;
}

#[tokio::test]
async fn a_second_signal_ends_what_the_first_cannot_finish() {
    let mut site = Site::bare();
    let link = format!("{},50,8N1", site.path("line").display());
    site.add(&["--virtual", &link, "--listen-raw", "127.0.0.1:0"]);
    let mut daemon = site.restart().await;
    let mut far = site.far_end();
    let mut client = within(TcpStream::connect(daemon.address)).await.unwrap();
    client.write_all(&[b'x'; 2000]).await.unwrap();
    read(&mut far, 1).await;
    daemon.signal(Signal::TERM);
    daemon.event("stopping").await;
    daemon.signal(Signal::INT);
    assert_eq!(daemon.wait().await.code(), Some(75));
}
