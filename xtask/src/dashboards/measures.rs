//! Graphs and tiles of single measures that several dashboards show alike.
//!
//! Owns: how each measure is drawn and explained. Never: which dashboard shows it.

use polyai_engine::aggregate::catalogue::Metric;
use serde_json::{Value, json};

use crate::dashboards::field::{Field, MUTED, NEUTRAL};
use crate::dashboards::panel::Panel;
use crate::dashboards::query::{Scope, sum_by};
use crate::dashboards::signals::{
    AGE, GREETING, HANDOFF, LATENCY, LIMITS_ARE, Limit, SHORT, SLOW_SECONDS, TARGET, TARGET_LEGEND, WINDOW,
};

/// In the place of a graph without data that only the scrape can explain.
pub(crate) const NOT_SCRAPED: &str =
    "No target was scraped in this time range, or none fits the selection. See PolyAI / Exporter.";
/// In the place of a graph of rates without data.
pub(crate) const TOO_FEW: &str = "Fewer conversations ended within the window than chosen above.";
const SILENT_API: &str =
    "Fewer conversations ended within the window than chosen above, or the API returns no latency.";

pub(crate) fn age_field() -> Field {
    Field::unit("s", 0).judged_by(AGE)
}

pub(crate) fn running(scope: Scope) -> Panel {
    Panel::lines("In progress", "Conversations open at each poll.", Field::number().missing(NOT_SCRAPED))
        .over_time(sum_by(TARGET, scope.of(Metric::InProgress)), TARGET_LEGEND)
}

pub(crate) fn ended(scope: Scope) -> Panel {
    Panel::lines(
        "Ended, per $window",
        "Conversations that were counted within the window before each point.",
        Field::number().missing(NOT_SCRAPED),
    )
    .over_time(scope.ended(TARGET, WINDOW), TARGET_LEGEND)
}

pub(crate) fn ended_and_last_week(scope: Scope) -> Panel {
    let week = sum_by(&[], scope.of(Metric::Conversations).increase_weeks_ago(WINDOW, 1));
    let dashed = Field::default()
        .custom("lineStyle", json!({"fill": "dash", "dash": [6, 6]}))
        .custom("lineWidth", 1)
        .set("color", json!({"mode": "fixed", "fixedColor": "text"}));
    let now = Field::default()
        .set("color", json!({"mode": "fixed", "fixedColor": NEUTRAL}))
        .custom("fillOpacity", 15);
    Panel::lines(
        "Ended, per $window, against last week",
        "Conversations that were counted within the window before each point, over the selection; dashed, the same a week before.",
        Field::number().missing(NOT_SCRAPED),
    )
    .over_time(scope.ended(&[], WINDOW), "now")
    .over_time(week, "a week before")
    .with(now.for_query("A"))
    .with(dashed.for_query("B"))
}

pub(crate) fn handoffs(scope: Scope) -> Panel {
    Panel::lines(
        "Handed off",
        &format!("Share of conversations handed off within the window before each point; a gap means too few of them. The dashed lines are the limits of orange and red. {LIMITS_ARE}"),
        Field::share().lines_at(HANDOFF).missing(TOO_FEW),
    )
    .with_limit_lines()
    .over_time(scope.handoff(TARGET), TARGET_LEGEND)
}

pub(crate) fn latency(scope: Scope) -> Panel {
    Panel::lines(
        "Reply latency, p95",
        &format!("95 of 100 replies came within this time; a gap means too few conversations. Dots are calls, where exemplars are stored (see dashboards/README.md). {LIMITS_ARE}"),
        Field::seconds().lines_at(LATENCY).missing(SILENT_API),
    )
    .with_limit_lines()
    .over_time(scope.latency(0.95, TARGET), TARGET_LEGEND)
    .with_exemplars()
}

pub(crate) fn turns(scope: Scope, title: &str, metric: Metric, limit: Limit) -> Panel {
    Panel::lines(
        title,
        &format!("Share of turns within the window before each point; a gap means too few conversations. {LIMITS_ARE}"),
        Field::share().lines_at(limit).missing(TOO_FEW),
    )
    .with_limit_lines()
    .over_time(scope.turn_share(metric, TARGET), TARGET_LEGEND)
}

/// A line with a separate colour, for an override.
pub(crate) fn coloured(colour: &str) -> Field {
    Field::default().set("color", json!({"mode": "fixed", "fixedColor": colour}))
}

/// A thin dashed line, for what was.
pub(crate) fn dashed(colour: &str, dash: [u32; 2]) -> Field {
    let style: Value = json!({"fill": "dash", "dash": dash});
    coloured(colour).custom("lineStyle", style).custom("lineWidth", 1)
}

/// Share of conversations so short that the caller was hardly served.
pub(crate) fn short_calls(scope: Scope) -> Panel {
    Panel::lines(
        "Calls under 15 s",
        &format!("Share of conversations shorter than 15 s: callers who hung up at the greeting. A gap means too few conversations. {LIMITS_ARE}"),
        Field::share().lines_at(SHORT).missing(TOO_FEW),
    )
    .with_limit_lines()
    .over_time(scope.short(TARGET), TARGET_LEGEND)
}

/// Quantiles of the time to reply, over the selection.
pub(crate) fn reply_quantiles(scope: Scope) -> Panel {
    let panel = Panel::lines(
        "Reply latency",
        &format!("Half, 90, 95 and 99 of 100 replies came within these times, over the selection. Dots are calls: their label is the conversation id (needs exemplars, see dashboards/README.md). {LIMITS_ARE}"),
        Field::seconds().lines_at(LATENCY).missing(SILENT_API),
    )
    .with_limit_lines();
    quantiles(panel, scope, Metric::TurnLatency, &[0.99, 0.95, 0.9, 0.5]).with_exemplars()
}

/// Quantiles of the time to greet, over the selection.
pub(crate) fn greeting_quantiles(scope: Scope) -> Panel {
    let panel = Panel::lines(
        "Greeting latency",
        &format!("How long callers wait for the first words: start-up, and not a reply. Over the selection. Dots are calls. {LIMITS_ARE}"),
        Field::seconds().lines_at(GREETING).missing(SILENT_API),
    )
    .with_limit_lines();
    quantiles(panel, scope, Metric::GreetingLatency, &[0.95, 0.5]).with_exemplars()
}

/// Adds one line per quantile, each quantile in its own shade everywhere.
pub(crate) fn quantiles(panel: Panel, scope: Scope, metric: Metric, quantiles: &[f64]) -> Panel {
    const SHADES: [(f64, &str); 4] =
        [(0.99, "purple"), (0.95, NEUTRAL), (0.9, "super-light-blue"), (0.5, MUTED)];
    quantiles.iter().enumerate().fold(panel, |panel, (index, quantile)| {
        let letter = char::from(b'A' + u8::try_from(index).unwrap()).to_string();
        let (_, shade) = SHADES.iter().find(|(known, _)| known == quantile).unwrap();
        panel
            .over_time(scope.quantile(*quantile, metric, &[], WINDOW), &format!("p{:.0}", quantile * 100.0))
            .with(coloured(shade).for_query(&letter))
    })
}

/// The share of replies in the window that took longer than `SLOW_SECONDS`; the only query for it.
pub(crate) fn slow_replies(scope: Scope, by: &[&str]) -> String {
    let all = sum_by(by, scope.count(Metric::TurnLatency).increase(WINDOW));
    let fast = sum_by(by, scope.bucket(Metric::TurnLatency).up_to(SLOW_SECONDS).increase(WINDOW));
    format!("clamp_min({all} - {fast}, 0)")
}
