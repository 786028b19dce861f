//! Client authentication by certificate: the modes of `client_auth_type` and their verifier.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::certificate::CertificateInfo;

/// Whether clients present a certificate and whether it is verified, with the names of Go's crypto/tls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    NoClientCert,
    RequestClientCert,
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    pub(super) const ALL: [(&str, Self); 6] = [
        ("NoClientCert", Self::NoClientCert),
        ("RequestClientCert", Self::RequestClientCert),
        ("RequireAnyClientCert", Self::RequireAnyClientCert),
        // A former name in exporter-toolkit.
        ("RequireClientCert", Self::RequireAnyClientCert),
        ("VerifyClientCertIfGiven", Self::VerifyClientCertIfGiven),
        ("RequireAndVerifyClientCert", Self::RequireAndVerifyClientCert),
    ];

    pub(super) const fn verifies(self) -> bool {
        matches!(self, Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert)
    }

    pub(super) const fn requires(self) -> bool {
        matches!(self, Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert)
    }
}

/// Accepts the certificates that `auth` and the permitted names allow. Possession of the key is always proved by the handshake.
#[derive(Debug)]
struct ClientVerifier {
    auth: ClientAuth,
    /// Verifies the chain; `None` accepts any certificate.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    /// The certificates of `client_ca` themselves.
    listed: Vec<CertificateDer<'static>>,
    allowed_names: Option<Vec<String>>,
    /// The subjects of the authorities, by which clients choose a certificate.
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

/// The verifier of client certificates; `None` if clients are not asked for one.
pub(super) fn verifier(
    auth: ClientAuth,
    allowed_names: Option<Vec<String>>,
    listed: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, VerifierBuilderError> {
    if auth == ClientAuth::NoClientCert {
        return Ok(None);
    }
    let (hints, provider) = (roots.subjects(), Arc::clone(provider));
    let chain = if auth.verifies() {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        Some(builder.build()?)
    } else {
        None
    };
    Ok(Some(Arc::new(ClientVerifier { auth, chain, listed, allowed_names, hints, provider })))
}

/// A client certificate without any of the allowed names; it has these.
#[derive(thiserror::Error)]
#[error("client_allowed_sans lists none of the names of the client certificate, which are {0:?}")]
struct NameNotAllowed(Vec<String>);

/// The form that rustls puts into its message.
impl fmt::Debug for NameNotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.auth.requires()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let info = CertificateInfo::from_der(certificate).ok_or(CertificateError::BadEncoding)?;
        if let Some(chain) = &self.chain
            && let Err(error) = chain.verify_client_cert(certificate, intermediates, now)
        {
            // As in Go, a certificate in `client_ca` is accepted itself; rustls takes it for an issuer only.
            let is_listed = self.listed.iter().any(|listed| listed == certificate);
            let is_valid = info.is_valid_at(now.as_secs());
            (is_listed && is_valid).then_some(()).ok_or(error)?;
        }
        if let Some(allowed) = &self.allowed_names
            && !allowed.iter().any(|name| info.has_name(name))
        {
            let error = NameNotAllowed(info.names);
            return Err(CertificateError::Other(OtherError(Arc::new(error))).into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
