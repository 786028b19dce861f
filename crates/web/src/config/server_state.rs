//! A complete, valid web configuration as the server uses it.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use exporter_schema::{Diagnostic, Location, Section, parse_yaml};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use super::basic_auth::{self, Users};
use super::client_auth::ClientAuth;
use super::keys::{SCHEMA, is_set};
use super::rate_limit::{RateLimitConfig, RateLimiter};
use super::response_headers::Headers;
use super::tls::{Loader, MAX_FILE_BYTES, TlsState};
use super::tls_section;

/// A diagnostic about the file as a whole.
pub(super) fn file_diagnostic(path: Option<&Path>, text: impl Into<String>) -> Diagnostic {
    let name = path.map_or("web configuration".into(), |path| path.display().to_string());
    Diagnostic::new(&Location::File(name.into()), "", text)
}

/// A web configuration. Parts that a reload does not change are shared with the previous one.
#[derive(Debug, Default)]
pub(crate) struct WebState {
    tls: Option<Arc<TlsState>>,
    pub(crate) headers: Headers,
    pub(crate) users: Option<Arc<Users>>,
    pub(crate) rate_limiter: Option<Arc<RateLimiter>>,
}

impl WebState {
    /// Loads the file at `path` and the files that it names; `None` if there are errors. A value in error becomes
    /// its default, so that one attempt reports all errors.
    pub(super) fn load(path: &Path, loader: &mut Loader) -> Option<Self> {
        let about_file = |text| file_diagnostic(Some(path), text);
        let text = loader.files.read_text(path, MAX_FILE_BYTES);
        let report = &mut loader.report;
        let text = text.map_err(|text| report.errors.push(about_file(text))).ok()?;
        let root = parse_yaml(&path.display().to_string(), &text);
        let root = root.map_err(|errors| report.errors.extend(errors)).ok()?;
        report.errors.extend(SCHEMA.check(&root));
        let root = Section::root(&root);
        let (http, tls) = (root.section("http_server_config"), root.section("tls_server_config"));
        let users = root.section("basic_auth_users");
        if root.contains("basic_auth_users") && !is_set(&users) {
            let text = "there are no users, so nobody needs a password; name one, or remove the key";
            report.warnings.push(users.error(text));
        }
        if is_set(&users) && !is_set(&tls) {
            let text = "passwords cross the network unencrypted without tls_server_config";
            report.warnings.push(users.error(text));
        }
        let http2 = http.get("http2").unwrap_or(true);
        let tls = tls_section::parse(&tls, path.parent().unwrap_or(Path::new("")), http2, report);
        let headers = Headers::parse(&http.section("headers"), report);
        let users = basic_auth::parse(&users, report);
        let rate_limit = RateLimitConfig::parse(&root.section("rate_limit"), report);
        let tls = match &tls {
            Some(tls) => Some(Arc::new(loader.load_tls(tls, http2)?)),
            None => None,
        };
        let users = Users::new(users);
        let users = users.map_err(|text| loader.report.errors.push(about_file(text))).ok()?;
        let rate_limiter = rate_limit.map(|config| Arc::new(RateLimiter::new(config)));
        Some(Self { tls, headers, users: users.map(Arc::new), rate_limiter })
    }

    pub(crate) fn tls(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref().map(|tls| &tls.config)
    }

    /// Whether a client that presented `certificates`, its own first, on an older connection would be accepted now.
    pub(crate) fn accepts_client(&self, certificates: &[CertificateDer<'_>]) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.accepts_client(certificates))
    }

    /// The protections of `previous` that this configuration lacks.
    pub(super) fn removed_protections(&self, previous: &Self) -> Vec<&'static str> {
        let protections = |state: &Self| {
            let auth = state.client_auth();
            [
                ("TLS", state.tls.is_some()),
                ("client certificates", auth.requires()),
                ("client certificates", auth.verifies()),
                ("client_allowed_sans", state.tls.as_ref().is_some_and(|tls| tls.limits_names)),
                ("users", state.users.is_some()),
                ("the rate limit", state.rate_limiter.is_some()),
            ]
        };
        let changes = protections(previous).into_iter().zip(protections(self));
        let removed = changes.filter(|((_, before), (_, now))| *before && !now);
        let mut names: Vec<_> = removed.map(|((name, _), _)| name).collect();
        names.dedup();
        names
    }

    fn client_auth(&self) -> ClientAuth {
        self.tls.as_ref().map_or(ClientAuth::NoClientCert, |tls| tls.client_auth)
    }

    /// Keeps the parts of `previous` that are equal, so that connections, cached passwords and the rate limit survive. Returns
    /// whether anything differs.
    pub(super) fn reuse_from(&mut self, previous: &Self) -> bool {
        /// Replaces `new` by `old` if their keys are equal; returns whether they differ.
        fn reuse<T, K: PartialEq>(new: &mut Option<Arc<T>>, old: &Option<Arc<T>>, key: fn(&T) -> &K) -> bool {
            let differs = new.as_deref().map(key) != old.as_deref().map(key);
            if !differs {
                new.clone_from(old);
            }
            differs
        }
        let tls = reuse(&mut self.tls, &previous.tls, |tls| &tls.fingerprint);
        let users = reuse(&mut self.users, &previous.users, Users::hashes);
        let rate_limit = reuse(&mut self.rate_limiter, &previous.rate_limiter, RateLimiter::config);
        tls | users | rate_limit | (self.headers != previous.headers)
    }

    /// When the server certificate expires; `None` without TLS, or if the certificate cannot be parsed.
    pub(super) fn certificate_expiry(&self) -> Option<DateTime<Utc>> {
        Some(self.tls.as_ref()?.certificate.as_ref()?.not_after)
    }

    pub(super) fn summary(&self) -> String {
        let tls = match &self.tls {
            None => "plain HTTP".to_owned(),
            Some(tls) => {
                let expiry = self.certificate_expiry();
                let expiry =
                    expiry.map(|expiry| format!(" with a certificate until {:?}", expiry.date_naive()));
                let http2 = tls.config.alpn_protocols.iter().any(|name| name == b"h2");
                format!("TLS{}{}", expiry.unwrap_or_default(), if http2 { ", HTTP/2" } else { "" })
            }
        };
        let clients = match self.client_auth() {
            ClientAuth::NoClientCert => "",
            ClientAuth::RequestClientCert | ClientAuth::RequireAnyClientCert => {
                ", client certificates not verified"
            }
            ClientAuth::VerifyClientCertIfGiven => ", client certificates verified if given",
            ClientAuth::RequireAndVerifyClientCert => ", client certificates required",
        };
        let users = match self.users.as_ref().map_or(0, |users| users.hashes().len()) {
            0 => "no users".to_owned(),
            1 => "1 user".to_owned(),
            count => format!("{count} users"),
        };
        format!("{tls}{clients}, {users}")
    }
}
