//! What a scraper asked for: format, escaping and compression, out of its headers.
//!
//! Owns: the choice. Pure. Never: the bytes that are chosen.
//!
//! Weights decide, then the scraper's order. What a range with weight 0 names is not sent for the sake of a wider one. Who
//! names nothing that we have gets the text format 0.0.4, as Prometheus' own libraries answer, rather than a refusal. All our names are legal everywhere, so every escaping scheme leaves them as they
//! are: the scheme that was asked for is confirmed, and changes nothing else.
//!
//! Source: "Content negotiation" and "Exposition formats" of the Prometheus documentation; RFC 9110, section 12.5.

use super::encoder::Format;
use super::page::ContentEncoding;

/// What is sent: a format, under the media type that was asked for, in a coding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Which bytes.
    pub format: Format,
    /// How they are compressed.
    pub coding: ContentEncoding,
    /// The `Content-Type`.
    pub content_type: String,
}

/// Chooses by the values of all `Accept` and all `Accept-Encoding` headers.
pub fn negotiate<'a>(
    accept: impl Iterator<Item = &'a str>,
    accept_encoding: impl Iterator<Item = &'a str>,
) -> Negotiated {
    let (format, content_type) = media(accept);
    Negotiated { format, coding: coding(accept_encoding), content_type }
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_1: &str = "text/plain; version=1.0.0; charset=utf-8";
const OPENMETRICS_0: &str = "application/openmetrics-text; version=0.0.1; charset=utf-8";
const OPENMETRICS_1: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const OPENMETRICS_2: &str = "application/openmetrics-text; version=2.0.0; charset=utf-8";
const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// A format under the media type that was asked for.
type MediaTypeOffer = (Format, &'static str);

fn media<'a>(accept: impl Iterator<Item = &'a str>) -> (Format, String) {
    let ranges: Vec<HeaderElement<'a>> = accept.flat_map(items).collect();
    let is_refused = |offer: &MediaTypeOffer, above: Specificity| {
        let refusals = ranges.iter().filter(|range| range.weight == 0.0 && Specificity::of(range) < above);
        refusals.flat_map(offers).any(|(_, refused)| *refused == offer.1)
    };
    let mut best: Option<(f64, Format, String)> = None;
    for range in &ranges {
        let offered = offers(range).iter().find(|offer| !is_refused(offer, Specificity::of(range)));
        let Some(&(format, content_type)) = offered else { continue };
        if range.weight > best.as_ref().map_or(0.0, |(weight, ..)| *weight) {
            let escaping = range.parameter("escaping").unwrap_or_default();
            let content_type = match ESCAPINGS.iter().find(|known| known.eq_ignore_ascii_case(escaping)) {
                Some(known) => format!("{content_type}; escaping={known}"),
                None => content_type.to_owned(),
            };
            best = Some((range.weight, format, content_type));
        }
    }
    best.map_or_else(|| (Format::Text, TEXT.to_owned()), |(_, format, content_type)| (format, content_type))
}

/// How much a media range covers; the narrower one says more about a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    Version,
    Type,
    Kind,
    All,
}

impl Specificity {
    fn of(range: &HeaderElement<'_>) -> Self {
        match range.name {
            "*/*" => Self::All,
            kind if kind.ends_with("/*") => Self::Kind,
            _ if range.parameter("version").is_some() => Self::Version,
            _ => Self::Type,
        }
    }
}

/// What we have for a media range, the most common first.
fn offers(range: &HeaderElement<'_>) -> &'static [MediaTypeOffer] {
    let version = range.parameter("version");
    match range.name.to_ascii_lowercase().as_str() {
        "text/plain" => match version {
            None | Some("0.0.4") => &[(Format::Text, TEXT)],
            Some("1.0.0") => &[(Format::Text, TEXT_1)],
            Some(_) => &[],
        },
        "application/openmetrics-text" => match version {
            None | Some("1.0.0") => &[(Format::OpenMetrics, OPENMETRICS_1)],
            Some("0.0.1") => &[(Format::OpenMetrics, OPENMETRICS_0)],
            Some("2.0.0") => &[(Format::OpenMetrics2, OPENMETRICS_2)],
            Some(_) => &[],
        },
        "application/vnd.google.protobuf" => {
            let is_ours =
                range.parameter("proto").is_none_or(|proto| proto == "io.prometheus.client.MetricFamily")
                    && range.parameter("encoding").is_none_or(|encoding| encoding == "delimited");
            if is_ours { &[(Format::Protobuf, PROTOBUF)] } else { &[] }
        }
        "*/*" => &[(Format::Text, TEXT), (Format::OpenMetrics, OPENMETRICS_1), (Format::Protobuf, PROTOBUF)],
        "text/*" => &[(Format::Text, TEXT)],
        _ => &[],
    }
}

/// The coding with the highest weight above zero. Of equals the one that costs us least: gzip is put together from
/// segments that are kept, Zstandard is made anew, and no compression costs the network.
fn coding<'a>(accept_encoding: impl Iterator<Item = &'a str>) -> ContentEncoding {
    let mut named: [Option<f64>; 3] = [None; 3];
    let mut any = None;
    for item in accept_encoding.flat_map(items) {
        match item.name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => named[0] = Some(item.weight),
            "zstd" => named[1] = Some(item.weight),
            "identity" => named[2] = Some(item.weight),
            "*" => any = Some(item.weight),
            _ => {}
        }
    }
    // A star does not ask for Zstandard, which few can read; who does not forbid an uncompressed answer can read that.
    let weights = [
        (ContentEncoding::Gzip, named[0].or(any).unwrap_or(0.0)),
        (ContentEncoding::Zstd, named[1].unwrap_or(0.0)),
        (ContentEncoding::Identity, named[2].unwrap_or(f64::MIN_POSITIVE)),
    ];
    let mut best = (ContentEncoding::Identity, 0.0);
    for (coding, weight) in weights {
        if weight > best.1 {
            best = (coding, weight);
        }
    }
    best.0
}

/// One item of a header: a name, its parameters, and its weight.
struct HeaderElement<'a> {
    name: &'a str,
    parameters: &'a str,
    weight: f64,
}

fn items(header: &str) -> impl Iterator<Item = HeaderElement<'_>> {
    header.split(',').map(|item| {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let mut item = HeaderElement { name: name.trim(), parameters, weight: 1.0 };
        // A weight that is none counts as a refusal.
        if let Some(weight) = item.parameter("q") {
            item.weight = weight.parse().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0);
        }
        item
    })
}

impl<'a> HeaderElement<'a> {
    fn parameter(&self, name: &str) -> Option<&'a str> {
        let pairs = self.parameters.split(';').filter_map(|parameter| parameter.split_once('='));
        let mut values = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim().trim_matches('"'))
    }
}

#[cfg(test)]
mod tests;
