//! A real Prometheus scrapes a port that asks for a certificate and a password, while the certificate of the port is exchanged.

use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::target::Region;
use polyai_simulator::Project;
use tokio::time::sleep;

use super::super::daemon::{BINARY, Daemon, command, serve_arguments};
use super::super::fixture::Fixture;
use super::super::http_server::secure;
use super::server::{Job, Prometheus, wait};

/// A job that shows the certificate `name` and sends this password.
fn job(
    fixture: &Fixture,
    exporter: std::net::SocketAddr,
    name: &str,
    certificate: &str,
    password: &str,
) -> Job {
    let file = |name: &str| fixture.path(name).display().to_string();
    let (ca, certificate, key) =
        (file("authority.pem"), file(&format!("{certificate}.pem")), file(&format!("{certificate}-key.pem")));
    Job::plain(name, exporter)
        .with("scheme: https")
        .with(&format!("tls_config: {{ca_file: {ca}, cert_file: {certificate}, key_file: {key}}}"))
        .with(&format!("basic_auth: {{username: prometheus, password: {password}}}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_scrapes_tls_across_certificate_change() {
    if !super::installed().await {
        return;
    }
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::zero()).await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let authority = secure(&fixture, "web.yml");
    let mut serve = command(BINARY);
    serve.args(serve_arguments(&config)).arg("--web.config.file").arg(fixture.path("web.yml"));
    let mut daemon = Daemon::start(serve);
    let exporter = daemon.address().await;
    let jobs = [
        job(&fixture, exporter, "secured", "client", "correct horse"),
        job(&fixture, exporter, "guesser", "client", "wrong"),
        job(&fixture, exporter, "stranger", "stranger", "correct horse"),
    ];
    let prometheus = Prometheus::with("prometheus", &[], &jobs).await;
    for (name, is_up) in [("secured", 1.0), ("guesser", 0.0), ("stranger", 0.0)] {
        let up = format!("up{{job={name:?}}}");
        assert_eq!(wait(&up, async || prometheus.number(&up).await).await, is_up, "{name}");
    }
    for _ in 0..2 {
        let issued = authority.issue(&[]);
        fixture.write("server.pem", &issued.certificate);
        fixture.write("server-key.pem", &issued.key);
        sleep(Duration::from_secs(4)).await;
    }
    let log = daemon.log();
    assert_eq!(log.matches("web configuration reloaded").count(), 2, "{log}");
    let worst = prometheus.number("min_over_time(up{job=\"secured\"}[1m])").await;
    assert_eq!(worst, Some(1.0), "no scrape was missed");
    let scrapes = prometheus.number("count_over_time(up{job=\"secured\"}[1m])").await.unwrap();
    assert!(scrapes >= 6.0, "{scrapes} scrapes");
    let (ended, log) = daemon.terminate().await;
    assert!(ended.success(), "{log}");
}
