//! One connection from its first byte to its end.
//!
//! Owns: the TLS handshake, which HTTP is spoken, and when a connection has to end. Never: what is answered.

use std::convert::Infallible;
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
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::body::ResponseBody;
use super::guard::{AccessControl, ConnectionInfo};
use super::listen::{Limits, write_and_close};
use super::patience::WriteTimeout;
use super::pulse::{ConnectionActivity, ConnectionTimeouts, TimeoutKind};
use super::socket::{Peer, Stream};

/// All that connections share. Clones share it too.
#[derive(Clone)]
pub(super) struct ConnectionHandler(Arc<Shared>);

struct Shared {
    guard: AccessControl,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    limits: Limits,
    /// Finish what is running.
    stop: CancellationToken,
    /// Finish nothing.
    cut: CancellationToken,
}

/// What a connection was made with, and what it came to.
struct ConnectionState {
    client: ConnectionInfo,
    is_http2: bool,
    began: Instant,
    pulse: ConnectionActivity,
    /// Told when it should end with what is under way.
    should_close: Notify,
}

/// The first byte of every TLS handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE_RECORD: u8 = 22;

const PLAIN_HTTP_ON_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 47\r\nConnection: close\r\n\r\nclient sent an HTTP request to an HTTPS server\n";

/// How long a connection of HTTP/2 that was told to end for want of requests may take to do so.
const GOAWAY_GRACE: Duration = Duration::from_secs(5);

impl ConnectionHandler {
    pub(super) fn new(
        guard: AccessControl,
        limits: Limits,
        stop: CancellationToken,
        cut: CancellationToken,
    ) -> Self {
        let (http1, http2) = (http1(&limits), http2(&limits));
        Self(Arc::new(Shared { guard, http1, http2, limits, stop, cut }))
    }

    /// Cancelled when nothing is to be finished any more.
    pub(super) fn force_close(&self) -> CancellationToken {
        self.0.cut.clone()
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(&self, socket: Stream, peer: Peer, pulse: ConnectionActivity) {
        let tls = self.0.guard.web.served().tls().cloned();
        let Some(config) = tls else {
            let client = ConnectionInfo { peer, tls: None, certificates: Vec::new() };
            self.serve_http(socket, client, false, pulse).await;
            return;
        };
        let handshake =
            timeout(self.0.limits.handshake_timeout, self.tls_accept(socket, peer, config.clone()));
        // A peer that has no session yet loses nothing when the server stops.
        let Some(Some(tls_stream)) =
            self.0.stop.run_until_cancelled(async { self.or_timeout(handshake.await, peer) }).await
        else {
            return;
        };
        let (_, session) = tls_stream.get_ref();
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let certificates = session.peer_certificates().unwrap_or_default().to_vec();
        self.serve_http(
            tls_stream,
            ConnectionInfo { peer, tls: Some(config), certificates },
            is_http2,
            pulse,
        )
        .await;
    }

    fn or_timeout<T>(
        &self,
        outcome: Result<Option<T>, tokio::time::error::Elapsed>,
        peer: Peer,
    ) -> Option<T> {
        outcome.unwrap_or_else(|_| {
            let reason = "it did not end in time";
            self.0.guard.events.tls_handshake_failed(&peer, "timeout", &reason);
            None
        })
    }

    async fn tls_accept(
        &self,
        mut socket: Stream,
        peer: Peer,
        config: Arc<ServerConfig>,
    ) -> Option<TlsStream<Stream>> {
        let events = &self.0.guard.events;
        match socket.peek_first_byte().await {
            Ok(Some(TLS_HANDSHAKE_RECORD)) => {}
            Ok(Some(byte)) if byte.is_ascii_uppercase() => {
                events.tls_handshake_failed(
                    &peer,
                    "plain_http",
                    &"it sent an HTTP request to the HTTPS port",
                );
                write_and_close(socket, PLAIN_HTTP_ON_TLS).await;
                return None;
            }
            Ok(Some(_)) => {
                events.tls_handshake_failed(&peer, "protocol", &"it does not speak TLS");
                return None;
            }
            // A look whether the port is open, as load balancers take it.
            Ok(None) | Err(_) => {
                debug!(%peer, "a peer left without a word");
                return None;
            }
        }
        match TlsAcceptor::from(config).accept(socket).await {
            Ok(stream) => Some(stream),
            Err(reason) => {
                events.tls_handshake_failed(&peer, kind(&reason), &reason);
                None
            }
        }
    }

    /// Speaks HTTP on `stream` to its end.
    async fn serve_http<S>(
        &self,
        stream: S,
        client: ConnectionInfo,
        is_http2: bool,
        pulse: ConnectionActivity,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(WriteTimeout::new(stream, self.0.limits.write_timeout));
        let began = Instant::now();
        let course =
            Arc::new(ConnectionState { client, is_http2, began, pulse, should_close: Notify::new() });
        let service = {
            let (shared, course) = (Arc::clone(&self.0), Arc::clone(&course));
            service_fn(move |request| {
                let (shared, course) = (Arc::clone(&shared), Arc::clone(&course));
                async move { Ok::<_, Infallible>(shared.answer(request, &course).await) }
            })
        };
        if is_http2 {
            self.run(self.0.http2.serve_connection(stream, service), &course).await;
        } else {
            self.run(self.0.http1.serve_connection(stream, service), &course).await;
        }
    }

    /// Lets `connection` go on until it ends, has to end, or has taken too long.
    async fn run<C>(&self, connection: C, course: &ConnectionState)
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        let Shared { stop, cut, limits, .. } = &*self.0;
        let patience = ConnectionTimeouts {
            answer: limits.request_timeout,
            write_stall: limits.write_timeout,
            // Of HTTP/1, hyper itself ends a connection that asks nothing.
            idle: course.is_http2.then_some(limits.header_read_timeout),
        };
        let mut connection = pin!(connection);
        let mut overdue = pin!(course.pulse.wait_timeout(patience));
        let mut told_to_end = pin!(async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = course.should_close.notified() => {}
            }
        });
        let mut is_ending = false;
        // HTTP/2 can only ask a peer to open no more streams. One that goes on is not waited for any longer than what was under
        // way when it was asked.
        let mut last_answer = pin!(sleep(limits.request_timeout));
        loop {
            tokio::select! {
                biased;
                () = cut.cancelled() => return,
                () = told_to_end.as_mut(), if !is_ending => {
                    connection.as_mut().graceful_shutdown();
                    is_ending = true;
                    last_answer.as_mut().reset(Instant::now() + limits.request_timeout);
                }
                () = last_answer.as_mut(), if is_ending => {
                    debug!(peer = %course.client.peer, "connection cut: the peer goes on after it was told to end");
                    return;
                }
                ended = connection.as_mut() => {
                    if let Err(reason) = ended {
                        debug!(peer = %course.client.peer, %reason, "connection ended");
                    }
                    return;
                }
                what = overdue.as_mut() => match what {
                    TimeoutKind::HandlerTimeout => {
                        debug!(peer = %course.client.peer, "connection cut: its answer was not made in time");
                        return;
                    }
                    TimeoutKind::WriteStalled => {
                        debug!(peer = %course.client.peer, "connection cut: the peer does not read, or too slowly");
                        return;
                    }
                    TimeoutKind::Idle if is_ending => return,
                    TimeoutKind::Idle => {
                        connection.as_mut().graceful_shutdown();
                        is_ending = true;
                        last_answer.as_mut().reset(Instant::now() + limits.request_timeout);
                        let idle = Some(limits.header_read_timeout + GOAWAY_GRACE);
                        overdue.set(course.pulse.wait_timeout(ConnectionTimeouts { idle, ..patience }));
                    }
                },
            }
        }
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>, course: &ConnectionState) -> Response<ResponseBody> {
        let underway = course.pulse.start_request();
        let is_head = request.method() == Method::HEAD;
        let mut answer = self.guard.answer(request, &course.client).await;
        let is_retired = self.is_retired(course);
        if course.is_http2 {
            // A connection is not the business of one of its streams.
            answer.headers_mut().remove(CONNECTION);
            if is_head {
                answer = without_body(answer);
            }
            if is_retired {
                course.should_close.notify_one();
            }
        } else if is_retired {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer.map(|body| body.with_activity(underway))
    }

    /// Whether a connection is old, or was made with what is no longer in force.
    fn is_retired(&self, course: &ConnectionState) -> bool {
        !course.client.is_current(&self.guard.web.served())
            || course.began.elapsed() > self.limits.max_connection_age
    }
}

/// hyper leaves this out for HTTP/1 alone.
fn without_body(mut answer: Response<ResponseBody>) -> Response<ResponseBody> {
    if let Some(length) = answer.body().size_hint().exact() {
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    answer.map(|_| ResponseBody::from(""))
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Without a timer the time limit would panic.
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size(limits.head_bytes.max(8192));
    http
}

/// What a peer may send before anybody reads it: the least that HTTP/2 allows, since bodies of requests are never read.
const MIN_WINDOW: u32 = 65_535;

/// Few streams, small buffers: a scraper asks one thing at a time. Streams that a peer opens and takes back (CVE-2023-44487)
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

/// A word of a closed set for what ended a handshake.
fn kind(reason: &io::Error) -> &'static str {
    let of_tls = reason.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match of_tls {
        None => "closed",
        Some(TlsError::NoCertificatesPresented | TlsError::InvalidCertificate(_)) => "client_certificate",
        // The peer does not trust our certificate, which is worth to be told apart.
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
    fn the_word_to_those_who_speak_no_tls_is_as_long_as_it_says() {
        let (head, body) = str::from_utf8(PLAIN_HTTP_ON_TLS).unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
