//! Many scrapes, kept by series instead of by time, which is the order in which a file must have them.
//!
//! Owns: the memory of all samples, small because most values stay the same from scrape to scrape. Never: the spelling of numbers,
//! which stays as it was scraped.

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

/// What one name stands for.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: Box<str>,
    pub(super) kind: Box<str>,
    pub(super) help: Box<str>,
    /// One per label set (a histogram's buckets, sum and count are one).
    pub(super) metrics: Vec<Vec<Column>>,
    places: HashMap<Box<str>, (usize, usize)>,
    by_labels: HashMap<Box<str>, usize>,
}

/// One series.
#[derive(Debug)]
pub(super) struct Column {
    /// Name and labels, as scraped.
    pub(super) series: Box<str>,
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
    /// Takes a scrape in text format 0.0.4, later than those before.
    pub fn take(&mut self, at: DateTime<Utc>, scrape: &str) {
        let index = self.times.len();
        self.times.push(at);
        let mut family = None;
        for line in scrape.lines() {
            if let Some(head) = line.strip_prefix("# HELP ") {
                let (name, help) = head.split_once(' ').unwrap_or((head, ""));
                family = Some(self.family(name, help));
            } else if let Some(head) = line.strip_prefix("# TYPE ") {
                let kind = head.rsplit(' ').next().unwrap_or_default();
                if let Some(family) = family.and_then(|place| self.families.get_mut(place))
                    && *family.kind != *kind
                {
                    family.kind = kind.into();
                }
            } else if let Some((series, value)) = line.rsplit_once(' ')
                && let Some(family) = family.and_then(|place| self.families.get_mut(place))
            {
                family.put(series, value, index);
            }
        }
    }

    /// How many scrapes were taken.
    pub fn scrapes(&self) -> usize {
        self.times.len()
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.families.iter().flat_map(|family| &family.metrics).map(Vec::len).sum()
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        let columns = self.families.iter().flat_map(|family| family.metrics.iter().flatten());
        columns.flat_map(|column| &column.runs).map(|run| run.last - run.first + 1).sum()
    }

    fn family(&mut self, name: &str, help: &str) -> usize {
        if let Some(place) = self.by_name.get(name) {
            return *place;
        }
        self.by_name.insert(name.into(), self.families.len());
        self.families.push(Family {
            name: name.into(),
            kind: Box::default(),
            help: help.into(),
            metrics: Vec::new(),
            places: HashMap::new(),
            by_labels: HashMap::new(),
        });
        self.families.len() - 1
    }
}

impl Family {
    fn put(&mut self, series: &str, value: &str, index: usize) {
        let (metric, place) = match self.places.get(series) {
            Some(place) => *place,
            None => self.place(series),
        };
        let Some(column) = self.metrics.get_mut(metric).and_then(|columns| columns.get_mut(place)) else {
            return;
        };
        match column.runs.last_mut() {
            Some(run) if run.last + 1 == index && *run.value == *value => run.last = index,
            _ => column.runs.push(Run { first: index, last: index, value: value.into() }),
        }
    }

    fn place(&mut self, series: &str) -> (usize, usize) {
        let labels = if &*self.kind == "histogram" { without_bound(series) } else { series };
        let metric = *self.by_labels.entry(labels.into()).or_insert(self.metrics.len());
        if metric == self.metrics.len() {
            self.metrics.push(Vec::new());
        }
        let columns = self.metrics.get_mut(metric).map_or(0, |columns| {
            columns.push(Column { series: series.into(), runs: Vec::new() });
            columns.len() - 1
        });
        self.places.insert(series.into(), (metric, columns));
        (metric, columns)
    }
}

/// The labels of a histogram's line, but for `le`, which stands last.
fn without_bound(series: &str) -> &str {
    let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
    let end = labels.rfind("le=\"").filter(|&at| at == 0 || labels[..at].ends_with(','));
    end.map_or(labels, |at| labels[..at].trim_end_matches(','))
}
