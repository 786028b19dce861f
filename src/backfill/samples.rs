//! The samples of many scrapes by series, run-length encoded because most values stay the same.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

/// All samples of a number of scrapes.
#[derive(Debug, Default)]
pub struct SampleStore {
    /// When each scrape was, ascending.
    pub(super) times: Vec<DateTime<Utc>>,
    /// In the order of their first appearance.
    pub(super) families: Vec<Family>,
    by_name: HashMap<Box<str>, usize>,
}

/// A metric family.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: Box<str>,
    pub(super) kind: Box<str>,
    pub(super) help: Box<str>,
    /// One per label set; the buckets, sum and count of a histogram belong together.
    pub(super) metrics: Vec<Vec<Series>>,
    /// Indices into `metrics`, by name and labels.
    positions: HashMap<Box<str>, (usize, usize)>,
    by_labels: HashMap<Box<str>, usize>,
}

/// One series.
#[derive(Debug)]
pub(super) struct Series {
    /// Name and labels, as scraped.
    pub(super) name: Box<str>,
    /// Ascending, without overlaps.
    pub(super) runs: Vec<Run>,
}

/// The same value in consecutive scrapes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) value: Box<str>,
}

impl SampleStore {
    /// Appends a scrape in text format 0.0.4, later than those before.
    pub fn append(&mut self, at: DateTime<Utc>, scrape: &str) {
        let index = self.times.len();
        self.times.push(at);
        let mut family = None;
        for line in scrape.lines() {
            if let Some(head) = line.strip_prefix("# HELP ") {
                let (name, help) = head.split_once(' ').unwrap_or((head, ""));
                family = Some(self.family(name, help));
            } else if let Some(head) = line.strip_prefix("# TYPE ") {
                let kind = head.rsplit(' ').next().unwrap_or_default();
                if let Some(family) = family.and_then(|index| self.families.get_mut(index))
                    && *family.kind != *kind
                {
                    family.kind = kind.into();
                }
            } else if let Some((series, value)) = line.rsplit_once(' ')
                && let Some(family) = family.and_then(|index| self.families.get_mut(index))
            {
                family.put(series, value, index);
            }
        }
    }

    /// The number of scrapes.
    pub fn scrape_count(&self) -> usize {
        self.times.len()
    }

    /// The number of series.
    pub fn series_count(&self) -> usize {
        self.families.iter().flat_map(|family| &family.metrics).map(Vec::len).sum()
    }

    /// The number of samples.
    pub fn sample_count(&self) -> usize {
        let series = self.families.iter().flat_map(|family| family.metrics.iter().flatten());
        series.flat_map(|series| &series.runs).map(|run| run.last - run.first + 1).sum()
    }

    fn family(&mut self, name: &str, help: &str) -> usize {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        self.by_name.insert(name.into(), self.families.len());
        self.families.push(Family {
            name: name.into(),
            kind: Box::default(),
            help: help.into(),
            metrics: Vec::new(),
            positions: HashMap::new(),
            by_labels: HashMap::new(),
        });
        self.families.len() - 1
    }
}

impl Family {
    fn put(&mut self, series: &str, value: &str, index: usize) {
        let (metric, position) = match self.positions.get(series) {
            Some(position) => *position,
            None => self.add_series(series),
        };
        let Some(series) = self.metrics.get_mut(metric).and_then(|series| series.get_mut(position)) else {
            return;
        };
        match series.runs.last_mut() {
            Some(run) if run.last + 1 == index && *run.value == *value => run.last = index,
            _ => series.runs.push(Run { first: index, last: index, value: value.into() }),
        }
    }

    fn add_series(&mut self, name: &str) -> (usize, usize) {
        let labels = if &*self.kind == "histogram" { without_bound(name) } else { name };
        let metric = *self.by_labels.entry(labels.into()).or_insert(self.metrics.len());
        if metric == self.metrics.len() {
            self.metrics.push(Vec::new());
        }
        let position = self.metrics.get_mut(metric).map_or(0, |series| {
            series.push(Series { name: name.into(), runs: Vec::new() });
            series.len() - 1
        });
        self.positions.insert(name.into(), (metric, position));
        (metric, position)
    }
}

/// The labels of a histogram's line without `le`, which comes last.
fn without_bound(series: &str) -> &str {
    let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
    let end = labels.rfind("le=\"").filter(|&at| at == 0 || labels[..at].ends_with(','));
    end.map_or(labels, |at| labels[..at].trim_end_matches(','))
}
