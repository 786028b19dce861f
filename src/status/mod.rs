//! What people see of the daemon: the page at `/`, a page per target, and the same as JSON.
//!
//! Owns: the journal of each target (what its latest polls and problems were), the trend of its handoff rate, the judgement
//! in words, and the markup. Never: a number of its own; what stands here is committed, or was noted by a poller.
//!
//! The way: [`Journals`], [`Trends`] and the committed generation become a [`view`], with `now` as an argument; the page and
//! the JSON are both written from that view, so that they cannot differ.

mod answer;
mod area;
mod condition;
mod configuration;
mod figures;
mod health;
mod journal;
mod journals;
mod page;
mod query;
mod sight;
mod trend;
pub mod view;
mod words;

pub use answer::answer;
pub use condition::State;
pub use configuration::{ConfigurationStatus, Reload, hash};
pub use journal::{Poll, PollHistory, ProblemInterval, Report};
pub use journals::Journals;
pub use sight::{ProcessInfo, StatusInputs};
pub use trend::{SAMPLE_INTERVAL, Trends};

#[cfg(test)]
mod tests;
