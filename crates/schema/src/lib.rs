//! YAML documents with locations, checked against declared keys, and the files they were read from.

mod diagnostic;
mod schema;
mod section;
mod text;
mod tracked_files;
mod value;
mod value_type;
mod yaml;

pub use diagnostic::{ConfigErrors, Diagnostic, Location, Report};
pub use schema::{DefaultValue, Key, KeyKind, Schema};
pub use section::{FromNode, Located, Section};
pub use text::{closest, display_key, escape, is_sensitive, join_list, join_path, quoted};
pub use tracked_files::{TrackedFiles, sha256};
pub use value::{Node, Value};
pub use value_type::{ListType, Order, ValueType, format_duration};
pub use yaml::parse_yaml;

use text::normalize_name;
