//! The TLS server configuration: PEM data, key and certificate, client verification.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use exporter_schema::{Diagnostic, Located, Report, TrackedFiles, sha256};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

use super::certificate::CertificateInfo;
use super::client_auth::{ClientAuth, verifier};
use super::file::{PemSource, TlsFileConfig, pem_diagnostic};

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
}

impl TlsState {
    /// Whether a client that presented `certificates`, its own first, would be accepted now.
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

/// Loads the files that `tls` names; `None` if there are errors.
pub(super) fn load(
    tls: &TlsFileConfig,
    http2: bool,
    now: DateTime<Utc>,
    files: &mut TrackedFiles,
    report: &mut Report,
) -> Option<TlsState> {
    let certificate = read_pem(&tls.certificate, files, report);
    let key = read_pem(&tls.key, files, report);
    let ca = tls.client_ca.as_ref().map(|ca| (ca, read_pem(ca, files, report)));
    let provider = Arc::new(CryptoProvider {
        cipher_suites: tls.params.cipher_suites.clone(),
        kx_groups: tls.params.curves.clone(),
        ..ring::default_provider()
    });
    let chain = certificate.as_deref().and_then(|pem| parse_certificates(&tls.certificate, pem, report));
    let info = chain.as_ref().and_then(|chain| CertificateInfo::from_der(chain.first()?));
    if let Some(info) = &info {
        check_validity(&tls.certificate, info, now, report);
    }
    let own = key.as_deref().and_then(|key| {
        certified_key(tls, chain, key, &provider).map_err(|error| report.errors.extend(error)).ok()
    });
    let roots = match &ca {
        None => Some((Vec::new(), RootCertStore::empty())),
        Some((source, pem)) => pem.as_deref().and_then(|pem| parse_roots(source, pem, now, report)),
    };
    if !report.errors.is_empty() {
        return None;
    }
    let (listed, roots) = roots?;
    let verifier = verifier(tls.client_auth, tls.allowed_names.clone(), listed, roots, &provider)
        .map_err(|error| {
            let source = tls.client_ca.as_ref().unwrap_or(&tls.certificate);
            report.errors.push(pem_diagnostic(source, &format!("cannot be used: {error}")));
        })
        .ok()?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&tls.params.versions)
        .map_err(|error| {
            let text = format!("TLS cannot be set up: {error}");
            report.errors.push(pem_diagnostic(&tls.certificate, &text));
        })
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
    })
}

fn read_pem(source: &Located<PemSource>, files: &mut TrackedFiles, report: &mut Report) -> Option<Vec<u8>> {
    match &source.value {
        PemSource::Inline(text) => Some(text.clone().into_bytes()),
        PemSource::File(path) => files
            .read(path, MAX_FILE_BYTES)
            .map_err(|text| report.errors.push(pem_diagnostic(source, &text)))
            .ok(),
    }
}

/// All certificates in `pem`, at least one.
fn parse_certificates(
    source: &Located<PemSource>,
    pem: &[u8],
    report: &mut Report,
) -> Option<Vec<CertificateDer<'static>>> {
    let parsed: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    let text = match parsed {
        Ok(chain) if !chain.is_empty() => return Some(chain),
        Ok(_) => "holds no certificate; expected PEM, with lines such as BEGIN CERTIFICATE",
        Err(_) => "is incomplete: a certificate in it cannot be read as PEM",
    };
    report.errors.push(pem_diagnostic(source, text));
    None
}

/// The key with its certificate chain. An absent chain has been reported already.
fn certified_key(
    tls: &TlsFileConfig,
    chain: Option<Vec<CertificateDer<'static>>>,
    pem: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Option<Diagnostic>> {
    let Ok(key) = PrivateKeyDer::from_pem_slice(pem) else {
        let is_encrypted = [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
            .iter()
            .any(|marker| pem.windows(marker.len()).any(|window| window == *marker));
        return Err(Some(pem_diagnostic(
            &tls.key,
            if is_encrypted {
                "the key is encrypted; store it without a passphrase, readable by this user alone"
            } else {
                "holds no private key; expected PEM, with lines such as BEGIN PRIVATE KEY"
            },
        )));
    };
    let chain = chain.ok_or(None)?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        let text = "the key cannot be used; RSA of 2048 to 4096 bits, P-256, P-384 and Ed25519 can";
        pem_diagnostic(&tls.key, text)
    })?;
    // Not by rustls, which refuses certificates of X.509 version 1; they can be served as well as any.
    let info = chain.first().and_then(|own| CertificateInfo::from_der(own));
    let info = info.ok_or_else(|| pem_diagnostic(&tls.certificate, "the certificate is malformed"))?;
    if key.public_key().is_some_and(|public_key| public_key.as_ref() != info.public_key) {
        return Err(Some(pem_diagnostic(&tls.key, "the key does not belong to the certificate")));
    }
    Ok(CertifiedKey::new(chain, key))
}

fn parse_roots(
    source: &Located<PemSource>,
    pem: &[u8],
    now: DateTime<Utc>,
    report: &mut Report,
) -> Option<(Vec<CertificateDer<'static>>, RootCertStore)> {
    let mut store = RootCertStore::empty();
    let certificates = parse_certificates(source, pem, report)?;
    for certificate in &certificates {
        if let Some(info) = CertificateInfo::from_der(certificate) {
            check_validity(source, &info, now, report);
        }
        if let Err(error) = store.add(certificate.clone()) {
            let text = format!("a certificate in it cannot be used: {error}");
            report.errors.push(pem_diagnostic(source, &text));
            return None;
        }
    }
    Some((certificates, store))
}

/// Warns of a certificate that is not valid now or not for long; it can be served nevertheless.
fn check_validity(
    source: &Located<PemSource>,
    info: &CertificateInfo,
    now: DateTime<Utc>,
    report: &mut Report,
) {
    let text = if info.not_after < now {
        format!("the certificate expired at {:?}; clients will refuse it", info.not_after)
    } else if info.not_before > now {
        format!("the certificate is not valid before {:?}", info.not_before)
    } else if info.not_after < now + EXPIRY_WARNING.min((info.not_after - info.not_before) / 10) {
        format!("the certificate expires soon, at {:?}", info.not_after)
    } else {
        return;
    };
    report.warnings.push(pem_diagnostic(source, &text));
}
