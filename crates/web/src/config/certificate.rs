//! Subject alternative names and validity of X.509 certificates, which rustls does not expose.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// What a certificate says about itself; nothing here verifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateInfo {
    /// The DNS names, e-mail addresses, IP addresses and URIs of the subject alternative names.
    pub(super) names: Vec<String>,
    /// The public key with its algorithm, as DER.
    pub(super) public_key: Vec<u8>,
    pub(super) not_before: DateTime<Utc>,
    pub(super) not_after: DateTime<Utc>,
}

impl CertificateInfo {
    /// Parses `der`; `None` if it is malformed.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let inner = certificate.tbs_certificate();
        let time = |time: x509_cert::time::Time| {
            DateTime::from_timestamp(i64::try_from(time.to_unix_duration().as_secs()).ok()?, 0)
        };
        let names = match inner.get_extension::<SubjectAltName>().ok()? {
            Some((_, SubjectAltName(names))) => names.iter().filter_map(name_text).collect(),
            None => Vec::new(),
        };
        let validity = inner.validity();
        let public_key = inner.subject_public_key_info().to_der().ok()?;
        Some(Self {
            names,
            public_key,
            not_before: time(validity.not_before)?,
            not_after: time(validity.not_after)?,
        })
    }

    pub(super) fn is_valid_at(&self, unix_seconds: u64) -> bool {
        let now = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
        (self.not_before.timestamp()..=self.not_after.timestamp()).contains(&now)
    }

    /// Whether one of the names is `wanted`; IP addresses match in any notation.
    pub(super) fn has_name(&self, wanted: &str) -> bool {
        let wanted = canonical(wanted);
        self.names.iter().any(|name| canonical(name) == wanted)
    }
}

fn canonical(name: &str) -> String {
    name.parse::<IpAddr>().map_or_else(|_| name.to_owned(), |address| address.to_canonical().to_string())
}

fn name_text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text)
        | GeneralName::Rfc822Name(text)
        | GeneralName::UniformResourceIdentifier(text) => Some(text.as_str().to_owned()),
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        GeneralName::OtherName(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::RegisteredId(_) => None,
    }
}
