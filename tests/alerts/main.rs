//! The rules, their runbooks and the example for Alertmanager, tested with promtool and amtool.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose setup fails has failed")]

mod clocks_change;
mod coverage;
mod failing_scrapes;
mod lint;
mod names;
mod promql_ast;
mod promtool;
mod quiet_week;
mod routes;
mod rules;
mod runbooks;
mod scrape_configs;
mod values;
