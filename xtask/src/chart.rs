//! The generated files of the Helm chart, and the Kubernetes manifests that are rendered from it.

mod manifests;
mod schema;
mod table;
mod values;

pub(crate) use manifests::manifests;
pub(crate) use schema::schema;

use crate::documents::with_section;
use crate::repository::read;

/// The README of the chart, with the table of all values.
pub(crate) fn readme() -> String {
    with_section(&read("deploy/helm/polyai-exporter/README.md"), "values", &table::table(&values::keys()))
}
