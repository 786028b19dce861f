//! The optional labels of conversation series.

use serde::{Deserialize, Serialize};

/// An optional label of conversation series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dimension {
    /// `channel`, from the field of that name.
    Channel,
    /// `variant`, from `variant_name`, else `variant_id`.
    Variant,
}

impl Dimension {
    /// All dimensions, in the order of the labels on a series.
    pub const ALL: [Self; 2] = [Self::Channel, Self::Variant];

    /// The label name and configuration value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Variant => "variant",
        }
    }
}
