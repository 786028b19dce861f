//! The proxy of a request, from the environment variables as curl reads them.

use std::net::IpAddr;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The proxies of the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProxySettings {
    http: Option<Url>,
    https: Option<Url>,
    /// The hosts that are reached directly.
    bypass: String,
}

/// Checks the values of the proxy variables, of which `variable` returns one by its name.
///
/// # Errors
/// The name of a variable whose value is not the address of a proxy. The value may contain a password.
pub fn check_proxy_variables(variable: impl Fn(&str) -> Option<String>) -> Result<(), &'static str> {
    ProxySettings::from_env(variable).map(drop)
}

/// As in curl, except for port 443 of a proxy with TLS.
const DEFAULT_PORT: u16 = 1080;

impl ProxySettings {
    /// Reads the variables. `HTTP_PROXY` is not one of them: a CGI server sets it to what a client sends.
    ///
    /// # Errors
    /// The name of the variable whose value is not the address of a proxy. The value may contain a password.
    pub(crate) fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, &'static str> {
        let first = |names: &[&'static str]| {
            let mut values = names.iter().filter_map(|&name| Some((name, variable(name)?)));
            values.find(|(_, value)| !value.is_empty())
        };
        let proxy =
            |names: &[&'static str]| first(names).map(|(name, value)| parse(&value).ok_or(name)).transpose();
        Ok(Self {
            http: proxy(&["http_proxy", "all_proxy", "ALL_PROXY"])?,
            https: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            bypass: first(&["no_proxy", "NO_PROXY"]).map(|(_, value)| value).unwrap_or_default(),
        })
    }

    /// The proxy for a request to `url`; `None` for a direct connection.
    pub(crate) fn find(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !bypasses(&self.bypass, url.host_str().unwrap_or_default()))
    }
}

fn parse(value: &str) -> Option<Url> {
    let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let mut url = Url::parse(&text).ok().filter(Url::has_host)?;
    if !matches!(url.scheme(), "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h") {
        return None;
    }
    let host = text.split(['/', '?', '#']).nth(2)?.rsplit('@').next()?;
    let has_port = host.rsplit(']').next()?.contains(':');
    if !has_port && url.scheme() != "https" {
        url.set_port(Some(DEFAULT_PORT)).ok()?;
    }
    Some(url)
}

/// Whether `list`, a value of `no_proxy`, contains `host`: as a name, a domain of it, an address or a network. Only the whole
/// list can be `*`, and an entry with a port matches nothing.
fn bypasses(list: &str, host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches([']', '.']);
    let address: Option<IpAddr> = host.parse().ok();
    let mut entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
    list == "*"
        || match address {
            Some(address) => entries.any(|entry| network_contains(entry, address)),
            None => entries.any(|entry| {
                let domain = entry.strip_prefix('.').unwrap_or(entry).trim_end_matches('.');
                let labels = |name: &str| name.rsplit('.').map(str::to_ascii_lowercase).collect::<Vec<_>>();
                !domain.is_empty() && labels(host).starts_with(&labels(domain))
            }),
        }
}

/// Whether `network`, an address with or without a number of bits, contains `address`.
fn network_contains(network: &str, address: IpAddr) -> bool {
    let (base, bits) = network.split_once('/').unwrap_or((network, "0"));
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let prefix = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let length = if address.is_ipv4() { 32 } else { 128 };
    let bits = if bits == 0 { length } else { bits };
    let differing = prefix(base) ^ prefix(address);
    base.is_ipv4() == address.is_ipv4() && bits <= length && differing.leading_zeros() >= bits
}

/// Host and port of `proxy`, without its user name and password.
pub(crate) fn address(proxy: &Url) -> String {
    format!("{}:{}", proxy.host_str().unwrap_or_default(), proxy.port_or_known_default().unwrap_or_default())
}

/// Requests the tunnel to `url` once more for the status with which `proxy` refuses it, which reqwest does not report.
pub(crate) async fn tunnel_status(proxy: &Url, url: &Url) -> Option<u16> {
    if proxy.scheme() != "http" {
        return None;
    }
    let destination = address(url);
    let intercept = Matcher::builder().all(proxy.as_str()).build().intercept(&url.as_str().parse().ok()?)?;
    let mut head = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n").into_bytes();
    if let Some(credentials) = intercept.basic_auth() {
        head.extend_from_slice(&[b"Proxy-Authorization: ", credentials.as_bytes(), b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    let mut stream = TcpStream::connect(address(proxy)).await.ok()?;
    stream.write_all(&head).await.ok()?;
    let mut status_line = [0; b"HTTP/1.1 200".len()];
    stream.read_exact(&mut status_line).await.ok()?;
    str::from_utf8(status_line.strip_prefix(b"HTTP/1.")?.get(2..)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<ProxySettings, &'static str> {
        ProxySettings::from_env(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn proxy(variables: &[(&str, &str)], url: &str) -> Option<String> {
        settings(variables).unwrap().find(&url.parse().unwrap()).map(ToString::to_string)
    }

    #[test]
    fn variables_have_the_precedence_of_curl() {
        let (http, https) = ("http://api.test", "https://api.test");
        let found = |variables: &[(&str, &str)], url| {
            proxy(variables, url).map(|proxy| proxy.trim_start_matches("http://")[..1].to_owned())
        };
        for (variables, url, expected) in [
            (&[("http_proxy", "a")][..], http, Some("a")),
            (&[("HTTP_PROXY", "a")], http, None),
            (&[("http_proxy", "a")], https, None),
            (&[("HTTPS_PROXY", "a")], https, Some("a")),
            (&[("HTTPS_PROXY", "a"), ("https_proxy", "b")], https, Some("b")),
            (&[("https_proxy", ""), ("HTTPS_PROXY", "a")], https, Some("a")),
            (&[("ALL_PROXY", "a"), ("all_proxy", "b")], https, Some("b")),
            (&[("ALL_PROXY", "a")], http, Some("a")),
            (&[("ALL_PROXY", "a"), ("http_proxy", "b")], http, Some("b")),
            (&[("REQUEST_METHOD", "GET"), ("http_proxy", "b")], http, Some("b")),
            (&[("https_proxy", "a"), ("no_proxy", "x"), ("NO_PROXY", "api.test")], https, Some("a")),
            (&[("https_proxy", "a"), ("no_proxy", ""), ("NO_PROXY", "api.test")], https, None),
        ] {
            assert_eq!(found(variables, url).as_deref(), expected, "{variables:?} {url}");
        }
    }

    #[test]
    fn proxy_address_has_the_defaults_of_curl() {
        for (value, expected) in [
            ("proxy.test", Some("http://proxy.test:1080/")),
            ("proxy.test:80", Some("http://proxy.test/")),
            ("http://[::1]", Some("http://[::1]:1080/")),
            ("http://me:p%40ss@proxy.test:3128/", Some("http://me:p%40ss@proxy.test:3128/")),
            ("me:pass@proxy.test", Some("http://me:pass@proxy.test:1080/")),
            ("https://proxy.test", Some("https://proxy.test/")),
            ("socks5h://proxy.test", Some("socks5h://proxy.test:1080")),
            ("ftp://proxy.test", None),
            ("http://", None),
        ] {
            let parsed =
                settings(&[("https_proxy", value)]).map(|settings| settings.https.unwrap().to_string());
            assert_eq!(parsed.as_deref(), expected.ok_or(&"https_proxy"), "{value}");
        }
    }

    /// Each line was compared with curl 7.88.
    #[test]
    fn no_proxy_matches_as_in_curl() {
        for (list, direct, proxied) in [
            ("*", "a.test 10.0.0.1 [::1]", ""),
            ("a.test,*", "a.test", "b.test 10.0.0.1"),
            ("a.test", "a.test A.test a.test. x.a.test", "aa.test test"),
            (".a.test", "a.test x.a.test", "aa.test"),
            ("a.test.", "a.test x.a.test", ""),
            ("*.a.test", "", "a.test x.a.test"),
            ("a.test:443", "", "a.test"),
            ("b.test a.test", "a.test b.test", ""),
            (" b.test , a.test", "a.test b.test", "c.test"),
            ("10.0.0.0/8,192.168.1.7", "10.9.8.7 192.168.1.7", "11.0.0.1 192.168.1.8 a.test [::1]"),
            ("10.0.0.1/0,10.0.0.9/33", "10.0.0.1", "10.0.0.2 10.0.0.9"),
            ("fd00::/8,::1", "[fd12::1] [::1]", "[fe80::1] 10.0.0.1"),
            (",", "", "a.test"),
        ] {
            let variables = [("https_proxy", "p"), ("no_proxy", list)];
            for (hosts, is_direct) in [(direct, true), (proxied, false)] {
                for host in hosts.split_whitespace() {
                    let found = proxy(&variables, &format!("https://{host}"));
                    assert_eq!(found.is_none(), is_direct, "{list:?} {host}");
                }
            }
        }
    }
}
