//! Content negotiation: format, escaping scheme and compression from the request's headers.
//!
//! The highest weight wins, and of equal weights the first. A type that one media range refuses with weight 0 is not chosen because
//! of a less specific range. A request that accepts nothing we have gets the text format 0.0.4 instead of an error, as from the
//! client libraries of Prometheus. All our names are valid in every escaping scheme, so the requested scheme is confirmed and
//! changes nothing else.
//!
//! Source: "Content negotiation" and "Exposition formats" of the Prometheus documentation; RFC 9110, section 12.5.

use crate::body::ContentEncoding;
use crate::encoder::Format;

/// Elements of a header after this many are ignored, so that a hostile header cannot cost much.
const MAX_ELEMENTS: usize = 64;

/// The result of content negotiation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The format.
    pub format: Format,
    /// The compression; `None` if the request refuses gzip and no compression, for which the response is 406.
    pub encoding: Option<ContentEncoding>,
    /// The `Content-Type` of the response.
    pub content_type: String,
}

/// Chooses by the values of all `Accept` and all `Accept-Encoding` headers.
pub fn negotiate<'a>(
    accept: impl Iterator<Item = &'a str>,
    accept_encoding: impl Iterator<Item = &'a str>,
) -> Negotiated {
    let ranges: Vec<_> = elements(accept).filter_map(MediaRange::parse).collect();
    let ((format, media_type), escaping) = choose_media_type(&ranges);
    let escaping = escaping.map_or_else(String::new, |escaping| format!("; escaping={escaping}"));
    Negotiated {
        format,
        encoding: choose_encoding(accept_encoding),
        content_type: media_type.to_owned() + &escaping,
    }
}

/// A media type that can be sent: its format and `Content-Type`.
type MediaType = (Format, &'static str);

const TEXT_0: MediaType = (Format::Text, "text/plain; version=0.0.4; charset=utf-8");
const TEXT_1: MediaType = (Format::Text, "text/plain; version=1.0.0; charset=utf-8");
const OPENMETRICS_0: MediaType =
    (Format::OpenMetrics, "application/openmetrics-text; version=0.0.1; charset=utf-8");
const OPENMETRICS_1: MediaType =
    (Format::OpenMetrics, "application/openmetrics-text; version=1.0.0; charset=utf-8");
const OPENMETRICS_2: MediaType =
    (Format::OpenMetrics2, "application/openmetrics-text; version=2.0.0; charset=utf-8");
const PROTOBUF: MediaType = (
    Format::Protobuf,
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
);

const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// How narrow a media range is; the narrower one takes precedence for a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    Version,
    Type,
    Subtypes,
    All,
}

/// An element of `Accept` that includes a type we have.
#[derive(Debug, Clone, Copy)]
struct MediaRange {
    /// The preferred one first.
    media_types: &'static [MediaType],
    specificity: Specificity,
    weight: f64,
    escaping: Option<&'static str>,
}

impl MediaRange {
    fn parse(element: HeaderElement<'_>) -> Option<Self> {
        let version = element.parameter("version");
        let is_or_absent = |name, value| element.parameter(name).is_none_or(|given| given == value);
        let mut specificity = if version.is_some() { Specificity::Version } else { Specificity::Type };
        let media_types: &[MediaType] = match (element.name.to_ascii_lowercase().as_str(), version) {
            ("*/*", _) => {
                specificity = Specificity::All;
                &[TEXT_0, OPENMETRICS_1, PROTOBUF]
            }
            ("text/*", _) => {
                specificity = Specificity::Subtypes;
                &[TEXT_0]
            }
            ("text/plain", None | Some("0.0.4")) => &[TEXT_0],
            ("text/plain", Some("1.0.0")) => &[TEXT_1],
            ("application/openmetrics-text", None | Some("1.0.0")) => &[OPENMETRICS_1],
            ("application/openmetrics-text", Some("0.0.1")) => &[OPENMETRICS_0],
            ("application/openmetrics-text", Some("2.0.0")) => &[OPENMETRICS_2],
            ("application/vnd.google.protobuf", _)
                if is_or_absent("proto", "io.prometheus.client.MetricFamily")
                    && is_or_absent("encoding", "delimited") =>
            {
                &[PROTOBUF]
            }
            _ => return None,
        };
        let escaping = element
            .parameter("escaping")
            .and_then(|value| ESCAPINGS.into_iter().find(|known| known.eq_ignore_ascii_case(value)));
        Some(Self { media_types, specificity, weight: element.weight(), escaping })
    }
}

fn choose_media_type(ranges: &[MediaRange]) -> (MediaType, Option<&'static str>) {
    let is_refused = |media_type: &MediaType, specificity| {
        let mut refusals = ranges.iter().filter(|range| range.weight == 0.0);
        refusals.any(|range| range.specificity < specificity && range.media_types.contains(media_type))
    };
    let mut best = (0.0, TEXT_0, None);
    for range in ranges {
        let mut media_types = range.media_types.iter();
        let accepted = media_types.find(|media_type| !is_refused(media_type, range.specificity));
        if let Some(media_type) = accepted.filter(|_| range.weight > best.0) {
            best = (range.weight, *media_type, range.escaping);
        }
    }
    (best.1, best.2)
}

/// Gzip if it is accepted and not less welcome than no compression, which is acceptable unless refused.
fn choose_encoding<'a>(accept_encoding: impl Iterator<Item = &'a str>) -> Option<ContentEncoding> {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for element in elements(accept_encoding) {
        match element.name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(element.weight()),
            "identity" => identity = Some(element.weight()),
            "*" => any = Some(element.weight()),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    if gzip > 0.0 && gzip >= identity.unwrap_or(0.0) {
        Some(ContentEncoding::Gzip)
    } else {
        (identity.or(any) != Some(0.0)).then_some(ContentEncoding::Identity)
    }
}

/// An element of a header: a name with parameters.
#[derive(Debug, Clone, Copy)]
struct HeaderElement<'a> {
    name: &'a str,
    parameters: &'a str,
}

/// The first [`MAX_ELEMENTS`] elements of all headers of a name.
fn elements<'a>(headers: impl Iterator<Item = &'a str>) -> impl Iterator<Item = HeaderElement<'a>> {
    headers.flat_map(|header| header.split(',')).take(MAX_ELEMENTS).map(|element| {
        let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
        HeaderElement { name: name.trim(), parameters }
    })
}

impl<'a> HeaderElement<'a> {
    fn parameter(&self, name: &str) -> Option<&'a str> {
        let pairs = self.parameters.split(';').filter_map(|parameter| parameter.split_once('='));
        let mut values = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim().trim_matches('"'))
    }

    /// The weight, 1 if absent; an invalid weight counts as a refusal.
    fn weight(&self) -> f64 {
        let Some(weight) = self.parameter("q") else { return 1.0 };
        weight.parse().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests;
