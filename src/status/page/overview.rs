//! The page at `/`: health, where the trouble is, and a row per target, the worst first.
//!
//! Owns: what is shown at once and what is folded, so that the page stays usable with a thousand targets.

use maud::{Markup, html};

use super::{
    DOT, PageLayout, age, as_of, badge, chart, class, dash, name, or_dash, problem, timestamp_with_age,
};
use crate::status::State;
use crate::status::format::{JsonTimestamp, bytes, count, pluralize, span, strip_control};
use crate::status::query::{Query, link};
use crate::status::view::{About, StatusView, TargetRow};

/// Up to this many targets nothing is folded.
const COLLAPSE_ABOVE: usize = 25;
/// Rows in one table; whoever looks for others filters.
const MAX_ROWS: usize = 200;

/// The page with these targets, which are all there are.
pub(in crate::status) fn overview(status: &StatusView, mut rows: Vec<TargetRow>, query: &Query) -> Markup {
    let now = status.generated_at;
    let total = rows.len();
    let window = span(rows.first().map(|row| row.recent.window_seconds.0).unwrap_or_default());
    rows.retain(|row| query.matches(&row.key));
    rows.sort_by(|a, b| (a.state, &a.key).cmp(&(b.state, &b.key)));
    let found = rows.len();
    let fold = rows.len() > COLLAPSE_ABOVE && query.text.is_none();
    let healthy = if fold {
        rows.split_off(rows.partition_point(|row| row.state < State::UpToDate))
    } else {
        Vec::new()
    };
    let health = &status.health;
    let content = html! {
        div class=(format!("health {}", class(health.tone))) role="status" {
            h1 { (health.sentence) }
            (as_of(now, query.refresh, &here(query)))
        }
        section aria-labelledby="where" {
            h2 id="where" { "Where to look" }
            dl.areas {
                @for area in &status.areas {
                    div class=(class(area.tone)) { dt { (area.area.title()) } dd { (strip_control(&area.sentence)) } }
                }
            }
        }
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
        (exporter(status))
    };
    let about = About::of(status);
    let frame = PageLayout {
        about: &about,
        title: &health.sentence,
        tone: health.tone,
        refresh: query.refresh,
        json: "api/v1/targets",
    };
    frame.render(&content)
}

/// The page as it was asked for, without its refresh.
fn here(query: &Query) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    let named = [
        ("q", &query.text),
        ("project", &query.project),
        ("region", &query.region),
        ("client_env", &query.client_env),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            pairs.append_pair(name, value);
        }
    }
    let pairs = pairs.finish();
    if pairs.is_empty() { "./".to_owned() } else { format!("./?{pairs}") }
}

fn search(query: &Query, total: usize, found: usize) -> Markup {
    html! {
        form.search role="search" method="get" action="./" {
            label for="q" { "Filter by name" }
            input id="q" name="q" type="search" value=[query.text.as_deref()] autocomplete="off" maxlength="200";
            @if let Some(seconds) = query.refresh { input type="hidden" name="refresh" value=(seconds); }
            button { "Filter" }
            span.found {
                @if found == total { (pluralize(total as u64, "target")) } @else { (count(found as u64)) " of " (pluralize(total as u64, "target")) }
            }
        }
    }
}

fn table(rows: &[TargetRow], window: &str, now: JsonTimestamp) -> Markup {
    html! {
        div.scroll {
            table.targets {
                thead {
                    tr {
                        th scope="col" { "Target" }
                        th scope="col" { "State" }
                        th scope="col" { "Last poll" }
                        th.number scope="col" { "Lag" }
                        th.number scope="col" { "Open" }
                        th.number scope="col" { "Handed off, " (window) }
                        th.number scope="col" { "Next poll" }
                    }
                }
                tbody { @for row in rows.iter().take(MAX_ROWS) { (line(row, now)) } }
            }
        }
        @if rows.len() > MAX_ROWS {
            p.more { (count((rows.len() - MAX_ROWS) as u64)) " more are not shown; filter by name to see them." }
        }
    }
}

fn line(row: &TargetRow, now: JsonTimestamp) -> Markup {
    let rows = if row.problems.is_empty() { None } else { Some(2) };
    html! {
        tr class=(class(row.state.tone())) {
            th scope="row" rowspan=[rows] {
                a href=(link("target", &row.key)) { (name(&row.project)) }
                span.where { (row.region) " / " (row.client_env) }
            }
            td.state {
                (badge(row.state))
                @if row.state != State::UpToDate { p.sentence { (strip_control(&row.sentence)) } }
            }
            td.poll { (last_poll(row, now)) }
            td.number data-label="Lag" {
                @match row.lag_seconds { Some(lag) => { (span(lag.0)) } None => { (dash()) } }
            }
            td.number data-label="Open" { (or_dash(row.open_conversations)) }
            td.number.rate data-label="Handed off" {
                div {
                    (chart::small(&row.trend, now))
                    span {
                        @match row.recent.handoff_ratio { Some(ratio) => { (ratio) } None => { (dash()) } }
                        @if let Some(number) = row.recent.conversations { span.of { "of " (count(number)) } }
                    }
                }
            }
            td.number data-label="Next poll" {
                @match (row.poll_running_since, row.next_poll_at) {
                    (Some(began), _) => { "runs for " (span(now.0.saturating_duration_since(began.0))) }
                    (None, Some(next)) if next <= now => { "now" }
                    (None, Some(next)) => { (age(next, now)) }
                    (None, None) => { (dash()) }
                }
            }
        }
        @if !row.problems.is_empty() {
            tr.problems { td colspan="6" { @for one in row.problems.iter().take(3) { (problem(one, now)) } } }
        }
    }
}

fn last_poll(row: &TargetRow, now: JsonTimestamp) -> Markup {
    let Some(poll) = row.last_poll else { return dash() };
    html! {
        div { (timestamp_with_age(poll.began_at, now)) }
        div.detail {
            (span(poll.duration_seconds.0)) (DOT) (pluralize(poll.pages.into(), "page")) (DOT) (pluralize(poll.records, "record"))
            (DOT) (bytes(poll.bytes))
        }
    }
}

fn exporter(status: &StatusView) -> Markup {
    let (now, exporter, configuration) = (status.generated_at, &status.exporter, &status.configuration);
    html! {
        section aria-labelledby="exporter" {
            h2 id="exporter" { "This exporter" }
            dl.facts {
                div { dt { "Version" } dd { (exporter.version) @if let Some(revision) = exporter.revision { " (" (revision) ")" } } }
                div { dt { "Started" } dd { (timestamp_with_age(exporter.started_at, now)) } }
                div { dt { "Listens on" } dd { (exporter.listen_addresses.join(", ")) } }
                div { dt { "State" } dd { (count(exporter.series as u64)) " series" (DOT) (bytes(exporter.state_bytes)) } }
                div { dt { "Configuration" } dd { (name(&configuration.origin)) } }
                div { dt { "Hash" } dd { code title=(configuration.hash) { (configuration.hash.chars().take(12).collect::<String>()) } } }
                div { dt { "Read" } dd { (timestamp_with_age(configuration.loaded_at, now)) } }
                div {
                    dt { "Last reload" }
                    dd {
                        @match &configuration.last_reload {
                            Some(reload) if reload.succeeded => { (timestamp_with_age(reload.at, now)) ": " (strip_control(&reload.detail)) }
                            Some(reload) => { "refused " (timestamp_with_age(reload.at, now)) pre.reason { (reload.detail) } }
                            None => { "none since the start" }
                        }
                    }
                }
            }
            details {
                summary { "Settings of all targets" }
                (super::target::settings(&configuration.settings))
            }
        }
    }
}
