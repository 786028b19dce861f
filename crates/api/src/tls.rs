//! TLS to the API: the certificates that are trusted, and the reasons for failed handshakes.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use chrono::DateTime;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};
use rustls_platform_verifier::Verifier;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

/// Certificates to trust in addition to the roots of the system: at least one, each of which can be an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CaBundle(Arc<[CertificateDer<'static>]>);

impl CaBundle {
    /// The certificates of a PEM bundle.
    ///
    /// # Errors
    /// The first certificate that cannot be used, or what the bundle has instead of certificates.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let mut certificates = Vec::new();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let certificate = certificate.ok().filter(|der| RootCertStore::empty().add(der.clone()).is_ok());
            let damaged = || format!("certificate {} in it is damaged; write a PEM bundle", index + 1);
            certificates.push(certificate.ok_or_else(damaged)?);
        }
        let contains = |label: &str| pem.windows(label.len()).any(|window| window == label.as_bytes());
        let labels = ["BEGIN TRUSTED CERTIFICATE", "BEGIN X509 CERTIFICATE"];
        if let Some(label) = labels.into_iter().find(|label| contains(label)) {
            return Err(format!(
                "found {label}; write BEGIN CERTIFICATE, the format of `openssl x509 -in FILE -out FILE`"
            ));
        }
        if certificates.is_empty() {
            return Err("there is no certificate in it; write a PEM bundle".to_owned());
        }
        Ok(Self(certificates.into()))
    }
}

/// The TLS configuration of a client that trusts the system's root certificates and `ca_bundle`.
///
/// # Errors
/// If there are no certificates to trust.
pub(crate) fn client_config(ca_bundle: Option<&CaBundle>) -> Result<ClientConfig, Error> {
    let listed = ca_bundle.map(|bundle| bundle.0.to_vec()).unwrap_or_default();
    // For other clients in this process. Fails only if there is one already.
    let _ = ring::default_provider().install_default();
    let provider = Arc::new(ring::default_provider());
    let chain = Verifier::new_with_extra_roots(listed.iter().cloned(), Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier { chain, listed }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Accepts what rustls accepts and, as curl does, the certificates in `ca_file` themselves, which rustls takes for issuers only.
#[derive(Debug)]
struct ServerVerifier {
    chain: Verifier,
    listed: Vec<CertificateDer<'static>>,
}

impl ServerVerifier {
    /// The certificate, if it is in `ca_file` itself.
    fn find_listed(&self, der: &CertificateDer<'_>) -> Option<Certificate> {
        self.listed.iter().any(|listed| listed == der).then(|| Certificate::from_der(der).ok()).flatten()
    }
}

/// Whether a listed certificate is for this time and host: by its names or, without any, by its common name.
fn check_listed(
    certificate: &Certificate,
    der: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), Error> {
    let validity = certificate.tbs_certificate().validity();
    let [not_before, not_after] = [validity.not_before, validity.not_after]
        .map(|time| UnixTime::since_unix_epoch(time.to_unix_duration()));
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    } else if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    let is_common_name = || {
        let common_name = certificate.tbs_certificate().subject().common_name().ok().flatten();
        common_name.is_some_and(|common_name| common_name.value().eq_ignore_ascii_case(&name.to_str()))
    };
    match ParsedCertificate::try_from(der).map(|parsed| verify_server_name(&parsed, name)) {
        Ok(Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented, ..
        }))) if presented.is_empty() && is_common_name() => Ok(()),
        Ok(result) => result,
        Err(_) if is_common_name() => Ok(()),
        Err(error) => Err(error),
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.find_listed(der) {
            Some(certificate) => {
                check_listed(&certificate, der, name, now).map(|()| ServerCertVerified::assertion())
            }
            None => self.chain.verify_server_cert(der, intermediates, name, ocsp_response, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        der: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = self.chain.verify_tls12_signature(message, der, signed);
        result.or_else(|error| verify_with_key(self.find_listed(der), message, signed).ok_or(error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        der: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = self.chain.verify_tls13_signature(message, der, signed);
        result.or_else(|error| verify_with_key(self.find_listed(der), message, signed).ok_or(error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Verifies a signature with the key of a listed certificate that rustls cannot parse, such as one of X.509 version 1.
fn verify_with_key(
    certificate: Option<Certificate>,
    message: &[u8],
    signed: &DigitallySignedStruct,
) -> Option<HandshakeSignatureValid> {
    let certificate = certificate?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    let algorithm = key.algorithm.to_der().ok()?;
    let schemes = ring::default_provider().signature_verification_algorithms.mapping;
    let (_, candidates) = schemes.iter().find(|(scheme, _)| *scheme == signed.scheme)?;
    // Their identifiers lack the two bytes in front of a sequence.
    let mut candidates =
        candidates.iter().filter(|candidate| algorithm.get(2..) == Some(&*candidate.public_key_alg_id()));
    let key = key.subject_public_key.raw_bytes();
    let is_valid =
        candidates.any(|candidate| candidate.verify_signature(key, message, signed.signature()).is_ok());
    is_valid.then(HandshakeSignatureValid::assertion)
}

/// The reason why the handshake with `host` failed, if `error` comes from TLS.
pub(crate) fn handshake_failure(error: &(dyn StdError + 'static), host: &str) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref() {
            return Some(describe(tls, host));
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // Its source is not the error in it but the source of that.
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The faults of certificates, by a part of the name that rustls gives them.
const CERTIFICATE_PROBLEMS: [(&str, &str); 5] = [
    ("UnknownIssuer", "comes from an unknown issuer; add the issuer, or the certificate itself, to ca_file"),
    ("CaUsedAsEndEntity", "is that of an authority (CA:TRUE); add the certificate itself to ca_file"),
    (
        "UnsupportedCertVersion",
        "or one of its issuers is not of X.509 version 3; make one of version 3, or add the certificate itself to ca_file",
    ),
    ("CriticalExtension", "or one of its issuers has a critical extension that is not supported"),
    (
        "Signature",
        "or one of its issuers has a signature that cannot be verified; supported are RSA of 2048 to 8192 bits with SHA-256, \
         SHA-384 or SHA-512, ECDSA on P-256 or P-384 with SHA-256 or SHA-384, and Ed25519",
    ),
];

#[expect(clippy::wildcard_enum_match_arm, reason = "errors that need no sentence keep the text of rustls")]
fn describe(error: &Error, host: &str) -> String {
    let date = |time: &UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    };
    let problem = match error {
        Error::InvalidCertificate(problem) => match problem {
            CertificateError::ExpiredContext { not_after, .. } => format!("expired at {:?}", date(not_after)),
            CertificateError::NotValidYetContext { not_before, .. } => {
                format!("is not valid before {:?}; check the clock of this machine", date(not_before))
            }
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
                "has no subject alternative name; the common name counts only if the certificate itself is in ca_file".to_owned()
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                // Written as `DnsName("a.test")`.
                let name = |name: &String| name.split(['(', ')', '"']).rfind(|part| !part.is_empty()).map(str::to_owned);
                format!("is for {}", Vec::from_iter(presented.iter().filter_map(name)).join(", "))
            }
            other => {
                let text = other.to_string();
                let known = CERTIFICATE_PROBLEMS.iter().find(|(part, _)| text.contains(part));
                known.map_or_else(|| format!("is not accepted: {text}"), |(_, problem)| (*problem).to_owned())
            }
        },
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            return format!("{host} requires a client certificate, which is not supported");
        }
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(_) => {
            return format!(
                "{host} has no version, cipher suite, curve or key of TLS in common: TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM or \
                 ChaCha20, on X25519, P-256 or P-384, with a certificate whose key is RSA, P-256, P-384 or Ed25519"
            );
        }
        Error::InvalidMessage(_) => {
            return format!("{host} does not speak TLS on this port; check base_url ({error})");
        }
        other => return format!("TLS with {host} failed: {other}"),
    };
    format!("the certificate of {host} {problem}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundle_without_usable_certificates_is_refused() {
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pem, expected) in [
            ("", "there is no certificate in it"),
            (
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "there is no certificate in it",
            ),
            (damaged, "certificate 1 in it is damaged"),
            (
                &damaged.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
                "found BEGIN TRUSTED CERTIFICATE; write BEGIN",
            ),
            (
                &damaged.replace("CERTIFICATE", "X509 CERTIFICATE"),
                "found BEGIN X509 CERTIFICATE; write BEGIN",
            ),
        ] {
            let error = CaBundle::parse(pem.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{pem}: {error}");
        }
    }
}
