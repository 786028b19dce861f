//! YAML documents with locations, diagnostics about them, and the files they were read from.

mod diagnostic;
mod suggest;
mod text;
mod tracked_files;
mod value;
mod yaml;

pub use diagnostic::{ConfigErrors, Diagnostic, Location};
pub use suggest::closest;
pub use text::{display_key, escape, is_sensitive, join_list, quoted};
pub use tracked_files::{TrackedFiles, sha256};
pub use value::{Node, Value};
pub use yaml::parse_yaml;
