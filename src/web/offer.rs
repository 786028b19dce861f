//! What TLS is offered with: versions, cipher suites and curves.
//!
//! Owns: the choice among what exists here, and the words where less is left than was asked for. Never: less safety than was
//! asked for.

use rustls::SupportedCipherSuite;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::{ALL_KX_GROUPS, DEFAULT_CIPHER_SUITES};

use super::reader::{Reader, Section, Spanned};
use super::suites::{CURVES, HTTP2_SUITES, SUITES, TlsVersion, VERSIONS};
use crate::config::join_list;

/// The versions that have a suite, and the suites of these versions, in the order of preference.
pub(super) fn ciphers(
    reader: &mut Reader,
    section: &Section<'_>,
    http2: bool,
) -> (Vec<&'static rustls::SupportedProtocolVersion>, Vec<SupportedCipherSuite>) {
    let before = reader.complaints.len();
    let min = reader.one_of(section, "min_version", &VERSIONS);
    let max = reader.one_of(section, "max_version", &VERSIONS);
    let suites = parse_cipher_suites(reader, section);
    let at_least = min.as_ref().map_or(TlsVersion::Tls12, |min| min.value);
    let at_most = max.as_ref().map_or(TlsVersion::Tls13, |max| max.value);
    if let Some(max) = max.filter(|max| max.value < TlsVersion::Tls12) {
        let sentence = "TLS 1.0 and 1.1 are broken and not offered; write TLS12 or TLS13";
        reader.complaints.push(max.complaint(sentence));
    } else if let Some(min) = min.as_ref().filter(|_| at_least > at_most) {
        reader.complaints.push(min.complaint("found a min_version above max_version; no version is left"));
    } else if let Some(min) = min.as_ref().filter(|min| min.value < TlsVersion::Tls12) {
        let sentence = "TLS 1.0 and 1.1 are broken and not offered; clients need TLS 1.2 at least";
        reader.warnings.push(min.complaint(sentence));
    }
    let is_tls13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    let offered = |suite: &SupportedCipherSuite| {
        let version = if is_tls13(suite) { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
        (at_least..=at_most).contains(&version)
    };
    let Some(suites) = suites else {
        let all: Vec<_> = DEFAULT_CIPHER_SUITES.iter().copied().filter(offered).collect();
        return (versions_of(&all), all);
    };
    let own = DEFAULT_CIPHER_SUITES.iter().copied().filter(is_tls13);
    let unasked = own.filter(|_| !suites.value.iter().any(is_tls13));
    let all: Vec<_> = suites.value.iter().copied().chain(unasked).filter(offered).collect();
    if reader.complaints.len() > before {
        return (versions_of(&all), all);
    }
    let old = all.iter().any(|suite| !is_tls13(suite));
    if all.is_empty() {
        reader
            .complaints
            .push(suites.complaint("none of these suites exists in the versions of TLS that are asked for"));
    } else if at_least < TlsVersion::Tls13 && !old {
        let sentence = "no suite of TLS 1.2 is among these, so only TLS 1.3 is offered";
        reader.warnings.push(suites.complaint(sentence));
    } else if http2 && old && !all.iter().any(|suite| HTTP2_SUITES.contains(suite)) {
        let sentence = "HTTP/2 requires TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256; add one, or write http2: false, or min_version: TLS13";
        reader.complaints.push(suites.complaint(sentence));
    }
    (versions_of(&all), all)
}

fn versions_of(suites: &[SupportedCipherSuite]) -> Vec<&'static rustls::SupportedProtocolVersion> {
    let has = |version: &&rustls::SupportedProtocolVersion| {
        suites
            .iter()
            .any(|suite| suite.tls13().is_some() == (version.version == rustls::ProtocolVersion::TLSv1_3))
    };
    [&rustls::version::TLS13, &rustls::version::TLS12].into_iter().filter(has).collect()
}

/// The suites of the list that exist here; none without a list, or with an empty one.
fn parse_cipher_suites(
    reader: &mut Reader,
    section: &Section<'_>,
) -> Option<Spanned<Vec<SupportedCipherSuite>>> {
    let names = reader.texts(section, "cipher_suites").filter(|names| !names.value.is_empty())?;
    let (suites, unsupported) = existing(reader, &names, &SUITES);
    if !unsupported.is_empty() {
        let sentence = format!(
            "not offered here, because it is no longer safe: {}",
            join_list(unsupported.iter().map(String::as_str), "and")
        );
        reader.warnings.push(names.complaint(sentence));
    }
    Some(Spanned { value: suites, location: names.location, key: names.key })
}

pub(super) fn curves(reader: &mut Reader, section: &Section<'_>) -> Vec<&'static dyn SupportedKxGroup> {
    let before = reader.complaints.len();
    let names = reader.texts(section, "curve_preferences").filter(|names| !names.value.is_empty());
    let Some(names) = names else { return ALL_KX_GROUPS.to_vec() };
    let (curves, absent) = existing(reader, &names, &CURVES);
    if curves.is_empty() && reader.complaints.len() == before {
        reader
            .complaints
            .push(names.complaint("CurveP521 is not offered here; add X25519, CurveP256 or CurveP384"));
    } else if !absent.is_empty() {
        reader.warnings.push(names.complaint("not offered here: CurveP521; the others are"));
    }
    curves
}

/// What `names` lead to among `choices`, and the names that lead nowhere.
fn existing<T: Copy>(
    reader: &mut Reader,
    names: &Spanned<Vec<Spanned<String>>>,
    choices: &[(&str, Option<T>)],
) -> (Vec<T>, Vec<String>) {
    let (mut found, mut absent) = (Vec::new(), Vec::new());
    for name in &names.value {
        match reader.choice(name, choices) {
            Some(Spanned { value: Some(value), .. }) => found.push(value),
            Some(Spanned { value: None, .. }) => absent.push(name.value.clone()),
            None => {}
        }
    }
    (found, absent)
}
