//! *PolyAI / Overview*: is any project or region in trouble now, since when, and of which kind?

use polyai_engine::aggregate::catalogue::Metric;
use serde_json::{Value, json};

use crate::dashboards::dashboard::Dashboard;
use crate::dashboards::field::{BAD, Field, NEUTRAL, WARN};
use crate::dashboards::measures::{age_field, ended, ended_and_last_week, handoffs, latency, running, turns};
use crate::dashboards::panel::Panel;
use crate::dashboards::query::{Scope, max_by, sum_by};
use crate::dashboards::signals::{
    HANDOFF, LATENCY, LIMITS_ARE, OOD, SHORT, SILENCE, STATES_EXPLAINED, TARGET, TARGET_LEGEND, WINDOW,
    state_field,
};
use crate::dashboards::table::{Table, judged, plain, text, words};
use crate::dashboards::variables::Variables;

const SCOPE: Scope = Scope { channel: false };

const INTRO: &str = "**Is any project or region in trouble, since when, and of which kind?** Rates cover the last **$window**; with fewer \
    than **$min_conversations** conversations in it they read *few calls*. A call counts within a minute or so of its end, and *Data age* \
    shows the age of the data. Click a project to open its details.";

pub(crate) fn dashboard() -> Dashboard {
    let variables = Variables::common().targets().window().floor();
    let about = "Is any project or region in trouble, since when, and of which kind?";
    let dashboard = Dashboard::new("polyai-overview", "Overview", about, "now-24h", variables).panel(
        24,
        2,
        Panel::text(INTRO),
    );
    let dashboard = now(dashboard).panel(24, 8, places()).panel(13, 7, since_when()).panel(11, 7, firing());
    let dashboard = dashboard
        .row("Traffic")
        .panel(12, 8, running(SCOPE))
        .panel(12, 8, ended_and_last_week(SCOPE))
        .row("Outcome")
        .panel(12, 8, handoffs(SCOPE))
        .panel(12, 8, latency(SCOPE))
        .panel(12, 8, turns(SCOPE, "Silent turns", Metric::SilenceTurns, SILENCE))
        .panel(12, 8, turns(SCOPE, "Turns not understood", Metric::OodTurns, OOD));
    let one_region = vec![
        (6, 7, per_project("In progress", running(SCOPE))),
        (6, 7, per_project("Ended, per $window", ended(SCOPE))),
        (6, 7, per_project("Handed off", handoffs(SCOPE))),
        (6, 7, per_project("Reply latency, p95", latency(SCOPE))),
    ];
    dashboard.closed_row("Region $region", Some("region"), one_region)
}

fn now(dashboard: Dashboard) -> Dashboard {
    let few = "few calls";
    let alerts =
        format!("count({}) or vector(0)", alerts_firing("project=~\"$project|\",region=~\"$region|\""));
    dashboard
        .panel(
            3,
            3,
            Panel::stat(
                "In progress",
                "Conversations open at the last poll, over the selection.",
                &Field::number().colour(NEUTRAL).missing("no data"),
                sum_by(&[], SCOPE.of(Metric::InProgress)),
            ),
        )
        .panel(
            3,
            3,
            Panel::stat(
                "Ended, last $window",
                "Conversations that were counted within the window, over the selection.",
                &Field::number().colour(NEUTRAL).missing("no data"),
                SCOPE.ended(&[], WINDOW),
            ),
        )
        .panel(
            3,
            3,
            Panel::stat(
                "Handed off",
                &format!("Share of conversations handed off to a human within the window. Orange from 35 %, red from 50 %. {LIMITS_ARE}"),
                &Field::share().judged_by(HANDOFF).missing(few),
                SCOPE.handoff(&[]),
            ),
        )
        .panel(
            3,
            3,
            Panel::stat(
                "Reply latency, p95",
                &format!("95 of 100 replies came within this time, in the window; the greeting is left out. Orange from 5 s, red from 7 s. {LIMITS_ARE}"),
                &Field::seconds().judged_by(LATENCY).missing(few),
                SCOPE.latency(0.95, &[]),
            ),
        )
        .panel(
            3,
            3,
            Panel::stat(
                "Silent turns",
                &format!("Share of turns without discernible input, in the window: the caller or the agent is not heard. Orange from 10 %, red from 20 %. {LIMITS_ARE}"),
                &Field::share().judged_by(SILENCE).missing(few),
                SCOPE.turn_share(Metric::SilenceTurns, &[]),
            ),
        )
        .panel(
            3,
            3,
            Panel::stat(
                "Not understood",
                &format!("Share of turns that were out of domain, in the window. Orange from 15 %, red from 30 %. {LIMITS_ARE}"),
                &Field::share().judged_by(OOD).missing(few),
                SCOPE.turn_share(Metric::OodTurns, &[]),
            ),
        )
        .panel(
            3,
            3,
            Panel::stat(
                "Oldest data",
                "Seconds since the last good poll of the target that has waited longest. Orange from 5 minutes, red from 10. Without a value nothing was scraped for an hour: see PolyAI / Exporter.",
                &age_field().missing("not scraped"),
                SCOPE.data_age(&[]),
            ),
        )
        .panel(
            3,
            3,
            Panel::stat(
                "Firing alerts",
                "Firing alerts of the selection, and those that concern all of it. Always 0 where the rules of alerts/ are not loaded.",
                &Field::number().limits(1.0, 1.0).missing("0"),
                alerts,
            ),
        )
}

fn alerts_firing(selection: &str) -> String {
    format!("ALERTS{{alertname=~\"PolyAI.*\",alertstate=\"firing\",{selection}}}")
}

/// The way to the details of the row's project.
fn to_project() -> Value {
    let kept = ["datasource", "cluster", "job", "client_env", "window", "min_conversations"];
    let kept: Vec<String> = kept.iter().map(|name| format!("${{{name}:queryparam}}")).collect();
    let url = format!(
        "/d/polyai-project?{}&var-project=${{__data.fields.project}}&var-region=${{__data.fields.region}}&${{__url_time_range}}",
        kept.join("&")
    );
    json!([{"title": "Details of this project and region", "url": url}])
}

fn places() -> Panel {
    let few = "few calls";
    let week = SCOPE.of(Metric::Conversations).increase_weeks_ago("$__range", 1);
    let change =
        format!("{} / ({} >= $min_conversations)", SCOPE.ended(TARGET, "$__range"), sum_by(TARGET, week));
    let problem = format!("topk by (project, region) (1, {} > 0)", SCOPE.of(Metric::TargetProblem));
    let problem = max_by(&["project", "region", "problem"], problem);
    let description = format!(
        "One line per project and region, the most severe first. {STATES_EXPLAINED} Rates cover the window; \"few calls\" marks those \
         with fewer conversations than chosen above. \"Of last week\" compares the time range: 100 % is as many as a week before. {LIMITS_ARE}"
    );
    let state = state_field().custom("cellOptions", json!({"type": "color-background", "mode": "basic"}));
    let change_field = Field::unit("percentunit", 0)
        .steps(&[(None, BAD), (Some(0.3), WARN), (Some(0.6), "text")])
        .missing("-");
    Table::new("Where", &description, "State")
        .empty("No target was scraped in this time range, or none fits the selection. See PolyAI / Exporter.")
        .label("Project", "project", words().set("links", to_project()))
        .label("Region", "region", text(90))
        .value("State", SCOPE.state(), state.custom("align", "left"))
        .label_of("API problem", "problem", problem, words().missing("-"))
        .value("Data age", SCOPE.data_age(TARGET), judged(age_field().missing("never"), 100))
        .value(
            "In progress",
            sum_by(TARGET, SCOPE.of(Metric::InProgress)),
            plain(Field::number().missing("-"), 100),
        )
        .value("Ended, window", SCOPE.ended(TARGET, WINDOW), plain(Field::number().missing("-"), 120))
        .value("Of last week", change, judged(change_field, 120))
        .value(
            "Handed off",
            SCOPE.handoff(TARGET),
            judged(Field::share().judged_by(HANDOFF).missing(few), 105),
        )
        .value(
            "Latency p95",
            SCOPE.latency(0.95, TARGET),
            judged(Field::seconds().judged_by(LATENCY).missing(few), 110),
        )
        .value(
            "Silent turns",
            SCOPE.turn_share(Metric::SilenceTurns, TARGET),
            judged(Field::share().judged_by(SILENCE).missing(few), 110),
        )
        .value(
            "Not understood",
            SCOPE.turn_share(Metric::OodTurns, TARGET),
            judged(Field::share().judged_by(OOD).missing(few), 125),
        )
        .value("Under 15 s", SCOPE.short(TARGET), judged(Field::share().judged_by(SHORT).missing(few), 105))
        .build()
}

fn since_when() -> Panel {
    Panel::states(
        "Since when",
        &format!("The state of each project and region over time. {STATES_EXPLAINED} {LIMITS_ARE}"),
        state_field().missing("No target was scraped in this time range, or none fits the selection."),
        SCOPE.state(),
        TARGET_LEGEND,
    )
    .option("legend", json!({"displayMode": "list", "placement": "bottom", "showLegend": false}))
}

fn firing() -> Panel {
    let selection = "alertname=~\"PolyAI.*\",project=~\"$project|\",region=~\"$region|\"";
    let since = format!(
        "time() - min by (alertname, severity, project, region) (ALERTS_FOR_STATE{{{selection}}} and ignoring (alertstate) \
         ALERTS{{alertstate=\"firing\",{selection}}})"
    );
    let severity = json!({"type": "value", "options": {
        "critical": {"color": BAD, "index": 0},
        "info": {"color": NEUTRAL, "index": 2},
        "warning": {"color": WARN, "index": 1},
    }});
    let severity = text(80).mapping(severity).custom("cellOptions", json!({"type": "color-text"}));
    Table::new(
        "Firing alerts",
        "Alerts that fire now for the selection or for all of it, and for how long their condition has held. Needs the rules of alerts/ in the Prometheus that is asked.",
        "For",
    )
    .empty("No alert fires. (Where the rules of alerts/ are not loaded, none ever does.)")
    .label("Alert", "alertname", words())
    .label("Severity", "severity", severity)
    .label("Project", "project", text(115).missing("all"))
    .label("Region", "region", text(70).missing("all"))
    .value("For", since, plain(Field::durations().set("decimals", 0), 90))
    .build()
}

fn per_project(title: &str, mut panel: Panel) -> Panel {
    panel.title = title.to_owned();
    panel
}
