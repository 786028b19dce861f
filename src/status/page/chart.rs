//! The chart of the recent handoff rate, as SVG within the page.
//!
//! Owns: the lines and the words for those who do not see them. Pure.

use maud::{Markup, html};

use crate::status::format::{JsonTimestamp, Ratio};
use crate::status::view::PointView;

/// The least that the height stands for, so that a few handoffs do not look like a mountain.
const LEAST_TOP: f64 = 0.2;

/// A box in the units of the drawing.
#[derive(Debug, Clone, Copy)]
struct Size {
    width: f64,
    height: f64,
}

/// A small one, for a row.
pub(super) fn small(points: &[PointView], now: JsonTimestamp) -> Markup {
    let size = Size { width: 96.0, height: 22.0 };
    html! {
        svg.chart.small viewBox=(view_box(size)) role="img" aria-label=(words(points, now)) preserveAspectRatio="none" {
            (lines(points, top(points), size))
        }
    }
}

/// A large one with its scale.
pub(super) fn large(points: &[PointView], now: JsonTimestamp) -> Markup {
    let size = Size { width: 640.0, height: 120.0 };
    let top = top(points);
    html! {
        figure.chart {
            div.scale aria-hidden="true" { span { (Ratio(top)) } span { "0 %" } }
            svg.chart.large viewBox=(view_box(size)) role="img" aria-label=(words(points, now)) preserveAspectRatio="none" {
                line.grid x1="0" x2=(size.width) y1="0.5" y2="0.5" {}
                line.grid x1="0" x2=(size.width) y1=(size.height / 2.0) y2=(size.height / 2.0) {}
                line.grid x1="0" x2=(size.width) y1=(size.height - 0.5) y2=(size.height - 0.5) {}
                (lines(points, top, size))
            }
            @if let (Some(first), Some(last)) = (points.first(), points.last()) {
                figcaption aria-hidden="true" { span { (first.at.hh_mm(now)) } span { (last.at.hh_mm(now)) } }
            }
        }
    }
}

fn view_box(size: Size) -> String {
    format!("0 0 {} {}", size.width, size.height)
}

fn rates(points: &[PointView]) -> impl Iterator<Item = f64> {
    points.iter().filter_map(|point| point.handoff_ratio).map(|ratio| ratio.0)
}

/// The next ten per cent above all rates.
fn top(points: &[PointView]) -> f64 {
    let most = rates(points).fold(LEAST_TOP, f64::max);
    ((most * 10.0 - 1e-9).ceil() / 10.0).clamp(LEAST_TOP, 1.0)
}

/// A line per stretch without a gap; a single point is a short one.
fn lines(points: &[PointView], top: f64, size: Size) -> Markup {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return html! {} };
    let span = last.at.0.saturating_duration_since(first.at.0).as_secs_f64().max(1.0);
    let at = |point: &PointView, ratio: Ratio| {
        let x =
            point.at.0.saturating_duration_since(first.at.0).as_secs_f64() / span * (size.width - 2.0) + 1.0;
        let y = size.height - 1.5 - (ratio.0 / top).clamp(0.0, 1.0) * (size.height - 3.0);
        (x, y)
    };
    let stretches = points.split(|point| point.handoff_ratio.is_none()).filter(|stretch| !stretch.is_empty());
    html! {
        @for stretch in stretches {
            polyline points=(stretch.iter().filter_map(|point| Some(at(point, point.handoff_ratio?))).enumerate().fold(
                String::new(),
                |mut path, (index, (x, y))| {
                    let end = if stretch.len() == 1 { format!(" {:.1},{y:.1}", x + 1.0) } else { String::new() };
                    let gap = if index > 0 { " " } else { "" };
                    path.push_str(&format!("{gap}{x:.1},{y:.1}{end}"));
                    path
                },
            )) {}
        }
    }
}

/// What the line shows, for those who do not see it.
fn words(points: &[PointView], now: JsonTimestamp) -> String {
    let last = points.last().and_then(|point| point.handoff_ratio);
    let (least, most) = rates(points)
        .fold((f64::MAX, 0.0), |(least, most): (f64, f64), rate| (least.min(rate), most.max(rate)));
    match (points.first(), last) {
        (None, _) => "Handoff rate: nothing noted yet".to_owned(),
        (Some(_), None) if most == 0.0 && least == f64::MAX => {
            "Handoff rate: no conversation ended".to_owned()
        }
        (Some(first), last) => {
            let last = last.map_or_else(|| "unknown".to_owned(), |last| last.to_string());
            format!(
                "Handoff rate since {}: {last} now, between {} and {}",
                first.at.hh_mm(now),
                Ratio(least),
                Ratio(most)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::timestamp::Timestamp;

    fn points(rates: &[Option<f64>]) -> Vec<PointView> {
        let start = Timestamp::parse("2026-11-24T12:00:00Z").unwrap();
        let at = |minute: usize| JsonTimestamp(start + Duration::from_secs(60 * minute as u64));
        let point = |(minute, rate): (usize, &Option<f64>)| PointView {
            at: at(minute),
            handoff_ratio: rate.map(Ratio),
            conversations: 10,
        };
        rates.iter().enumerate().map(point).collect()
    }

    #[test]
    fn gap_breaks_the_line() {
        let points = points(&[Some(0.1), Some(0.2), None, Some(0.3)]);
        let drawn = small(&points, points[3].at).into_string();
        assert_eq!(drawn.matches("<polyline").count(), 2, "{drawn}");
        assert!(drawn.contains("Handoff rate since 12:00: 30 % now, between 10 % and 30 %"), "{drawn}");
    }

    #[test]
    fn scale_ends_at_next_ten_percent() {
        let tops: Vec<f64> = [0.0, 0.21, 0.3, 0.999, 1.0].map(|rate| top(&points(&[Some(rate)]))).to_vec();
        assert_eq!(tops, [0.2, 0.3, 0.3, 1.0, 1.0]);
    }

    #[test]
    fn chart_without_points_has_a_note() {
        let now = JsonTimestamp(Timestamp::from_millis(0));
        assert!(small(&[], now).into_string().contains("nothing noted yet"));
        assert!(small(&points(&[None, None]), now).into_string().contains("no conversation ended"));
    }
}
