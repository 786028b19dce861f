//! Any request gets a known format and encoding, and a matching `Content-Type`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use exporter_exposition::{Format, negotiate};

fuzz_target!(|headers: (Vec<String>, Vec<String>)| {
    let (accept, encodings) = headers;
    let negotiated = negotiate(accept.iter().map(String::as_str), encodings.iter().map(String::as_str));
    let media = match negotiated.format {
        Format::Text => "text/plain; version=",
        Format::OpenMetrics | Format::OpenMetrics2 => "application/openmetrics-text; version=",
        Format::Protobuf => "application/vnd.google.protobuf; proto=",
    };
    assert!(negotiated.content_type.starts_with(media), "{negotiated:?}");
    // It becomes a header, which nothing in a request may break out of.
    assert!(negotiated.content_type.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{negotiated:?}");
    if let Some(name) = negotiated.encoding.and_then(|encoding| encoding.name()) {
        let asked = encodings.iter().map(|one| one.to_ascii_lowercase());
        let named = asked.clone().any(|one| one.contains(name));
        assert!(named || asked.clone().any(|one| one.contains('*')), "{negotiated:?}");
    }
});
