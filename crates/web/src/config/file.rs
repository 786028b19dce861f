//! The web configuration file as checked values, without the content of the files it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use exporter_schema::{Diagnostic, Location, Node, parse_yaml};

use super::basic_auth::{self, PasswordHash};
use super::client_auth::ClientAuth;
use super::parse::{Parser, Section, Spanned};
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
    pub(super) certificate: Spanned<PemSource>,
    pub(super) key: Spanned<PemSource>,
    pub(super) client_auth: ClientAuth,
    pub(super) client_ca: Option<Spanned<PemSource>>,
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

impl Spanned<PemSource> {
    /// A diagnostic about the PEM data.
    pub(super) fn content_diagnostic(&self, text: &str) -> Diagnostic {
        match &self.value {
            PemSource::File(path) => self.diagnostic(format!("{}: {text}", path.display())),
            PemSource::Inline(_) => self.diagnostic(text),
        }
    }
}

/// Parses `text`, the content of the file `name`; relative paths are resolved in `dir`. A value in error becomes its default, so
/// that one attempt reports all errors; `None` if the text is not YAML.
pub(super) fn parse(name: &str, text: &str, dir: &Path, parser: &mut Parser) -> Option<WebFile> {
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let root = if text.lines().all(is_blank) {
        Node::table(Location::Program)
    } else {
        parse_yaml(name, text).map_err(|errors| parser.errors.extend(errors)).ok()?
    };
    parser.check_keys(&root);
    let top = Section::root(&root);
    let http = top.section("http_server_config");
    let http2 = parser.bool(&http, "http2", true);
    let tls_section = top.section("tls_server_config");
    let users = top.section("basic_auth_users");
    if let (Some(users), None) = (users.first_set_key(), tls_section.first_set_key()) {
        parser.warning(&users, "passwords cross the network unencrypted without tls_server_config");
    }
    Some(WebFile {
        tls: parse_tls(parser, &tls_section, dir, http2),
        http2,
        headers: Headers::parse(parser, &http.section("headers")),
        users: basic_auth::parse(parser, &users),
        rate_limit: RateLimitConfig::parse(parser, &top.section("rate_limit")),
    })
}

fn parse_tls(parser: &mut Parser, section: &Section<'_>, dir: &Path, http2: bool) -> Option<TlsFileConfig> {
    let first = section.first_set_key()?;
    let errors_before = parser.errors.len();
    let certificate = pem_source(parser, section, ["cert", "cert_file"], dir);
    let key = pem_source(parser, section, ["key", "key_file"], dir);
    if parser.errors.len() == errors_before {
        for (is_missing, advice) in [
            (certificate.is_none(), "TLS needs a certificate; give cert_file or cert"),
            (key.is_none(), "TLS needs the key of its certificate; give key_file or key"),
        ] {
            if is_missing {
                parser.error(&first, advice);
            }
        }
    }
    let client_ca = pem_source(parser, section, ["client_ca", "client_ca_file"], dir);
    let (client_auth, allowed_names) = parse_client_auth(parser, section, client_ca.as_ref());
    let params = TlsParams::parse(parser, section, http2);
    let prefer_server_cipher_suites = parser.bool(section, "prefer_server_cipher_suites", true);
    Some(TlsFileConfig {
        certificate: certificate?,
        key: key?,
        client_auth,
        client_ca,
        allowed_names,
        params,
        prefer_server_cipher_suites,
    })
}

fn pem_source(
    parser: &mut Parser,
    section: &Section<'_>,
    [inline, file]: [&str; 2],
    dir: &Path,
) -> Option<Spanned<PemSource>> {
    let (text, path) = (parser.text(section, inline), parser.text(section, file));
    if let (Some(_), Some(path)) = (&text, &path) {
        parser.error(path, format!("found {inline} and {file} together; keep one of them"));
    }
    match (text, path) {
        (_, Some(path)) => Some(path.with(PemSource::File(dir.join(&path.value)))),
        (Some(text), None) => Some(text.with(PemSource::Inline(text.value.clone()))),
        (None, None) => None,
    }
}

/// The mode of client authentication and the accepted names.
fn parse_client_auth(
    parser: &mut Parser,
    section: &Section<'_>,
    client_ca: Option<&Spanned<PemSource>>,
) -> (ClientAuth, Option<Vec<String>>) {
    let errors_before = parser.errors.len();
    let given = parser.one_of(section, "client_auth_type", &ClientAuth::ALL);
    let auth = given.as_ref().map_or(ClientAuth::NoClientCert, |given| given.value);
    let names = parser.texts(section, "client_allowed_sans");
    // The default of a value in error must not cause further errors.
    if parser.errors.len() > errors_before {
        return (auth, None);
    }
    if let Some(ca) = client_ca.filter(|_| auth == ClientAuth::NoClientCert) {
        let text = "no client is asked for a certificate; add client_auth_type: RequireAndVerifyClientCert";
        parser.error(ca, text);
    }
    if let Some(given) = &given {
        if auth.verifies() && client_ca.is_none() {
            let text = "there is nothing to verify certificates with; give client_ca_file or client_ca";
            parser.error(given, text);
        }
        if matches!(auth, ClientAuth::RequestClientCert | ClientAuth::RequireAnyClientCert) {
            let text = "client certificates are not verified: anyone can make one that is accepted; RequireAndVerifyClientCert verifies them";
            parser.warning(given, text);
        }
    }
    if let Some(names) = &names {
        if !auth.requires() {
            let text = "a client without a certificate has no name; client_auth_type must be RequireAndVerifyClientCert or RequireAnyClientCert";
            parser.error(names, text);
        } else if names.value.is_empty() {
            parser.error(
                names,
                "found an empty list, which accepts no client; list the names, or remove the key",
            );
        }
    }
    (auth, names.map(|names| names.value.into_iter().map(|name| name.value).collect()))
}
