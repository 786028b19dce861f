//! From checked values and the certificates that they name to what rustls serves with.
//!
//! Owns: PEM, whether key and certificate belong together, and the warnings about dates. Never: a handshake.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, RootCertStore, ServerConfig};

use super::certificate::Facts;
use super::client::{AcceptAnyClientCert, SanVerifier};
use super::file::{ClientAuth, PemSource, TlsFileConfig};
use super::live::MAX_FILE_BYTES;
use super::reader::Reader;
use crate::config::{TrackedFiles, sha256};

/// What is served with, and what may be told of it.
#[derive(Debug)]
pub(super) struct TlsState {
    pub(super) config: Arc<ServerConfig>,
    /// None: clients are not asked for a certificate.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Of all that it was made from: the same means that there is nothing to exchange.
    pub(super) fingerprint: Vec<u8>,
    pub(super) facts: Option<Facts>,
    pub(super) client_auth: ClientAuth,
}

impl TlsState {
    /// Whether a client that has shown `certificates`, its own first, on a connection of before would be let in now.
    pub(super) fn admits(&self, certificates: &[CertificateDer<'_>]) -> bool {
        let Some(verifier) = &self.verifier else { return true };
        match (certificates, self.config.time_provider.current_time()) {
            ([], _) => !verifier.client_auth_mandatory(),
            ([own, others @ ..], Some(now)) => verifier.verify_client_cert(own, others, now).is_ok(),
            ([..], None) => false,
        }
    }
}

/// A certificate that ends within this time is worth a word, unless it is renewed more often than that anyway.
const EXPIRY_WARNING: TimeDelta = TimeDelta::days(7);

/// Reads what `tls` names and puts it together; none after complaints.
pub(super) fn build(
    tls: &TlsFileConfig,
    http2: bool,
    now: DateTime<Utc>,
    sources: &mut TrackedFiles,
    reader: &mut Reader,
) -> Option<TlsState> {
    let certificate = read_pem(&tls.certificate, sources, reader);
    let key = read_pem(&tls.key, sources, reader);
    let ca = tls.client_ca.as_ref().map(|ca| (ca, read_pem(ca, sources, reader)));
    let provider = Arc::new(CryptoProvider {
        cipher_suites: tls.suites.clone(),
        kx_groups: tls.curves.clone(),
        ..ring::default_provider()
    });
    let chain = certificate.as_deref().and_then(|pem| certificates(&tls.certificate, pem, reader));
    let facts = chain.as_ref().and_then(|chain| Facts::of(chain.first()?));
    if let Some(facts) = &facts {
        check_validity(&tls.certificate, facts, now, reader);
    }
    let own = identity(tls, chain, key.as_deref(), &provider, reader);
    let roots = match &ca {
        None => Some(RootCertStore::empty()),
        Some((material, pem)) => pem.as_deref().and_then(|pem| roots(material, pem, now, reader)),
    };
    if !reader.complaints.is_empty() {
        return None;
    }
    let verifier = match verifier(tls, roots?, &provider) {
        Ok(verifier) => verifier,
        Err(error) => {
            reader.complaints.push(tls.client_ca.as_ref()?.complaint(&format!("cannot be used: {error}")));
            return None;
        }
    };
    let builder = match ServerConfig::builder_with_provider(provider).with_protocol_versions(&tls.versions) {
        Ok(builder) => builder,
        Err(error) => {
            reader.complaints.push(tls.certificate.complaint(&format!("TLS cannot be set up: {error}")));
            return None;
        }
    };
    let builder = match &verifier {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own?)));
    config.ignore_client_order = tls.prefers_own_order;
    config.alpn_protocols = protocols(http2);
    if verifier.is_some() {
        // A session that is taken up again is not verified again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    let inputs = [certificate?, key?, ca.and_then(|(_, pem)| pem).unwrap_or_default()];
    let mut marks: Vec<u8> = inputs.iter().flat_map(|bytes| sha256(bytes)).collect();
    marks.extend_from_slice(format!("{tls:?} {http2}").as_bytes());
    Some(TlsState {
        config: Arc::new(config),
        verifier,
        fingerprint: sha256(&marks),
        facts,
        client_auth: tls.client_auth,
    })
}

fn protocols(http2: bool) -> Vec<Vec<u8>> {
    let names: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    names.iter().map(|name| name.to_vec()).collect()
}

fn read_pem(material: &PemSource, sources: &mut TrackedFiles, reader: &mut Reader) -> Option<Vec<u8>> {
    match material {
        PemSource::Inline(text) => Some(text.value.clone().into_bytes()),
        PemSource::File(path) => sources
            .read(&path.value, MAX_FILE_BYTES)
            .map_err(|sentence| reader.complaints.push(material.complaint(&sentence)))
            .ok(),
    }
}

/// All certificates in `pem`, at least one.
fn certificates(
    material: &PemSource,
    pem: &[u8],
    reader: &mut Reader,
) -> Option<Vec<CertificateDer<'static>>> {
    let parsed: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    let sentence = match parsed {
        Ok(chain) if !chain.is_empty() => return Some(chain),
        Ok(_) => "holds no certificate; expected PEM, with lines such as BEGIN CERTIFICATE",
        Err(_) => "is not whole: a certificate in it cannot be read as PEM",
    };
    reader.complaints.push(material.complaint(sentence));
    None
}

fn identity(
    tls: &TlsFileConfig,
    chain: Option<Vec<CertificateDer<'static>>>,
    key: Option<&[u8]>,
    provider: &CryptoProvider,
    reader: &mut Reader,
) -> Option<CertifiedKey> {
    let pem = key?;
    let Ok(key) = PrivateKeyDer::from_pem_slice(pem) else {
        let is_encrypted = [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
            .iter()
            .any(|mark| pem.windows(mark.len()).any(|window| window == *mark));
        let sentence = if is_encrypted {
            "the key is encrypted; store it without a passphrase, readable by this user alone"
        } else {
            "holds no private key; expected PEM, with lines such as BEGIN PRIVATE KEY"
        };
        reader.complaints.push(tls.key.complaint(sentence));
        return None;
    };
    let chain = chain?;
    match CertifiedKey::from_der(chain, key, provider) {
        Ok(own) => Some(own),
        Err(Error::InconsistentKeys(_)) => {
            reader.complaints.push(tls.key.complaint("the key does not belong to the certificate"));
            None
        }
        Err(Error::InvalidCertificate(_)) => {
            reader.complaints.push(tls.certificate.complaint("the certificate cannot be understood"));
            None
        }
        Err(_) => {
            let sentence = "the key cannot be used; RSA of 2048 to 8192 bits, P-256, P-384 and Ed25519 can";
            reader.complaints.push(tls.key.complaint(sentence));
            None
        }
    }
}

fn roots(material: &PemSource, pem: &[u8], now: DateTime<Utc>, reader: &mut Reader) -> Option<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(material, pem, reader)? {
        if let Some(facts) = Facts::of(&certificate) {
            check_validity(material, &facts, now, reader);
        }
        if let Err(error) = store.add(certificate) {
            reader
                .complaints
                .push(material.complaint(&format!("a certificate in it cannot be used: {error}")));
            return None;
        }
    }
    Some(store)
}

/// The certificate can be used before and after its time, so this is no reason to stop.
fn check_validity(material: &PemSource, facts: &Facts, now: DateTime<Utc>, reader: &mut Reader) {
    let sentence = if facts.not_after < now {
        format!("the certificate expired at {:?}; clients will refuse it", facts.not_after)
    } else if facts.not_before > now {
        format!("the certificate is valid only from {:?} on", facts.not_before)
    } else if facts.not_after < now + EXPIRY_WARNING.min((facts.not_after - facts.not_before) / 10) {
        format!("the certificate expires soon, at {:?}", facts.not_after)
    } else {
        return;
    };
    reader.warnings.push(material.complaint(&sentence));
}

/// None: clients are not asked.
fn verifier(
    tls: &TlsFileConfig,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, rustls::server::VerifierBuilderError> {
    let unverified = |is_required, roots: &RootCertStore| -> Arc<dyn ClientCertVerifier> {
        Arc::new(AcceptAnyClientCert { is_required, hints: roots.subjects(), provider: Arc::clone(provider) })
    };
    let verified = |roots: RootCertStore| {
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
    };
    let inner = match tls.client_auth {
        ClientAuth::NoClientCert => return Ok(None),
        ClientAuth::RequestClientCert => unverified(false, &roots),
        ClientAuth::RequireAnyClientCert => unverified(true, &roots),
        ClientAuth::VerifyClientCertIfGiven => verified(roots).allow_unauthenticated().build()?,
        ClientAuth::RequireAndVerifyClientCert => verified(roots).build()?,
    };
    Ok(Some(match &tls.allowed_names {
        Some(names) => Arc::new(SanVerifier { inner, names: names.clone() }),
        None => inner,
    }))
}
