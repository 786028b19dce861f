//! The formats, and the encoder that dispatches to them.

use crate::family::{Family, FamilyMeta, HistogramView, Sample};
use crate::{openmetrics, openmetrics2, protobuf, text, text_common};

/// An exposition format. Versions whose output is identical are one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The Prometheus text format.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// OpenMetrics 2.0, which is not final.
    OpenMetrics2,
    /// Length-delimited messages of the Prometheus protobuf format.
    Protobuf,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Text, Self::OpenMetrics, Self::OpenMetrics2, Self::Protobuf];
}

/// Optional parts of some formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatOptions {
    /// Native histograms in OpenMetrics 2.0 and protobuf.
    pub native_histograms: bool,
    /// `_created` lines in OpenMetrics 1.0.
    pub openmetrics_created: bool,
}

/// Writes families in one format.
#[derive(Debug, Clone, Copy)]
pub struct Encoder {
    format: Format,
    options: FormatOptions,
}

impl Encoder {
    /// An encoder for `format`.
    pub const fn new(format: Format, options: FormatOptions) -> Self {
        Self { format, options }
    }

    /// Encodes labels that a group of samples share, for [`Self::write_sample`].
    pub fn group_labels<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
        let mut out = Vec::new();
        match self.format {
            Format::Text | Format::OpenMetrics | Format::OpenMetrics2 => {
                text_common::write_labels(labels, &mut out);
            }
            Format::Protobuf => protobuf::write_labels(labels, &mut out),
        }
        out
    }

    /// Writes the metadata of a family, whose samples have `samples_len` bytes.
    pub fn write_metadata(&self, meta: &FamilyMeta, samples_len: usize, out: &mut Vec<u8>) {
        match self.format {
            Format::Text => text::write_metadata(meta, out),
            Format::OpenMetrics => openmetrics::write_metadata(meta, meta.base_name(), out),
            Format::OpenMetrics2 => openmetrics::write_metadata(meta, &meta.name, out),
            Format::Protobuf => protobuf::write_metadata(meta, samples_len, out),
        }
    }

    /// Writes a sample of a family; `group_labels` come before its own labels.
    pub fn write_sample<H: HistogramView>(
        &self,
        meta: &FamilyMeta,
        group_labels: &[u8],
        sample: &Sample<'_, H>,
        out: &mut Vec<u8>,
    ) {
        let FormatOptions { native_histograms, openmetrics_created } = self.options;
        match self.format {
            Format::Text => text::write_sample(meta, false, group_labels, sample, out),
            Format::OpenMetrics => {
                openmetrics::write_sample(meta, openmetrics_created, group_labels, sample, out);
            }
            Format::OpenMetrics2 => {
                openmetrics2::write_sample(meta, native_histograms, group_labels, sample, out);
            }
            Format::Protobuf => protobuf::write_sample(native_histograms, group_labels, sample, out),
        }
    }

    /// Writes families in order; those without series are left out.
    pub fn write_families(&self, families: &[Family], out: &mut Vec<u8>) {
        let mut samples = Vec::new();
        for family in families.iter().filter(|family| !family.series.is_empty()) {
            samples.clear();
            for series in &family.series {
                self.write_sample(&family.meta, &[], &series.sample(), &mut samples);
            }
            self.write_metadata(&family.meta, samples.len(), out);
            out.extend_from_slice(&samples);
        }
    }

    /// Writes the end of an exposition.
    pub fn write_end(&self, out: &mut Vec<u8>) {
        if matches!(self.format, Format::OpenMetrics | Format::OpenMetrics2) {
            text_common::push_str(out, openmetrics::END);
        }
    }
}
