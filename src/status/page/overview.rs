//! The page at `/`: overall health, the fault domains, and a row per target, worst first.

use maud::{Markup, html};

use super::chart;
use super::layout::{
    DOT, PageLayout, age, as_of, badge, class, dash, facts, figure, name, problem, section, settings,
    table_head, timestamp_with_age,
};
use crate::exporter_metrics::BuildInfo;
use crate::status::format::{JsonTimestamp, bytes, count, pluralize, span, strip_control};
use crate::status::query::{Query, link};
use crate::status::target_state::State;
use crate::status::view::{StatusView, TargetRow};

/// Above this number of targets, healthy ones are collapsed.
const COLLAPSE_ABOVE: usize = 25;
/// Rows of a table, so that a page with a thousand targets remains usable.
const MAX_ROWS: usize = 200;
/// Problems in a row.
const MAX_PROBLEMS: usize = 3;

/// The page; `rows` are all targets.
pub(in crate::status) fn overview(
    build: &BuildInfo,
    status: &StatusView<'_>,
    mut rows: Vec<TargetRow>,
    query: &Query,
) -> Markup {
    let (now, health) = (status.generated_at, &status.health);
    let total = rows.len();
    let window = span(rows.first().map(|row| row.recent.window_seconds.0).unwrap_or_default());
    rows.retain(|row| query.matches(&row.key));
    rows.sort_by(|a, b| (a.state, &a.key).cmp(&(b.state, &b.key)));
    let found = rows.len();
    let is_collapsed = found > COLLAPSE_ABOVE && query.text.is_none();
    let first_healthy = rows.partition_point(|row| row.state < State::UpToDate);
    let healthy = rows.split_off(if is_collapsed { first_healthy } else { found });
    let areas = html! {
        dl.areas {
            @for area in &status.areas {
                div class=(class(area.severity)) { dt { (area.area.title()) } dd { (strip_control(&area.sentence)) } }
            }
        }
    };
    let content = html! {
        div class=(format!("health {}", class(health.severity))) role="status" {
            h1 { (health.sentence) }
            (as_of(now, query.refresh, &query.overview_link()))
        }
        (section("where", "Where to look", &areas))
        section aria-labelledby="targets" {
            div.heading {
                h2 id="targets" { "Targets" }
                (search(query, total, found))
            }
            @if !rows.is_empty() { (table(&rows, &window, now)) }
            @if found == 0 { p.empty { "No target matches. " a href="./" { "Show all" } "." } }
            @if !healthy.is_empty() {
                details open[rows.is_empty()] {
                    summary { (pluralize(healthy.len() as u64, "target")) " up to date" }
                    (table(&healthy, &window, now))
                }
            }
        }
        (section("exporter", "This exporter", &exporter(status)))
    };
    let (title, severity, refresh) = (&health.sentence, health.severity, query.refresh);
    PageLayout { build, title, severity, refresh, json: "api/v1/targets" }.render(&content)
}

fn search(query: &Query, total: usize, found: usize) -> Markup {
    html! {
        form.search role="search" method="get" action="./" {
            label for="q" { "Filter by name" }
            input id="q" name="q" type="search" value=[query.text.as_deref()] autocomplete="off" maxlength="200";
            @if let Some(seconds) = query.refresh { input type="hidden" name="refresh" value=(seconds); }
            button { "Filter" }
            span.found {
                @if found != total { (count(found as u64)) " of " }
                (pluralize(total as u64, "target"))
            }
        }
    }
}

fn table(rows: &[TargetRow], window: &str, now: JsonTimestamp) -> Markup {
    let handed_off = format!("Handed off, {window}");
    let columns = ["Target", "State", "Last poll", "Lag", "Open", &handed_off, "Next poll"];
    html! {
        div.scroll {
            table.targets {
                (table_head(&columns, 3))
                tbody { @for row in rows.iter().take(MAX_ROWS) { (table_row(row, now)) } }
            }
        }
        @if rows.len() > MAX_ROWS {
            p.more { (count((rows.len() - MAX_ROWS) as u64)) " more are not shown; filter by name to see them." }
        }
    }
}

fn table_row(row: &TargetRow, now: JsonTimestamp) -> Markup {
    let row_span = if row.problems.is_empty() { None } else { Some(2) };
    html! {
        tr class=(class(row.state.severity())) {
            th scope="row" rowspan=[row_span] {
                a href=(link("target", &row.key)) { (name(&row.key.project)) }
                span.where { (row.key.region) " / " (row.key.client_env) }
            }
            td.state {
                (badge(row.state))
                @if row.state != State::UpToDate { p.sentence { (strip_control(&row.sentence)) } }
            }
            td.poll {
                @if let Some(poll) = row.last_poll {
                    div { (timestamp_with_age(JsonTimestamp(poll.began), now)) }
                    div.detail {
                        (span(poll.took)) (DOT) (pluralize(poll.traffic.pages.into(), "page")) (DOT)
                        (pluralize(poll.records, "record")) (DOT) (bytes(poll.traffic.bytes))
                    }
                } @else { (dash()) }
            }
            td.number data-label="Lag" {
                @match row.lag_seconds { Some(lag) => { (span(lag.0)) } None => { (dash()) } }
            }
            td.number data-label="Open" { (figure(row, row.open_conversations.map(count))) }
            td.number.rate data-label="Handed off" {
                div {
                    (chart::small(&row.trend, now))
                    span {
                        (figure(row, row.recent.handoff_ratio.map(|ratio| ratio.to_string())))
                        @if let Some(number) = row.recent.conversations { span.of { "of " (count(number)) } }
                    }
                }
            }
            td.number data-label="Next poll" {
                @match (row.poll_running_since, row.next_poll_at) {
                    (Some(began), _) => { "running for " (span(began.age(now))) }
                    (None, Some(next)) if next <= now => { "now" }
                    (None, Some(next)) => { (age(next, now)) }
                    (None, None) => { (dash()) }
                }
            }
        }
        @if !row.problems.is_empty() {
            tr.problems {
                td colspan="6" {
                    @for one in row.problems.iter().take(MAX_PROBLEMS) { (problem(one, now)) }
                    @if row.problems.len() > MAX_PROBLEMS { p.more { (row.problems.len() - MAX_PROBLEMS) " more" } }
                }
            }
        }
    }
}

fn exporter(status: &StatusView<'_>) -> Markup {
    let (now, exporter, configuration) = (status.generated_at, &status.exporter, &status.configuration);
    let short_hash: String = configuration.hash.chars().take(12).collect();
    let last_reload = html! {
        @match &configuration.status.last_reload {
            Some(reload) if reload.succeeded => { (timestamp_with_age(JsonTimestamp(reload.at), now)) ": " (strip_control(&reload.detail)) }
            Some(reload) => { "failed " (timestamp_with_age(JsonTimestamp(reload.at), now)) pre.reason { (reload.detail) } }
            None => { "none since the start" }
        }
    };
    let list = [
        (
            "Version",
            html! { (exporter.version) @if let Some(revision) = exporter.revision { " (" (revision) ")" } },
        ),
        ("Started", timestamp_with_age(exporter.started_at, now)),
        ("Listens on", html! { (exporter.listen_addresses.join(", ")) }),
        ("State", html! { (count(exporter.series as u64)) " series" (DOT) (bytes(exporter.state_bytes)) }),
        ("Configuration", name(&configuration.status.origin)),
        ("Hash", html! { code title=(configuration.hash) { (short_hash) } }),
        ("Loaded", timestamp_with_age(JsonTimestamp(configuration.status.loaded_at), now)),
        ("Last reload", last_reload),
    ];
    html! {
        (facts("facts", list))
        details {
            summary { "Settings of all targets" }
            (settings(&configuration.settings))
        }
    }
}
