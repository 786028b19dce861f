//! From series to bytes: one family model, and the formats that Prometheus reads.
//!
//! Owns: the model, its encoders, their choice and compression, the finished pages, and the naming rules. Never: state or the
//! network.
//!
//! The way of a scrape: `negotiate` chooses, `board` hands out a page that is new enough or has it made: `snapshot` tells which
//! series stand in which family, `sheet` has an `encoder` write those that changed, `gzip` or `zstd` compress what is new.

pub mod board;
pub mod encoder;
pub mod family;
mod gzip;
mod ladder;
pub mod lift;
mod line;
mod lines;
pub mod lint;
mod native;
pub mod negotiate;
mod number;
mod openmetrics;
mod openmetrics2;
pub mod page;
mod protobuf;
#[cfg(test)]
mod scene;
mod sheet;
mod snapshot;
mod text;
mod zstd;

pub use encoder::{Encoder, Format};
pub use family::{Family, Histogram, Kind, Labels, Series, Unit, Value};
pub use ladder::BucketBounds;
