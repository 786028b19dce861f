//! From the text of the file to checked values.
//!
//! Owns: the rules over several keys, and defaults. Never: the files that it names; those are read elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::header::{self, Headers};
use super::limit::RateLimitConfig;
use super::offer;
use super::reader::{Reader, Section, Spanned};
use super::users::{self, PasswordHash};
use crate::config::{Diagnostic, Location, Node, parse_yaml};
use rustls::SupportedCipherSuite;
use rustls::crypto::SupportedKxGroup;

/// All that the file says.
#[derive(Debug)]
pub(super) struct WebFile {
    /// None: plain HTTP.
    pub(super) tls: Option<TlsFileConfig>,
    pub(super) http2: bool,
    pub(super) headers: Headers,
    /// None: everyone may ask.
    pub(super) users: BTreeMap<String, PasswordHash>,
    pub(super) rate: Option<RateLimitConfig>,
}

/// Section `tls_server_config`.
#[derive(Debug)]
pub(super) struct TlsFileConfig {
    pub(super) certificate: PemSource,
    pub(super) key: PemSource,
    pub(super) client_auth: ClientAuth,
    pub(super) client_ca: Option<PemSource>,
    /// None: any name will do.
    pub(super) allowed_names: Option<Vec<String>>,
    pub(super) versions: Vec<&'static rustls::SupportedProtocolVersion>,
    pub(super) suites: Vec<SupportedCipherSuite>,
    pub(super) curves: Vec<&'static dyn SupportedKxGroup>,
    pub(super) prefers_own_order: bool,
}

/// Something in PEM.
#[derive(Clone)]
pub(super) enum PemSource {
    File(Spanned<PathBuf>),
    Inline(Spanned<String>),
}

impl std::fmt::Debug for PemSource {
    /// Without what is written inline, which may be a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(&path.value).finish(),
            Self::Inline(_) => f.write_str("Inline"),
        }
    }
}

impl PemSource {
    /// A complaint about what it holds.
    pub(super) fn complaint(&self, sentence: &str) -> Diagnostic {
        match self {
            Self::File(path) => path.complaint(format!("{}: {sentence}", path.value.display())),
            Self::Inline(text) => text.complaint(sentence),
        }
    }
}

/// What is asked of clients; the names are those of Go's crypto/tls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    NoClientCert,
    RequestClientCert,
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    const ALL: [(&str, Self); 6] = [
        ("NoClientCert", Self::NoClientCert),
        ("RequestClientCert", Self::RequestClientCert),
        ("RequireAnyClientCert", Self::RequireAnyClientCert),
        // What the original called it once.
        ("RequireClientCert", Self::RequireAnyClientCert),
        ("VerifyClientCertIfGiven", Self::VerifyClientCertIfGiven),
        ("RequireAndVerifyClientCert", Self::RequireAndVerifyClientCert),
    ];

    const fn verifies(self) -> bool {
        matches!(self, Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert)
    }

    const fn requires(self) -> bool {
        matches!(self, Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert)
    }
}

/// Reads `text`, which complaints call `name`; relative paths start at `folder`. What cannot be read stands in for itself by
/// its default, so that one attempt finds all that is wrong; none if it is no YAML at all.
pub(super) fn read(name: &str, text: &str, folder: &Path, reader: &mut Reader) -> Option<WebFile> {
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let root = if text.lines().all(is_blank) {
        Node::table(Location::Program)
    } else {
        match parse_yaml(name, text) {
            Ok(root) => root,
            Err(complaints) => {
                reader.complaints.extend(complaints);
                return None;
            }
        }
    };
    reader.unknown(&root);
    let top = Section::new(Some(&root), "");
    let http = top.section("http_server_config");
    let http2 = reader.switch(&http, "http2", true);
    let tls_section = top.section("tls_server_config");
    let users_section = top.section("basic_auth_users");
    if let (Some(users), None) = (users_section.first_set_key(), tls_section.first_set_key()) {
        let sentence = "passwords cross the network unencrypted without tls_server_config";
        reader.warnings.push(Diagnostic::new(&users.location, &users_section.path, sentence));
    }
    Some(WebFile {
        tls: tls(reader, &tls_section, folder, http2),
        http2,
        headers: header::read(reader, &http.section("headers")),
        users: users::read(reader, &users_section),
        rate: RateLimitConfig::read(reader, &top.section("rate_limit")),
    })
}

fn tls(reader: &mut Reader, section: &Section<'_>, folder: &Path, http2: bool) -> Option<TlsFileConfig> {
    let given = section.first_set_key()?;
    let before = reader.complaints.len();
    let certificate = material(reader, section, ["cert", "cert_file"], folder);
    let key = material(reader, section, ["key", "key_file"], folder);
    let is_told = reader.complaints.len() > before;
    for (missing, advice) in [
        (certificate.is_none(), "TLS needs a certificate; give cert_file or cert"),
        (key.is_none(), "TLS needs the key of its certificate; give key_file or key"),
    ] {
        if missing && !is_told {
            reader.complaints.push(Diagnostic::new(&given.location, &section.path, advice));
        }
    }
    let client_ca = material(reader, section, ["client_ca", "client_ca_file"], folder);
    let (client_auth, allowed_names) = clients(reader, section, client_ca.as_ref());
    let (versions, suites) = offer::ciphers(reader, section, http2);
    let curves = offer::curves(reader, section);
    let prefers_own_order = reader.switch(section, "prefer_server_cipher_suites", true);
    Some(TlsFileConfig {
        certificate: certificate?,
        key: key?,
        client_auth,
        client_ca,
        allowed_names,
        versions,
        suites,
        curves,
        prefers_own_order,
    })
}

fn material(
    reader: &mut Reader,
    section: &Section<'_>,
    [inline, file]: [&str; 2],
    folder: &Path,
) -> Option<PemSource> {
    let text = reader.text(section, inline);
    let path = reader.text(section, file);
    match (text, path) {
        (Some(_), Some(path)) => {
            let sentence = format!("found {inline} and {file} together; keep one of them");
            reader.complaints.push(path.complaint(sentence));
            Some(PemSource::File(Spanned {
                value: folder.join(&path.value),
                location: path.location,
                key: path.key,
            }))
        }
        (None, Some(path)) => Some(PemSource::File(Spanned {
            value: folder.join(&path.value),
            location: path.location,
            key: path.key,
        })),
        (Some(text), None) => Some(PemSource::Inline(text)),
        (None, None) => None,
    }
}

/// What is asked of clients, and the names that are let in.
fn clients(
    reader: &mut Reader,
    section: &Section<'_>,
    client_ca: Option<&PemSource>,
) -> (ClientAuth, Option<Vec<String>>) {
    let before = reader.complaints.len();
    let asked = reader.one_of(section, "client_auth_type", &ClientAuth::ALL);
    let auth = asked.as_ref().map_or(ClientAuth::NoClientCert, |asked| asked.value);
    let names = reader.texts(section, "client_allowed_sans");
    // A rule that is broken by a default would be told of a wrong value.
    if reader.complaints.len() > before {
        return (auth, None);
    }
    if let Some(ca) = client_ca.filter(|_| auth == ClientAuth::NoClientCert) {
        let sentence =
            "no client is asked for a certificate; add client_auth_type: RequireAndVerifyClientCert";
        reader.complaints.push(match ca {
            PemSource::File(path) => path.complaint(sentence),
            PemSource::Inline(text) => text.complaint(sentence),
        });
    }
    if let Some(asked) = &asked {
        if auth.verifies() && client_ca.is_none() {
            let sentence = "there is nothing to verify certificates with; give client_ca_file or client_ca";
            reader.complaints.push(asked.complaint(sentence));
        }
        if matches!(auth, ClientAuth::RequestClientCert | ClientAuth::RequireAnyClientCert) {
            let sentence = "certificates of clients are not verified: anyone can make one that is let in; RequireAndVerifyClientCert verifies them";
            reader.warnings.push(asked.complaint(sentence));
        }
    }
    if let Some(names) = &names {
        if !auth.requires() {
            let sentence = "a client may come without a certificate and so without a name; it needs client_auth_type RequireAndVerifyClientCert or RequireAnyClientCert";
            reader.complaints.push(names.complaint(sentence));
        } else if names.value.is_empty() {
            let sentence = "found an empty list, which lets nobody in; list the names, or remove the key";
            reader.complaints.push(names.complaint(sentence));
        }
    }
    (auth, names.map(|names| names.value.into_iter().map(|name| name.value).collect()))
}
