//! A server in this process with its files, and clients that trust its authority.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use exporter_exposition::{ContentEncoding, EncodedBody, Format};
use exporter_web::{DrainOutcome, InstallOutcome, LoadedWebConfig, WebConfig};
use hyper::StatusCode;
use polyai_domain::clock::Clock;
use polyai_domain::timestamp::Timestamp;
use polyai_exporter::config::ConfigErrors;
use polyai_exporter::events::Events;
use polyai_exporter::exporter_metrics::{BuildInfo, ExporterMetrics};
use polyai_exporter::http::{
    ConfigReloader, Limits, MetricsSource, Readiness, ReloadFuture, RenderedDocument, Routes, Server,
    StatusRoute, StatusSource,
};
use reqwest::{Certificate, Client, Identity};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::test_ca::{Authority, Issued};

/// Longer than anything here takes, so that a hanging test fails.
pub(super) const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// TLS with default settings.
pub(super) const TLS: &str = "tls_server_config: {cert_file: server.pem, key_file: server-key.pem}\n";

/// A directory of files, and a certificate authority.
pub(super) struct Fixture {
    dir: TempDir,
    pub(super) authority: Authority,
}

impl Fixture {
    /// Creates `server.pem` and its key, `authority.pem`, and the web configuration `text`.
    pub(super) fn new(text: &str) -> Self {
        // Fails only if one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let fixture = Self { dir: tempfile::tempdir().unwrap(), authority: Authority::new("authority") };
        fixture.write("authority.pem", &fixture.authority.pem);
        fixture.set_certificate(&fixture.authority.issue(&[]));
        fixture.write("web.yml", text);
        fixture
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Replaces the server certificate and its key.
    pub(super) fn set_certificate(&self, issued: &Issued) {
        self.write("server.pem", &issued.certificate);
        self.write("server-key.pem", &issued.key);
    }

    /// A server with this web configuration.
    pub(super) async fn open(&self) -> TestServer {
        self.open_with(Limits::default(), Bytes::from_static(b"up 1\n")).await
    }

    /// A server with this web configuration that serves `exposition`.
    pub(super) async fn open_with(&self, limits: Limits, exposition: Bytes) -> TestServer {
        let prepared = LoadedWebConfig::read(Some(&self.path("web.yml")), Clock::system().now());
        let web = WebConfig::new(prepared.unwrap_or_else(|problems| panic!("{problems}")));
        let stats = ExporterMetrics::new(BuildInfo::CURRENT, Timestamp::from_millis(0));
        let observer = Arc::new(Events::new(stats.clone()));
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], limits).await.unwrap();
        let address = server.address().unwrap();
        let reloads = Arc::new(Reloads::default());
        let routes = Routes::new(Arc::new(Fixed(exposition)), Arc::new(Always))
            .with_reload(reloads.clone())
            .with_status(Arc::new(Blank));
        let stop = CancellationToken::new();
        tokio::spawn(web.clone().watch(observer.clone(), || Clock::system().now(), stop.clone()));
        let server = tokio::spawn(server.run(Arc::new(routes), web.clone(), observer, stop.clone()));
        TestServer { address, web, stats, reloads, stop, server }
    }

    /// Reloads the web configuration, as `POST /-/reload` does.
    pub(super) fn reload(&self, server: &TestServer) -> Result<InstallOutcome, ConfigErrors> {
        let prepared = LoadedWebConfig::read(Some(&self.path("web.yml")), Clock::system().now())?;
        let outcome = server.web.install(prepared);
        server.stats.web_config_loaded(server.web.certificate_expiry());
        Ok(outcome)
    }

    /// A client that trusts the authority and presents `identity`.
    pub(super) fn client(&self, identity: Option<&Issued>) -> Client {
        self.client_with(identity, |builder| builder)
    }

    pub(super) fn client_with(
        &self,
        identity: Option<&Issued>,
        change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Client {
        let root = Certificate::from_pem(self.authority.pem.as_bytes()).unwrap();
        let mut builder = Client::builder().tls_certs_only([root]).timeout(TEST_TIMEOUT).no_gzip();
        if let Some(Issued { certificate, key }) = identity {
            builder = builder.identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap());
        }
        change(builder).build().unwrap()
    }

    /// A TLS client that trusts the authority, customized by `change`.
    pub(super) fn tls(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        change: impl FnOnce(&mut ClientConfig),
    ) -> TlsConnector {
        let builder = ClientConfig::builder_with_protocol_versions(versions);
        let mut config = builder.with_root_certificates(self.roots()).with_no_client_auth();
        change(&mut config);
        TlsConnector::from(Arc::new(config))
    }

    /// A TLS client that presents a certificate whose key it may not have.
    pub(super) fn tls_with_any_key(
        &self,
        Issued { certificate, key }: &Issued,
        version: &'static SupportedProtocolVersion,
    ) -> TlsConnector {
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        let own = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        let builder = ClientConfig::builder_with_protocol_versions(&[version]);
        let config = builder.with_root_certificates(self.roots()).with_client_cert_resolver(Arc::new(own));
        TlsConnector::from(Arc::new(config))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap()).unwrap();
        roots
    }
}

/// A running server.
pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    pub(super) web: WebConfig,
    pub(super) stats: ExporterMetrics,
    pub(super) reloads: Arc<Reloads>,
    stop: CancellationToken,
    server: JoinHandle<DrainOutcome>,
}

impl TestServer {
    pub(super) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection after its TLS handshake.
    pub(super) async fn tls_connect(&self, connector: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::from(self.address.ip());
        timeout(TEST_TIMEOUT, connector.connect(name, self.connect().await)).await.unwrap()
    }

    /// The value of `polyai_exporter_events_total` for `event`.
    pub(super) fn counted(&self, event: &str) -> u64 {
        let families = self.stats.gather();
        let events =
            families.iter().find(|family| family.meta.name == "polyai_exporter_events_total").unwrap();
        let text = events
            .series
            .iter()
            .find(|series| format!("{:?}", series.labels).contains(&format!("{event:?}")));
        let value = format!("{:?}", text.unwrap_or_else(|| panic!("no event {event}")).value);
        value
            .chars()
            .skip_while(|letter| !letter.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .unwrap()
    }

    pub(super) async fn stopped(self) -> DrainOutcome {
        self.stop.cancel();
        timeout(TEST_TIMEOUT, self.server).await.unwrap().unwrap()
    }
}

/// Whether a request on `stream` gets a response.
pub(super) async fn answers(stream: &mut TlsStream<TcpStream>) -> bool {
    let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut first = [0; 12];
    asked.is_ok()
        && timeout(TEST_TIMEOUT, stream.read_exact(&mut first))
            .await
            .unwrap()
            .is_ok_and(|_| &first == b"HTTP/1.1 200")
}

struct Fixed(Bytes);

impl MetricsSource for Fixed {
    fn generation(&self) -> u64 {
        0
    }

    fn ready(&self, _: Format, _: ContentEncoding, _: u64) -> Option<EncodedBody> {
        Some(EncodedBody { chunks: Arc::from([]), tail: self.0.clone() })
    }

    fn render(&self, _: Format, _: ContentEncoding) -> io::Result<EncodedBody> {
        Err(io::Error::other("not called"))
    }
}

/// Empty status pages.
struct Blank;

impl StatusSource for Blank {
    fn write(&self, _: StatusRoute, _: &str) -> RenderedDocument {
        RenderedDocument {
            status: StatusCode::OK,
            content_type: "text/html; charset=utf-8",
            body: Bytes::new(),
        }
    }
}

struct Always;

impl Readiness for Always {
    fn ready(&self) -> Result<Option<String>, String> {
        Ok(None)
    }
}

/// Counts the requests that reach a route with side effects.
#[derive(Default)]
pub(super) struct Reloads(AtomicUsize);

impl Reloads {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn forget(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

impl ConfigReloader for Reloads {
    fn reload(&self) -> ReloadFuture<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok("nothing changed".to_owned()) })
    }
}
