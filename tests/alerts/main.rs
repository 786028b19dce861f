//! The rules, their runbooks and the example for Alertmanager: current, sound, and right on a real Prometheus' rule engine.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose scene cannot be set has failed")]

mod coverage;
mod quiet_week;
mod lint;
mod names;
mod promtool;
mod routes;
mod rules;
mod runbooks;
mod promql_ast;
mod values;
