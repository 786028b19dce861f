//! Any label value and help text is read back as it was written.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use exporter_exposition::{Encoder, Family, Format, FormatOptions, Histogram, Kind, Labels, Series, Value};

#[allow(dead_code)]
#[path = "../../tests/it/process/formats/openmetrics2.rs"]
mod openmetrics2;
#[allow(dead_code)]
#[path = "../../tests/it/process/formats/protobuf.rs"]
mod protobuf;
#[allow(dead_code)]
#[path = "../../tests/it/process/formats/parsed.rs"]
mod parsed;

#[derive(Debug, Arbitrary)]
struct Input {
    help: String,
    series: Vec<([String; 2], u32)>,
    value: f64,
}

const NAMES: [&str; 2] = ["project", "reason"];

fn families(input: &Input) -> Vec<Family> {
    // A label set occurs once in a family.
    let sets: BTreeMap<&[String; 2], u32> = input.series.iter().map(|(values, count)| (values, *count)).collect();
    let mut all = vec![
        Family::new("polyai_some_total", input.help.clone(), Kind::Counter),
        Family::new("polyai_some", input.help.clone(), Kind::Gauge),
        Family::new("polyai_some_seconds", input.help.clone(), Kind::Histogram),
    ];
    for (values, count) in sets {
        let labels = Labels::new(NAMES.into_iter().zip(values.iter().map(String::as_str)));
        let counts = [u64::from(count), 0, 7];
        let values = [
            Value::total(u64::from(count)),
            Value::Gauge(input.value),
            Value::Histogram(Histogram::new([0.5, 2.0], counts, input.value.abs())),
        ];
        for (family, value) in all.iter_mut().zip(values) {
            family.series.push(Series::new(labels.clone(), value));
        }
    }
    all
}

fn encode(format: Format, families: &[Family]) -> Vec<u8> {
    let options = FormatOptions { native_histograms: true, openmetrics_created: false };
    let encoder = Encoder::new(format, options);
    let mut out = Vec::new();
    encoder.write_families(families, &mut out);
    encoder.write_end(&mut out);
    out
}

/// The samples of a text format: `name{label="value",...} number`, or without labels.
fn lines(text: &str) -> BTreeMap<String, f64> {
    let samples = text.split_terminator('\n').filter(|line| !line.starts_with('#'));
    let mut all = BTreeMap::new();
    for line in samples {
        let (name, mut rest) = line.split_once('{').expect("every series has labels");
        let mut labels = parsed::Labels::new();
        let number = loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut escaped = false;
            let end = after.char_indices().find(|&(_, one)| {
                match (escaped, one) {
                    (true, 'n') => value.push('\n'),
                    (true, '"' | '\\') => value.push(one),
                    (true, other) => panic!("an unknown escape: {other:?}"),
                    (false, '"') => return true,
                    (false, '\\') => {}
                    (false, plain) => value.push(plain),
                }
                escaped = !escaped && one == '\\';
                false
            });
            let (at, _) = end.expect("a closing quote");
            assert_eq!(labels.insert(label.to_owned(), value), None);
            rest = &after[at + 1..];
            match rest.strip_prefix("} ") {
                Some(number) => break number,
                None => rest = rest.strip_prefix(',').unwrap(),
            }
        };
        let series = parsed::key(name, &labels);
        assert_eq!(all.insert(series.clone(), number.parse().unwrap()), None, "{series}: twice");
    }
    all
}

fuzz_target!(|input: Input| {
    if !input.value.is_finite() {
        return;
    }
    let families = families(&input);
    let text = |format| String::from_utf8(encode(format, &families)).unwrap();

    let protobuf = protobuf::read(&encode(Format::Protobuf, &families));
    let openmetrics2 = openmetrics2::read(&text(Format::OpenMetrics2));
    let expected: usize = families.iter().map(|family| family.series.len()).sum();
    // A counter and a gauge are a line each, these histograms five.
    assert_eq!(protobuf.samples.len(), expected / 3 * 7);
    assert_eq!(protobuf.samples, openmetrics2.samples);
    assert_eq!(protobuf.families, openmetrics2.families);
    assert_eq!(protobuf.samples, lines(&text(Format::Text)));
    assert_eq!(protobuf.samples, lines(text(Format::OpenMetrics).strip_suffix("# EOF\n").unwrap()));

    for (values, _) in &input.series {
        let labels = NAMES.into_iter().zip(values).map(|(name, value)| (name.to_owned(), value.clone())).collect();
        assert!(protobuf.samples.contains_key(&parsed::key("polyai_some_total", &labels)));
    }
    assert!(protobuf.families.values().all(|(_, help)| *help == input.help));
});
