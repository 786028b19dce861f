//! The HTTP port of a real daemon: TLS, client certificates and users with curl, Unix sockets, socket activation, and a process without
//! privileges.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::target::Region;
use polyai_simulator::Project;
use tokio::net::UnixDatagram;
use tokio::time::{sleep, timeout};

use super::daemon::{BINARY, Daemon, Output, command, polyai_exporter, run, serve_arguments};
use super::fixture::Fixture;
use super::{has, skip};
use crate::http_server::test_ca::{Authority, dns};

const PATIENCE: Duration = Duration::from_secs(60);

async fn a_scene() -> Fixture {
    Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::zero()).await
}

/// Runs curl with `arguments`; its exit code is 0 for any HTTP response.
async fn curl(arguments: &[&str]) -> Output {
    let mut curl = command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20"]).args(arguments);
    run(curl).await
}

/// In CI it has to be there.
async fn has_curl() -> bool {
    let is_there = command("curl").arg("--version").status().await.is_ok_and(|status| status.success());
    has(is_there, "curl is not installed; tests/run installs it")
}

/// Writes the certificates of a server and of clients, one of which nobody vouches for, and a web configuration that asks for
/// them and for a password. Answers with the authority of the others.
pub(super) fn secure(fixture: &Fixture, port_file: &str) -> Authority {
    let (authority, other) = (Authority::new("authority"), Authority::new("authority"));
    fixture.write("authority.pem", &authority.pem);
    for (name, issued) in [
        ("server", authority.issue(&[])),
        ("client", authority.issue(&[dns("prometheus.example.com")])),
        ("unnamed", authority.issue(&[])),
        ("stranger", other.issue(&[dns("prometheus.example.com")])),
    ] {
        fixture.write(&format!("{name}.pem"), &issued.certificate);
        fixture.write(&format!("{name}-key.pem"), &issued.key);
    }
    let hash = bcrypt::hash("correct horse", 5).unwrap();
    fixture.write(
        port_file,
        &format!(
            "tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n  client_ca_file: authority.pem\n  \
             client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [prometheus.example.com]\n\
             http_server_config: {{headers: {{X-Frame-Options: deny}}}}\nbasic_auth_users: {{prometheus: {hash:?}}}\n"
        ),
    );
    authority
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_needs_certificate_and_password() {
    if !has_curl().await {
        return;
    }
    let fixture = a_scene().await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("server: {{web_config_file: web.yml}}\n{text}")).unwrap();
    secure(&fixture, "web.yml");

    let checked = polyai_exporter(&["check", "--config", config.to_str().unwrap()], &[]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    let line =
        "web.yml: TLS with a certificate until 4096-01-01, HTTP/2, client certificates required, 1 user\n";
    assert!(checked.stdout.contains(line), "{}", checked.stdout);

    let mut daemon = Daemon::serve(&config);
    let address = daemon.address().await;
    let url = |path: &str| format!("https://{address}{path}");
    let file = |name: &str| fixture.path(name).to_str().unwrap().to_owned();
    let (authority, metrics) = (file("authority.pem"), url("/metrics"));
    let with = |name: &str| [file(&format!("{name}.pem")), file(&format!("{name}-key.pem"))];
    let [certificate, key] = with("client");
    let mine = ["--cacert", &authority, "--cert", &certificate, "--key", &key];
    let password = ["--user", "prometheus:correct horse"];
    let status = ["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}"];

    let scraped = curl(&[&mine[..], &password, &[&metrics]].concat()).await;
    assert!(scraped.stdout.contains("polyai_exporter_build_info{"), "{scraped:?}");
    let expiry = "polyai_exporter_web_certificate_expiry_timestamp_seconds 67090118400";
    assert!(scraped.stdout.contains(expiry), "4096-01-01: {scraped:?}");
    for (version, said) in [("--http2", "2 200"), ("--http1.1", "1.1 200")] {
        assert_eq!(curl(&[&mine[..], &password, &status, &[version, &metrics]].concat()).await.stdout, said);
    }
    let head = curl(&[&mine[..], &["--head", &metrics]].concat()).await.stdout.to_lowercase();
    assert!(head.starts_with("http/2 401") && head.contains("\nwww-authenticate: basic"), "{head}");
    assert!(head.contains("\nx-frame-options: deny"), "{head}");
    let wrong = ["--user", "prometheus:wrong", "--request", "POST"];
    let reload = url("/-/reload");
    assert_eq!(curl(&[&mine[..], &wrong, &status, &[&reload]].concat()).await.stdout, "2 401");

    // Without a certificate, with one that nobody vouches for, and with one of another name.
    assert_ne!(curl(&["--cacert", &authority, &metrics]).await.code, 0);
    for name in ["stranger", "unnamed"] {
        let [certificate, key] = with(name);
        let refused = curl(&["--cacert", &authority, "--cert", &certificate, "--key", &key, &metrics]).await;
        assert_ne!(refused.code, 0, "{name}: {refused:?}");
    }
    let plain = curl(&[&format!("http://{address}/metrics")]).await;
    assert_eq!(plain.stdout, "client sent an HTTP request to an HTTPS server\n");

    // A file that cannot be used is refused with the reason, and changes nothing.
    let good = std::fs::read_to_string(fixture.path("web.yml")).unwrap();
    fixture.write("web.yml", &good.replace("basic_auth_users", "basic_auth_user"));
    let post = ["--request", "POST", &reload];
    let refused = curl(&[&mine[..], &password, &post].concat()).await;
    assert!(refused.stdout.contains("did you mean `basic_auth_users`?"), "{refused:?}");
    assert_eq!(curl(&[&mine[..], &password, &status, &[&metrics]].concat()).await.stdout, "2 200");
    let hash = bcrypt::hash("battery staple", 5).unwrap();
    let lines: String =
        good.lines().filter(|line| !line.starts_with("basic_auth")).map(|line| format!("{line}\n")).collect();
    fixture.write("web.yml", &format!("{lines}basic_auth_users: {{prometheus: {hash:?}}}\n"));
    let changed = curl(&[&mine[..], &password, &post].concat()).await;
    assert_eq!(changed.stdout, "reloaded: web configuration changed\n");
    assert_eq!(curl(&[&mine[..], &password, &status, &[&metrics]].concat()).await.stdout, "2 401");

    let (ended, log) = daemon.terminate().await;
    assert!(ended.success(), "{log}");
    for secret in ["correct horse", "battery staple", "PRIVATE KEY", "$2b$"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn invalid_web_config_fails_check_and_serve() {
    let fixture = a_scene().await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let web =
        fixture.write("web.yml", "tls_server_config: {cert_file: no-such.pem, key_file: no-such-key.pem}\n");
    let (config, web) = (config.to_str().unwrap(), web.to_str().unwrap());
    for action in ["check", "serve"] {
        let ended = polyai_exporter(&[action, "--config", config, "--web.config.file", web], &[]).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        for key in ["cert_file", "key_file"] {
            assert!(
                said.contains("web.yml:1:") && said.contains(&format!("tls_server_config.{key}: ")),
                "{said}"
            );
        }
        assert!(said.contains("there is no such file"), "{said}");
    }
    assert!(!fixture.path("state/polyai.redb").exists());
}

#[tokio::test]
async fn check_reports_errors_of_both_files() {
    let fixture = a_scene().await;
    let web = fixture.write("web.yml", "basic_auth_user: {}\n");
    let wrong = fixture.write("wrong.yaml", "server: {web_config_file: web.yml}\npolling: {intervall: 5s}\n");
    let broken = fixture.write("broken.yaml", "targets: [\n");
    let by_file = ["check", "--config", wrong.to_str().unwrap()];
    let by_flag = ["check", "--config", broken.to_str().unwrap(), "--web.config.file", web.to_str().unwrap()];
    for (arguments, rest, count) in
        [(&by_file[..], "polling.intervall: ", 3), (&by_flag[..], "broken.yaml:2:", 2)]
    {
        let ended = polyai_exporter(arguments, &[]).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stdout.contains(rest) && ended.stdout.contains("basic_auth_user"), "{}", ended.stdout);
        let verdict = format!("NOT OK: {count} problems; nothing was started.\n");
        assert!(ended.stdout.ends_with(&verdict), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn several_addresses_and_unix_socket_are_served() {
    if !has_curl().await {
        return;
    }
    let fixture = a_scene().await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let socket = fixture.path("polyai.sock");
    let mut serve = command(BINARY);
    serve.args(serve_arguments(&config)).args(["--web.listen-address", ":0"]);
    serve.arg("--web.listen-address").arg(format!("unix:{}", socket.display()));
    let mut daemon = Daemon::start(serve);
    daemon.address().await;
    let healthy = curl(&["--unix-socket", socket.to_str().unwrap(), "http://localhost/-/healthy"]).await;
    assert_eq!(healthy.stdout, "healthy\n", "{healthy:?}");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let log = daemon.log();
    let listening: Vec<serde_json::Value> = log
        .lines()
        .filter(|line| line.contains(r#""message":"listening""#))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(listening.len(), 3, "{log}");
    for line in &listening {
        if let Ok(address) = line["address"].as_str().unwrap().parse::<SocketAddr>() {
            // What listens on every address of IPv6 hears IPv4 as well.
            let address = SocketAddr::from(([127, 0, 0, 1], address.port()));
            assert_eq!(curl(&[&format!("http://{address}/-/healthy")]).await.stdout, "healthy\n");
        }
    }
    let (ended, log) = daemon.terminate().await;
    assert!(ended.success(), "{log}");
    assert!(!socket.exists(), "it takes its socket along");
}

/// A separate network namespace with only a loopback interface, where sockets of IPv6 do not hear IPv4 unless they ask for
/// it. The daemon in it answers to both, or the shell ends with 1.
const IPV6_ALONE: &str = "python3 -c 'import fcntl, socket, struct; \
    fcntl.ioctl(socket.socket(), 0x8914, struct.pack(\"16sh\", b\"lo\", 1))' || exit 9
    echo 1 >/proc/sys/net/ipv6/bindv6only || exit 9
    $0 serve --web.listen-address :9890 --config $1 & daemon=$!
    for address in 127.0.0.1 [::1]; do
        code=1
        for _ in $(seq 200); do
            $0 healthcheck --web.listen-address $address:9890 2>/dev/null && code=0 && break
            kill -0 $daemon || break
            sleep 0.05
        done
        [ $code = 0 ] || break
    done
    kill $daemon; wait $daemon; exit $code";

#[tokio::test]
async fn wildcard_address_accepts_ipv4_with_bindv6only() {
    let mut probe = command("unshare");
    probe.args(["--net", "--map-root-user", "test", "-w", "/proc/sys/net/ipv6/bindv6only"]);
    let probed = run(probe).await;
    if probed.code != 0 {
        skip(&format!("this user may not create a network namespace with IPv6: {probed:?}"));
        return;
    }
    let fixture = a_scene().await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let mut alone = command("unshare");
    alone.args(["--net", "--map-root-user", "sh", "-c", IPV6_ALONE, BINARY]).arg(&config);
    let ended = run(alone).await;
    if ended.code == 9 {
        skip(&format!("no loopback interface, or none without python3: {}", ended.stderr));
        return;
    }
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("[::1]:9890 is healthy"), "{ended:?}");
}

/// Turns a listening socket of the test into descriptor 3 of the daemon, as systemd hands it over.
const HAND_OVER: &str = "import os, sys; os.dup2(0, 3); os.dup2(os.open('/dev/null', os.O_RDONLY), 0); \
    os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_activation_serves_and_notifies_systemd() {
    if !has_curl().await {
        return;
    }
    let python = run({
        let mut which = command("sh");
        which.args(["-c", "command -v python3 || true"]);
        which
    });
    if !has(!python.await.stdout.is_empty(), "python3, to hand a socket over") {
        return;
    }
    let fixture = a_scene().await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let manager = UnixDatagram::bind(fixture.path("manager.sock")).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut serve = command("python3");
    serve
        .args(["-c", HAND_OVER, BINARY, "--log.format", "json", "serve", "--web.systemd-socket", "--config"])
        .arg(&config);
    serve.env("LISTEN_FDS", "1").env("NOTIFY_SOCKET", fixture.path("manager.sock"));
    serve.stdin(std::os::fd::OwnedFd::from(socket));
    let mut daemon = Daemon::start(serve);
    assert_eq!(daemon.address().await, address);
    assert_eq!(curl(&[&format!("http://{address}/-/healthy")]).await.stdout, "healthy\n");
    assert_eq!(notification(&manager).await, "READY=1\n");
    let hangup = format!("kill -HUP {}", daemon.pid());
    assert!(command("sh").args(["-c", &hangup]).status().await.unwrap().success());
    assert!(notification(&manager).await.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(notification(&manager).await, "READY=1\n");
    let (ended, log) = daemon.terminate().await;
    assert!(ended.success(), "{log}");
    assert_eq!(notification(&manager).await, "STOPPING=1\n");
}

async fn notification(manager: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let length =
        timeout(PATIENCE, manager.recv(&mut message)).await.expect("a notification arrives").unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn missing_systemd_socket_is_explained() {
    let fixture = a_scene().await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let ended =
        polyai_exporter(&["serve", "--web.systemd-socket", "--config", config.to_str().unwrap()], &[]).await;
    assert_eq!(ended.code, 1);
    assert!(
        ended.stderr.contains("no socket was passed; start the process through a .socket unit"),
        "{ended:?}"
    );
    let both =
        ["serve", "--web.systemd-socket", "--web.listen-address", ":0", "--config", config.to_str().unwrap()];
    assert_eq!(polyai_exporter(&both, &[]).await.code, 2);
}

/// Everything is read-only but the state, for a user without rights who cannot get any.
const CONFINED: &str = "mount --make-rprivate / && mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro / && shift && \
    exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \"$@\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_works_unprivileged_on_read_only_root() {
    if !has_curl().await {
        return;
    }
    let fixture = a_scene().await;
    let state = fixture.path("state");
    std::fs::create_dir(&state).unwrap();
    open_to_all(&state, 0o777);
    open_to_all(&fixture.path("."), 0o755);
    let config = fixture.config("polyai.yaml", &state);
    // Where the build puts it, others may not look.
    let binary = fixture.path("polyai-exporter");
    std::fs::copy(BINARY, &binary).unwrap();
    let confined = |command: &mut tokio::process::Command| {
        command.args(["--mount", "sh", "-c", CONFINED, "sh"]).arg(&state);
    };
    let mut probe = command("unshare");
    confined(&mut probe);
    probe.arg(&binary).arg("--version");
    let probed = run(probe).await;
    if probed.code != 0 {
        skip(&format!("this user may not confine a process here: {}", probed.stderr.trim()));
        return;
    }
    let mut serve = command("unshare");
    confined(&mut serve);
    serve.arg(&binary).args(serve_arguments(&config));
    let mut daemon = Daemon::start(serve);
    let address = daemon.address().await;
    assert_eq!(curl(&[&format!("http://{address}/-/healthy")]).await.stdout, "healthy\n");
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    for line in [
        "Uid:\t65534\t65534\t65534\t65534",
        "NoNewPrivs:\t1",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    daemon.scrape_until(PATIENCE, |scrape| fixture.compare_totals(scrape)).await;
    sleep(Duration::from_millis(100)).await;
    let (ended, log) = daemon.terminate().await;
    assert!(ended.success(), "{log}");
}

fn open_to_all(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
