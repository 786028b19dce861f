//! TLS versions, cipher suites and curves, by their names in Go's crypto/tls.

use exporter_schema::{Located, Report, Section, join_list, join_path};
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::{ALL_KX_GROUPS, DEFAULT_CIPHER_SUITES, cipher_suite as suite, kx_group};
use rustls::{ProtocolVersion, SupportedCipherSuite, SupportedProtocolVersion};

/// What the server offers in a handshake.
#[derive(Debug)]
pub(super) struct TlsParams {
    /// The versions that have a cipher suite.
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    /// In order of preference.
    pub(super) cipher_suites: Vec<SupportedCipherSuite>,
    pub(super) curves: Vec<&'static dyn SupportedKxGroup>,
}

/// Versions of TLS, as comparable numbers.
pub(super) const VERSIONS: [(&str, u8); 4] = [("TLS13", 13), ("TLS12", 12), ("TLS11", 11), ("TLS10", 10)];

/// Go's `CipherSuites()`; `None` for those that rustls does not implement.
pub(super) const CIPHER_SUITES: [(&str, Option<SupportedCipherSuite>); 13] = [
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

/// HTTP/2 requires one of these (RFC 9113, section 9.2.2, and Go).
const HTTP2_CIPHER_SUITES: [SupportedCipherSuite; 2] =
    [suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];

/// The curves of exporter-toolkit; `None` for those that rustls does not implement.
pub(super) const CURVES: [(&str, Option<&'static dyn SupportedKxGroup>); 4] = [
    ("CurveP256", Some(kx_group::SECP256R1)),
    ("CurveP384", Some(kx_group::SECP384R1)),
    ("CurveP521", None),
    ("X25519", Some(kx_group::X25519)),
];

fn is_tls13(suite: &SupportedCipherSuite) -> bool {
    suite.tls13().is_some()
}

impl TlsParams {
    pub(super) fn parse(section: &Section<'_>, http2: bool, report: &mut Report) -> Self {
        let cipher_suites = parse_cipher_suites(section, http2, report);
        let has_suite = |version: &&SupportedProtocolVersion| {
            let is_13 = version.version == ProtocolVersion::TLSv1_3;
            cipher_suites.iter().any(|suite| is_tls13(suite) == is_13)
        };
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12].into_iter().filter(has_suite);
        Self { versions: versions.collect(), curves: parse_curves(section, report), cipher_suites }
    }
}

fn parse_cipher_suites(section: &Section<'_>, http2: bool, report: &mut Report) -> Vec<SupportedCipherSuite> {
    let min = choice(section, "min_version", &VERSIONS);
    let max = choice(section, "max_version", &VERSIONS);
    let min_version = min.as_ref().map_or(12, |min| min.value);
    let max_version = max.as_ref().map_or(13, |max| max.value);
    if let Some(max) = max.filter(|max| max.value < 12) {
        let text = "TLS 1.0 and 1.1 are broken and not offered; write TLS12 or TLS13";
        report.errors.push(max.diagnostic(text));
    } else if let Some(min) = min.as_ref().filter(|_| min_version > max_version) {
        report.errors.push(min.diagnostic("found a min_version above max_version; no version is left"));
    } else if let Some(min) = min.as_ref().filter(|min| min.value < 12) {
        let text = "TLS 1.0 and 1.1 are broken and not offered; clients need TLS 1.2 at least";
        report.warnings.push(min.diagnostic(text));
    }
    let is_offered = |suite: &SupportedCipherSuite| {
        let version = if is_tls13(suite) { 13 } else { 12 };
        (min_version..=max_version).contains(&version)
    };
    let defaults = DEFAULT_CIPHER_SUITES.iter().copied();
    let Some((names, listed, unsupported)) = choices(section, "cipher_suites", &CIPHER_SUITES) else {
        return defaults.filter(is_offered).collect();
    };
    if !unsupported.is_empty() {
        let unsupported = join_list(unsupported.iter().map(String::as_str), "and");
        let text = format!("not offered here, because it is no longer safe: {unsupported}");
        report.warnings.push(names.diagnostic(text));
    }
    // A list without suites of TLS 1.3 leaves all of these offered, as in Go.
    let tls13_defaults = defaults.filter(|suite| is_tls13(suite) && !listed.iter().any(is_tls13));
    let suites: Vec<_> = listed.iter().copied().chain(tls13_defaults).filter(is_offered).collect();
    let keys = ["min_version", "max_version", "cipher_suites"].map(|name| join_path(section.path(), name));
    if keys.iter().any(|key| report.has_errors_in(key)) {
        return suites;
    }
    let has_tls12 = suites.iter().any(|suite| !is_tls13(suite));
    if suites.is_empty() {
        report.errors.push(names.diagnostic("none of these suites exists in the requested versions of TLS"));
    } else if min_version < 13 && !has_tls12 {
        let text = "no suite of TLS 1.2 is among these, so only TLS 1.3 is offered";
        report.warnings.push(names.diagnostic(text));
    } else if http2 && has_tls12 && !suites.iter().any(|suite| HTTP2_CIPHER_SUITES.contains(suite)) {
        let text = "HTTP/2 requires TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256; add one, or write http2: false, or min_version: TLS13";
        report.errors.push(names.diagnostic(text));
    }
    suites
}

fn parse_curves(section: &Section<'_>, report: &mut Report) -> Vec<&'static dyn SupportedKxGroup> {
    let Some((names, curves, unsupported)) = choices(section, "curve_preferences", &CURVES) else {
        return ALL_KX_GROUPS.to_vec();
    };
    if curves.is_empty() && !report.has_errors_in(&names.key) {
        let text = "CurveP521 is not offered here; add X25519, CurveP256 or CurveP384";
        report.errors.push(names.diagnostic(text));
    } else if !unsupported.is_empty() {
        report.warnings.push(names.diagnostic("not offered here: CurveP521; the others are"));
    }
    curves
}

/// The value of the key `name`; `None` if it is absent or not one of `choices`.
pub(super) fn choice<T: Copy>(
    section: &Section<'_>,
    name: &str,
    choices: &[(&str, T)],
) -> Option<Located<T>> {
    let text = section.located::<String>(name)?;
    let (_, value) = choices.iter().find(|(name, _)| *name == text.value)?;
    Some(text.map(|_| *value))
}

/// The list at the key `name`, with the values and the unsupported names in it; `None` if it is absent or empty.
fn choices<T: Copy>(
    section: &Section<'_>,
    name: &str,
    choices: &[(&str, Option<T>)],
) -> Option<(Located<()>, Vec<T>, Vec<String>)> {
    let mut names = section.located::<Vec<String>>(name).filter(|names| !names.value.is_empty())?;
    let supported =
        |name: &String| choices.iter().find(|(choice, _)| choice == name).and_then(|(_, value)| *value);
    let values = names.value.iter().filter_map(supported).collect();
    names.value.retain(|name| supported(name).is_none());
    let unsupported = std::mem::take(&mut names.value);
    Some((names.map(|_| ()), values, unsupported))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cipher_suite_names_match_and_cover_rustls() {
        let named = CIPHER_SUITES.iter().filter_map(|(name, suite)| Some((*name, (*suite)?)));
        for (name, suite) in named.clone() {
            assert_eq!(format!("{:?}", suite.suite()).replace("TLS13_", "TLS_"), name);
        }
        assert_eq!(named.count(), rustls::crypto::ring::ALL_CIPHER_SUITES.len());
    }
}
