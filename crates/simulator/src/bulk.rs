//! A great many conversations at the cost of a few, so that a measurement measures the client.
//!
//! Owns: records that are rendered once and copied with another id and other times. Never: running calls.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::call::{Call, Text};
use super::dice::{Rng, hash};
use super::generated::{Generated, MAX_NORMAL_DURATION};
use super::incidents::IncidentEffect;
use super::invent::Kind;
use super::profile::Profile;
use super::project::Project;
use super::quirks::{Quirks, Stamp};
use super::render;
use super::stamp;
use super::world::{CallQuery, Calls};
use polyai_domain::target::{ApiVersion, ClientEnv};

/// Different records.
const KINDS: u64 = 16;
/// Stands in for the id of a record.
const ID: &str = "CAffffffffffffffffffffffffffffffff";
/// Stands in for the day of a record.
const DAY: &str = "2001-01-01";

/// Finished calls, evenly spread over a stretch of time.
#[derive(Debug, Clone)]
pub(crate) struct Bulk {
    count: u64,
    /// Microseconds since 1970 of the first start, and between starts.
    first: i64,
    spacing: i64,
    kinds: Vec<Call>,
    rendered: Arc<Mutex<Option<Records>>>,
}

/// The kinds as JSON, for one way of asking.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    dialect: (ApiVersion, bool, Quirks),
    kinds: Arc<[Vec<Piece>]>,
}

#[derive(Debug)]
enum Piece {
    Literal(Vec<u8>),
    Id,
    /// After the start.
    Moment(TimeDelta),
}

impl Project {
    /// Has `count` finished calls of about `bytes` of JSON each (no less than what their turns need), whose starts are
    /// evenly spread from `from` to `until`.
    #[must_use]
    pub fn with_bulk(mut self, count: u64, bytes: usize, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let stretch = (until - from).num_microseconds().unwrap_or(i64::MAX);
        let spacing = (stretch / count.max(1).cast_signed()).max(1);
        let kinds = (0..KINDS).map(|kind| padded(invented(kind), bytes)).collect();
        let first = from.timestamp_micros();
        self.calls = Calls::Bulk(Bulk { count, first, spacing, kinds, rendered: Arc::default() });
        self
    }
}

impl Bulk {
    /// The places of calls that start within these inclusive bounds.
    pub(crate) fn range(&self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Range<u64> {
        let start = from.map_or(0, |from| self.first_at(from.timestamp_micros()));
        let end = to.map_or(self.count, |to| self.first_at(to.timestamp_micros().saturating_add(1)));
        start..end.max(start)
    }

    /// The place of the first call that starts at or after `micros`.
    pub(crate) fn first_at(&self, micros: i64) -> u64 {
        let offset = micros.saturating_sub(self.first).max(0);
        (offset.cast_unsigned().div_ceil(self.spacing.cast_unsigned())).min(self.count)
    }

    /// When call `index` starts.
    pub(crate) fn start(&self, index: u64) -> DateTime<Utc> {
        let micros = self.first.saturating_add(self.spacing.saturating_mul(index.cast_signed()));
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The name of call `index`.
    pub(crate) fn id(&self, index: u64) -> String {
        format!("CA{:016x}{index:016x}", hash(&[index]))
    }

    fn kind(&self, index: u64) -> usize {
        usize::try_from(hash(&[index, 1]) % KINDS).unwrap_or(0)
    }

    /// Shows the calls that `ask` is about, in its order, until `see` breaks.
    pub(crate) fn visit(&self, ask: &CallQuery, see: &mut dyn FnMut(&Call) -> ControlFlow<()>) {
        let settled = ask.open_at.map(|open_at| open_at - MAX_NORMAL_DURATION);
        let range = self.range(ask.from.max(settled), ask.to);
        for step in 0..range.end - range.start {
            let index = if ask.newest_first { range.end - 1 - step } else { range.start + step };
            let mut call = self.kinds[self.kind(index)].clone();
            call.id = self.id(index);
            call.start = self.start(index);
            call.env = ask.env;
            // It is over by its start, as it is served.
            call.visible_from = None;
            if see(&call).is_break() {
                return;
            }
        }
    }

    /// The records as `project` writes them; rendered anew only when the way of asking changes.
    pub(crate) fn records(&self, project: &Project, version: ApiVersion, include_latency: bool) -> Records {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let dialect = (version, include_latency, project.quirks.clone());
        match &*rendered {
            Some(records) if records.dialect == dialect => records.clone(),
            _ => {
                let kinds =
                    self.kinds.iter().map(|call| pieces(call, project, version, include_latency)).collect();
                rendered.insert(Records { dialect, kinds }).clone()
            }
        }
    }
}

impl Records {
    /// Writes call `index` of `bulk`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, bulk: &Bulk, index: u64) {
        let (id, start, stamps) = (bulk.id(index), bulk.start(index), self.dialect.2.stamps);
        for piece in &self.kinds[bulk.kind(index)] {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Id => out.extend_from_slice(id.as_bytes()),
                Piece::Moment(offset) => stamp::write(out, start + *offset, stamps),
            }
        }
    }
}

/// A call of the everyday kind, on the stand-in day.
fn invented(kind: u64) -> Call {
    let source = Generated::new("bulk", 0, Profile::reservations());
    let start = DateTime::from_timestamp(978_307_200, 0).unwrap_or_default();
    let mut dice = Rng::new(&[kind]);
    let mut call =
        source.invent(&mut dice, ClientEnv::Live, start, Kind::Ordinary, &IncidentEffect::default());
    call.id = ID.to_owned();
    call.versions.clear();
    (call.visible_from, call.finished_visible_from) = (None, None);
    call
}

/// `call` with answers so long that its record has about `bytes`.
fn padded(mut call: Call, bytes: usize) -> Call {
    const FILLER: &str = " Let me say a little more about that, so that nothing remains unclear.";
    let project = Project::new("bulk", polyai_domain::target::Region::Us1);
    let mut record = Vec::new();
    if let Some(shown) = call.shown(DateTime::<Utc>::MAX_UTC, &project.quirks) {
        render::record(&mut record, &shown, &project, ApiVersion::V3, true);
    }
    let missing = bytes.saturating_sub(record.len()) / call.turns.len().max(1);
    for turn in &mut call.turns {
        let filler: String = FILLER.chars().cycle().take(missing).collect();
        turn.agent = Text::Owned(format!("{}{filler}", turn.agent));
    }
    call
}

/// The record of `call`, cut where id and times stand.
fn pieces(call: &Call, project: &Project, version: ApiVersion, include_latency: bool) -> Vec<Piece> {
    let mut record = Vec::new();
    let stamps = project.quirks.stamps;
    if let Some(shown) = call.shown(DateTime::<Utc>::MAX_UTC, &project.quirks) {
        render::record(&mut record, &shown, project, version, include_latency);
    }
    let mut stamp = Vec::new();
    stamp::write(&mut stamp, call.start, stamps);
    let (mut pieces, mut literal, mut at) = (Vec::new(), 0, 0);
    while at < record.len() {
        let rest = &record[at..];
        let (piece, length) = if rest.starts_with(ID.as_bytes()) {
            (Piece::Id, ID.len())
        } else if rest.starts_with(DAY.as_bytes()) && rest.len() > stamp.len() {
            (Piece::Moment(time_of_day(&rest[..stamp.len()], stamps)), stamp.len())
        } else {
            at += 1;
            continue;
        };
        pieces.push(Piece::Literal(record[literal..at].to_vec()));
        pieces.push(piece);
        at += length;
        literal = at;
    }
    pieces.push(Piece::Literal(record[literal..].to_vec()));
    pieces
}

/// Since midnight, from a stamp of the stand-in day.
fn time_of_day(stamp: &[u8], form: Stamp) -> TimeDelta {
    let number = |range: Range<usize>| {
        let digits = stamp.get(range).unwrap_or_default();
        digits.iter().fold(0_i64, |number, digit| number * 10 + i64::from(digit.wrapping_sub(b'0')))
    };
    let micros = match form {
        Stamp::Spaced => number(20..25) * 10,
        Stamp::Offset | Stamp::Zulu | Stamp::Naive => number(20..26),
    };
    TimeDelta::seconds(number(11..13) * 3600 + number(14..16) * 60 + number(17..19))
        + TimeDelta::microseconds(micros)
}
