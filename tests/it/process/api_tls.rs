//! The API behind certificates that curl accepts, and a proxy that refuses: connected, or refused with the reason.

use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use polyai_api::{
    ApiCredentials, ApiKey, CaBundle, Client, ConcurrencyLimit, Endpoint, FetchErrorKind, Filter,
    PageRequest, Position, RateLimiter, Window,
};
use polyai_domain::clock::Clock;
use polyai_domain::target::{ApiVersion, ClientEnv, LatencyUnit, Region};
use polyai_simulator::Project;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::daemon::{BINARY, Daemon, command, polyai_exporter, run};
use super::fixture::Fixture;
use super::has;

/// Writes keys and certificates for `localhost`: NAME.pem with its key, and what signed it.
const CERTIFICATES: &str = r#"
set -e
ec() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:$2 -out $1.key; }
rsa() { openssl genpkey -quiet -algorithm ${3:-RSA} -pkeyopt rsa_keygen_bits:$2 -out $1.key; }
self() { openssl req -x509 -new -key $1.key -days 9 -out $1.pem "${@:2}"; }
request() { openssl req -new -key $1.key -subj /CN=localhost -out $1.csr; }
issue() { request $1; openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 9 -out $1.pem "${@:3}"; }
genpkey() { :; }
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > san
printf 'subjectAltName=DNS:localhost\n1.2.3.4=critical,DER:0500' > critical
printf 'basicConstraints=critical,CA:TRUE' > ca
for name in selfsigned named other v1self v1root v1leaf namedleaf leaf root p521sha256 pinned unknown critical sha1leaf; do ec $name P-256; done
self selfsigned -subj /CN=any -addext subjectAltName=DNS:localhost
self named -subj /CN=localhost
self other -subj /CN=other.test -addext subjectAltName=DNS:other.test
request v1self; openssl x509 -req -in v1self.csr -signkey v1self.key -days 9 -out v1self.pem
openssl req -new -key v1root.key -subj /CN=v1root -out v1root.csr; openssl x509 -req -in v1root.csr -signkey v1root.key -days 9 -out v1root.pem
self root -subj /CN=root
issue leaf v1root -extfile san
issue v1leaf root
issue namedleaf root -extfile <(echo basicConstraints=CA:FALSE)
issue pinned root -extfile san
issue critical root -extfile critical
ec p384 P-384; issue p384 root -extfile san
ec p521 P-521; issue p521 root -extfile san
ec p521root P-521; self p521root -subj /CN=p521root; issue p521sha256 p521root -extfile san
openssl genpkey -algorithm ed25519 -out ed25519.key; issue ed25519 root -extfile san
rsa rsa 2048; issue rsa root -extfile san
rsa pss 2048 RSA-PSS; issue pss root -extfile san
rsa weak 1024; issue weak root -extfile san
rsa rsaroot 2048; self rsaroot -subj /CN=rsaroot; ec sha1ca P-256
openssl req -new -key sha1ca.key -subj /CN=sha1ca -out sha1ca.csr
openssl x509 -req -sha1 -in sha1ca.csr -CA rsaroot.pem -CAkey rsaroot.key -CAcreateserial -days 9 -extfile ca -out sha1ca.pem
issue sha1leaf sha1ca -extfile san; cat sha1ca.pem >> sha1leaf.pem
ec expired P-256; request expired
openssl x509 -req -in expired.csr -signkey expired.key -days -1 -extfile san -out expired.pem
"#;

/// Certificate, `ca_file`, further arguments of the server, whether curl connects, and the reason if the exporter does not.
const CASES: [(&str, &str, &str, bool, Option<&str>); 25] = [
    ("selfsigned", "selfsigned", "", true, None),
    ("named", "named", "", true, None),
    ("named", "named", "-tls1_2", true, None),
    ("other", "other", "", false, Some("the certificate of localhost is for other.test")),
    ("v1self", "v1self", "", true, None),
    ("v1self", "v1self", "-tls1_2", true, None),
    ("leaf", "v1root", "", true, None),
    ("v1leaf", "root", "", true, Some("or one of its issuers is not of X.509 version 3")),
    ("v1leaf", "v1leaf", "", true, None),
    ("namedleaf", "root", "", true, Some("has no subject alternative name")),
    ("namedleaf", "namedleaf", "", true, None),
    ("pinned", "pinned", "", true, None),
    ("p384", "root", "", true, None),
    ("ed25519", "root", "", true, None),
    ("rsa", "root", "", true, None),
    ("rsa", "root", "-tls1_2", true, None),
    (
        "rsa",
        "root",
        "-tls1_2 -cipher AES128-GCM-SHA256",
        true,
        Some("has no version, cipher suite, curve or key"),
    ),
    ("p521", "root", "", true, Some("has no version, cipher suite, curve or key")),
    ("p521sha256", "p521root", "", true, Some("has a signature that cannot be verified; supported are RSA")),
    ("pss", "root", "", true, Some("has no version, cipher suite, curve or key")),
    (
        "weak",
        "root",
        "-cipher DEFAULT@SECLEVEL=0",
        false,
        Some("has a signature that cannot be verified; supported are RSA"),
    ),
    (
        "sha1leaf",
        "rsaroot",
        "-cipher DEFAULT@SECLEVEL=0",
        false,
        Some("has a signature that cannot be verified"),
    ),
    ("expired", "expired", "", false, Some("the certificate of localhost expired at ")),
    ("pinned", "other", "", false, Some("comes from an unknown issuer; add the issuer")),
    ("critical", "root", "", false, Some("critical")),
];

fn api(base_url: &str) -> ApiCredentials {
    ApiCredentials {
        endpoint: Endpoint::new(base_url, ApiVersion::V3, "ws-1", "P-1", ClientEnv::Live),
        api_key: ApiKey::new("key-of-nobody"),
        latency_unit: LatencyUnit::Seconds,
        rate_limiter: RateLimiter::new(NonZeroU32::MAX),
    }
}

/// The error of a request to `base_url` by a client that trusts `ca_file`.
async fn failure(base_url: &str, ca_file: &Path) -> (FetchErrorKind, String) {
    let bundle = CaBundle::parse(&std::fs::read(ca_file).unwrap()).unwrap();
    let limit = ConcurrencyLimit::new(NonZeroUsize::MIN);
    let client =
        Client::new("test/1", Duration::from_secs(20), Some(&bundle), limit, Clock::system()).unwrap();
    let request = PageRequest {
        window: Window::ALL,
        filter: Filter::Any,
        limit: NonZeroU16::MIN,
        position: &Position::First,
    };
    let error = client.page(&api(base_url), &request).await.result.unwrap_err();
    (error.kind, error.message)
}

async fn make_certificates(dir: &Path) {
    let mut script = command("bash");
    script.current_dir(dir).args(["-c", CERTIFICATES]);
    let made = run(script).await;
    assert_eq!(made.code, 0, "{made:?}");
}

/// Whether the tools are there that the tests compare with.
async fn has_tools() -> bool {
    let (openssl, curl) =
        (command("openssl").arg("version").output(), command("curl").arg("--version").output());
    let are_there = openssl.await.is_ok() && curl.await.is_ok();
    has(are_there, "openssl or curl is not installed; tests/run installs them")
}

#[tokio::test]
async fn certificates_of_curl_connect_or_name_the_reason() {
    if !has_tools().await {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    make_certificates(dir.path()).await;
    for (certificate, ca, arguments, curl_connects, reason) in CASES {
        let file = |name: &str| dir.path().join(name);
        let mut server = command("openssl");
        server
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"])
            .arg(file(&format!("{certificate}.pem")));
        server.arg("-cert_chain").arg(file(&format!("{certificate}.pem")));
        server.arg("-key").arg(file(&format!("{certificate}.key"))).args(arguments.split_whitespace());
        let mut server = server.spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = loop {
            let line =
                lines.next_line().await.unwrap().unwrap_or_else(|| panic!("{certificate} is not served"));
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address.rsplit(':').next().unwrap().to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let url = format!("https://localhost:{port}");
        let case = format!("{certificate} with ca_file {ca} {arguments}");
        let mut curl = command("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
            .arg(file(&format!("{ca}.pem")))
            .arg(&url);
        let curl = run(curl).await;
        assert_eq!(curl.code == 0, curl_connects, "{case}: {}", curl.stderr);
        let (kind, message) = failure(&url, &file(&format!("{ca}.pem"))).await;
        match reason {
            None => assert!(message.contains("HTML"), "{case}: {message}"),
            Some(reason) => {
                assert_eq!(kind, FetchErrorKind::Unreachable, "{case}: {message}");
                assert!(message.contains(reason) && message.contains("localhost"), "{case}: {message}");
            }
        }
        server.kill().await.unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { respond(&listener, "HTTP/1.1 400 Bad Request\r\n\r\n").await });
    let (_, message) = failure(&url, &dir.path().join("root.pem")).await;
    assert!(message.starts_with("127.0.0.1 does not speak TLS on this port; check base_url"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_the_toolkit_are_served_or_named() {
    if !has_tools().await {
        return;
    }
    let fixture = Fixture::new([Project::new("reservations", Region::Us1)], TimeDelta::zero()).await;
    make_certificates(fixture.path("x").parent().unwrap()).await;
    let config = fixture.config("polyai.yaml", &fixture.path("state"));
    let config = config.to_str().unwrap();
    let file = |name: &str| fixture.path(name).to_str().unwrap().to_owned();
    let web = |certificate: &str, more: &str| {
        let text = format!(
            "tls_server_config:\n  cert_file: {certificate}.pem\n  key_file: {certificate}.key\n  client_ca_file: clients.pem\n  \
             client_auth_type: RequireAndVerifyClientCert\n{more}"
        );
        fixture.write("web.yml", &text).to_str().unwrap().to_owned()
    };
    let clients =
        ["selfsigned", "expired"].map(|name| std::fs::read_to_string(file(&format!("{name}.pem"))).unwrap());
    fixture.write("clients.pem", &clients.concat());
    for (certificate, expected) in [
        ("v1self", "web.yml: TLS"),
        ("critical", "web.yml: TLS"),
        ("p384", "web.yml: TLS"),
        ("ed25519", "web.yml: TLS"),
        ("p521", "p521.key: the key cannot be used; RSA of 2048 to 4096 bits"),
        ("weak", "weak.key: the key cannot be used; RSA of 2048 to 4096 bits"),
    ] {
        let web = web(certificate, "");
        let checked = polyai_exporter(&["check", "--config", config, "--web.config.file", &web], &[]).await;
        assert!(checked.stdout.contains(expected), "{certificate}: {checked:?}");
    }
    fixture.write("mixed.pem", &std::fs::read_to_string(file("v1self.pem")).unwrap());
    fixture.write("mixed.key", &std::fs::read_to_string(file("named.key")).unwrap());
    let mixed =
        polyai_exporter(&["check", "--config", config, "--web.config.file", &web("mixed", "")], &[]).await;
    assert!(mixed.stdout.contains("the key does not belong to the certificate"), "{mixed:?}");

    for (more, client, is_accepted) in [
        ("", "selfsigned", true),
        ("", "expired", false),
        ("", "named", false),
        ("  client_allowed_sans: [localhost]\n", "selfsigned", true),
        ("  client_allowed_sans: [other.test]\n", "selfsigned", false),
    ] {
        let mut daemon = command(BINARY);
        daemon.args([
            "serve",
            "--log.format",
            "json",
            "--web.listen-address",
            "127.0.0.1:0",
            "--config",
            config,
        ]);
        daemon.args(["--web.config.file", &web("v1self", more)]);
        let mut daemon = Daemon::start(daemon);
        let url = format!("https://localhost:{}/metrics", daemon.address().await.port());
        let mut curl = command("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert", &file("v1self.pem"), &url]);
        curl.args(["--cert", &file(&format!("{client}.pem")), "--key", &file(&format!("{client}.key"))]);
        let scraped = run(curl).await;
        assert_eq!(
            scraped.stdout.contains("polyai_exporter_build_info"),
            is_accepted,
            "{client} {more}: {scraped:?}"
        );
        let (_, log) = daemon.terminate().await;
        let first = log.lines().next().unwrap_or_default();
        for field in ["\"version\":\"", "\"revision\":", "\"configuration\":\"", "\"state\":\"", "/state\""] {
            assert!(first.contains(field), "{first}");
        }
        let is_named = log.contains("client_allowed_sans lists none of the names of the client certificate");
        assert_eq!(is_named, more.contains("other.test"), "{log}");
    }
}

/// Answers every connection with `response`; returns the heads of the requests when `listener` is dropped.
async fn respond(listener: &TcpListener, response: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = vec![0; 4096];
    let length = stream.read(&mut head).await.unwrap();
    stream.write_all(response.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    String::from_utf8_lossy(&head[..length]).into_owned()
}

#[tokio::test]
async fn refusal_of_a_proxy_is_shown_with_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("polyai.yaml");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = format!("http://me:marker@{address}");
    for (status, base_url, variable, expected) in [
        (
            407,
            "https://api.test",
            "HTTPS_PROXY",
            "refuses a connection to the API: HTTP 407; it wants a user name",
        ),
        (403, "https://api.test", "https_proxy", "refuses a connection to the API: HTTP 403"),
        (502, "https://api.test", "ALL_PROXY", "refuses a connection to the API: HTTP 502"),
        (407, "http://api.test", "http_proxy", "HTTP 407"),
        (403, "http://api.test", "all_proxy", "HTTP 403"),
    ] {
        let text = format!(
            "storage: {{ephemeral: true}}\ntargets: [{{region: us-1, account_id: ws-1, project_id: P-1, api_key: key-of-nobody, base_url: \"{base_url}\"}}]\n"
        );
        std::fs::write(&config, text).unwrap();
        let arguments = ["check", "--live", "--config", config.to_str().unwrap()];
        let env = [(variable, proxy.as_str())];
        let checked = polyai_exporter(&arguments, &env);
        let response = format!("HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\n\r\n");
        let mut heads = Vec::new();
        let checked = {
            let mut checked = std::pin::pin!(checked);
            loop {
                tokio::select! {
                    checked = &mut checked => break checked,
                    head = respond(&listener, &response) => heads.push(head),
                }
            }
        };
        let case = format!("{variable} {status}: {checked:?} {heads:?}");
        assert_eq!(checked.code, 1, "{case}");
        assert!(checked.stdout.contains("problem  wrong_host: "), "{case}");
        assert!(checked.stdout.contains(expected) && checked.stdout.contains(&address.to_string()), "{case}");
        assert!(!checked.stdout.contains("marker") && !checked.stderr.contains("marker"), "{case}");
        for head in &heads {
            let line =
                if base_url.starts_with("https") { "CONNECT api.test:443 " } else { "GET http://api.test/" };
            assert!(head.starts_with(line), "{case}");
            assert!(head.to_lowercase().contains("proxy-authorization: basic bwu6bwfya2vy"), "{case}");
        }
        assert!(!heads.is_empty(), "{case}");
    }
}

#[tokio::test]
async fn socks_proxy_is_used_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("polyai.yaml");
    std::fs::write(
        &config,
        "storage: {ephemeral: true}\ntargets: [{region: us-1, account_id: ws-1, project_id: P-1, api_key: key-of-nobody}]\n",
    )
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = format!("socks5h://{address}");
    let arguments = ["check", "--live", "--config", config.to_str().unwrap()];
    let env = [("all_proxy", proxy.as_str())];
    let (checked, head) = tokio::join!(polyai_exporter(&arguments, &env), respond(&listener, "\x05\u{7f}"));
    assert!(head.starts_with('\u{5}'), "{head:?}");
    let expected = format!("problem  unreachable: via the proxy {address}: ");
    assert!(checked.stdout.contains(&expected), "{checked:?}");
}
