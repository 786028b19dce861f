//! Many calls at the cost of a few, so that a benchmark measures the client and not the simulator.
//!
//! Records of a few kinds are encoded once; each call is a copy with another id and other times.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use polyai_domain::target::{ApiVersion, ClientEnv};

use crate::call::{Call, CallQuery, Text};
use crate::cursor::Position;
use crate::encode::{Dialect, timestamp};
use crate::generate_call::{CallGenerator, CallKind};
use crate::incidents::IncidentEffect;
use crate::list_endpoint::{Listing, Page};
use crate::profile::{AnomalyRates, Profile};
use crate::quirks::{Quirks, TimestampFormat};
use crate::random_calls::MAX_NORMAL_DURATION;
use crate::rng::{Rng, hash};

const KINDS: u64 = 16;
/// The placeholder for an id.
const ID: &str = "CAffffffffffffffffffffffffffffffff";
/// The placeholder for a date; 978,307,200 s after the epoch.
const DAY: &str = "2001-01-01";

/// Finished calls, evenly spread over a period.
#[derive(Debug, Clone)]
pub(crate) struct BulkRecords {
    count: u64,
    /// Microseconds since 1970 of the first start.
    first: i64,
    /// Microseconds between starts.
    spacing: i64,
    kinds: Vec<Call>,
    encoded: Arc<Mutex<Option<EncodedRecords>>>,
}

/// The kinds as JSON in one dialect.
#[derive(Debug, Clone)]
pub(crate) struct EncodedRecords {
    dialect: (ApiVersion, bool, Quirks),
    kinds: Arc<[Vec<Piece>]>,
}

#[derive(Debug)]
enum Piece {
    Literal(Vec<u8>),
    Id,
    /// After the start.
    Timestamp(TimeDelta),
}

impl BulkRecords {
    /// `count` calls of about `bytes` of JSON each, with starts from `from` to `until`.
    pub(crate) fn new(
        count: u64,
        bytes: usize,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        dialect: &Dialect<'_>,
    ) -> Self {
        let period = (until - from).num_microseconds().unwrap_or(i64::MAX);
        let spacing = (period / count.max(1).cast_signed()).max(1);
        let kinds = (0..KINDS).map(|kind| padded(generated(kind), bytes, dialect)).collect();
        Self { count, first: from.timestamp_micros(), spacing, kinds, encoded: Arc::default() }
    }

    /// The indexes of calls that start within these inclusive bounds.
    pub(crate) fn range(&self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Range<u64> {
        let start = from.map_or(0, |from| self.first_at(from.timestamp_micros()));
        let end = to.map_or(self.count, |to| self.first_at(to.timestamp_micros().saturating_add(1)));
        start..end.max(start)
    }

    /// The index of the first call that starts at or after `micros`.
    pub(crate) fn first_at(&self, micros: i64) -> u64 {
        let offset = micros.saturating_sub(self.first).max(0);
        (offset.cast_unsigned().div_ceil(self.spacing.cast_unsigned())).min(self.count)
    }

    pub(crate) fn start(&self, index: u64) -> DateTime<Utc> {
        let micros = self.first.saturating_add(self.spacing.saturating_mul(index.cast_signed()));
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    pub(crate) fn id(&self, index: u64) -> String {
        format!("CA{:016x}{index:016x}", hash(&[index]))
    }

    fn kind(&self, index: u64) -> usize {
        usize::try_from(hash(&[index, 1]) % KINDS).unwrap_or(0)
    }

    /// Visits the calls of `query` in its order until `visitor` breaks.
    pub(crate) fn visit(&self, query: &CallQuery, visitor: &mut dyn FnMut(&Call) -> ControlFlow<()>) {
        let finished = query.open_at.map(|open_at| open_at - MAX_NORMAL_DURATION);
        let mut range = self.range(query.from.max(finished), query.to);
        let mut next = || if query.newest_first { range.next_back() } else { range.next() };
        while let Some(index) = next() {
            let call = self.kinds[self.kind(index)].clone();
            let (id, start, env) = (self.id(index), self.start(index), query.env);
            if visitor(&Call { id, start, env, ..call }).is_break() {
                return;
            }
        }
    }

    /// The records in `dialect`, encoded again only if it has changed.
    pub(crate) fn encoded(&self, dialect: &Dialect<'_>) -> EncodedRecords {
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (dialect.version, dialect.include_latency, dialect.quirks.clone());
        match &*encoded {
            Some(records) if records.dialect == key => records.clone(),
            _ => {
                let kinds = self.kinds.iter().map(|call| pieces(call, dialect)).collect();
                encoded.insert(EncodedRecords { dialect: key, kinds }).clone()
            }
        }
    }
}

impl EncodedRecords {
    pub(crate) fn write(&self, out: &mut Vec<u8>, bulk: &BulkRecords, index: u64) {
        let (id, start, format) = (bulk.id(index), bulk.start(index), self.dialect.2.timestamps);
        for piece in &self.kinds[bulk.kind(index)] {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Id => out.extend_from_slice(id.as_bytes()),
                Piece::Timestamp(offset) => {
                    out.extend_from_slice(timestamp(start + *offset, format).as_bytes())
                }
            }
        }
    }
}

impl Listing<'_> {
    /// The same as `ordered` for encoded records.
    pub(crate) fn copy_bulk(&self, page: &mut Page, bulk: &BulkRecords, newest_first: bool) {
        if self.state_filter() == Some(true) {
            return;
        }
        let query = self.call_query(newest_first);
        let mut range = bulk.range(query.from, query.to);
        if let Some(cursor) = &self.query.cursor {
            let rank =
                i64::try_from(cursor.position.rank).unwrap_or(if newest_first { i64::MAX } else { i64::MIN });
            if newest_first {
                range.end = range.end.min(bulk.first_at(rank));
            } else {
                range.start = range.start.max(bulk.first_at(rank.saturating_add(1)));
            }
        }
        let skip = u64::try_from(self.query.offset).unwrap_or(u64::MAX);
        let left = range.end.saturating_sub(range.start).saturating_sub(skip);
        let records = bulk.encoded(&self.dialect());
        for step in 0..left.min(self.query.limit as u64) {
            let index = if newest_first { range.end - 1 - skip - step } else { range.start + skip + step };
            let id = bulk.id(index);
            page.begin(Position::new(bulk.start(index), &id));
            records.write(&mut page.body, bulk, index);
            page.finished.push(id);
        }
        page.more = left > self.query.limit as u64;
    }
}

/// A normal call on the placeholder day, visible and finished from its start as it is served.
fn generated(kind: u64) -> Call {
    let generator = CallGenerator { profile: Profile::reservations(), anomalies: AnomalyRates::NONE };
    let start = DateTime::from_timestamp(978_307_200, 0).unwrap_or_default();
    let (mut rng, effect) = (Rng::new(&[kind]), IncidentEffect::default());
    let call = generator.generate(&mut rng, ClientEnv::Live, start, CallKind::Normal, &effect);
    Call { id: ID.to_owned(), visible_from: None, finished_visible_from: None, ..call }
}

/// `call` with responses so long that its record has about `bytes`.
fn padded(mut call: Call, bytes: usize, dialect: &Dialect<'_>) -> Call {
    const FILLER: &str = " Let me say a little more about that, so that nothing remains unclear.";
    let missing = bytes.saturating_sub(record(&call, dialect).len()) / call.turns.len().max(1);
    for turn in &mut call.turns {
        let filler = FILLER.chars().cycle().take(missing);
        turn.agent = Text::Owned(turn.agent.chars().chain(filler).collect());
    }
    call
}

fn record(call: &Call, dialect: &Dialect<'_>) -> Vec<u8> {
    let mut record = Vec::new();
    if let Some(visible) = call.at(DateTime::<Utc>::MAX_UTC, dialect.quirks) {
        dialect.write(&mut record, &visible);
    }
    record
}

/// The record of `call`, split at its id and times.
fn pieces(call: &Call, dialect: &Dialect<'_>) -> Vec<Piece> {
    let record = record(call, dialect);
    let format = dialect.quirks.timestamps;
    let width = timestamp(call.start, format).len();
    let (mut pieces, mut literal, mut at) = (Vec::new(), 0, 0);
    while at < record.len() {
        let rest = &record[at..];
        let (piece, length) = if rest.starts_with(ID.as_bytes()) {
            (Piece::Id, ID.len())
        } else if rest.starts_with(DAY.as_bytes())
            && let Some(offset) = rest.get(..width).and_then(|text| time_of_day(text, format))
        {
            (Piece::Timestamp(offset), width)
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

fn time_of_day(text: &[u8], format: TimestampFormat) -> Option<TimeDelta> {
    let text = std::str::from_utf8(text).ok()?;
    let pattern = match format {
        TimestampFormat::Offset => "%Y-%m-%dT%H:%M:%S%.f+00:00",
        TimestampFormat::Zulu => "%Y-%m-%dT%H:%M:%S%.fZ",
        TimestampFormat::Naive => "%Y-%m-%dT%H:%M:%S%.f",
        TimestampFormat::Spaced => "%Y-%m-%d %H:%M:%S%.f",
    };
    let moment = NaiveDateTime::parse_from_str(text, pattern).ok()?;
    Some(moment.time() - chrono::NaiveTime::MIN)
}
