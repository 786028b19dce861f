//! *PolyAI / Project*: what a project's callers meet, in detail. The overview's rows lead here.

mod closed;

use polyai_engine::aggregate::catalogue::Metric;
use serde_json::json;

use crate::dashboards::dashboard::Dashboard;
use crate::dashboards::field::{BAD, Field, MUTED, NEUTRAL, WARN};
use crate::dashboards::measures::{
    NOT_SCRAPED, TOO_FEW, age_field, coloured, dashed, ended_and_last_week, greeting_quantiles, quantiles,
    reply_quantiles,
};
use crate::dashboards::panel::Panel;
use crate::dashboards::query::{Scope, sum_by};
use crate::dashboards::signals::{
    HANDOFF, LATENCY, LIMITS_ARE, SHORT_SECONDS, STATES_EXPLAINED, TARGET_LEGEND, WINDOW, state_field,
};
use crate::dashboards::table::{Table, plain, words};
use crate::dashboards::variables::Variables;

const SCOPE: Scope = Scope { channel: true };
/// The selection as a whole.
const ALL: &[&str] = &[];
/// The same signal has the same colour in each graph.
const SILENT: &str = "purple";
const NOT_UNDERSTOOD: &str = NEUTRAL;

const INTRO: &str = "**What do the callers of this project meet, and since when?** Everything is about the selection above as a whole. Rates \
    cover the last **$window** and are left out below **$min_conversations** conversations; counts are always shown beside them. Dots on \
    latency graphs are calls.";

pub(crate) fn dashboard() -> Dashboard {
    let variables = Variables::common().targets().channel().window().floor();
    let about = "What the callers of a project meet: traffic, outcome, duration, quality, latency.";
    let dashboard = Dashboard::new("polyai-project", "Project", about, "now-24h", variables).panel(
        24,
        2,
        Panel::text(INTRO),
    );
    let dashboard = summary(dashboard).panel(24, 5, state());
    let dashboard = dashboard
        .row("Traffic")
        .panel(8, 8, by_channel())
        .panel(8, 8, ended_and_last_week(SCOPE))
        .panel(8, 8, running())
        .row("Outcome")
        .panel(8, 8, handoffs_with_counts())
        .panel(8, 8, handoffs_of_weeks())
        .panel(8, 8, reasons())
        .row("Latency")
        .panel(8, 8, reply_quantiles(SCOPE))
        .panel(8, 8, reply_heatmap())
        .panel(8, 8, greeting_quantiles(SCOPE))
        .row("Understanding")
        .panel(8, 8, flagged_turns())
        .panel(8, 8, flagged_conversations())
        .panel(8, 8, turns_heatmap())
        .row("Duration")
        .panel(8, 8, duration_heatmap())
        .panel(8, 8, durations())
        .panel(8, 8, short_and_long());
    dashboard.closed_row("How complete the data is", None, closed::completeness()).closed_row(
        "By variant (needs the label: metrics.labels)",
        None,
        closed::variants(),
    )
}

fn summary(dashboard: Dashboard) -> Dashboard {
    let ended = SCOPE.ended(ALL, "$__range");
    let week_ago = sum_by(ALL, SCOPE.of(Metric::Conversations).increase_weeks_ago("$__range", 1));
    let turns = sum_by(ALL, SCOPE.of(Metric::Turns).increase(WINDOW));
    let turns = SCOPE.floored(format!("{turns} / {}", SCOPE.ended(ALL, WINDOW)), ALL, WINDOW);
    let seconds = sum_by(ALL, SCOPE.sum(Metric::ConversationDuration).increase("$__range"));
    let change = Field::unit("percentunit", 0).steps(&[(None, BAD), (Some(0.3), WARN), (Some(0.6), "text")]);
    let contained = Field::share().floors(1.0 - HANDOFF.bad, 1.0 - HANDOFF.warn).set("max", 1);
    let tiles = [
        (
            "Ended",
            "Conversations that were counted within the time range.",
            Field::number().colour(NEUTRAL).missing("no data"),
            ended.clone(),
        ),
        (
            "Against last week",
            "The same time range a week before is 100 %. Orange below 60 %, red below 30 %; growth is not judged.",
            change.missing("no past"),
            format!("{ended} / ({week_ago} >= $min_conversations)"),
        ),
        (
            "Contained",
            "Share of conversations that the agent finished without a handoff. Red below 50 %, orange below 65 %.",
            contained.missing("few calls"),
            format!("1 - ({})", SCOPE.handoff(ALL)),
        ),
        (
            "Reply latency, p95",
            "95 of 100 replies came within this time, in the window. Orange from 5 s, red from 7 s.",
            Field::seconds().judged_by(LATENCY).missing("few calls"),
            SCOPE.latency(0.95, ALL),
        ),
        (
            "Turns per call",
            "Mean of turns per conversation within the window. Few turns are callers who did not engage.",
            Field::unit("none", 1).colour(NEUTRAL).missing("few calls"),
            turns,
        ),
        (
            "Time handled",
            "Sum of the durations of the conversations counted within the time range.",
            Field::unit("s", 1).colour(NEUTRAL).missing("no data"),
            seconds,
        ),
        (
            "In progress",
            "Conversations open at the last poll.",
            Field::number().colour(NEUTRAL).missing("no data"),
            sum_by(ALL, SCOPE.of(Metric::InProgress)),
        ),
        (
            "Oldest data",
            "Since the last good poll of the target that has waited longest. Orange from 5 minutes, red from 10. Without a value nothing was scraped for an hour: see PolyAI / Exporter.",
            age_field().missing("not scraped"),
            SCOPE.data_age(ALL),
        ),
    ];
    tiles.into_iter().fold(dashboard, |dashboard, (title, description, field, expr)| {
        dashboard.panel(3, 3, Panel::stat(title, description, &field, expr))
    })
}

fn state() -> Panel {
    Panel::states(
        "State",
        &format!("The state of each selected project and region over time. {STATES_EXPLAINED} {LIMITS_ARE}"),
        state_field().missing(NOT_SCRAPED),
        SCOPE.state(),
        TARGET_LEGEND,
    )
}

fn by_channel() -> Panel {
    Panel::stack(
        "Ended, by channel",
        "Conversations that were counted within the window before each point.",
        Field::number().missing(NOT_SCRAPED),
    )
    .over_time(SCOPE.ended(&["channel"], WINDOW), "{{channel}}")
}

fn running() -> Panel {
    let most = format!("max_over_time({}[10m] offset 1w)", SCOPE.of(Metric::InProgress));
    Panel::lines(
        "In progress",
        "Conversations open at each poll, over the selection; dashed, the most within ten minutes a week before.",
        Field::number().missing(NOT_SCRAPED),
    )
    .over_time(sum_by(ALL, SCOPE.of(Metric::InProgress)), "now")
    .over_time(sum_by(ALL, most), "a week before")
    .with(coloured(NEUTRAL).custom("fillOpacity", 15).for_query("A"))
    .with(dashed("text", [6, 6]).for_query("B"))
}

fn handoffs_with_counts() -> Panel {
    let count = sum_by(ALL, SCOPE.of(Metric::Handoffs).increase(WINDOW));
    let bars = coloured(MUTED)
        .custom("drawStyle", "bars")
        .custom("fillOpacity", 30)
        .custom("lineWidth", 0)
        .custom("axisPlacement", "right")
        .custom("axisSoftMax", 10)
        .custom("thresholdsStyle", json!({"mode": "off"}))
        .set("unit", "short")
        .set("decimals", 0);
    Panel::lines(
        "Handed off, with their number",
        &format!("The line is the share of conversations handed off within the window before each point; the bars, on the right axis, are how many they were. {LIMITS_ARE}"),
        Field::share().lines_at(HANDOFF).missing(TOO_FEW),
    )
    .with_limit_lines()
    .over_time(SCOPE.handoff(ALL), "share")
    .over_time(count, "handoffs")
    .in_colours(&[NEUTRAL])
    .with(bars.for_query("B"))
}

fn handoffs_of_weeks() -> Panel {
    let (part, whole) = (SCOPE.of(Metric::Handoffs), SCOPE.of(Metric::Conversations));
    let then = |weeks| SCOPE.share_weeks_ago(&part, &whole, ALL, weeks);
    Panel::lines(
        "Handed off, against the last two weeks",
        "Share of conversations handed off within the window before each point, now and at the same time of the last two weeks.",
        Field::share().custom("axisSoftMax", HANDOFF.bad).missing(TOO_FEW),
    )
    .over_time(SCOPE.handoff(ALL), "now")
    .over_time(then(1), "a week before")
    .over_time(then(2), "two weeks before")
    .in_colours(&[NEUTRAL])
    .with(dashed("text", [6, 6]).for_query("B"))
    .with(dashed(MUTED, [2, 6]).for_query("C"))
}

fn reasons() -> Panel {
    let by = &["reason", "destination"];
    let counted = sum_by(by, SCOPE.of(Metric::HandoffsByReason).increase("$__range"));
    Table::new(
        "Why, and where to",
        "The ten most frequent reasons and destinations of handoffs in the time range. A pair is seen from its second handoff on, because Prometheus measures growth.",
        "Handoffs",
    )
    .empty("No handoff in this time range.")
    .label("Reason", "reason", words())
    .label("Destination", "destination", words())
    .value("Handoffs", format!("topk(10, {counted} > 0)"), plain(Field::number(), 100))
    .build()
}

fn reply_heatmap() -> Panel {
    let description = "Replies by latency: the darker, the more. A second band is a second kind of turn, or a second cause. Columns are five minutes or wider.";
    Panel::heatmap("Replies by latency", description, "s", SCOPE.bucket(Metric::TurnLatency)).with_exemplars()
}

fn duration_heatmap() -> Panel {
    let description = "Conversations by duration. Columns are five minutes or wider.";
    Panel::heatmap("Conversations by duration", description, "s", SCOPE.bucket(Metric::ConversationDuration))
        .with_exemplars()
}

fn turns_heatmap() -> Panel {
    let description = "Conversations by their number of turns. Columns are five minutes or wider.";
    Panel::heatmap("Conversations by turns", description, "none", SCOPE.bucket(Metric::ConversationTurns))
}

fn flagged_turns() -> Panel {
    Panel::lines(
        "Turns with trouble",
        "Shares of turns: silent (no discernible input), not understood (out of domain), and interrupted by the caller.",
        Field::share().custom("axisSoftMax", 0.2).missing(TOO_FEW),
    )
    .over_time(SCOPE.turn_share(Metric::SilenceTurns, ALL), "silent")
    .over_time(SCOPE.turn_share(Metric::OodTurns, ALL), "not understood")
    .over_time(SCOPE.turn_share(Metric::BargeInTurns, ALL), "interrupted")
    .in_colours(&[SILENT, NOT_UNDERSTOOD, MUTED])
}

fn flagged_conversations() -> Panel {
    let share = |metric| SCOPE.share(&SCOPE.of(metric), &SCOPE.of(Metric::Conversations), ALL, WINDOW);
    Panel::lines(
        "Callers who met trouble",
        "Share of conversations with at least one silent turn, and with at least one that was not understood.",
        Field::share().custom("axisSoftMax", 0.5).missing(TOO_FEW),
    )
    .over_time(share(Metric::ConversationsWithSilence), "silence")
    .over_time(share(Metric::ConversationsWithOod), "not understood")
    .in_colours(&[SILENT, NOT_UNDERSTOOD])
}

fn durations() -> Panel {
    let panel = Panel::lines(
        "Duration",
        "Half and 90 of 100 conversations were shorter than this. Dots are calls.",
        Field::durations().missing(TOO_FEW),
    );
    quantiles(panel, SCOPE, Metric::ConversationDuration, &[0.9, 0.5]).with_exemplars()
}

fn short_and_long() -> Panel {
    let all = SCOPE.count(Metric::ConversationDuration);
    let within =
        |seconds| SCOPE.share(&SCOPE.bucket(Metric::ConversationDuration).up_to(seconds), &all, ALL, WINDOW);
    Panel::lines(
        "Very short and very long",
        "Share of conversations under 15 s, whose callers hung up at the greeting, and over ten minutes, which may be stuck.",
        Field::share().custom("axisSoftMax", 0.3).missing(TOO_FEW),
    )
    .over_time(within(SHORT_SECONDS), "under 15 s")
    .over_time(format!("1 - ({})", within(600.0)), "over 10 min")
    .in_colours(&[NEUTRAL, "purple"])
}
