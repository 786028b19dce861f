//! The page of one target.

use maud::{Markup, html};

use super::chart;
use super::layout::{
    PageLayout, as_of, badge, class, dash, data_age, facts, figure, name, problem, section, settings,
    table_head, timestamp_with_age,
};
use crate::exporter_metrics::BuildInfo;
use crate::status::format::{JsonTimestamp, Ratio, bytes, count, span, strip_control};
use crate::status::poll_history::Poll;
use crate::status::query::{Query, link};
use crate::status::target_state::{Severity, State};
use crate::status::view::{ProblemView, TargetRow, TargetView};

/// Above this number of polls, earlier ones are collapsed.
const COLLAPSE_POLLS_ABOVE: usize = 10;

pub(in crate::status) fn target(build: &BuildInfo, view: &TargetView, query: &Query) -> Markup {
    let (now, row) = (view.generated_at, &view.target);
    let title = strip_control(&row.key.to_string());
    let problems = html! { @for one in &row.problems { (problem(one, now)) } };
    let window = span(row.recent.window_seconds.0);
    let calls = match row.last_success_at {
        Some(at) if row.stale => format!("Calls of the {window} before {}", at.hh_mm(now)),
        None if row.stale => format!("Calls of the {window} before the last restart"),
        Some(_) | None => format!("Calls of the last {window}"),
    };
    let content = html! {
        div class=(format!("health {}", class(row.state.severity()))) role="status" {
            p.crumb { a href="./" { "Targets" } " / " (row.key.region) " / " (row.key.client_env) }
            h1 { (name(&row.key.project)) " " (badge(row.state)) }
            @if row.state != State::UpToDate { p.sentence { (strip_control(&row.sentence)) "." } }
            @if row.stale { p.sentence { "The numbers below are not current: they are " (data_age(row)) "." } }
            (as_of(now, query.refresh, &link("target", &row.key)))
        }
        @if !row.problems.is_empty() { (section("now", "What to do", &problems)) }
        (section("figures", "Reading", &figures(row, now)))
        (section("calls", &calls, &recent(view)))
        (section("polls", "Polls", &polls(&view.polls, now)))
        (section("problems", "Problems since the start", &history(&view.problem_history, now)))
        (section("settings", "Settings", &settings(&view.settings)))
    };
    let (json, severity, refresh) = (link("api/v1/target", &row.key), row.state.severity(), query.refresh);
    PageLayout { build, title: &title, severity, refresh, json: &json }.render(&content)
}

/// The page for a target that is not configured.
pub(in crate::status) fn target_not_found(build: &BuildInfo, query: &Query) -> Markup {
    let content = html! {
        div.health.warn role="status" {
            h1 { "There is no such target." }
            p.sentence {
                "The active configuration has no target with this project, region and client environment. A reload may have \
                 removed or renamed it. "
                a href="./" { "All targets" } "."
            }
        }
    };
    // Refreshing continues, because another reload may add the target again.
    let (title, severity, refresh) = ("No such target", Severity::Warn, query.refresh);
    PageLayout { build, title, severity, refresh, json: "api/v1/targets" }.render(&content)
}

fn recent(view: &TargetView) -> Markup {
    let row = &view.target;
    let ratio = |ratio: Option<Ratio>| figure(row, ratio.map(|ratio| ratio.to_string()));
    let list = [
        ("Ended", figure(row, row.recent.conversations.map(count))),
        ("Handed off", ratio(row.recent.handoff_ratio)),
        ("Turns out of domain", ratio(row.recent.ood_turn_ratio)),
        ("Silent turns", ratio(row.recent.silence_turn_ratio)),
    ];
    html! {
        (facts("facts wide", list))
        h3 { "Handed off, over time" }
        (chart::large(&view.handoff_history, view.generated_at))
    }
}

fn figures(row: &TargetRow, now: JsonTimestamp) -> Markup {
    let time = |at: Option<JsonTimestamp>| at.map_or_else(dash, |at| timestamp_with_age(at, now));
    let last_success = match row.last_success_at {
        Some(at) => timestamp_with_age(at, now),
        None => html! { "none since the start" },
    };
    let next_poll = match row.poll_running_since {
        Some(began) => html! { "running since " (timestamp_with_age(began, now)) },
        None => time(row.next_poll_at),
    };
    let list = [
        ("Last success", last_success),
        ("Read up to", time(row.read_to)),
        ("Next poll", next_poll),
        ("Failed polls in a row", html! { (row.failed_polls) }),
        ("Open", figure(row, row.open_conversations.map(count))),
        ("Tracked", figure(row, row.followed_conversations.map(count))),
        ("Longest open, since", time(row.oldest_open_started_at)),
        ("Newest counted, ended", time(row.last_conversation_ended_at)),
        ("Counts conversations since", time(row.counts_since)),
        ("Counted", figure(row, row.conversations_counted.map(count))),
        ("Handed off", figure(row, row.handoffs_counted.map(count))),
    ];
    facts("facts", list)
}

fn scrollable(label: &str, class: &str, content: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby=(label) { table class=(class) { (content) } }
    }
}

fn polls(polls: &[Poll], now: JsonTimestamp) -> Markup {
    let (latest, earlier) = polls.split_at(polls.len().min(COLLAPSE_POLLS_ABOVE));
    html! {
        @if latest.is_empty() { p.empty { "None has finished yet." } } @else { (polls_table(latest, now)) }
        @if !earlier.is_empty() {
            details { summary { "Earlier " (earlier.len()) } (polls_table(earlier, now)) }
        }
    }
}

fn polls_table(polls: &[Poll], now: JsonTimestamp) -> Markup {
    let columns = [
        "Start", "Result", "Duration", "Ranges", "Requests", "Pages", "Records", "Rejected", "Counted",
        "Received",
    ];
    let row = |poll: &Poll| {
        let numbers = [
            span(poll.took),
            poll.walks.to_string(),
            poll.traffic.requests.to_string(),
            poll.traffic.pages.to_string(),
            count(poll.records),
            count(poll.rejected),
            count(poll.counted),
            bytes(poll.traffic.bytes),
        ];
        html! {
            tr class=(if poll.failure.is_some() { "bad" } else { "good" }) {
                td { (timestamp_with_age(JsonTimestamp(poll.began), now)) }
                td { @match poll.failure { Some(problem) => { code { (problem.code()) } } None => { "succeeded" } } }
                @for number in numbers { td.number { (number) } }
            }
        }
    };
    let content = html! { (table_head(&columns, 2)) tbody { @for poll in polls { (row(poll)) } } };
    scrollable("polls", "polls", &content)
}

fn history(problems: &[ProblemView], now: JsonTimestamp) -> Markup {
    if problems.is_empty() {
        return html! { p.empty { "None." } };
    }
    let content = html! {
        (table_head(&["Problem", "Since", "Until", "Last error"], 4))
        tbody {
            @for problem in problems {
                tr {
                    td { a href=(problem.documentation) rel="noreferrer" { code { (problem.problem.code()) } } }
                    td { (timestamp_with_age(problem.since, now)) }
                    td { @match problem.until { Some(until) => { (timestamp_with_age(until, now)) } None => { strong { "active" } } } }
                    td.reason { (strip_control(problem.reason.as_deref().unwrap_or(problem.title))) }
                }
            }
        }
    };
    scrollable("problems", "history", &content)
}
