//! The web configuration file as checked values, without the content of the files it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use exporter_schema::{Diagnostic, Located, Report, Section, join_path, parse_yaml};

use super::basic_auth::{self, PasswordHash};
use super::client_auth::ClientAuth;
use super::keys::{self, SCHEMA};
use super::rate_limit::RateLimitConfig;
use super::response_headers::Headers;
use super::tls_params::TlsParams;

/// The file.
#[derive(Debug)]
pub(super) struct WebFile {
    /// `None` for plain HTTP.
    pub(super) tls: Option<TlsFileConfig>,
    pub(super) http2: bool,
    pub(super) headers: Headers,
    /// Empty if no authentication is required.
    pub(super) users: BTreeMap<String, PasswordHash>,
    pub(super) rate_limit: Option<RateLimitConfig>,
}

/// Section `tls_server_config`.
#[derive(Debug)]
pub(super) struct TlsFileConfig {
    pub(super) certificate: Located<PemSource>,
    pub(super) key: Located<PemSource>,
    pub(super) client_auth: ClientAuth,
    pub(super) client_ca: Option<Located<PemSource>>,
    /// `None` if any name is accepted.
    pub(super) allowed_names: Option<Vec<String>>,
    pub(super) params: TlsParams,
    pub(super) prefer_server_cipher_suites: bool,
}

/// Where PEM data comes from.
#[derive(Clone)]
pub(super) enum PemSource {
    File(PathBuf),
    Inline(String),
}

impl std::fmt::Debug for PemSource {
    /// Without inline data, which may be a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline(_) => f.write_str("Inline"),
        }
    }
}

/// A diagnostic about the PEM data of `source`.
pub(super) fn content_diagnostic(source: &Located<PemSource>, text: &str) -> Diagnostic {
    match &source.value {
        PemSource::File(path) => source.diagnostic(format!("{}: {text}", path.display())),
        PemSource::Inline(_) => source.diagnostic(text),
    }
}

/// Parses `text`, the content of the file `name`; relative paths are resolved in `dir`. A value in error becomes its default, so
/// that one attempt reports all errors; `None` if the text is not YAML.
pub(super) fn parse(name: &str, text: &str, dir: &Path, report: &mut Report) -> Option<WebFile> {
    let mut root = parse_yaml(name, text).map_err(|errors| report.errors.extend(errors)).ok()?;
    keys::normalize(&mut root);
    report.errors.extend(SCHEMA.check(&root));
    let top = Section::root(&root);
    let http = top.section("http_server_config");
    let http2 = http.get("http2").unwrap_or(true);
    let tls_section = top.section("tls_server_config");
    let users = top.section("basic_auth_users");
    if let (Some(users), None) = (first_key(&users), first_key(&tls_section)) {
        let text = "passwords cross the network unencrypted without tls_server_config";
        report.warnings.push(users.diagnostic(text));
    }
    Some(WebFile {
        tls: parse_tls(report, &tls_section, dir, http2),
        http2,
        headers: Headers::parse(&http.section("headers")),
        users: basic_auth::parse(report, &users),
        rate_limit: RateLimitConfig::parse(report, &top.section("rate_limit")),
    })
}

/// The location of the first key of `section`, for diagnostics about the section.
fn first_key(section: &Section<'_>) -> Option<Located<()>> {
    let (_, first) = section.entries().next()?;
    Some(Located { value: (), location: first.location, key: section.path().to_owned() })
}

fn parse_tls(report: &mut Report, section: &Section<'_>, dir: &Path, http2: bool) -> Option<TlsFileConfig> {
    let first = first_key(section)?;
    let certificate = pem_source(report, section, ["cert", "cert_file"], dir);
    let key = pem_source(report, section, ["key", "key_file"], dir);
    if !has_errors(report, section, &["cert", "cert_file", "key", "key_file"]) {
        for (is_missing, advice) in [
            (certificate.is_none(), "TLS needs a certificate; give cert_file or cert"),
            (key.is_none(), "TLS needs the key of its certificate; give key_file or key"),
        ] {
            if is_missing {
                report.errors.push(first.diagnostic(advice));
            }
        }
    }
    let client_ca = pem_source(report, section, ["client_ca", "client_ca_file"], dir);
    let (client_auth, allowed_names) = parse_client_auth(report, section, client_ca.as_ref());
    let params = TlsParams::parse(report, section, http2);
    Some(TlsFileConfig {
        certificate: certificate?,
        key: key?,
        client_auth,
        client_ca,
        allowed_names,
        params,
        prefer_server_cipher_suites: section.get("prefer_server_cipher_suites").unwrap_or(true),
    })
}

/// Whether any of the keys `names` is in error: then their defaults must not cause further errors.
pub(super) fn has_errors(report: &Report, section: &Section<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| report.has_errors_in(&join_path(section.path(), name)))
}

fn pem_source(
    report: &mut Report,
    section: &Section<'_>,
    [inline, file]: [&str; 2],
    dir: &Path,
) -> Option<Located<PemSource>> {
    let (text, path) = (section.located::<String>(inline), section.located::<String>(file));
    if let (Some(_), Some(path)) = (&text, &path) {
        let text = format!("found {inline} and {file} together; keep one of them");
        report.errors.push(path.diagnostic(text));
    }
    match path {
        Some(path) => Some(path.map(|path| PemSource::File(dir.join(path)))),
        None => text.map(|text| text.map(PemSource::Inline)),
    }
}

/// The mode of client authentication and the accepted names.
fn parse_client_auth(
    report: &mut Report,
    section: &Section<'_>,
    client_ca: Option<&Located<PemSource>>,
) -> (ClientAuth, Option<Vec<String>>) {
    let given = keys::choice(section, "client_auth_type", &ClientAuth::ALL);
    let auth = given.as_ref().map_or(ClientAuth::NoClientCert, |given| given.value);
    let names = section.located::<Vec<String>>("client_allowed_sans");
    if has_errors(report, section, &["client_auth_type", "client_allowed_sans"]) {
        return (auth, None);
    }
    if let Some(ca) = client_ca.filter(|_| auth == ClientAuth::NoClientCert) {
        let text = "no client is asked for a certificate; add client_auth_type: RequireAndVerifyClientCert";
        report.errors.push(ca.diagnostic(text));
    }
    if let Some(given) = &given {
        if auth.verifies() && client_ca.is_none() {
            let text = "there is nothing to verify certificates with; give client_ca_file or client_ca";
            report.errors.push(given.diagnostic(text));
        }
        if matches!(auth, ClientAuth::RequestClientCert | ClientAuth::RequireAnyClientCert) {
            let text = "client certificates are not verified: anyone can make one that is accepted; RequireAndVerifyClientCert verifies them";
            report.warnings.push(given.diagnostic(text));
        }
    }
    if let Some(names) = &names {
        if !auth.requires() {
            let text = "a client without a certificate has no name; client_auth_type must be RequireAndVerifyClientCert or RequireAnyClientCert";
            report.errors.push(names.diagnostic(text));
        } else if names.value.is_empty() {
            let text = "found an empty list, which accepts no client; list the names, or remove the key";
            report.errors.push(names.diagnostic(text));
        }
    }
    (auth, names.map(|names| names.value))
}
