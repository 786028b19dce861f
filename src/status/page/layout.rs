//! The frame of all pages, and the fragments that they share. maud escapes all text.

use std::sync::LazyLock;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::exporter_metrics::BuildInfo;
use crate::status::configuration::hex_digest;
use crate::status::format::{JsonTimestamp, span, strip_control};
use crate::status::target_state::{Severity, State};
use crate::status::view::{ProblemView, SettingsView, TargetRow};

/// The style sheet of all pages.
pub(in crate::status) const STYLE: &str = include_str!("style.css");

const DOCUMENTATION: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "#readme");

/// The hash makes browsers load a changed style sheet.
static STYLE_LINK: LazyLock<String> = LazyLock::new(|| {
    let hash: String = hex_digest(STYLE.as_bytes()).chars().take(8).collect();
    format!("style.css?v={hash}")
});

pub(super) struct PageLayout<'a> {
    pub(super) build: &'a BuildInfo,
    pub(super) title: &'a str,
    pub(super) severity: Severity,
    pub(super) refresh: Option<u32>,
    /// The link to the same content as JSON.
    pub(super) json: &'a str,
}

impl PageLayout<'_> {
    pub(super) fn render(&self, content: &Markup) -> Markup {
        let BuildInfo { version, revision, .. } = *self.build;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    @if let Some(seconds) = self.refresh { meta http-equiv="refresh" content=(seconds); }
                    title { (self.title) " · polyai-exporter" }
                    link rel="stylesheet" href=(*STYLE_LINK);
                    link rel="icon" href=(icon(self.severity));
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        a.brand href="./" { "polyai-exporter" }
                        span.version { (version) @if let Some(revision) = revision { " · " (revision) } }
                        nav aria-label="Pages" {
                            a href="./" { "Targets" }
                            a href="metrics" { "Metrics" }
                            a href=(self.json) { "JSON" }
                            a href="-/ready" { "Ready" }
                            a href="-/healthy" { "Healthy" }
                            a href=(DOCUMENTATION) rel="noreferrer" { "Documentation" }
                        }
                    }
                    main id="main" { (content) }
                    footer { "All times are UTC. Numbers are those of the last commit, as on /metrics." }
                }
            }
        }
    }
}

/// A dot in the colour of the severity, as a data URL.
fn icon(severity: Severity) -> String {
    let colour = match severity {
        Severity::Good => "2f7d4f",
        Severity::Wait => "3567a8",
        Severity::Warn => "b26a00",
        Severity::Bad => "c22f2f",
    };
    format!(
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' \
         r='7' fill='%23{colour}'/%3E%3C/svg%3E"
    )
}

/// The time of the page, and the link that starts or stops its refresh; `here` is the page without refresh.
pub(super) fn as_of(now: JsonTimestamp, refresh: Option<u32>, here: &str) -> Markup {
    let and = if here.contains('?') { '&' } else { '?' };
    html! {
        p.asof {
            "As of " time datetime=(now.0) { (now.hh_mm_ss(now)) " UTC" } ". "
            @match refresh {
                Some(seconds) => { "Refreshed every " (seconds) " s; " a href=(here) { "stop" } "." }
                None => { a href=(format!("{here}{and}refresh=30")) { "Refresh every 30 s" } "." }
            }
        }
    }
}

/// A time and its age.
pub(super) fn timestamp_with_age(at: JsonTimestamp, now: JsonTimestamp) -> Markup {
    html! {
        time datetime=(at.0) title=(at.0) { (at.hh_mm_ss(now)) }
        " " span.ago { "(" (at.relative(now)) ")" }
    }
}

/// The age of a time, which is its tooltip.
pub(super) fn age(at: JsonTimestamp, now: JsonTimestamp) -> Markup {
    html! { time datetime=(at.0) title=(at.0) { (at.relative(now)) } }
}

/// The state; the style sheet adds a shape, which shows the severity without colours.
pub(super) fn badge(state: State) -> Markup {
    html! { span class=(format!("badge {}", class(state.severity()))) { (state.label()) } }
}

pub(super) const fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Good => "good",
        Severity::Wait => "wait",
        Severity::Warn => "warn",
        Severity::Bad => "bad",
    }
}

/// A configured name, isolated from the direction of the text around it.
pub(super) fn name(text: &str) -> Markup {
    html! { bdi { (strip_control(text)) } }
}

pub(super) fn problem(problem: &ProblemView, now: JsonTimestamp) -> Markup {
    html! {
        div class=(if problem.stops_polling { "problem bad" } else { "problem warn" }) {
            p.what {
                a href=(problem.documentation) rel="noreferrer" { code { (problem.problem.code()) } }
                " since " (timestamp_with_age(problem.since, now))
            }
            p.advice { (problem.advice) }
            @if let Some(reason) = &problem.reason { p.reason { "Last error: " (strip_control(reason)) } }
        }
    }
}

/// A number of `row` that is present only while its data is fresh; otherwise it is marked with its age.
pub(super) fn figure(row: &TargetRow, number: Option<String>) -> Markup {
    let Some(text) = number else { return dash() };
    html! {
        @if row.stale { span.old { (text) } span.of { (data_age(row)) } } @else { (text) }
    }
}

/// `2 h 14 min old`
pub(super) fn data_age(row: &TargetRow) -> String {
    row.data_age_seconds.map_or_else(|| "of unknown age".to_owned(), |age| format!("{} old", span(age.0)))
}

pub(super) fn dash() -> Markup {
    html! { span.none { "–" } }
}

/// Separates related numbers.
pub(super) const DOT: PreEscaped<&str> = PreEscaped(" <span class=\"dot\" aria-hidden=\"true\">·</span> ");

/// A list of labelled values.
pub(super) fn facts<const N: usize>(class: &str, facts: [(&str, Markup); N]) -> Markup {
    html! { dl class=(class) { @for (label, value) in facts { div { dt { (label) } dd { (value) } } } } }
}

/// The head of a table; the first `texts` columns are text, the others numbers.
pub(super) fn table_head(columns: &[&str], texts: usize) -> Markup {
    html! {
        thead {
            tr {
                @for (index, column) in columns.iter().enumerate() {
                    th.number[index >= texts] scope="col" { (column) }
                }
            }
        }
    }
}

/// A section with its heading.
pub(super) fn section(id: &str, heading: &str, content: &Markup) -> Markup {
    html! { section aria-labelledby=(id) { h2 id=(id) { (heading) } (content) } }
}

pub(super) fn settings(settings: &SettingsView) -> Markup {
    html! {
        table.settings {
            tbody { @for (key, value) in settings { tr { th scope="row" { code { (key) } } td { (name(value)) } } } }
        }
    }
}
