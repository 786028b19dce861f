use proptest::prelude::*;

use super::*;

const TEXT: &str = super::TEXT_0.1;
const TEXT_1: &str = super::TEXT_1.1;
const OPENMETRICS_0: &str = super::OPENMETRICS_0.1;
const OPENMETRICS_1: &str = super::OPENMETRICS_1.1;
const OPENMETRICS_2: &str = super::OPENMETRICS_2.1;
const PROTOBUF: &str = super::PROTOBUF.1;

fn chosen(accept: &str) -> (Format, String) {
    let negotiated = negotiate([accept].into_iter(), [].into_iter());
    (negotiated.format, negotiated.content_type)
}

#[test]
fn headers_of_prometheus_are_understood() {
    // 2.42 with its defaults, and with native histograms; 3.x with its defaults, and with protobuf first.
    let cases = [
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OPENMETRICS_1.to_owned(),
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            PROTOBUF.to_owned(),
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            format!("{OPENMETRICS_1}; escaping=allow-utf-8"),
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=underscores;q=0.6,application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            format!("{PROTOBUF}; escaping=underscores"),
        ),
    ];
    for (accept, content_type) in cases {
        assert_eq!(chosen(accept).1, content_type, "{accept}");
    }
}

#[test]
fn each_version_has_its_content_type() {
    let cases = [
        ("text/plain", Format::Text, TEXT),
        ("text/plain;version=0.0.4", Format::Text, TEXT),
        ("TEXT/PLAIN; Version=1.0.0", Format::Text, TEXT_1),
        ("application/openmetrics-text", Format::OpenMetrics, OPENMETRICS_1),
        ("application/openmetrics-text;version=\"1.0.0\"", Format::OpenMetrics, OPENMETRICS_1),
        ("application/openmetrics-text;version=0.0.1", Format::OpenMetrics, OPENMETRICS_0),
        ("application/openmetrics-text;version=2.0.0", Format::OpenMetrics2, OPENMETRICS_2),
        ("application/vnd.google.protobuf", Format::Protobuf, PROTOBUF),
    ];
    for (accept, format, content_type) in cases {
        assert_eq!(chosen(accept), (format, content_type.to_owned()), "{accept}");
    }
}

#[test]
fn highest_weight_wins_then_first() {
    let cases = [
        ("text/plain;q=0.4, application/openmetrics-text;q=0.5", Format::OpenMetrics),
        ("text/plain, application/openmetrics-text", Format::Text),
        ("application/openmetrics-text;q=0, text/plain;q=0.1", Format::Text),
        ("application/openmetrics-text;q=nonsense, text/plain;q=0.1", Format::Text),
        (
            "application/openmetrics-text;version=2.0.0;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5",
            Format::OpenMetrics2,
        ),
        // A newer version is sent only on request.
        ("application/openmetrics-text;q=0.9", Format::OpenMetrics),
    ];
    for (accept, format) in cases {
        assert_eq!(chosen(accept).0, format, "{accept}");
    }
}

#[test]
fn refusal_beats_less_specific_range() {
    let cases = [
        ("text/plain;q=0, */*", OPENMETRICS_1),
        ("*/*, text/plain;q=0", OPENMETRICS_1),
        ("text/*;q=0, */*;q=0.1", OPENMETRICS_1),
        ("text/plain;version=0.0.4;q=0, */*", OPENMETRICS_1),
        ("text/plain;q=0, application/openmetrics-text;q=0, */*", PROTOBUF),
        ("text/plain;q=0, text/*, application/openmetrics-text;q=0.1", OPENMETRICS_1),
        // The narrower range takes precedence.
        ("*/*;q=0, text/plain", TEXT),
        ("text/*;q=0, text/plain;q=0.2, */*;q=0.1", TEXT),
        ("text/plain;q=0, text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text;version=0.0.1;q=0, application/openmetrics-text", OPENMETRICS_1),
        ("*/*;q=0", TEXT),
    ];
    for (accept, expected) in cases {
        assert_eq!(chosen(accept).1, expected, "{accept}");
    }
}

#[test]
fn fallback_is_text() {
    let unknown = [
        "",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        "application/json",
        "application/openmetrics-text;version=7.0.0",
        "application/vnd.google.protobuf;proto=other.Family;encoding=delimited",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
        "text/plain;version=0.0.4;q=0",
        ";;;,,,=",
    ];
    for accept in unknown {
        assert_eq!(chosen(accept), (Format::Text, TEXT.to_owned()), "{accept}");
    }
}

#[test]
fn only_known_escapings_are_confirmed() {
    let with = |escaping: &str| chosen(&format!("text/plain;version=1.0.0;escaping={escaping}")).1;
    assert_eq!(with("dots"), format!("{TEXT_1}; escaping=dots"));
    assert_eq!(with("Allow-UTF-8"), format!("{TEXT_1}; escaping=allow-utf-8"));
    assert_eq!(with("x\r\nSet-Cookie: a"), TEXT_1);
}

#[test]
fn encoding_is_chosen_by_weight() {
    let cases = [
        ("gzip", ContentEncoding::Gzip),
        ("deflate, GZIP;q=0.5", ContentEncoding::Gzip),
        ("gzip, deflate, br, zstd", ContentEncoding::Gzip),
        ("zstd", ContentEncoding::Identity),
        ("gzip;q=0.5, zstd;q=0.9", ContentEncoding::Gzip),
        ("gzip;q=0", ContentEncoding::Identity),
        ("gzip; q=0.000, *", ContentEncoding::Identity),
        ("gzip ; Q=1.0", ContentEncoding::Gzip),
        ("x-gzip", ContentEncoding::Gzip),
        ("*", ContentEncoding::Gzip),
        ("*;q=0, gzip;q=0.1", ContentEncoding::Gzip),
        ("identity", ContentEncoding::Identity),
        ("identity;q=1, gzip;q=0.5", ContentEncoding::Identity),
        ("notgzip", ContentEncoding::Identity),
        ("gzip;q=much", ContentEncoding::Identity),
        ("gzip;q=2", ContentEncoding::Identity),
        ("", ContentEncoding::Identity),
    ];
    for (header, expected) in cases {
        assert_eq!(choose_encoding([header].into_iter()), Some(expected), "{header}");
    }
    let absent = choose_encoding([].into_iter());
    assert_eq!(absent, Some(ContentEncoding::Identity), "no header accepts anything");
    for header in ["identity;q=0", "*;q=0", "br, *;q=0", "gzip;q=0, identity;q=0", "identity; q=0.000"] {
        assert_eq!(choose_encoding([header].into_iter()), None, "{header}");
    }
    for header in ["identity;q=0, gzip", "identity;q=0, *", "*;q=0, gzip"] {
        assert_eq!(choose_encoding([header].into_iter()), Some(ContentEncoding::Gzip), "{header}");
    }
    let identity = choose_encoding(["*;q=0, identity"].into_iter());
    assert_eq!(identity, Some(ContentEncoding::Identity));
    assert_eq!(
        choose_encoding(["br", "gzip"].into_iter()),
        Some(ContentEncoding::Gzip),
        "headers may be repeated"
    );
}

#[test]
fn long_header_is_read_up_to_a_limit() {
    let hostile = "*/*;q=0,".repeat(2_000);
    assert!(hostile.len() > 15_000);
    let mut split = 0;
    let headers = std::iter::repeat_with(|| {
        split += 1;
        hostile.as_str()
    });
    assert_eq!(elements(headers.take(10)).count(), MAX_ELEMENTS);
    assert_eq!(split, 1, "headers after the limit are not looked at");

    let padded = |count| format!("{}application/openmetrics-text", "x/y,".repeat(count));
    assert_eq!(chosen(&padded(MAX_ELEMENTS - 1)).0, Format::OpenMetrics, "the last within the limit");
    assert_eq!(chosen(&padded(MAX_ELEMENTS)).0, Format::Text, "the first after it");
}

proptest! {
    #[test]
    fn any_header_gets_a_known_content_type(accept in "\\PC{0,80}", encoding in "\\PC{0,40}") {
        let negotiated = negotiate([accept.as_str()].into_iter(), [encoding.as_str()].into_iter());
        prop_assert!([TEXT, TEXT_1, OPENMETRICS_0, OPENMETRICS_1, OPENMETRICS_2, PROTOBUF].iter().any(|known| negotiated.content_type.starts_with(known)));
    }
}
