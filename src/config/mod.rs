//! The configuration: from files and environment to checked [`Settings`].
//!
//! Owns: the raw shape, its sources, the checks and the secrets. Never: anything at run time.

mod secret;
mod settings;

pub use secret::Secret;
pub use settings::{Dimension, Metrics, Polling, Server, Settings, Storage, Target};
