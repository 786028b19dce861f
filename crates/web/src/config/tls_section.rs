//! Section `tls_server_config` as checked values, without the content of the files it names.

use std::path::{Path, PathBuf};

use exporter_schema::{Diagnostic, Located, Report, Section, join_path};

use super::client_auth::ClientAuth;
use super::keys::is_set;
use super::tls_params::{TlsParams, choice};

/// Section `tls_server_config`.
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
pub(super) enum PemSource {
    File(PathBuf),
    Inline(String),
}

/// A diagnostic about the PEM data of `source`.
pub(super) fn pem_diagnostic(source: &Located<PemSource>, text: &str) -> Diagnostic {
    match &source.value {
        PemSource::File(path) => source.diagnostic(format!("{}: {text}", path.display())),
        PemSource::Inline(_) => source.diagnostic(text),
    }
}

/// Parses the section; relative paths are resolved in `dir`. `None` for plain HTTP, or if certificate or key are in error.
pub(super) fn parse(
    section: &Section<'_>,
    dir: &Path,
    http2: bool,
    report: &mut Report,
) -> Option<TlsFileConfig> {
    if !is_set(section) {
        return None;
    }
    // The schema accepts a single value as a list of one; other exporters do not.
    for name in ["client_allowed_sans", "cipher_suites", "curve_preferences"] {
        if let Some(entry) = section.entry(name).filter(|entry| entry.value.items().is_none())
            && !report.has_errors_in(&entry.key)
        {
            let text = format!("found {}; write a list of text", entry.value.describe(&entry.key));
            report.errors.push(entry.diagnostic(text));
        }
    }
    let mut required = |inline, file, advice: &str| {
        let source = pem_source(section, inline, file, dir, report);
        if source.is_none() && ![inline, file].iter().any(|name| has_errors(section, name, report)) {
            report.errors.push(section.error(advice));
        }
        source
    };
    let certificate = required("cert", "cert_file", "TLS needs a certificate; give cert_file or cert");
    let key = required("key", "key_file", "TLS needs the key of its certificate; give key_file or key");
    let client_ca = pem_source(section, "client_ca", "client_ca_file", dir, report);
    let (client_auth, allowed_names) = parse_client_auth(section, client_ca.as_ref(), report);
    let params = TlsParams::parse(section, http2, report);
    let prefer_server_cipher_suites = section.get("prefer_server_cipher_suites").unwrap_or(true);
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

fn has_errors(section: &Section<'_>, name: &str, report: &Report) -> bool {
    report.has_errors_in(&join_path(section.path(), name))
}

fn pem_source(
    section: &Section<'_>,
    inline: &str,
    file: &str,
    dir: &Path,
    report: &mut Report,
) -> Option<Located<PemSource>> {
    let text = |name| section.located::<String>(name).filter(|text| !text.value.trim().is_empty());
    match (text(inline), text(file)) {
        (text, Some(path)) => {
            if text.is_some() {
                let text = format!("found {inline} and {file} together; keep one of them");
                report.errors.push(path.diagnostic(text));
            }
            Some(path.map(|path| PemSource::File(dir.join(path))))
        }
        (text, None) => text.map(|text| text.map(PemSource::Inline)),
    }
}

fn parse_client_auth(
    section: &Section<'_>,
    client_ca: Option<&Located<PemSource>>,
    report: &mut Report,
) -> (ClientAuth, Option<Vec<String>>) {
    let given = choice(section, "client_auth_type", &ClientAuth::ALL);
    let auth = given.as_ref().map_or(ClientAuth::NoClientCert, |given| given.value);
    let names = section.located::<Vec<String>>("client_allowed_sans");
    // The default of a value in error must not cause further errors.
    if ["client_auth_type", "client_allowed_sans"].iter().any(|name| has_errors(section, name, report)) {
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
