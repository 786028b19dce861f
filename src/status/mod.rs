//! What people see of the daemon: the page at `/`, a page per target, and the same as JSON.
//!
//! Owns: the journal of each target (what its latest polls and problems were), the trend of its handoff rate, the judgement
//! in words, and the markup. Never: a number of its own; what stands here is committed, or was noted by a poller.
//!
//! The way: [`Journals`], [`Trends`] and the committed generation become a [`view`], with `now` as an argument; the page and
//! the JSON are both written from that view, so that they cannot differ.

mod build_view;
mod configuration;
mod diagnosis;
mod format;
mod handoff_trend;
mod health;
mod journals;
mod page;
mod poll_history;
mod query;
mod respond;
mod target_state;
mod target_totals;
pub mod view;

pub use build_view::{ProcessInfo, StatusInputs};
pub use configuration::{ConfigurationStatus, Reload, hash};
pub use handoff_trend::{SAMPLE_INTERVAL, Trends};
pub use journals::Journals;
pub use poll_history::{Poll, PollHistory, ProblemInterval, Report};
pub use respond::answer;
pub use target_state::State;

#[cfg(test)]
mod tests;
