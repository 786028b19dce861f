//! One connection from its first byte to its end: TLS handshake, HTTP version, timeouts.

use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::{AlertDescription, Error as TlsError, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::access::{AccessControl, ConnectionInfo};
use crate::activity::{ConnectionActivity, TimeoutKind};
use crate::limits::Limits;
use crate::response::ResponseBody;
use crate::stream::{Peer, Stream, peek_first_byte, reject};
use crate::write_timeout::WriteTimeout;

pub(crate) struct ConnectionHandler {
    pub(crate) access: AccessControl,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    pub(crate) limits: Limits,
    /// Finish requests in flight.
    stop: CancellationToken,
    /// Close at once.
    pub(crate) force_close: CancellationToken,
}

struct ConnectionState {
    info: ConnectionInfo,
    is_http2: bool,
    started: Instant,
    activity: ConnectionActivity,
    /// Finish requests in flight and close; a child of the token of the server.
    close: CancellationToken,
}

/// The first byte of every TLS handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE_RECORD: u8 = 22;

const PLAIN_HTTP_ON_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 47\r\nConnection: close\r\n\r\nclient sent an HTTP request to an HTTPS server\n";

/// How long an idle HTTP/2 connection may take to close after GOAWAY.
const GOAWAY_GRACE: Duration = Duration::from_secs(5);

impl ConnectionHandler {
    pub(crate) fn new(access: AccessControl, limits: Limits, stop: CancellationToken) -> Arc<Self> {
        let (http1, http2, force_close) = (http1(&limits), http2(&limits), CancellationToken::new());
        Arc::new(Self { access, http1, http2, limits, stop, force_close })
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve(self: &Arc<Self>, stream: Stream, peer: Peer, activity: ConnectionActivity) {
        let Self { access, limits, stop, .. } = &**self;
        let Some(config) = access.config.active().tls().cloned() else {
            let info = ConnectionInfo { peer, tls: None, certificates: Vec::new() };
            return self.serve_http(stream, info, false, activity).await;
        };
        let handshake = async {
            let handshake = self.tls_accept(stream, peer, Arc::clone(&config));
            timeout(limits.handshake_timeout, handshake).await.unwrap_or_else(|_| {
                access.observer.on_tls_handshake_failed(peer, "timeout", &"not completed in time");
                None
            })
        };
        // Without a session there is nothing to drain when the server stops.
        let Some(Some(stream)) = stop.run_until_cancelled(handshake).await else { return };
        let (_, session) = stream.get_ref();
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let certificates = session.peer_certificates().unwrap_or_default().to_vec();
        let info = ConnectionInfo { peer, tls: Some(config), certificates };
        self.serve_http(stream, info, is_http2, activity).await;
    }

    async fn tls_accept(
        &self,
        mut stream: Stream,
        peer: Peer,
        config: Arc<ServerConfig>,
    ) -> Option<TlsStream<Stream>> {
        let failed = |kind, reason: &dyn Display| {
            self.access.observer.on_tls_handshake_failed(peer, kind, reason);
        };
        match peek_first_byte(&mut stream).await {
            Ok(Some(TLS_HANDSHAKE_RECORD)) => {}
            Ok(Some(byte)) if byte.is_ascii_uppercase() => {
                failed("plain_http", &"the client sent an HTTP request to an HTTPS server");
                reject(stream, PLAIN_HTTP_ON_TLS).await;
                return None;
            }
            Ok(Some(_)) => {
                failed("protocol", &"the client does not speak TLS");
                return None;
            }
            // Load balancers probe a port by connecting to it.
            Ok(None) | Err(_) => {
                debug!(%peer, "connection closed before any data");
                return None;
            }
        }
        let accepted = TlsAcceptor::from(config).accept(stream).await;
        accepted.map_err(|reason| failed(failure_kind(&reason), &reason)).ok()
    }

    async fn serve_http<S>(
        self: &Arc<Self>,
        stream: S,
        info: ConnectionInfo,
        is_http2: bool,
        activity: ConnectionActivity,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(WriteTimeout::new(stream, self.limits.write_timeout));
        let (started, close) = (Instant::now(), self.stop.child_token());
        let state = Arc::new(ConnectionState { info, is_http2, started, activity, close });
        let service = {
            let (handler, state) = (Arc::clone(self), Arc::clone(&state));
            service_fn(move |request| {
                let (handler, state) = (Arc::clone(&handler), Arc::clone(&state));
                async move { Ok::<_, Infallible>(handler.respond(request, &state).await) }
            })
        };
        if is_http2 {
            self.run(self.http2.serve_connection(stream, service), &state).await;
        } else {
            self.run(self.http1.serve_connection(stream, service), &state).await;
        }
    }

    /// Runs `connection` until it ends, has to end, or exceeds a timeout.
    async fn run<C>(&self, connection: C, state: &ConnectionState)
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        let Self { force_close, limits, .. } = self;
        let ConnectionState { info: ConnectionInfo { peer, .. }, activity, close, .. } = state;
        // On HTTP/1, hyper itself closes an idle connection.
        let idle = state.is_http2.then_some(limits.header_read_timeout);
        let mut connection = pin!(connection);
        let mut exceeded = pin!(activity.wait_timeout(limits, idle));
        let mut is_closing = false;
        // HTTP/2 can only ask a peer to open no more streams, so what was in flight at that time bounds the connection.
        let mut close_deadline = pin!(sleep(limits.request_timeout));
        loop {
            tokio::select! {
                biased;
                () = force_close.cancelled() => return,
                () = close.cancelled(), if !is_closing => {
                    connection.as_mut().graceful_shutdown();
                    is_closing = true;
                    close_deadline.as_mut().reset(Instant::now() + limits.request_timeout);
                }
                () = close_deadline.as_mut(), if is_closing => {
                    return debug!(%peer, "connection closed: peer ignored GOAWAY");
                }
                ended = connection.as_mut() => {
                    if let Err(reason) = ended {
                        debug!(%peer, %reason, "connection ended");
                    }
                    return;
                }
                kind = exceeded.as_mut() => match kind {
                    TimeoutKind::Handler => return debug!(%peer, "connection closed: handler timeout"),
                    TimeoutKind::WriteStalled => {
                        return debug!(%peer, "connection closed: peer does not read, or too slowly");
                    }
                    TimeoutKind::Idle if is_closing => return,
                    TimeoutKind::Idle => {
                        let idle = limits.header_read_timeout + GOAWAY_GRACE;
                        exceeded.set(activity.wait_timeout(limits, Some(idle)));
                        close.cancel();
                    }
                },
            }
        }
    }

    async fn respond(&self, request: Request<Incoming>, state: &ConnectionState) -> Response<ResponseBody> {
        let in_flight = state.activity.start_request();
        let is_head = request.method() == Method::HEAD;
        let mut response = self.access.respond(request, &state.info).await;
        let should_close = self.should_close(state);
        if state.is_http2 {
            // A header of HTTP/1: a stream of HTTP/2 does not decide on its connection.
            response.headers_mut().remove(CONNECTION);
            if is_head {
                response = without_body(response);
            }
            if should_close {
                state.close.cancel();
            }
        } else if should_close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| body.with_activity(in_flight))
    }

    /// Whether a connection is too old, or was made with a TLS configuration that is no longer active.
    fn should_close(&self, state: &ConnectionState) -> bool {
        !state.info.is_current(&self.access.config.active())
            || state.started.elapsed() > self.limits.max_connection_age
    }
}

/// The response to a HEAD request; hyper removes the body on HTTP/1 alone.
fn without_body(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response.map(|_| ResponseBody::from(""))
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Without a timer the timeout would panic.
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size(limits.head_bytes.max(8192));
    http
}

/// The smallest window that HTTP/2 allows, since request bodies are never read.
const MIN_WINDOW: u32 = 65_535;

/// Few streams and small buffers, as scrapers send one request at a time. Streams that a peer opens and resets (CVE-2023-44487)
/// count until they are gone.
fn http2(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(MIN_WINDOW)
        .initial_connection_window_size(MIN_WINDOW)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(limits.header_read_timeout)
        .keep_alive_timeout(limits.header_read_timeout);
    http
}

/// Why a handshake failed, as one of a fixed set of words.
fn failure_kind(reason: &io::Error) -> &'static str {
    match reason.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        None => "closed",
        Some(TlsError::NoCertificatesPresented | TlsError::InvalidCertificate(_)) => "client_certificate",
        // The peer does not trust the server's certificate.
        Some(TlsError::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown,
        )) => "server_certificate",
        Some(TlsError::PeerIncompatible(_)) => "incompatible",
        Some(_) => "protocol",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_rejection_has_its_exact_length() {
        let (head, body) = str::from_utf8(PLAIN_HTTP_ON_TLS).unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
