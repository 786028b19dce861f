//! The chart of the recent handoff rate, as inline SVG.

use maud::{Markup, html};

use crate::status::format::{JsonTimestamp, Ratio};
use crate::status::handoff_trend::Point;

/// The smallest scale, so that a few handoffs do not look like many.
const MIN_SCALE: f64 = 0.2;

#[derive(Debug, Clone, Copy)]
struct Size {
    width: f64,
    height: f64,
}

/// The chart in a row of the overview.
pub(super) fn small(points: &[Point], now: JsonTimestamp) -> Markup {
    let size = Size { width: 96.0, height: 22.0 };
    svg("chart small", points, now, size, &html! {})
}

/// The chart with its scale.
pub(super) fn large(points: &[Point], now: JsonTimestamp) -> Markup {
    let size @ Size { width, height } = Size { width: 640.0, height: 120.0 };
    let grid = html! {
        @for y in [0.5, height / 2.0, height - 0.5] { line.grid x1="0" x2=(width) y1=(y) y2=(y) {} }
    };
    html! {
        figure.chart {
            div.scale aria-hidden="true" { span { (Ratio(scale(points))) } span { "0 %" } }
            (svg("chart large", points, now, size, &grid))
            @if let (Some(first), Some(last)) = (points.first(), points.last()) {
                figcaption aria-hidden="true" { span { (first.at.hh_mm(now)) } span { (last.at.hh_mm(now)) } }
            }
        }
    }
}

fn svg(class: &str, points: &[Point], now: JsonTimestamp, size: Size, grid: &Markup) -> Markup {
    let view_box = format!("0 0 {} {}", size.width, size.height);
    html! {
        svg class=(class) viewBox=(view_box) role="img" aria-label=(label(points, now)) preserveAspectRatio="none" {
            (grid)
            @for line in lines(points, size) { polyline points=(line) {} }
        }
    }
}

fn rates(points: &[Point]) -> impl Iterator<Item = f64> {
    points.iter().filter_map(|point| point.handoff_ratio).map(|ratio| ratio.0)
}

/// The next ten percent above all rates.
fn scale(points: &[Point]) -> f64 {
    let max = rates(points).fold(MIN_SCALE, f64::max);
    ((max * 10.0 - 1e-9).ceil() / 10.0).clamp(MIN_SCALE, 1.0)
}

/// The coordinates of a line per sequence of points without a gap; that of a single point is one unit long.
fn lines(points: &[Point], size: Size) -> Vec<String> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let (length, scale) = (first.at.age(last.at).as_secs_f64().max(1.0), scale(points));
    let place = |point: &Point| {
        let x = first.at.age(point.at).as_secs_f64() / length * (size.width - 2.0) + 1.0;
        let ratio = (point.handoff_ratio?.0 / scale).clamp(0.0, 1.0);
        Some((x, size.height - 1.5 - ratio * (size.height - 3.0)))
    };
    let sequences = points.split(|point| point.handoff_ratio.is_none()).filter(|points| !points.is_empty());
    let line = |points: &[Point]| {
        let mut places: Vec<(f64, f64)> = points.iter().filter_map(place).collect();
        if let [(x, y)] = places[..] {
            places.push((x + 1.0, y));
        }
        places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
    };
    sequences.map(line).collect()
}

/// The text alternative.
fn label(points: &[Point], now: JsonTimestamp) -> String {
    let Some(first) = points.first() else { return "Handoff rate: no data yet".to_owned() };
    let Some(min) = rates(points).reduce(f64::min) else {
        return "Handoff rate: no conversations".to_owned();
    };
    let max = rates(points).fold(min, f64::max);
    let last = points.last().and_then(|point| point.handoff_ratio);
    let last = last.map_or_else(|| "unknown".to_owned(), |last| last.to_string());
    let since = first.at.hh_mm(now);
    format!("Handoff rate since {since}: {last} now, between {} and {}", Ratio(min), Ratio(max))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::status::thresholds::AgentCounters;
    use polyai_domain::timestamp::Timestamp;

    fn points(rates: &[Option<f64>]) -> Vec<Point> {
        let start = Timestamp::parse("2026-11-24T12:00:00Z").unwrap();
        let at = |minute: usize| JsonTimestamp(start + Duration::from_secs(60 * minute as u64));
        let point = |(minute, rate): (usize, &Option<f64>)| Point {
            at: at(minute),
            handoff_ratio: rate.map(Ratio),
            conversations: 10,
            counters: AgentCounters::default(),
        };
        rates.iter().enumerate().map(point).collect()
    }

    #[test]
    fn line_is_broken_where_no_conversation_ended() {
        let points = points(&[Some(0.1), Some(0.2), None, Some(0.3)]);
        let drawn = small(&points, points[3].at).into_string();
        assert_eq!(drawn.matches("<polyline").count(), 2, "{drawn}");
        assert!(drawn.contains("Handoff rate since 12:00: 30 % now, between 10 % and 30 %"), "{drawn}");
    }

    #[test]
    fn scale_ends_at_the_next_ten_percent() {
        let scales: Vec<f64> =
            [0.0, 0.21, 0.3, 0.999, 1.0].map(|rate| scale(&points(&[Some(rate)]))).to_vec();
        assert_eq!(scales, [0.2, 0.3, 0.3, 1.0, 1.0]);
    }

    #[test]
    fn label_says_that_data_is_missing() {
        let now = JsonTimestamp(Timestamp::from_millis(0));
        assert!(small(&[], now).into_string().contains("no data yet"));
        assert!(small(&points(&[None, None]), now).into_string().contains("no conversations"));
    }
}
