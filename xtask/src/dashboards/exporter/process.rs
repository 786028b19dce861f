//! The row about the process and its state: how much it uses, of how much, and what fails.

use serde_json::json;

use super::{ALL, NO_SCRAPE};
use crate::dashboards::dashboard::Dashboard;
use crate::dashboards::field::{BAD, Field, MUTED, NEUTRAL, WARN};
use crate::dashboards::panel::Panel;
use crate::dashboards::query::{own, own_histogram, scrape, sum_by};

pub(super) fn row(dashboard: Dashboard) -> Dashboard {
    dashboard
        .row("Process and state: use, saturation, errors")
        .panel(6, 8, cpu())
        .panel(6, 8, memory())
        .panel(6, 8, descriptors())
        .panel(6, 8, state())
        .panel(6, 8, commits())
        .panel(6, 8, scrape_cost())
        .panel(6, 8, series())
        .panel(6, 8, bytes())
}

fn process(title: &str, description: &str, field: Field, expr: impl std::fmt::Display) -> Panel {
    Panel::lines(title, description, field.missing(NO_SCRAPE)).over_time(expr, "{{instance}}")
}

fn cpu() -> Panel {
    let used = own("process_cpu_seconds_total").rate();
    process("CPU", "Cores in use.", Field::default().set("unit", "none").set("min", 0), used).every("1m")
}

fn memory() -> Panel {
    let used = own("process_resident_memory_bytes");
    process("Memory", "Resident memory of the process.", Field::unit("bytes", 0).set("min", 0), used)
}

fn descriptors() -> Panel {
    let used = format!("{} / {}", own("process_open_fds"), own("process_max_fds"));
    let field = Field::share().custom("axisSoftMax", 1).steps(&[(None, "transparent"), (Some(0.8), WARN)]);
    process(
        "File descriptors",
        "Share of the allowed file descriptors that are open. The dashed line is at 80 %.",
        field,
        used,
    )
    .with_limit_lines()
}

fn state() -> Panel {
    let panel = Panel::lines(
        "Transactions on the state",
        "Time that a transaction takes: the disk. Only a committed one is shown on /metrics.",
        Field::durations().missing(NO_SCRAPE),
    );
    own_quantiles(panel, "polyai_exporter_commit_duration_seconds")
}

fn commits() -> Panel {
    Panel::lines(
        "Commits",
        "Transactions on the state per minute, by outcome. What failed is tried again; failures mean a full or broken disk.",
        Field::unit("cpm", 0).set("min", 0).missing(NO_SCRAPE),
    )
    .over_time(format!("60 * {}", sum_by(&["outcome"], own("polyai_exporter_commits_total").rate())), "{{outcome}}")
    .with(Field::default().set("color", json!({"mode": "fixed", "fixedColor": NEUTRAL})).for_field("committed"))
    .with(Field::default().set("color", json!({"mode": "fixed", "fixedColor": BAD})).for_field("failed"))
}

fn scrape_cost() -> Panel {
    process(
        "Scrape duration",
        "Time that Prometheus needs to scrape the exporter.",
        Field::durations(),
        scrape("scrape_duration_seconds"),
    )
}

fn series() -> Panel {
    Panel::lines(
        "Series",
        "Conversation series held (a histogram is one), and samples per scrape, with all buckets. Growth without new targets is a label that varies too much.",
        Field::number().missing(NO_SCRAPE),
    )
    .over_time(sum_by(ALL, own("polyai_exporter_series")), "series")
    .over_time(sum_by(ALL, scrape("scrape_samples_scraped")), "samples")
    .in_colours(&[NEUTRAL, "purple"])
}

fn bytes() -> Panel {
    let received = own("polyai_exporter_api_response_bytes_total").rate();
    Panel::lines(
        "Bytes received",
        "Bytes of answers of the PolyAI API per second, after decompression.",
        Field::unit("Bps", 0).set("min", 0).missing(NO_SCRAPE),
    )
    .over_time(sum_by(ALL, received), "received")
    .in_colours(&[NEUTRAL])
}

/// p95 and p50 of one of the exporter's own histograms.
pub(super) fn own_quantiles(panel: Panel, name: &str) -> Panel {
    let buckets = sum_by(&["le"], own_histogram(name, "bucket").rate());
    panel
        .over_time(format!("histogram_quantile(0.95, {buckets})"), "p95")
        .over_time(format!("histogram_quantile(0.5, {buckets})"), "p50")
        .in_colours(&[NEUTRAL, MUTED])
}
