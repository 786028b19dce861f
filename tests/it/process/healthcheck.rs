//! `healthcheck` against a running daemon and against other servers.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;

use chrono::TimeDelta;
use polyai_domain::target::Region;
use polyai_simulator::Project;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::daemon::{Daemon, Output, polyai_exporter};
use super::fixture::Fixture;
use crate::http_server::test_ca::{Authority, dns};

async fn healthcheck(flags: &[&str]) -> Output {
    polyai_exporter(&[&["healthcheck"], flags].concat(), &[]).await
}

/// Somebody who gives every request this answer.
async fn stranger(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(reply(stream, answer));
        }
    });
    address
}

async fn reply(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(answer.as_bytes()).await;
}

#[tokio::test]
async fn running_daemon_is_healthy_and_becomes_ready() {
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::zero()).await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let mut daemon = Daemon::serve(&config);
    let address = daemon.address().await.to_string();

    let healthy = healthcheck(&["--web.listen-address", &address]).await;
    assert_eq!((healthy.code, healthy.stdout), (0, format!("{address} is healthy\n")));

    let mut ready = healthcheck(&["--ready", "--web.listen-address", &address]).await;
    for _ in 0..100 {
        if ready.code == 0 {
            break;
        }
        assert!(ready.stderr.contains(" is not ready: "), "{ready:?}");
        ready = healthcheck(&["--ready", "--web.listen-address", &address]).await;
    }
    assert_eq!((ready.code, ready.stdout), (0, format!("{address} is ready\n")));

    // The same through a configuration, of which nothing but the address has to be right.
    let port = address.rsplit(':').next().unwrap();
    let text = format!(
        "server: {{listen: \"0.0.0.0:{port}\"}}\ntargets: [{{api_key_file: no/such/file}}]\nnonsense: 1\n"
    );
    let other = fixture.write("other.yaml", &text);
    let found = healthcheck(&["--config", other.to_str().unwrap()]).await;
    assert_eq!((found.code, found.stdout), (0, format!("127.0.0.1:{port} is healthy\n")));
    let variable = ("POLYAI_EXPORTER__SERVER__LISTEN", &*address);
    assert_eq!(polyai_exporter(&["healthcheck"], &[variable]).await.code, 0);

    let (status, _) = daemon.terminate().await;
    assert!(status.success());
    let gone = healthcheck(&["--web.listen-address", &address]).await;
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(gone.stderr.contains("does not answer: ") && gone.stderr.contains("refused"), "{gone:?}");
}

#[tokio::test]
async fn healthcheck_passes_with_all_connections_idle() {
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::zero()).await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let mut daemon = Daemon::serve(&config);
    let address = daemon.address().await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let healthy = healthcheck(&["--web.listen-address", &address.to_string()]).await;
    assert_eq!(healthy.code, 0, "{healthy:?}");
    let metrics = daemon.metrics().await;
    let displaced = metrics.lines().find_map(|line| {
        line.strip_prefix("polyai_exporter_events_total{event=\"connection_evicted\"} ")?.parse::<u32>().ok()
    });
    // 512 have a slot; each that came later took one.
    assert!(displaced.is_some_and(|displaced| displaced >= 600 - 512), "{displaced:?}");
    drop(silent);
}

#[tokio::test]
async fn healthcheck_reports_unusable_configuration() {
    for (flags, words) in [
        (&["--config", "no/such/file.yaml"][..], "no/such/file.yaml"),
        (&["--web.listen-address", "127.0.0.1:0"], "selects a free port"),
    ] {
        let refused = healthcheck(flags).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
}

#[tokio::test]
async fn healthcheck_distinguishes_responses() {
    const LOCKED: &str = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n";
    let address = stranger(LOCKED).await.to_string();
    let locked = healthcheck(&["--web.listen-address", &address]).await;
    assert_eq!(locked.code, 0, "{locked:?}");
    assert!(locked.stdout.contains("is healthy: it asks for a password"), "{locked:?}");
    let locked = healthcheck(&["--ready", "--web.listen-address", &address]).await;
    assert_eq!(locked.code, 1, "{locked:?}");

    for (answer, words) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nhello", "answered 404 to /-/healthy"),
        ("HTTP/1.1 302 Found\r\nlocation: http://example.com/\r\ncontent-length: 0\r\n\r\n", "answered 302"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "does not answer: "),
        ("", "does not answer: "),
    ] {
        let address = stranger(answer).await.to_string();
        let refused = healthcheck(&["--web.listen-address", &address]).await;
        assert_eq!(refused.code, 1, "{answer:?}: {refused:?}");
        assert!(refused.stderr.contains(words), "{answer:?}: {refused:?}");
    }
}

#[tokio::test]
async fn healthcheck_times_out_on_silent_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let silent = healthcheck(&["--timeout", "200ms", "--web.listen-address", &address]).await;
    assert_eq!(silent.code, 1, "{silent:?}");
    assert!(silent.stderr.contains("no response within 200ms"), "{silent:?}");
}

/// A daemon with this web configuration, and its address.
async fn behind(web_config: &str) -> (Fixture, Daemon, String) {
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::zero()).await;
    let authority = Authority::new("authority");
    fixture.write("authority.pem", &authority.pem);
    // For another name than that of this machine.
    let issued = authority.issue(&[dns("exporter.example.com")]);
    fixture.write("server.pem", &issued.certificate);
    fixture.write("server-key.pem", &issued.key);
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("server: {{web_config_file: web.yml}}\n{text}")).unwrap();
    fixture.write("web.yml", web_config);
    let mut daemon = Daemon::serve(&config);
    let address = daemon.address().await.to_string();
    (fixture, daemon, address)
}

const TLS: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n";

#[tokio::test]
async fn healthcheck_uses_tls_without_name_verification() {
    let (fixture, daemon, address) = behind(TLS).await;
    let web = fixture.path("web.yml");
    let arguments = ["--web.listen-address", &address, "--web.config.file", web.to_str().unwrap()];
    let healthy = healthcheck(&arguments).await;
    assert_eq!((healthy.code, healthy.stdout), (0, format!("{address} is healthy\n")), "{}", healthy.stderr);
    let config = fixture.path("polyai.yaml");
    let named = ["--web.listen-address", &address, "--config", config.to_str().unwrap()];
    assert_eq!(healthcheck(&named).await.code, 0);
    assert!(!daemon.log().contains("TLS handshake failed"), "{}", daemon.log());
    // Without a web configuration it detects TLS.
    let healthy = healthcheck(&["--web.listen-address", &address]).await;
    assert_eq!((healthy.code, healthy.stdout), (0, format!("{address} is healthy\n")), "{}", healthy.stderr);
}

#[tokio::test]
async fn healthcheck_passes_with_required_authentication() {
    let hash = bcrypt::hash("correct horse", 5).unwrap();
    let users = format!("basic_auth_users: {{prometheus: {hash:?}}}\n");
    let clients = "  client_ca_file: authority.pem\n  client_auth_type: RequireAndVerifyClientCert\n";
    for (web_config, reason) in [
        (users.clone(), "it asks for a password"),
        (format!("{TLS}{users}"), "it asks for a password"),
        (format!("{TLS}{clients}"), "it asks for a client certificate"),
        (format!("{TLS}{clients}  max_version: TLS12\n"), "it asks for a client certificate"),
    ] {
        let (fixture, _daemon, address) = behind(&web_config).await;
        let web = fixture.path("web.yml");
        let arguments = ["--web.listen-address", &address, "--web.config.file", web.to_str().unwrap()];
        let healthy = healthcheck(&arguments).await;
        assert_eq!(healthy.code, 0, "{web_config}: {healthy:?}");
        assert_eq!(healthy.stdout, format!("{address} is healthy: {reason}, so it runs\n"));
        let ready = healthcheck(&[&arguments[..], &["--ready"]].concat()).await;
        assert!(ready.code == 1 && ready.stderr.contains("omit --ready"), "{ready:?}");
    }
}

#[tokio::test]
async fn healthcheck_connects_to_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("exporter.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let answered = async {
        while let Ok((stream, _)) = listener.accept().await {
            reply(stream, "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhealthy\n").await;
        }
    };
    let asked = ask_socket(&path);
    tokio::select! {
        () = answered => unreachable!("it accepts for ever"),
        ended = asked => assert_eq!((ended.code, ended.stdout), (0, format!("unix:{} is healthy\n", path.display()))),
    }
}

fn ask_socket(path: &Path) -> impl Future<Output = Output> {
    let address = format!("unix:{}", path.display());
    async move { healthcheck(&["--web.listen-address", &address]).await }
}
