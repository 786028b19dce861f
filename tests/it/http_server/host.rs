//! `Host` and `Accept-Encoding` of requests, and browsers on a port without authentication.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::fixture::{Fixture, TEST_TIMEOUT, TestServer};

/// The status of the response to a request with these lines.
async fn status(server: &TestServer, lines: &str) -> u16 {
    let mut stream = server.connect().await;
    let request = format!("{}\r\nConnection: close\r\n\r\n", lines.replace('\n', "\r\n"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    timeout(TEST_TIMEOUT, stream.read_to_string(&mut response)).await.unwrap().unwrap();
    response.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn request_needs_one_host_and_an_acceptable_encoding() {
    let server = Fixture::new("").open().await;
    for (lines, expected) in [
        ("GET /metrics HTTP/1.1\nHost: exporter.example.com:9890", 200),
        ("GET /metrics HTTP/1.1\nHost:", 200),
        ("GET /metrics HTTP/1.1", 400),
        ("GET /metrics HTTP/1.1\nHost: a\nHost: b", 400),
        ("GET /metrics HTTP/1.1\nHost: a\nhost: a", 400),
        ("GET /metrics HTTP/1.1\nHost: a b", 400),
        ("GET /metrics HTTP/1.0", 200),
        ("GET /metrics HTTP/1.0\nHost: a\nHost: b", 400),
        ("GET /metrics HTTP/1.1\nHost: a\nAccept-Encoding: gzip, identity;q=0", 200),
        ("GET /metrics HTTP/1.1\nHost: a\nAccept-Encoding: br", 200),
        ("GET /metrics HTTP/1.1\nHost: a\nAccept-Encoding: identity;q=0", 406),
        ("GET /metrics HTTP/1.1\nHost: a\nAccept-Encoding: *;q=0", 406),
    ] {
        assert_eq!(status(&server, lines).await, expected, "{lines}");
    }
}

#[tokio::test]
async fn browser_reloads_an_open_port_by_address_only() {
    let server = Fixture::new("").open().await;
    for (host, origin, expected) in [
        ("exporter.example.com:9890", "", 200),
        ("127.0.0.1:9890", "Origin: http://127.0.0.1:9890", 200),
        ("localhost:9890", "Origin: http://localhost:9890", 200),
        ("rebound.example:9890", "Origin: http://rebound.example:9890", 403),
        ("rebound.example:9890", "Sec-Fetch-Site: same-origin", 403),
        ("127.0.0.1.rebound.example", "Origin: http://127.0.0.1.rebound.example", 403),
    ] {
        let before = server.reloads.count();
        let lines = format!("POST /-/reload HTTP/1.1\nHost: {host}\nContent-Length: 0\n{origin}");
        assert_eq!(status(&server, lines.trim_end()).await, expected, "{host} {origin}");
        assert_eq!(server.reloads.count() - before, usize::from(expected == 200), "{host} {origin}");
        let scrape = format!("GET /metrics HTTP/1.1\nHost: {host}\n{origin}");
        assert_eq!(status(&server, scrape.trim_end()).await, 200, "{host}: reading is open");
    }
}
