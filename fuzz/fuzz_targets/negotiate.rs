//! Whatever a scraper asks for, it gets a format and a coding, and a `Content-Type` that says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyai_exporter::exposition::Format;
use polyai_exporter::exposition::negotiate::choose;

fuzz_target!(|headers: (Vec<String>, Vec<String>)| {
    let (accept, encodings) = headers;
    let choice = choose(accept.iter().map(String::as_str), encodings.iter().map(String::as_str));
    let media = match choice.format {
        Format::Text => "text/plain; version=",
        Format::OpenMetrics | Format::OpenMetrics2 => "application/openmetrics-text; version=",
        Format::Protobuf => "application/vnd.google.protobuf; proto=",
    };
    assert!(choice.content_type.starts_with(media), "{choice:?}");
    // It becomes a header: nothing that was asked for may break out of it.
    assert!(choice.content_type.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{choice:?}");
    if let Some(name) = choice.coding.name() {
        let asked = encodings.iter().map(|one| one.to_ascii_lowercase());
        let named = asked.clone().any(|one| one.contains(name));
        assert!(named || asked.clone().any(|one| one.contains('*')), "{choice:?}");
    }
});
