//! The names of Go's crypto/tls that the file uses, and what they are here.
//!
//! Owns: versions, cipher suites and curves. Never: which of them are offered.

use rustls::SupportedCipherSuite;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::{cipher_suite as suite, kx_group};

/// A version of TLS, ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

pub(super) const VERSIONS: [(&str, TlsVersion); 4] = [
    ("TLS13", TlsVersion::Tls13),
    ("TLS12", TlsVersion::Tls12),
    ("TLS11", TlsVersion::Tls11),
    ("TLS10", TlsVersion::Tls10),
];

/// What Go's `CipherSuites()` lists; none for those that do not exist here.
pub(super) const SUITES: [(&str, Option<SupportedCipherSuite>); 13] = [
    ("TLS_AES_128_GCM_SHA256", Some(suite::TLS13_AES_128_GCM_SHA256)),
    ("TLS_AES_256_GCM_SHA384", Some(suite::TLS13_AES_256_GCM_SHA384)),
    ("TLS_CHACHA20_POLY1305_SHA256", Some(suite::TLS13_CHACHA20_POLY1305_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Some(suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Some(suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Some(suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Some(suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Some(suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
];

/// One of these has to be offered beside HTTP/2 (RFC 9113, section 9.2.2, and as Go requires).
pub(super) const HTTP2_SUITES: [SupportedCipherSuite; 2] =
    [suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];

/// The curves of the file; none for those that do not exist here.
pub(super) const CURVES: [(&str, Option<&'static dyn SupportedKxGroup>); 4] = [
    ("CurveP256", Some(kx_group::SECP256R1)),
    ("CurveP384", Some(kx_group::SECP384R1)),
    ("CurveP521", None),
    ("X25519", Some(kx_group::X25519)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_leads_to_the_suite_of_that_name_and_none_of_ours_is_missing() {
        let ours = rustls::crypto::ring::ALL_CIPHER_SUITES;
        let named: Vec<_> = SUITES.iter().filter_map(|(name, suite)| Some((*name, (*suite)?))).collect();
        for (name, suite) in &named {
            let own = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
            assert_eq!(own, *name);
        }
        assert_eq!(named.len(), ours.len());
    }
}
