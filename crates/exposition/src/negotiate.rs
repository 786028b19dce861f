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
    let (media_type, escaping) = choose_media_type(elements(accept).filter_map(MediaRange::parse).collect());
    let mut content_type = media_type.content_type().to_owned();
    if let Some(escaping) = escaping {
        content_type.push_str("; escaping=");
        content_type.push_str(escaping);
    }
    Negotiated { format: media_type.format(), encoding: choose_encoding(accept_encoding), content_type }
}

/// A media type that can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MediaType {
    Text0,
    Text1,
    OpenMetrics0,
    OpenMetrics1,
    OpenMetrics2,
    Protobuf,
}

impl MediaType {
    const ALL: [Self; 6] = [
        Self::Text0,
        Self::Text1,
        Self::OpenMetrics0,
        Self::OpenMetrics1,
        Self::OpenMetrics2,
        Self::Protobuf,
    ];

    const fn format(self) -> Format {
        match self {
            Self::Text0 | Self::Text1 => Format::Text,
            Self::OpenMetrics0 | Self::OpenMetrics1 => Format::OpenMetrics,
            Self::OpenMetrics2 => Format::OpenMetrics2,
            Self::Protobuf => Format::Protobuf,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Text0 => "text/plain; version=0.0.4; charset=utf-8",
            Self::Text1 => "text/plain; version=1.0.0; charset=utf-8",
            Self::OpenMetrics0 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Self::OpenMetrics1 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::OpenMetrics2 => "application/openmetrics-text; version=2.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

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
        use MediaType::{OpenMetrics0, OpenMetrics1, OpenMetrics2, Protobuf, Text0, Text1};

        let version = element.parameter("version");
        let is_or_absent = |name, value| element.parameter(name).is_none_or(|given| given == value);
        let mut specificity = if version.is_some() { Specificity::Version } else { Specificity::Type };
        let media_types: &[MediaType] = match (element.name.to_ascii_lowercase().as_str(), version) {
            ("*/*", _) => {
                specificity = Specificity::All;
                &[Text0, OpenMetrics1, Protobuf]
            }
            ("text/*", _) => {
                specificity = Specificity::Subtypes;
                &[Text0]
            }
            ("text/plain", None | Some("0.0.4")) => &[Text0],
            ("text/plain", Some("1.0.0")) => &[Text1],
            ("application/openmetrics-text", None | Some("1.0.0")) => &[OpenMetrics1],
            ("application/openmetrics-text", Some("0.0.1")) => &[OpenMetrics0],
            ("application/openmetrics-text", Some("2.0.0")) => &[OpenMetrics2],
            ("application/vnd.google.protobuf", _)
                if is_or_absent("proto", "io.prometheus.client.MetricFamily")
                    && is_or_absent("encoding", "delimited") =>
            {
                &[Protobuf]
            }
            _ => return None,
        };
        let escaping = element
            .parameter("escaping")
            .and_then(|value| ESCAPINGS.into_iter().find(|known| known.eq_ignore_ascii_case(value)));
        Some(Self { media_types, specificity, weight: element.weight(), escaping })
    }
}

/// The media type and escaping scheme to respond with.
fn choose_media_type(ranges: Vec<MediaRange>) -> (MediaType, Option<&'static str>) {
    // By media type: the narrowest range that refuses it.
    let mut refused_by = [None::<Specificity>; MediaType::ALL.len()];
    for range in ranges.iter().filter(|range| range.weight == 0.0) {
        for media_type in range.media_types {
            let narrowest = &mut refused_by[*media_type as usize];
            *narrowest = Some(narrowest.map_or(range.specificity, |known| known.min(range.specificity)));
        }
    }
    let mut best = (0.0, MediaType::Text0, None);
    for range in ranges {
        let is_refused = |media_type: &MediaType| {
            refused_by[*media_type as usize].is_some_and(|refusing| refusing < range.specificity)
        };
        let accepted = range.media_types.iter().find(|media_type| !is_refused(media_type));
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
