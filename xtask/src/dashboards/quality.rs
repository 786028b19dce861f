//! *PolyAI / Quality and latency*: which project or region serves its callers worst, and is it worse than before?

use polyai_engine::aggregate::catalogue::Metric;
use serde_json::json;

use crate::dashboards::dashboard::Dashboard;
use crate::dashboards::field::{Field, NEUTRAL};
use crate::dashboards::measures::{
    TOO_FEW, age_field, greeting_quantiles, handoffs, latency, reply_quantiles, short_calls, slow_replies,
    turns,
};
use crate::dashboards::panel::Panel;
use crate::dashboards::query::{Scope, sum_by};
use crate::dashboards::signals::{
    GREETING, HANDOFF, LATENCY, LIMITS_ARE, Limit, OOD, SHORT, SILENCE, TARGET, TARGET_LEGEND, WINDOW,
};
use crate::dashboards::table::{Table, judged, plain, text, words};
use crate::dashboards::variables::Variables;

const SCOPE: Scope = Scope { channel: true };

const INTRO: &str = "**Who serves callers worst, and is it worse than a week ago?** Bars and tables are the last **$window**, the worst first; \
    projects with fewer than **$min_conversations** conversations in it are left out of rates and marked *few calls* in tables. Dots on \
    latency graphs are calls.";

pub(crate) fn dashboard() -> Dashboard {
    let variables = Variables::common().targets().channel().window().floor();
    let about = "Which project or region serves its callers worst, and whether it is worse than a week ago.";
    let dashboard = Dashboard::new("polyai-quality", "Quality and latency", about, "now-24h", variables)
        .panel(24, 2, Panel::text(INTRO));
    ranking(dashboard)
        .panel(24, 8, waiting())
        .panel(24, 8, before_and_after())
        .row("Latency")
        .panel(8, 9, latency(SCOPE))
        .panel(8, 9, reply_quantiles(SCOPE))
        .panel(8, 9, greeting_quantiles(SCOPE))
        .panel(12, 9, heatmap("Replies by latency", Metric::TurnLatency))
        .panel(12, 9, heatmap("Greetings by latency", Metric::GreetingLatency))
        .row("Understanding")
        .panel(12, 8, turns(SCOPE, "Silent turns", Metric::SilenceTurns, SILENCE))
        .panel(12, 8, turns(SCOPE, "Turns not understood", Metric::OodTurns, OOD))
        .panel(12, 8, barge_ins())
        .panel(12, 8, short_calls(SCOPE))
        .row("Outcome")
        .panel(24, 8, handoffs(SCOPE))
}

fn ranking(dashboard: Dashboard) -> Dashboard {
    let share = |limit: Limit| Field::share().judged_by(limit).set("max", limit.bad).missing(TOO_FEW);
    let seconds = Field::seconds().judged_by(LATENCY).set("max", LATENCY.bad).missing(TOO_FEW);
    let bars = [
        (
            "Reply latency, p95",
            "95 of 100 replies came within this time.",
            seconds,
            SCOPE.latency(0.95, TARGET),
        ),
        ("Handed off", "Share of conversations.", share(HANDOFF), SCOPE.handoff(TARGET)),
        ("Silent turns", "Share of turns.", share(SILENCE), SCOPE.turn_share(Metric::SilenceTurns, TARGET)),
        ("Turns not understood", "Share of turns.", share(OOD), SCOPE.turn_share(Metric::OodTurns, TARGET)),
        ("Calls under 15 s", "Share of conversations.", share(SHORT), SCOPE.short(TARGET)),
    ];
    let dashboard = bars.into_iter().fold(dashboard, |dashboard, (title, what, field, expr)| {
        let description = format!(
            "{what} Within the window, the worst first; a full bar is the limit of red. {LIMITS_ARE}"
        );
        dashboard.panel(4, 6, Panel::bars(title, &description, &field, expr, TARGET_LEGEND))
    });
    let age = Panel::stat(
        "Oldest data",
        "Since the last good poll of the target that has waited longest. Orange from 5 minutes, red from 10. Without a value nothing was scraped for an hour: see PolyAI / Exporter.",
        &age_field().missing("not scraped"),
        SCOPE.data_age(&[]),
    );
    dashboard.panel(4, 6, age)
}

fn waiting() -> Panel {
    let few = "few calls";
    let replies = sum_by(TARGET, SCOPE.count(Metric::TurnLatency).increase(WINDOW));
    let slow = slow_replies(SCOPE, TARGET);
    let share = SCOPE.floored(format!("{slow} / ({replies} > 0)"), TARGET, WINDOW);
    let greeting = SCOPE.quantile(0.95, Metric::GreetingLatency, TARGET, WINDOW);
    let barge_in = SCOPE.turn_share(Metric::BargeInTurns, TARGET);
    let seconds = |limit: Limit| judged(Field::seconds().judged_by(limit).missing(few), 130);
    Table::new(
        "Where most callers wait",
        &format!("The 20 projects and regions with the most slow replies, by number and not by share: a small pilot cannot crowd out a busy line. Slow is over 3.5 s, as in the goal for latency. {LIMITS_ARE}"),
        "Slow replies",
    )
    .empty("No conversation with a known latency ended within the window.")
    .label("Project", "project", words())
    .label("Region", "region", text(90))
    .value("Slow replies", format!("topk(20, {slow})"), plain(Field::number().missing("-"), 130))
    .value("Replies", replies, plain(Field::number().missing("-"), 110))
    .value("Slow share", share, judged(Field::share().limits(0.05, 0.2).missing(few), 110))
    .value("Reply p50", SCOPE.latency(0.5, TARGET), seconds(LATENCY))
    .value("Reply p95", SCOPE.latency(0.95, TARGET), seconds(LATENCY))
    .value("Reply p99", SCOPE.latency(0.99, TARGET), plain(Field::seconds().missing(few), 130))
    .value("Greeting p95", greeting, seconds(GREETING))
    .value("Interrupted turns", barge_in, plain(Field::share().missing(few), 140))
    .value("Data age", SCOPE.data_age(TARGET), judged(age_field().missing("never"), 100))
    .build()
}

fn before_and_after() -> Panel {
    let few = "few calls";
    let conversations = SCOPE.of(Metric::Conversations);
    let turns = SCOPE.of(Metric::Turns);
    let then = |metric, whole: &_| SCOPE.share_weeks_ago(&SCOPE.of(metric), whole, TARGET, 1);
    let latency_then = {
        let buckets = SCOPE.bucket(Metric::TurnLatency).increase_weeks_ago(WINDOW, 1);
        let ended = sum_by(TARGET, conversations.increase_weeks_ago(WINDOW, 1));
        let buckets = sum_by(&["le", "project", "region"], buckets);
        format!("histogram_quantile(0.95, {buckets}) and {ended} >= $min_conversations")
    };
    let ended_then = sum_by(TARGET, conversations.increase_weeks_ago(WINDOW, 1));
    let now = |limit: Limit| judged(Field::share().judged_by(limit).missing(few), 120);
    let before = |width| plain(Field::share().missing(few), width);
    Table::new(
        "Now, and in the same window a week ago",
        &format!(
            "Each measure of the window beside that of a week before; the past is not coloured. {LIMITS_ARE}"
        ),
        "Handed off",
    )
    .empty("No conversation ended within the window.")
    .label("Project", "project", words())
    .label("Region", "region", text(90))
    .value("Ended", SCOPE.ended(TARGET, WINDOW), plain(Field::number().missing("-"), 90))
    .value("Ended then", ended_then, plain(Field::number().missing("-"), 90))
    .value("Handed off", SCOPE.handoff(TARGET), now(HANDOFF))
    .value("Handed off then", then(Metric::Handoffs, &conversations), before(140))
    .value(
        "Latency p95",
        SCOPE.latency(0.95, TARGET),
        judged(Field::seconds().judged_by(LATENCY).missing(few), 120),
    )
    .value("Latency then", latency_then, plain(Field::seconds().missing(few), 120))
    .value("Silent turns", SCOPE.turn_share(Metric::SilenceTurns, TARGET), now(SILENCE))
    .value("Silent then", then(Metric::SilenceTurns, &turns), before(120))
    .value("Not understood", SCOPE.turn_share(Metric::OodTurns, TARGET), now(OOD))
    .value("Misunderstood then", then(Metric::OodTurns, &turns), before(170))
    .build()
}

fn heatmap(title: &str, metric: Metric) -> Panel {
    let description = "By latency, over the selection: the darker, the more. A second band is a second cause. Columns are five minutes or wider.";
    Panel::heatmap(title, description, "s", SCOPE.bucket(metric))
        .option("legend", json!({"show": false}))
        .with_exemplars()
}

fn barge_ins() -> Panel {
    Panel::lines(
        "Interrupted turns",
        "Share of turns in which the caller interrupted the agent: long answers, or slow ones. Not judged, because the usual share differs between agents.",
        Field::share().steps(&[(None, NEUTRAL)]).custom("axisSoftMax", 0.2).missing(TOO_FEW),
    )
    .over_time(SCOPE.turn_share(Metric::BargeInTurns, TARGET), TARGET_LEGEND)
}
