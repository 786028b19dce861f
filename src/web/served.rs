//! What the port serves with at one moment.
//!
//! Owns: a whole and valid web configuration. Never: how it is exchanged.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use super::file::{ClientAuth, WebFile};
use super::header::Headers;
use super::limit::RateLimiter;
use super::tls::TlsState;
use super::users::Users;

/// A web configuration in force. Parts that a change leaves alone are shared with the one before.
#[derive(Debug, Default)]
pub(crate) struct WebState {
    tls: Option<Arc<TlsState>>,
    pub(crate) headers: Headers,
    pub(crate) users: Option<Arc<Users>>,
    pub(crate) limiter: Option<Arc<RateLimiter>>,
}

impl WebState {
    pub(super) fn new(file: WebFile, tls: Option<TlsState>) -> Result<Self, String> {
        Ok(Self {
            tls: tls.map(Arc::new),
            headers: file.headers,
            users: Users::new(file.users)?.map(Arc::new),
            limiter: file.rate.map(|rate| Arc::new(RateLimiter::new(rate))),
        })
    }

    /// What TLS is served with; none: plain HTTP.
    pub(crate) fn tls(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref().map(|built| &built.config)
    }

    /// Whether a client that has shown `certificates`, its own first, on a connection of before would be let in now.
    pub(crate) fn accepts_client(&self, certificates: &[CertificateDer<'_>]) -> bool {
        self.tls.as_ref().is_none_or(|built| built.admits(certificates))
    }

    /// This one, with whatever is the same as in `before` taken over from it: connections, remembered passwords and the
    /// limit of requests live on.
    pub(super) fn reuse_from(mut self, before: &Self) -> Self {
        if let (Some(new), Some(old)) = (&self.tls, &before.tls)
            && new.fingerprint == old.fingerprint
        {
            self.tls = Some(Arc::clone(old));
        }
        if let (Some(new), Some(old)) = (&self.users, &before.users)
            && new.hashes() == old.hashes()
        {
            self.users = Some(Arc::clone(old));
        }
        if let (Some(new), Some(old)) = (&self.limiter, &before.limiter)
            && new.rate() == old.rate()
        {
            self.limiter = Some(Arc::clone(old));
        }
        self
    }

    /// Whether this one, which came [after](Self::after) `before`, differs from it in nothing.
    pub(super) fn is_same(&self, before: &Self) -> bool {
        fn same<T>(one: &Option<Arc<T>>, other: &Option<Arc<T>>) -> bool {
            one.as_ref().map(Arc::as_ptr) == other.as_ref().map(Arc::as_ptr)
        }
        self.headers == before.headers
            && same(&self.tls, &before.tls)
            && same(&self.users, &before.users)
            && same(&self.limiter, &before.limiter)
    }

    /// When the certificate ends to be valid; none without TLS, or if the certificate does not say so in a form that is known.
    pub(super) fn certificate_expiry(&self) -> Option<DateTime<Utc>> {
        Some(self.tls.as_ref()?.facts.as_ref()?.not_after)
    }

    /// In words, for people; nothing secret.
    pub(super) fn summary(&self) -> String {
        let tls = match &self.tls {
            None => "plain HTTP".to_owned(),
            Some(built) => {
                let until = self.certificate_expiry();
                let until = until.map(|until| format!(" with a certificate until {:?}", until.date_naive()));
                let http2 = built.config.alpn_protocols.iter().any(|name| name == b"h2");
                format!("TLS{}{}", until.unwrap_or_default(), if http2 { ", HTTP/2" } else { "" })
            }
        };
        let clients = match self.tls.as_ref().map_or(ClientAuth::NoClientCert, |built| built.client_auth) {
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
