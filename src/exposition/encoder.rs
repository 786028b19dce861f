//! The formats, and one door to their encoders.
//!
//! Owns: which formats there are. Never: how one of them spells anything.

use super::family::{Family, FamilyMeta, Sample};
use super::{openmetrics, openmetrics2, protobuf, text};

/// A way to write families. Versions that do not differ in a byte of what we write are one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The Prometheus text format.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// OpenMetrics 2.0, which is not final.
    OpenMetrics2,
    /// Delimited messages of the Prometheus protobuf format.
    Protobuf,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Text, Self::OpenMetrics, Self::OpenMetrics2, Self::Protobuf];
}

/// Writes families in one format.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    created: bool,
    scratch: Vec<u8>,
}

impl Encoder {
    /// For `format`; `created` asks for the `_created` lines of OpenMetrics 1.0, and means nothing to the others.
    pub const fn new(format: Format, created: bool) -> Self {
        Self { format, created, scratch: Vec::new() }
    }

    /// Labels that many samples share, as [`Self::sample`] takes them.
    pub fn shared<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
        let mut out = Vec::new();
        match self.format {
            Format::Text | Format::OpenMetrics | Format::OpenMetrics2 => {
                super::line::write_labels(labels, &mut out)
            }
            Format::Protobuf => protobuf::labels(labels, &mut out),
        }
        out
    }

    /// Writes what stands before the samples of a family, which take `samples` bytes.
    pub fn head(&self, head: &FamilyMeta, samples: usize, out: &mut Vec<u8>) {
        match self.format {
            Format::Text => text::head(head, out),
            Format::OpenMetrics => openmetrics::head(head, out),
            Format::OpenMetrics2 => openmetrics2::head(head, out),
            Format::Protobuf => protobuf::head(head, samples, out),
        }
    }

    /// Writes a sample of the family of `head`; `shared` is what [`Self::shared`] made of the labels before its own.
    pub fn sample(&mut self, head: &FamilyMeta, shared: &[u8], sample: &Sample<'_>, out: &mut Vec<u8>) {
        match self.format {
            Format::Text => text::sample(head, shared, sample, out),
            Format::OpenMetrics => openmetrics::sample(head, self.created, shared, sample, out),
            Format::OpenMetrics2 => openmetrics2::sample(head, shared, sample, out),
            Format::Protobuf => protobuf::sample(shared, sample, &mut self.scratch, out),
        }
    }

    /// Writes whole families in their order; those without series are left out, head and all.
    pub fn families(&mut self, families: &[Family], out: &mut Vec<u8>) {
        let mut samples = Vec::new();
        for family in families.iter().filter(|family| !family.series.is_empty()) {
            samples.clear();
            for series in &family.series {
                self.sample(&family.head, &[], &series.sample(), &mut samples);
            }
            self.head(&family.head, samples.len(), out);
            out.extend_from_slice(&samples);
        }
    }

    /// Writes what stands at the end of an exposition.
    pub fn end(&self, out: &mut Vec<u8>) {
        match self.format {
            Format::OpenMetrics | Format::OpenMetrics2 => super::line::push_str(out, openmetrics::END),
            Format::Text | Format::Protobuf => {}
        }
    }
}
