//! OpenMetrics 1.0.
//!
//! Source: the OpenMetrics 1.0 specification.

use crate::family::{FamilyMeta, HistogramView, Sample, Unit};
use crate::text;
use crate::text_common::{push_str, write_escaped, write_name_and_labels, write_seconds};

/// The last line of an exposition.
pub(crate) const END: &str = "# EOF\n";

/// Writes the `# TYPE`, `# UNIT` and `# HELP` lines of a family with this name.
pub(crate) fn write_metadata(meta: &FamilyMeta, name: &str, out: &mut Vec<u8>) {
    for (keyword, value) in [
        ("# TYPE ", Some(meta.kind.as_str())),
        ("# UNIT ", meta.unit.map(Unit::as_str)),
        ("# HELP ", Some(meta.help.as_ref())),
    ] {
        if let Some(value) = value {
            push_str(out, keyword);
            push_str(out, name);
            push_str(out, " ");
            write_escaped(out, value);
            push_str(out, "\n");
        }
    }
}

/// Writes the lines of a sample; `created` adds a `_created` line where the start is known.
pub(crate) fn write_sample<H: HistogramView>(
    meta: &FamilyMeta,
    created: bool,
    group_labels: &[u8],
    sample: &Sample<'_, H>,
    out: &mut Vec<u8>,
) {
    text::write_sample(meta, true, group_labels, sample, out);
    if let (true, Some(start)) = (created, sample.start) {
        write_name_and_labels(meta.base_name(), "_created", group_labels, sample, out);
        write_seconds(out, start);
        push_str(out, "\n");
    }
}

#[cfg(test)]
mod tests;
