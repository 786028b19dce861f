//! A log that cannot be written must not stop the daemon.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::target::Region;
use polyai_simulator::Project;
use tokio::process::Child;
use tokio::time::sleep;

use super::daemon::{BINARY, command};
use super::fixture::Fixture;
use super::web;

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

async fn fixture() -> Fixture {
    Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::zero()).await
}

/// Waits until `/metrics` has a value above zero for the lost lines.
async fn wait_for_lost_lines(child: &mut Child, address: SocketAddr) {
    let mut body = String::new();
    for _ in 0..600 {
        assert_eq!(child.try_wait().unwrap(), None, "the process ended");
        if let Ok((200, text)) = web::get(address, "/metrics").await {
            let line =
                text.lines().find_map(|line| line.strip_prefix("polyai_exporter_log_lines_lost_total "));
            if line.is_some_and(|value| value.parse::<f64>().unwrap() > 0.0) {
                return;
            }
            body = text;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("no lost lines are counted: {body}");
}

#[tokio::test]
async fn daemon_with_an_unwritable_log_keeps_serving() {
    let fixture = fixture().await;
    for format in ["text", "json"] {
        let address = free_address();
        let config = fixture.config("polyai.yaml", &fixture.path(format));
        let mut daemon = command(BINARY);
        daemon.args([
            "serve",
            "--log.format",
            format,
            "--web.listen-address",
            &address.to_string(),
            "--config",
        ]);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut child = daemon.arg(config).stderr(full).spawn().unwrap();
        wait_for_lost_lines(&mut child, address).await;
        child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn demo_and_simulate_without_a_terminal_keep_running() {
    for arguments in [
        &["demo", "--simulator.listen-address", "127.0.0.1:0", "--web.listen-address"][..],
        &["simulate", "--listen"],
    ] {
        let address = free_address();
        let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut child = command(BINARY);
        child.args(arguments).arg(address.to_string()).stdout(full()).stderr(full());
        let mut child = child.spawn().unwrap();
        let mut answered = false;
        for _ in 0..600 {
            assert_eq!(child.try_wait().unwrap(), None, "{arguments:?} ended");
            answered = web::get(address, "/").await.is_ok();
            if answered {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        assert!(answered, "{arguments:?} does not answer");
        child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn log_writable_again_reports_lost_lines() {
    let fixture = fixture().await;
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    while theirs.write(&[b'.'; 4096]).is_ok() {}
    let address = free_address();
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let mut daemon = command(BINARY);
    daemon.args(["serve", "--log.format", "json", "--web.listen-address", &address.to_string(), "--config"]);
    let mut child = daemon.arg(config).stderr(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
    // The command holds a copy of the descriptor.
    drop(daemon);
    wait_for_lost_lines(&mut child, address).await;

    ours.set_nonblocking(true).unwrap();
    let (mut seen, mut chunk) = (Vec::new(), [0; 65536]);
    let pid = child.id().unwrap().to_string();
    for _ in 0..600 {
        while let Ok(read @ 1..) = ours.read(&mut chunk) {
            seen.extend(chunk.get(..read).unwrap().iter().filter(|&&byte| byte != b'.'));
        }
        if String::from_utf8_lossy(&seen).contains("log lines were lost") {
            child.kill().await.unwrap();
            return;
        }
        // A reload is logged.
        assert!(command("kill").args(["-HUP", &pid]).status().await.unwrap().success());
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the loss is not logged: {}", String::from_utf8_lossy(&seen));
}
