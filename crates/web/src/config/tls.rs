//! The TLS server configuration: PEM data, key and certificate, client verification.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use exporter_schema::{Located, Report, TrackedFiles, sha256};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

use super::certificate::CertificateInfo;
use super::client_auth::{ClientAuth, verifier};
use super::tls_section::{PemSource, TlsFileConfig, pem_diagnostic};

/// No file of a web configuration is larger; a bundle of all public roots has some 200 KiB.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 20;

/// A TLS server configuration with what it was made from.
#[derive(Debug)]
pub(super) struct TlsState {
    pub(super) config: Arc<ServerConfig>,
    /// `None` if clients are not asked for a certificate.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Of all inputs: the same fingerprint means that there is nothing to reload.
    pub(super) fingerprint: Vec<u8>,
    pub(super) certificate: Option<CertificateInfo>,
    pub(super) client_auth: ClientAuth,
    /// Whether clients need one of `client_allowed_sans`.
    pub(super) limits_names: bool,
}

impl TlsState {
    pub(super) fn accepts_client(&self, certificates: &[CertificateDer<'_>]) -> bool {
        let Some(verifier) = &self.verifier else { return true };
        match (certificates, self.config.time_provider.current_time()) {
            ([], _) => !verifier.client_auth_mandatory(),
            ([own, others @ ..], Some(now)) => verifier.verify_client_cert(own, others, now).is_ok(),
            ([..], None) => false,
        }
    }
}

/// Certificates are reported when this much of their validity is left, or a tenth if they are renewed more often.
const EXPIRY_WARNING: TimeDelta = TimeDelta::days(7);

/// Reads the files of a configuration and collects what is wrong with them.
pub(super) struct Loader {
    pub(super) now: DateTime<Utc>,
    pub(super) files: TrackedFiles,
    pub(super) report: Report,
}

impl Loader {
    /// Loads the files that `tls` names; `None` if there are errors.
    pub(super) fn load_tls(&mut self, tls: &TlsFileConfig, http2: bool) -> Option<TlsState> {
        let certificate = self.read_pem(&tls.certificate);
        let key = self.read_pem(&tls.key);
        let ca = tls.client_ca.as_ref().map(|ca| (ca, self.read_pem(ca)));
        let provider = Arc::new(CryptoProvider {
            cipher_suites: tls.params.cipher_suites.clone(),
            kx_groups: tls.params.curves.clone(),
            ..ring::default_provider()
        });
        let chain = certificate.as_deref().and_then(|pem| self.certificates(&tls.certificate, pem));
        let info = chain.as_ref().and_then(|chain| CertificateInfo::from_der(chain.first()?));
        if let Some(info) = &info {
            self.check_validity(&tls.certificate, info);
        }
        let own = key.as_deref().and_then(|key| self.certified_key(tls, chain, key, &provider));
        let roots = match &ca {
            None => Some((Vec::new(), RootCertStore::empty())),
            Some((source, pem)) => pem.as_deref().and_then(|pem| self.roots(source, pem)),
        };
        if !self.report.errors.is_empty() {
            return None;
        }
        let (listed, roots) = roots?;
        let verifier = verifier(tls.client_auth, tls.allowed_names.clone(), listed, roots, &provider)
            .map_err(|error| {
                let source = tls.client_ca.as_ref().unwrap_or(&tls.certificate);
                self.error(source, &format!("cannot be used: {error}"));
            })
            .ok()?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&tls.params.versions)
            .map_err(|error| self.error(&tls.certificate, &format!("TLS cannot be set up: {error}")))
            .ok()?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own?)));
        config.ignore_client_order = tls.prefer_server_cipher_suites;
        let protocols: &[&str] = if http2 { &["h2", "http/1.1"] } else { &["http/1.1"] };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        if verifier.is_some() {
            // A resumed session would skip the verification of the client.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let inputs = [certificate?, key?, ca.and_then(|(_, pem)| pem).unwrap_or_default()];
        let mut fingerprint: Vec<u8> = inputs.iter().flat_map(|bytes| sha256(bytes)).collect();
        let TlsFileConfig { client_auth, allowed_names, params, prefer_server_cipher_suites, .. } = tls;
        let settings = (client_auth, allowed_names, params, prefer_server_cipher_suites, http2);
        fingerprint.extend_from_slice(format!("{settings:?}").as_bytes());
        Some(TlsState {
            config: Arc::new(config),
            verifier,
            fingerprint: sha256(&fingerprint),
            certificate: info,
            client_auth: tls.client_auth,
            limits_names: tls.allowed_names.is_some(),
        })
    }

    fn error(&mut self, source: &Located<PemSource>, text: &str) {
        self.report.errors.push(pem_diagnostic(source, text));
    }

    fn read_pem(&mut self, source: &Located<PemSource>) -> Option<Vec<u8>> {
        match &source.value {
            PemSource::Inline(text) => Some(text.clone().into_bytes()),
            PemSource::File(path) => {
                self.files.read(path, MAX_FILE_BYTES).map_err(|text| self.error(source, &text)).ok()
            }
        }
    }

    /// All certificates in `pem`, at least one.
    fn certificates(
        &mut self,
        source: &Located<PemSource>,
        pem: &[u8],
    ) -> Option<Vec<CertificateDer<'static>>> {
        let parsed: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
        self.error(
            source,
            match parsed {
                Ok(chain) if !chain.is_empty() => return Some(chain),
                Ok(_) => "holds no certificate; expected PEM, with lines such as BEGIN CERTIFICATE",
                Err(_) => "is incomplete: a certificate in it cannot be read as PEM",
            },
        );
        None
    }

    /// The key with its certificate chain. An absent chain has been reported already.
    fn certified_key(
        &mut self,
        tls: &TlsFileConfig,
        chain: Option<Vec<CertificateDer<'static>>>,
        pem: &[u8],
        provider: &CryptoProvider,
    ) -> Option<CertifiedKey> {
        let Ok(key) = PrivateKeyDer::from_pem_slice(pem) else {
            let is_encrypted = [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
                .iter()
                .any(|marker| pem.windows(marker.len()).any(|window| window == *marker));
            let text = if is_encrypted {
                "the key is encrypted; store it without a passphrase, readable by this user alone"
            } else {
                "holds no private key; expected PEM, with lines such as BEGIN PRIVATE KEY"
            };
            self.error(&tls.key, text);
            return None;
        };
        // Not `CertifiedKey::from_der`, which refuses certificates of X.509 version 1; they can be served as well as any.
        let chain = chain?;
        let info = chain.first().and_then(|own| CertificateInfo::from_der(own));
        let (source, text) = match (provider.key_provider.load_private_key(key), info) {
            (Err(_), _) => {
                (&tls.key, "the key cannot be used; RSA of 2048 to 4096 bits, P-256, P-384 and Ed25519 can")
            }
            (_, None) => (&tls.certificate, "the certificate is malformed"),
            (Ok(key), Some(info)) if key.public_key().is_none_or(|own| own.as_ref() == info.public_key) => {
                return Some(CertifiedKey::new(chain, key));
            }
            (Ok(_), Some(_)) => (&tls.key, "the key does not belong to the certificate"),
        };
        self.error(source, text);
        None
    }

    /// The certificates in `pem`, also as issuers.
    fn roots(
        &mut self,
        source: &Located<PemSource>,
        pem: &[u8],
    ) -> Option<(Vec<CertificateDer<'static>>, RootCertStore)> {
        let mut store = RootCertStore::empty();
        let certificates = self.certificates(source, pem)?;
        for certificate in &certificates {
            if let Some(info) = CertificateInfo::from_der(certificate) {
                self.check_validity(source, &info);
            }
            let added = store.add(certificate.clone());
            added
                .map_err(|error| self.error(source, &format!("a certificate in it cannot be used: {error}")))
                .ok()?;
        }
        Some((certificates, store))
    }

    /// Warns of a certificate that is not valid now or not for long; it can be served nevertheless.
    fn check_validity(&mut self, source: &Located<PemSource>, info: &CertificateInfo) {
        let CertificateInfo { not_before, not_after, .. } = info;
        let text = if *not_after < self.now {
            format!("the certificate expired at {not_after:?}; clients will refuse it")
        } else if *not_before > self.now {
            format!("the certificate is not valid before {not_before:?}")
        } else if *not_after < self.now + EXPIRY_WARNING.min((*not_after - *not_before) / 10) {
            format!("the certificate expires soon, at {not_after:?}")
        } else {
            return;
        };
        self.report.warnings.push(pem_diagnostic(source, &text));
    }
}
