//! Plain types for conversations, targets, timestamps and problems.
//!
//! Nothing here reads or writes: the wire format is in `polyai-api`, counting in `polyai-engine`. The one exception is
//! [`clock::Clock`], which reads the clock of the machine so that tests can replace it.

pub mod clock;
pub mod conversation;
pub mod fetch;
mod named_enum;
pub mod phone_number;
pub mod problem;
pub mod target;
pub mod timestamp;
