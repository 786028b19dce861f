//! Everything that knows the PolyAI wire.

pub mod wire;
