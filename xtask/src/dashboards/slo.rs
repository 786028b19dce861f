//! *PolyAI / SLO*: is the month's budget at stake, where, and how fast does it burn? All of it reads what the rules of
//! `alerts/` record, so that goals and numbers are theirs.

use crate::dashboards::dashboard::Dashboard;
use crate::dashboards::field::{BAD, Field, GOOD, NEUTRAL, WARN};
use crate::dashboards::measures::age_field;
use crate::dashboards::panel::Panel;
use crate::dashboards::query::{Scope, min_by, recorded, sum_by};
use crate::dashboards::signals::TARGET_LEGEND;
use crate::dashboards::table::{Table, judged, plain, text, words};
use crate::dashboards::variables::Variables;

/// A page from here on, over one hour; see `PolyAIReplyLatencyBudgetBurnFast`.
const FAST: f64 = 14.4;
/// A page from here on, over six hours.
const BRISK: f64 = 6.0;
/// A ticket from here on, over one day.
const SLOW: f64 = 3.0;
/// A ticket from here on, over three days: at 1 the budget lasts exactly the month.
const STEADY: f64 = 1.0;

const NO_RULES: &str = "Nothing is recorded: this needs the rules of alerts/, and replies to count.";
const FEW: &str = "few replies";

const INTRO: &str = "**Is the month's budget at stake, where, and how fast does it burn?** *Replies*: good is one within the bound of the goal \
    (3.5 s unless changed); greetings do not count. *Data*: good is a minute in which it was fresh. Burn rate 1 spends the budget in just \
    30 days; below **$min_events** replies in its window it is left out. Where less than 30 days are stored, those are the month.";

pub(crate) fn dashboard() -> Dashboard {
    let variables = Variables::common().targets().events();
    let about = "Whether the budgets of the goals for replies and for fresh data are at stake.";
    let dashboard =
        Dashboard::new("polyai-slo", "SLO", about, "now-30d", variables).panel(24, 2, Panel::text(INTRO));
    let dashboard = now(dashboard).panel(24, 8, budgets());
    let handled = "target:polyai_handoffs_per_conversation:ratio30d";
    dashboard
        .row("Replies in time")
        .panel(8, 8, budget_over_time("reply_latency"))
        .panel(
            8,
            8,
            burn_over_time("1h", BRISK, FAST, "A page is due over 14.4 in one hour, or over 6 in six."),
        )
        .panel(
            8,
            8,
            burn_over_time("1d", STEADY, SLOW, "A ticket is due over 3 in one day, or over 1 in three."),
        )
        .row("Fresh data")
        .panel(10, 8, freshness())
        .panel(7, 8, budget_over_time("freshness"))
        .panel(7, 8, fresh_over_time())
        .closed_row(
            "Handled without a handoff: a business goal, whose alert is off unless you enable it",
            None,
            vec![
                (12, 8, budget_over_time("handled")),
                (
                    12,
                    8,
                    Panel::lines(
                        "Handled, over 30 days",
                        "Share of the conversations of the last 30 days that ended without a handoff.",
                        Field::share().set("max", 1).missing(NO_RULES),
                    )
                    .over_time(format!("1 - {}", recorded(handled)), TARGET_LEGEND),
                ),
            ],
        )
}

/// The error budget, as a ratio.
fn allowed(slo: &str) -> String {
    format!("on () group_left () (1 - max({}))", goal(slo))
}

fn goal(slo: &str) -> String {
    format!("slo:polyai_goal:ratio{{slo=\"{slo}\"}}")
}

fn budget_left(slo: &str) -> String {
    recorded("target:polyai_budget_left:ratio30d").and(&format!("slo=\"{slo}\"")).to_string()
}

/// The burn rate of the budget for replies, where the window holds enough replies.
fn burn(window: &str) -> String {
    let slow = recorded(&format!("target:polyai_slow_replies_per_reply:ratio{window}"));
    let replies = recorded(&format!("target:polyai_replies:increase{window}"));
    format!("{slow} / {} and {replies} >= $min_events", allowed("reply_latency"))
}

fn budget_field() -> Field {
    Field::unit("percentunit", 0).steps(&[(None, BAD), (Some(0.0), WARN), (Some(0.25), GOOD)])
}

fn now(dashboard: Dashboard) -> Dashboard {
    let slow = recorded("target:polyai_slow_replies_per_reply:ratio30d");
    let replies = recorded("target:polyai_replies:increase30d");
    let in_time =
        format!("1 - {} / ({} > 0)", sum_by(&[], format!("{slow} * {replies}")), sum_by(&[], &replies));
    let fresh = format!("1 - avg({})", recorded("target:polyai_data:stale_ratio30d"));
    let share = || Field::share().colour(NEUTRAL).missing("not yet");
    let scope = Scope { channel: false };
    let tiles = [
        (
            "Replies: goal",
            "Share of replies that must come within the bound. Set in alerts/thresholds.yml, slo.reply_latency.",
            share(),
            format!("max({})", goal("reply_latency")),
        ),
        (
            "Replies: in time",
            "Share of the replies of the last 30 days, over the selection.",
            share(),
            in_time,
        ),
        (
            "Replies: budget",
            "Of the goal for replies, at the project and region that has least: red is overspent, orange below a quarter.",
            budget_field().missing("not yet"),
            format!("min({})", budget_left("reply_latency")),
        ),
        (
            "Replies: burn, 1 h",
            "Of the goal for replies, where it burns fastest. Orange from 6, red from 14.4, where a page is due.",
            Field::unit("none", 1).limits(BRISK, FAST).missing(FEW),
            format!("max({})", burn("1h")),
        ),
        (
            "Data: goal",
            "Share of the time in which each target's data must be fresh. Set in alerts/thresholds.yml, slo.freshness.",
            share(),
            format!("max({})", goal("freshness")),
        ),
        ("Data: fresh", "Share of the last 30 days, mean of the selected targets.", share(), fresh),
        (
            "Data: budget",
            "Of the goal for fresh data, at the target that has least: red is overspent, orange below a quarter.",
            budget_field().missing("not yet"),
            format!("min({})", budget_left("freshness")),
        ),
        (
            "Oldest data",
            "Since the last good poll of the target that has waited longest. Orange from 5 minutes, red from 10.",
            age_field().missing("not scraped"),
            scope.data_age(&[]),
        ),
    ];
    tiles.into_iter().fold(dashboard, |dashboard, (title, description, field, expr)| {
        dashboard.panel(3, 3, Panel::stat(title, description, &field, expr))
    })
}

fn budgets() -> Panel {
    let replies = recorded("target:polyai_replies:increase30d");
    let slow = recorded("target:polyai_slow_replies_per_reply:ratio30d");
    let left = budget_left("reply_latency");
    let count = format!("(sum without (slo) ({left})) * {replies} * {}", allowed("reply_latency"));
    let rate = |field: Field| judged(field.missing(FEW), 110);
    let number = || Field::unit("none", 1);
    Table::new(
        "Replies in time: budgets, the least first",
        "The goal for replies by project and region over 30 days. Budget left is what may still go wrong, as a share and in replies; below 0 it is overspent. Burn rates are orange where a ticket is due and red where a page is.",
        "Budget left",
    )
    .ascending()
    .empty(NO_RULES)
    .without(&["slo"])
    .label("Project", "project", words())
    .label("Region", "region", text(90))
    .label("Environment", "client_env", text(120))
    .value("Budget left", format!("sum without (slo) ({left})"), judged(budget_field().missing("-"), 120))
    .value("Left, in replies", count, plain(Field::unit("locale", 0).missing("-"), 140))
    .value("Replies, 30 d", &replies, plain(Field::number().missing("-"), 130))
    .value("In time, 30 d", format!("1 - {slow}"), plain(Field::unit("percentunit", 2).missing("-"), 130))
    .value("Burn 1 h", burn("1h"), rate(number().limits(BRISK, FAST)))
    .value("Burn 6 h", burn("6h"), rate(number().limits(SLOW, BRISK)))
    .value("Burn 1 d", burn("1d"), rate(number().limits(SLOW, BRISK)))
    .value("Burn 3 d", burn("3d"), rate(number().limits(STEADY, SLOW)))
    .build()
}

fn budget_over_time(slo: &str) -> Panel {
    let title = "Budget left, over 30 days";
    Panel::lines(
        title,
        "1 - (what went wrong in the 30 days before each point) / (what the goal allows). Below the red line at 0 it is overspent.",
        Field::unit("percentunit", 0)
            .set("max", 1)
            .steps(&[(None, "transparent"), (Some(0.0), BAD)])
            .custom("axisSoftMin", 0)
            .missing(NO_RULES),
    )
    .with_limit_lines()
    .over_time(budget_left(slo), TARGET_LEGEND)
}

fn burn_over_time(window: &str, warn: f64, bad: f64, when: &str) -> Panel {
    Panel::lines(
        &format!("Burn rate, over {window}"),
        &format!(
            "How many times too fast the budget for replies is spent. {when} A gap means too few replies."
        ),
        Field::unit("none", 1)
            .set("min", 0)
            .custom("axisSoftMax", bad)
            .steps(&[(None, "transparent"), (Some(warn), WARN), (Some(bad), BAD)])
            .missing("Nothing is recorded, or too few replies: this needs the rules of alerts/."),
    )
    .with_limit_lines()
    .over_time(burn(window), TARGET_LEGEND)
}

fn freshness() -> Panel {
    let stale = |window: &str| recorded(&format!("target:polyai_data:stale_ratio{window}"));
    let left = budget_left("freshness");
    Table::new(
        "Fresh data: budgets, the least first",
        "Share of the time in which the data of each target was fresh, and what is left of the budget of 30 days.",
        "Budget left",
    )
    .ascending()
    .empty(NO_RULES)
    .without(&["slo", "client_env"])
    .label("Project", "project", words())
    .label("Region", "region", text(80))
    .value("Budget left", format!("sum without (slo) ({left})"), judged(budget_field().missing("-"), 105))
    .value("Fresh, 1 d", format!("1 - {}", stale("1d")), plain(Field::unit("percentunit", 1).missing("-"), 90))
    .value("Fresh, 30 d", format!("1 - {}", stale("30d")), plain(Field::unit("percentunit", 1).missing("-"), 95))
    .build()
}

fn fresh_over_time() -> Panel {
    let field = Field::default().words(&[(0, "stale", "purple"), (1, "fresh", GOOD)]);
    Panel::states(
        "Fresh or stale",
        "Whether a poll of each target had succeeded within 10 minutes. Agent alerts are silent while data is stale; a gap means that nothing was recorded.",
        field.steps(&[(None, "purple"), (Some(1.0), GOOD)]).missing(NO_RULES),
        min_by(&["project", "region"], recorded("target:polyai_data:fresh")),
        TARGET_LEGEND,
    )
}
