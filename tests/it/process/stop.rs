//! Stopping a daemon that is busy.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use polyai_domain::target::Region;
use polyai_simulator::Project;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::daemon::{Daemon, command};
use super::fixture::Fixture;

/// The hash of some password at the highest cost, which takes a day to check.
const SLOW_HASH: &str = "$2b$31$US2shveJKaZjmYcQmKbc4.4c1xmsb5sPPvSQa5VmcwO50uJZhPh9u";

/// A daemon that is checking a password, which cannot be cancelled, and the connection of the request.
async fn at_work() -> (Fixture, Daemon, TcpStream) {
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::zero()).await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("server: {{web_config_file: web.yml}}\n{text}")).unwrap();
    fixture.write("web.yml", &format!("basic_auth_users: {{prometheus: {SLOW_HASH:?}}}\n"));
    let mut daemon = Daemon::serve(&config);
    let address = daemon.address().await;
    let before = ticks(&daemon);
    let asking = ask_with_password(address).await;
    for _ in 0..600 {
        // Half a second of CPU time is more than everything else takes.
        if ticks(&daemon) > before + 50 {
            return (fixture, daemon, asking);
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("no password is being checked: {}", daemon.log());
}

async fn ask_with_password(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let credentials = STANDARD.encode("prometheus:a guess");
    let request =
        format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {credentials}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Hundredths of a second that its threads have computed for.
fn ticks(daemon: &Daemon) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    // After the name: proc_pid_stat(5), fields 3 and on.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(11).unwrap().parse().unwrap()
}

#[tokio::test]
async fn stop_does_not_wait_for_blocking_work() {
    let (_scene, daemon, asking) = at_work().await;
    drop(asking);
    let signalled = Instant::now();
    let (status, log) = daemon.terminate().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("shutdown complete; all counts persisted"), "{log}");
    let took = signalled.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test]
async fn second_signal_exits_immediately() {
    // An answer is under way, so that the stop takes five seconds.
    let (_scene, daemon, _asking) = at_work().await;
    let kill = format!("kill -TERM {}", daemon.pid());
    assert!(command("sh").args(["-c", &kill]).status().await.unwrap().success());
    for _ in 0..600 {
        if daemon.log().contains("stopping; a second signal exits immediately") {
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    let signalled = Instant::now();
    let (status, log) = daemon.terminate().await;
    let took = signalled.elapsed();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(took < Duration::from_secs(3), "{took:?}: {log}");
    assert!(!log.contains("stopped; all that"), "{log}");
}
