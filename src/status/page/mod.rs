//! The pages: markup around a view.
//!
//! Owns: the frame of each page, and how times and states look. All text goes through `maud`, which escapes it. Never: script,
//! a style in an attribute, or anything from elsewhere; links are relative, so that a prefix in front does no harm.

mod chart;
mod overview;
mod target;

use std::sync::LazyLock;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(super) use overview::overview;
pub(super) use target::{target, target_not_found};

use super::format::{JsonTimestamp, count, strip_control};
use super::target_state::{Severity, State};
use super::view::{About, ProblemView};

/// The style of all pages.
pub(super) const STYLE: &str = include_str!("style.css");

const DOCUMENTATION: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "#readme");

/// The address of the style sheet: another one when it changes.
static STYLE_LINK: LazyLock<String> = LazyLock::new(|| {
    let digest = ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes());
    let short: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("style.css?v={short}")
});

/// What differs from page to page outside of its content.
struct PageLayout<'a> {
    about: &'a About,
    title: &'a str,
    tone: Severity,
    refresh: Option<u32>,
    /// The JSON with the same content.
    json: &'a str,
}

impl PageLayout<'_> {
    fn render(&self, content: &Markup) -> Markup {
        let about = self.about;
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
                    link rel="icon" href=(icon(self.tone));
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        a.brand href="./" { "polyai-exporter" }
                        span.version {
                            (about.version)
                            @if let Some(revision) = about.revision { " · " (revision) }
                        }
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

/// A dot in the colour of the tone, within the page itself.
fn icon(tone: Severity) -> String {
    let colour = match tone {
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

/// When the page was written, and how it is kept current.
fn as_of(now: JsonTimestamp, refresh: Option<u32>, here: &str) -> Markup {
    let and = if here.contains('?') { '&' } else { '?' };
    html! {
        p.asof {
            "As of " time datetime=(now.rfc3339()) { (now.clock_to_the_second(now)) " UTC" } ". "
            @match refresh {
                Some(seconds) => { "Refreshed every " (seconds) " s; " a href=(here) { "stop" } "." }
                None => { a href=(format!("{here}{and}refresh=30")) { "Refresh every 30 s" } "." }
            }
        }
    }
}

/// A point in time with how long ago it is.
fn timestamp_with_age(at: JsonTimestamp, now: JsonTimestamp) -> Markup {
    html! {
        time datetime=(at.rfc3339()) title=(at.rfc3339()) { (at.clock_to_the_second(now)) }
        " " span.ago { "(" (at.from(now)) ")" }
    }
}

/// How long ago, with the point in time on demand.
fn age(at: JsonTimestamp, now: JsonTimestamp) -> Markup {
    html! { time datetime=(at.rfc3339()) title=(at.rfc3339()) { (at.from(now)) } }
}

/// The state in a word; the shape before it tells it without colour.
fn badge(state: State) -> Markup {
    html! { span class=(format!("badge {}", class(state.tone()))) { (state.label()) } }
}

const fn class(tone: Severity) -> &'static str {
    match tone {
        Severity::Good => "good",
        Severity::Wait => "wait",
        Severity::Warn => "warn",
        Severity::Bad => "bad",
    }
}

/// A name of the configuration: kept apart from the direction of the text around it.
fn name(text: &str) -> Markup {
    html! { bdi { (strip_control(text)) } }
}

/// What is wrong, what was seen, what to do.
fn problem(problem: &ProblemView, now: JsonTimestamp) -> Markup {
    html! {
        div class=(if problem.stops_polling { "problem bad" } else { "problem warn" }) {
            p.what {
                a href=(problem.documentation) rel="noreferrer" { code { (problem.code) } }
                " since " (timestamp_with_age(problem.since, now))
            }
            p.advice { (problem.advice) }
            @if let Some(reason) = &problem.reason { p.reason { "Seen last: " (strip_control(reason)) } }
        }
    }
}

/// A number, or that it is not known.
fn or_dash(number: Option<u64>) -> Markup {
    number.map_or_else(dash, |number| html! { (count(number)) })
}

fn dash() -> Markup {
    html! { span.none { "–" } }
}

/// Between figures that belong together.
const DOT: PreEscaped<&str> = PreEscaped(" <span class=\"dot\" aria-hidden=\"true\">·</span> ");
