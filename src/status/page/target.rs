//! The page of one target: all that is known of it, the latest first.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{PageLayout, as_of, badge, chart, class, dash, name, or_dash, problem, timestamp_with_age};
use crate::status::format::{JsonTimestamp, bytes, count, span, strip_control};
use crate::status::query::{Query, link};
use crate::status::target_state::{Severity, State};
use crate::status::view::{About, PollView, ProblemView, Ratio, TargetRow, TargetView};

/// Polls that are shown at once.
const FEW_POLLS: usize = 10;

/// The page of `view`.
pub(in crate::status) fn target(about: &About, view: &TargetView, query: &Query) -> Markup {
    let (now, row) = (view.generated_at, &view.target);
    let title = strip_control(&row.key.to_string());
    let window = span(row.recent.window_seconds.0);
    let content = html! {
        div class=(format!("health {}", class(row.state.tone()))) role="status" {
            p.crumb { a href="./" { "Targets" } " / " (row.region) " / " (row.client_env) }
            h1 { (name(&row.project)) " " (badge(row.state)) }
            @if row.state != State::UpToDate { p.sentence { (strip_control(&row.sentence)) "." } }
            (as_of(now, query.refresh, &link("target", &row.key)))
        }
        @if !row.problems.is_empty() {
            section aria-labelledby="now" {
                h2 id="now" { "What to do" }
                @for one in &row.problems { (problem(one, now)) }
            }
        }
        section aria-labelledby="figures" {
            h2 id="figures" { "Reading" }
            (figures(row, now))
        }
        section aria-labelledby="calls" {
            h2 id="calls" { "Calls of the last " (window) }
            dl.facts.wide {
                div { dt { "Ended" } dd { (or_dash(row.recent.conversations)) } }
                div { dt { "Handed off" } dd { (ratio(row.recent.handoff_ratio)) } }
                div { dt { "Turns out of domain" } dd { (ratio(row.recent.ood_turn_ratio)) } }
                div { dt { "Silent turns" } dd { (ratio(row.recent.silence_turn_ratio)) } }
            }
            h3 { "Handed off, over time" }
            (chart::large(&view.handoff_history, now))
        }
        section aria-labelledby="polls" {
            h2 id="polls" { "Polls" }
            (polls(&view.polls, now))
        }
        section aria-labelledby="problems" {
            h2 id="problems" { "Problems since the start" }
            (history(&view.problem_history, now))
        }
        section aria-labelledby="settings" {
            h2 id="settings" { "Settings" }
            (settings(&view.settings))
        }
    };
    let json = link("api/v1/target", &row.key);
    let frame =
        PageLayout { about, title: &title, tone: row.state.tone(), refresh: query.refresh, json: &json };
    frame.render(&content)
}

/// The page for a target that is not configured.
pub(in crate::status) fn target_not_found(about: &About, query: &Query) -> Markup {
    let content = html! {
        div.health.warn role="status" {
            h1 { "There is no such target." }
            p.sentence {
                "The configuration in force has no target of this project, region and client environment. It may have been \
                 removed or renamed by a reload. "
                a href="./" { "All targets" } "."
            }
        }
    };
    // It may come back as it went.
    let (title, refresh) = ("No such target", query.refresh);
    let frame = PageLayout { about, title, tone: Severity::Warn, refresh, json: "api/v1/targets" };
    frame.render(&content)
}

fn ratio(ratio: Option<Ratio>) -> Markup {
    ratio.map_or_else(dash, |ratio| html! { (ratio) })
}

fn time(at: Option<JsonTimestamp>, now: JsonTimestamp) -> Markup {
    at.map_or_else(dash, |at| timestamp_with_age(at, now))
}

fn figures(row: &TargetRow, now: JsonTimestamp) -> Markup {
    html! {
        dl.facts {
            div {
                dt { "Last success" }
                dd {
                    @match row.last_success_at {
                        Some(at) => { (timestamp_with_age(at, now)) }
                        None => { "none since the start" }
                    }
                }
            }
            div { dt { "Read up to" } dd { (time(row.read_to, now)) } }
            div {
                dt { "Next poll" }
                dd {
                    @match row.poll_running_since {
                        Some(began) => { "running since " (timestamp_with_age(began, now)) }
                        None => { (time(row.next_poll_at, now)) }
                    }
                }
            }
            div { dt { "Failed polls in a row" } dd { (row.failed_polls) } }
            div { dt { "Open" } dd { (or_dash(row.open_conversations)) } }
            div { dt { "Followed" } dd { (or_dash(row.followed_conversations.map(|number| number as u64))) } }
            div { dt { "Longest open, since" } dd { (time(row.oldest_open_started_at, now)) } }
            div { dt { "Newest counted, ended" } dd { (time(row.last_conversation_ended_at, now)) } }
            div { dt { "Counts what ended since" } dd { (time(row.counts_since, now)) } }
            div { dt { "Counted" } dd { (count(row.conversations_counted)) } }
            div { dt { "Handed off" } dd { (count(row.handoffs_counted)) } }
        }
    }
}

fn polls(polls: &[PollView], now: JsonTimestamp) -> Markup {
    let (latest, earlier) = polls.split_at(polls.len().min(FEW_POLLS));
    html! {
        @if latest.is_empty() { p.empty { "None has ended yet." } } @else { (polls_table(latest, now)) }
        @if !earlier.is_empty() {
            details { summary { "The " (earlier.len()) " before" } (polls_table(earlier, now)) }
        }
    }
}

fn polls_table(polls: &[PollView], now: JsonTimestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="polls" {
            table.polls {
                thead {
                    tr {
                        th scope="col" { "Began" }
                        th scope="col" { "Outcome" }
                        th.number scope="col" { "Took" }
                        th.number scope="col" { "Walks" }
                        th.number scope="col" { "Requests" }
                        th.number scope="col" { "Pages" }
                        th.number scope="col" { "Records" }
                        th.number scope="col" { "Rejected" }
                        th.number scope="col" { "Counted" }
                        th.number scope="col" { "Received" }
                    }
                }
                tbody { @for poll in polls { (poll_line(poll, now)) } }
            }
        }
    }
}

fn poll_line(poll: &PollView, now: JsonTimestamp) -> Markup {
    html! {
        tr class=(if poll.problem.is_some() { "bad" } else { "good" }) {
            td { (timestamp_with_age(poll.began_at, now)) }
            td { @match poll.problem { Some(code) => { code { (code) } } None => { "succeeded" } } }
            td.number { (span(poll.duration_seconds.0)) }
            td.number { (poll.walks) }
            td.number { (poll.requests) }
            td.number { (poll.pages) }
            td.number { (count(poll.records)) }
            td.number { (count(poll.rejected)) }
            td.number { (count(poll.counted)) }
            td.number { (bytes(poll.bytes)) }
        }
    }
}

fn history(problems: &[ProblemView], now: JsonTimestamp) -> Markup {
    if problems.is_empty() {
        return html! { p.empty { "None." } };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="problems" {
            table.history {
                thead {
                    tr {
                        th scope="col" { "Problem" }
                        th scope="col" { "Since" }
                        th scope="col" { "Until" }
                        th scope="col" { "Seen last" }
                    }
                }
                tbody {
                    @for problem in problems {
                        tr {
                            td { a href=(problem.documentation) rel="noreferrer" { code { (problem.code) } } }
                            td { (timestamp_with_age(problem.since, now)) }
                            td { @match problem.until { Some(until) => { (timestamp_with_age(until, now)) } None => { strong { "lasts" } } } }
                            td.reason {
                                @match &problem.reason { Some(reason) => { (strip_control(reason)) } None => { (problem.title) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Keys and values of the configuration.
pub(super) fn settings(settings: &BTreeMap<&'static str, String>) -> Markup {
    html! {
        table.settings {
            tbody { @for (key, value) in settings { tr { th scope="row" { code { (key) } } td { (name(value)) } } } }
        }
    }
}
