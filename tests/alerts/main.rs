//! The rules, their runbooks and the example for Alertmanager, tested with promtool and amtool.

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
