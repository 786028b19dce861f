//! *PolyAI / Exporter*: does the exporter see everything, and if not, who has to do what?

mod process;

use polyai_domain::problem::Problem;
use polyai_engine::aggregate::catalogue::Metric;
use serde_json::{Map, Value, json};

use crate::dashboards::dashboard::Dashboard;
use crate::dashboards::field::{BAD, Field, GOOD, MUTED, NEUTRAL, WARN};
use crate::dashboards::measures::{NOT_SCRAPED, age_field};
use crate::dashboards::panel::Panel;
use crate::dashboards::query::{Scope, max_by, min_by, own, scrape, sum_by};
use crate::dashboards::signals::TARGET_LEGEND;
use crate::dashboards::table::{Table, judged, plain, text, words};
use crate::dashboards::variables::Variables;

const SCOPE: Scope = Scope { channel: false };
/// The labels of a target.
const TARGET: &[&str] = &["project", "region", "client_env"];
const ALL: &[&str] = &[];
const NO_SCRAPE: &str = "The exporter was not scraped in this time range.";

const INTRO: &str = "**Does the exporter see everything, and if not, who has to do what?** While it does not, nothing is known of the calls: \
    the agent may be well. The tables name each problem and its remedy; what was missed is read when the API answers again.";

pub(crate) fn dashboard() -> Dashboard {
    let variables = Variables::common().instance().targets().of_all_environments().window();
    let about = "Whether the exporter sees everything: scrape, polls, the PolyAI API, the process.";
    let dashboard = Dashboard::new("polyai-exporter", "Exporter", about, "now-6h", variables).panel(
        24,
        2,
        Panel::text(INTRO),
    );
    let dashboard = now(dashboard)
        .panel(24, 4, problems())
        .panel(24, 8, targets())
        .panel(12, 7, up_over_time())
        .panel(12, 7, age_over_time())
        .row("PolyAI API: rate, errors, duration")
        .panel(8, 8, requests())
        .panel(8, 8, failures())
        .panel(8, 8, request_duration())
        .row("Collection")
        .panel(8, 8, polls())
        .panel(8, 8, ingest_lag())
        .panel(8, 8, events());
    process::row(dashboard)
}

fn failed_share(window: &str) -> String {
    let requests = own("polyai_exporter_api_requests_total");
    let failed = sum_by(ALL, requests.clone().and("code!~\"2..\"").increase(window));
    let all = sum_by(ALL, requests.increase(window));
    // No failure, no series with its code: that is a share of 0 and not an unknown one.
    format!("({failed} or 0 * {all}) / ({all} >= 10)")
}

fn now(dashboard: Dashboard) -> Dashboard {
    let seen = format!("max_over_time({}[5m])", scrape("up"));
    let target_up = SCOPE.of(Metric::TargetUp);
    let last_success = SCOPE.of(Metric::TargetLastSuccess);
    let reloads = [
        "polyai_exporter_config_last_reload_successful",
        "polyai_exporter_web_config_last_reload_successful",
    ]
    .map(|name| min_by(ALL, own(name)));
    let skipped = own("polyai_exporter_polls_skipped_total").increase("$window");
    let rejected = own("polyai_exporter_records_rejected_total").increase("$window");
    let failing = Field::number().limits(1.0, 1.0);
    let reload_words = [(0, "failed", BAD), (1, "good", GOOD)];
    let tiles = [
        (
            "Exporters down",
            "Instances whose scrape fails now, of those that were scraped within the last hour.",
            failing.clone().missing("none known"),
            format!("count(max_over_time({seen}[1h:1m]) unless {} == 1) or 0 * count({seen})", scrape("up")),
        ),
        (
            "Targets failing",
            "Targets whose last poll failed. Their calls are unknown until the API answers; nothing is lost.",
            failing.clone().missing("not scraped"),
            format!("count({target_up} == 0) or 0 * count({target_up})"),
        ),
        (
            "Never read",
            "Configured targets that no poll has ever read: mostly a wrong key, region or id.",
            failing.missing("not scraped"),
            format!("count({last_success} == 0) or 0 * count({last_success})"),
        ),
        (
            "Oldest data",
            "Since the last good poll of the target that has waited longest. Orange from 5 minutes, red from 10. Without a value nothing was scraped for an hour.",
            age_field().missing("not scraped"),
            SCOPE.data_age(ALL),
        ),
        (
            "Failed requests",
            "Share of requests to the PolyAI API within the window that were not answered with 2xx, of ten at least. Orange from 5 %, red from 20 %.",
            Field::share().limits(0.05, 0.2).missing("few requests"),
            failed_share("$window"),
        ),
        (
            "Polls skipped",
            "Polls left out within the window because the one before was still running: the interval is too short for the target.",
            Field::number().limits(1.0, 20.0).missing("not scraped"),
            sum_by(ALL, skipped),
        ),
        (
            "Records rejected",
            "Conversations within the window that could not be understood and were not counted. Any is worth a look at the log.",
            Field::number().limits(1.0, 1.0).missing("0"),
            format!("{} or vector(0)", sum_by(ALL, rejected)),
        ),
        (
            "Configuration",
            "Whether the last attempt to read the configuration succeeded, and the last change of the web configuration or its certificates. After a failed one what was before stays in force.",
            Field::default()
                .words(&reload_words)
                .steps(&[(None, BAD), (Some(1.0), GOOD)])
                .missing("not scraped"),
            // Each is 0 or 1.
            reloads.join(" * "),
        ),
    ];
    tiles.into_iter().fold(dashboard, |dashboard, (title, description, field, expr)| {
        dashboard.panel(3, 3, Panel::stat(title, description, &field, expr))
    })
}

/// Each problem code in the sentences that the log and docs/troubleshooting.md have for it.
fn advice() -> Value {
    let options: Map<String, Value> = Problem::ALL
        .into_iter()
        .enumerate()
        .map(|(index, problem)| {
            (
                problem.code().to_owned(),
                json!({"index": index, "text": format!("{}: {}", problem.code(), problem.advice())}),
            )
        })
        .collect();
    json!({"options": options, "type": "value"})
}

fn problems() -> Panel {
    let problem = SCOPE.of(Metric::TargetProblem);
    let by = [TARGET, &["problem"]].concat();
    let cell = json!({"type": "auto", "wrapText": true});
    Table::new(
        "What is wrong, and what to do",
        "The problems that targets have now, with their remedies. The codes are those of polyai_target_problem and of the log.",
        "Project",
    )
    .empty("No target has a problem.")
    .label("Project", "project", text(160))
    .label("Region", "region", text(80))
    .label("Environment", "client_env", text(110))
    .label_of("Problem", "problem", max_by(&by, format!("{problem} == 1")), words().mapping(advice()).custom("cellOptions", cell).custom("wrapText", true))
    .build()
    // Room for two lines.
    .option("cellHeight", "md")
}

fn targets() -> Panel {
    let info = max_by(&[TARGET, &["host", "api_version"]].concat(), SCOPE.of(Metric::TargetInfo));
    let age_of = |metric| format!("time() - {}", max_by(TARGET, format!("{} > 0", SCOPE.of(metric))));
    let state = Field::default()
        .words(&[(0, "failing", BAD), (1, "read", GOOD)])
        .steps(&[(None, BAD), (Some(1.0), GOOD)]);
    let plain_age = || plain(Field::durations().missing("never"), 140);
    Table::new(
        "Targets",
        "Each configured project, region and environment. Data age is the time since its last good poll; read up to, how far behind now its calls are known; the newest call, when the last counted conversation ended.",
        "Data age",
    )
    .empty(NOT_SCRAPED)
    .label("Project", "project", words())
    .label("Region", "region", text(80))
    .label("Environment", "client_env", text(110))
    .value("Last poll", min_by(TARGET, SCOPE.of(Metric::TargetUp)), judged(state, 90))
    .value("Data age", age_of(Metric::TargetLastSuccess), judged(age_field().missing("never"), 100))
    .value("Read up to, ago", age_of(Metric::TargetWatermark), plain_age())
    .value("Newest call, ago", age_of(Metric::LastConversation), plain_age())
    .value("Reads again, last", max_by(TARGET, SCOPE.of(Metric::TargetOverlap)), plain(Field::durations().missing("-"), 150))
    .label_of("API", "host", info, words())
    .label("Version", "api_version", text(80))
    .build()
}

fn up_over_time() -> Panel {
    let field = Field::default()
        .words(&[(0, "failing", BAD), (1, "read", GOOD)])
        .steps(&[(None, BAD), (Some(1.0), GOOD)]);
    let legend = format!("{TARGET_LEGEND} {{{{client_env}}}}");
    Panel::states(
        "Polls, by target",
        "Whether the last poll of each target succeeded. A gap means that the exporter was not scraped.",
        field.missing(NOT_SCRAPED),
        min_by(TARGET, SCOPE.of(Metric::TargetUp)),
        &legend,
    )
}

fn age_over_time() -> Panel {
    Panel::lines(
        "Data age, by target",
        "Time since the last good poll of each target. It climbs while polls fail; a target that was never read has no line. The dashed lines are at 5 and 10 minutes.",
        Field::durations()
            .steps(&[(None, "transparent"), (Some(300.0), WARN), (Some(600.0), BAD)])
            .custom("axisSoftMax", 600)
            .missing(NOT_SCRAPED),
    )
    .with_limit_lines()
    .over_time(
        format!("time() - {}", max_by(TARGET, format!("{} > 0", SCOPE.of(Metric::TargetLastSuccess)))),
        &format!("{TARGET_LEGEND} {{{{client_env}}}}"),
    )
}

fn requests() -> Panel {
    Panel::lines(
        "Requests",
        "Requests to the PolyAI API per minute, by endpoint and code. A request without an answer has the kind of failure as its code.",
        Field::unit("reqpm", 0).set("min", 0).missing(NO_SCRAPE),
    )
    .over_time(format!("60 * {}", sum_by(&["endpoint", "code"], own("polyai_exporter_api_requests_total").rate())), "{{endpoint}} {{code}}")
}

fn failures() -> Panel {
    let requests = own("polyai_exporter_api_requests_total");
    let failed = |codes: &str| {
        let failed = sum_by(ALL, requests.clone().and(codes).rate());
        let all = sum_by(ALL, requests.rate());
        format!("({failed} or 0 * {all}) / ({all} > 0)")
    };
    Panel::lines(
        "Failed requests",
        "Shares of all requests: refused keys (401, 403), too many requests (429), server errors (5xx), and all that was not answered with 2xx, such as time-outs.",
        Field::share().set("max", 1).missing(NO_SCRAPE),
    )
    .over_time(failed("code!~\"2..\""), "all failures")
    .over_time(failed("code=~\"401|403\""), "key refused")
    .over_time(failed("code=\"429\""), "rate limited")
    .over_time(failed("code=~\"5..\""), "server error")
    .in_colours(&[MUTED, BAD, WARN, "purple"])
}

fn request_duration() -> Panel {
    let panel = Panel::lines(
        "Request duration",
        "Time from sending a request to the end of its answer, or to the failure.",
        Field::durations().missing(NO_SCRAPE),
    );
    process::own_quantiles(panel, "polyai_exporter_api_request_duration_seconds")
}

fn polls() -> Panel {
    let panel = Panel::lines(
        "Poll duration, and polls skipped",
        "Time that one poll of one target takes, with all its requests; near the interval (polling.interval), polls are left out. The skipped ones per minute are on the right axis.",
        Field::durations().missing(NO_SCRAPE),
    );
    let skipped = Field::unit("cpm", 1)
        .custom("axisPlacement", "right")
        .custom("axisSoftMax", 5)
        .set("color", json!({"mode": "fixed", "fixedColor": WARN}));
    process::own_quantiles(panel, "polyai_exporter_poll_duration_seconds")
        .over_time(
            format!("60 * {}", sum_by(ALL, own("polyai_exporter_polls_skipped_total").rate())),
            "skipped",
        )
        .with(skipped.for_query("C"))
}

fn ingest_lag() -> Panel {
    let panel = Panel::lines(
        "From the end of a call to its count",
        "Half and 90 of 100 conversations were counted within this time after they ended, over the window. Dots are calls.",
        Field::durations().missing("No conversation ended in this time range."),
    );
    panel
        .over_time(SCOPE.quantile_of_few(0.9, Metric::IngestLag, ALL, "$window"), "p90")
        .over_time(SCOPE.quantile_of_few(0.5, Metric::IngestLag, ALL, "$window"), "p50")
        .in_colours(&[NEUTRAL, MUTED])
        .with_exemplars()
}

fn events() -> Panel {
    let events = sum_by(&["event"], own("polyai_exporter_events_total").increase("$__rate_interval"));
    Panel::lines(
        "Out of the ordinary",
        "Events, which are also logged, by name, per interval of the graph. Events that did not occur are not shown.",
        Field::number()
            .custom("drawStyle", "bars")
            .custom("fillOpacity", 60)
            .missing("Nothing out of the ordinary happened."),
    )
    .over_time(format!("{events} > 0"), "{{event}}")
}
