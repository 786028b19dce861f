//! The closed rows: how complete the data is, and the same measures by variant. They cost no query until they are opened.

use polyai_engine::aggregate::catalogue::Metric;

use super::{ALL, SCOPE};
use crate::dashboards::field::{Field, MUTED, NEUTRAL};
use crate::dashboards::measures::{NOT_SCRAPED, TOO_FEW};
use crate::dashboards::panel::Panel;
use crate::dashboards::query::{Selector, sum_by};
use crate::dashboards::signals::WINDOW;

pub(super) fn completeness() -> Vec<(u32, u32, Panel)> {
    let panel = Panel::lines(
        "From the end of a call to its count",
        "Half and 90 of 100 conversations were counted within this time after they ended. Dots are calls.",
        Field::durations().missing("No conversation ended."),
    );
    let lag = [(0.9, "p90"), (0.5, "p50")].into_iter().fold(panel, |panel, (quantile, name)| {
        panel.over_time(SCOPE.quantile_of_few(quantile, Metric::IngestLag, ALL, WINDOW), name)
    });
    let late = Panel::lines(
        "Late and amended",
        "Conversations per window that were first seen when their time was read again, and those that changed after they were counted: up was added, down was not subtracted.",
        Field::number().custom("axisSoftMax", 5).missing(NOT_SCRAPED),
    )
    .over_time(sum_by(ALL, SCOPE.of(Metric::Late).increase(WINDOW)), "late")
    .over_time(sum_by(&["direction"], SCOPE.of(Metric::Amendments).increase(WINDOW)), "amended {{direction}}")
    .in_colours(&[NEUTRAL]);
    let blind = Panel::lines(
        "Without a transcript",
        "Share of conversations whose turns are hidden, so that their latency, silences and barge-ins are unknown. Switch on \"Conversation transcript\" in Agent Studio.",
        Field::share().custom("axisSoftMax", 1).missing(TOO_FEW),
    )
    .over_time(
        SCOPE.share(&SCOPE.of(Metric::WithoutTranscript), &SCOPE.of(Metric::Conversations), ALL, WINDOW),
        "hidden",
    )
    .in_colours(&[NEUTRAL]);
    vec![(8, 8, lag.in_colours(&[NEUTRAL, MUTED]).with_exemplars()), (8, 8, late), (8, 8, blind)]
}

pub(super) fn variants() -> Vec<(u32, u32, Panel)> {
    const OFF: &str = "The label is off (metrics.labels), or too few conversations ended.";
    let by = &["variant"];
    let named = |selector: Selector| selector.and("variant!=\"\"");
    let all = named(SCOPE.of(Metric::Conversations));
    let handoffs = SCOPE.share(&named(SCOPE.of(Metric::Handoffs)), &all, by, WINDOW);
    let buckets = sum_by(&["le", "variant"], named(SCOPE.bucket(Metric::TurnLatency)).increase(WINDOW));
    let latency = SCOPE.floored(format!("histogram_quantile(0.95, {buckets})"), by, WINDOW);
    vec![
        (
            8,
            8,
            Panel::stack("Ended", "Conversations per window, by variant.", Field::number().missing(OFF))
                .over_time(sum_by(by, all.increase(WINDOW)), "{{variant}}"),
        ),
        (
            8,
            8,
            Panel::lines("Handed off", "Share of conversations, by variant.", Field::share().missing(OFF))
                .over_time(handoffs, "{{variant}}"),
        ),
        (
            8,
            8,
            Panel::lines("Reply latency, p95", "By variant.", Field::seconds().missing(OFF))
                .over_time(latency, "{{variant}}")
                .with_exemplars(),
        ),
    ]
}
