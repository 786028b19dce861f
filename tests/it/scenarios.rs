//! Scenarios of the whole exporter against the simulated API, in virtual time.

mod cost;
mod dialects;
mod drift;
mod faults;
mod freshness;
mod history;
mod isolation;
mod log;
mod one_call;
mod problems;
mod records;
mod recount;
mod reload;
mod status;
mod time;
mod untrue_records;
mod watch;
