//! Both versions of OpenMetrics.

use crate::encoder::{Encoder, Format, FormatOptions};
use crate::rendered::RenderedExposition;
use crate::test_support::{OPTIONS, Shops};

fn lines_of(format: Format, openmetrics_created: bool, family: &str) -> String {
    let mut shops = Shops::new(1);
    shops.request(0, "/", 1.5, "a1");
    shops.request(0, "/", 70.5, "a2");
    shops.request(0, "/", 1.75, "a3");
    let options = FormatOptions { openmetrics_created, ..OPTIONS };
    let mut rendered = RenderedExposition::new(Encoder::new(format, options));
    rendered.update(&shops);
    let text: Vec<u8> = rendered.chunks().flat_map(|chunk| chunk.iter().copied()).collect();
    let text = String::from_utf8(text).unwrap();
    let is_of_family = |line: &&str| {
        ["", "# TYPE ", "# UNIT ", "# HELP "]
            .iter()
            .any(|keyword| line.strip_prefix(keyword).is_some_and(|rest| rest.starts_with(family)))
    };
    text.lines().filter(is_of_family).map(|line| format!("{line}\n")).collect()
}

#[test]
fn counter_metadata_lacks_total() {
    assert_eq!(
        lines_of(Format::OpenMetrics, false, "requests"),
        r#"# TYPE requests counter
# HELP requests Requests that were \"served\".
requests_total{shop="shop-000",path="/"} 3 # {trace_id="a3"} 1 1790000060.000
"#
    );
}

#[test]
fn created_lines_are_written_on_request() {
    let lines = lines_of(Format::OpenMetrics, true, "requests");
    assert!(lines.ends_with("\nrequests_created{shop=\"shop-000\",path=\"/\"} 1790000000.000\n"), "{lines}");
    let lines = lines_of(Format::OpenMetrics, true, "request_duration");
    let last = "\nrequest_duration_seconds_created{shop=\"shop-000\",path=\"/\"} 1790000000.000\n";
    assert!(lines.ends_with(last), "{lines}");
}

#[test]
fn buckets_have_exemplars() {
    assert_eq!(
        lines_of(Format::OpenMetrics, false, "request_duration"),
        r#"# TYPE request_duration_seconds histogram
# UNIT request_duration_seconds seconds
# HELP request_duration_seconds Duration of requests.
request_duration_seconds_bucket{shop="shop-000",path="/",le="0.5"} 0
request_duration_seconds_bucket{shop="shop-000",path="/",le="2.0"} 2 # {trace_id="a3"} 1.75 1790000060.000
request_duration_seconds_bucket{shop="shop-000",path="/",le="60.0"} 2
request_duration_seconds_bucket{shop="shop-000",path="/",le="600.0"} 3 # {trace_id="a2"} 70.5 1790000060.000
request_duration_seconds_bucket{shop="shop-000",path="/",le="+Inf"} 3
request_duration_seconds_sum{shop="shop-000",path="/"} 73.75
request_duration_seconds_count{shop="shop-000",path="/"} 3
"#
    );
}

#[test]
fn version_2_has_one_line_per_series() {
    assert_eq!(
        lines_of(Format::OpenMetrics2, false, "requests"),
        r#"# TYPE requests_total counter
# HELP requests_total Requests that were \"served\".
requests_total{shop="shop-000",path="/"} 3 st@1790000000.000 # {trace_id="a3"} 1 1790000060.000
"#
    );
    assert_eq!(
        lines_of(Format::OpenMetrics2, false, "request_duration"),
        r#"# TYPE request_duration_seconds histogram
# UNIT request_duration_seconds seconds
# HELP request_duration_seconds Duration of requests.
request_duration_seconds{shop="shop-000",path="/"} {count:3,sum:73.75,schema:0,zero_threshold:1e-9,zero_count:0,positive_spans:[1:1,5:1],positive_buckets:[2,1],bucket:[0.5:0,2:2,60:2,600:3,+Inf:3]} st@1790000000.000 # {trace_id="a3"} 1.75 1790000060.000 # {trace_id="a2"} 70.5 1790000060.000
"#
    );
}
