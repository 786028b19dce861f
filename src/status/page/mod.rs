//! The HTML pages. They need no scripts, load nothing from other hosts, and link relatively, for use behind a path prefix.

mod chart;
mod layout;
mod overview;
mod target;

pub(super) use layout::STYLE;
pub(super) use overview::overview;
pub(super) use target::{target, target_not_found};
