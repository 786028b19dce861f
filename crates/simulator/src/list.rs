//! One page of a list.
//!
//! Owns: filters, order, paging and the envelope. Never: authority to read, faults of the transport.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use chrono::{DateTime, TimeDelta, Utc};

use super::bulk::Bulk;
use super::call::Call;
use super::cursor::{Cursor, Position};
use super::dice::mix_text;
use super::project::Project;
use super::query::{Query, Retrieval, cursors};
use super::quirks::{EndBound, LastCursor, Order, Paging};
use super::render;
use super::shown::VisibleCall;
use super::world::{CallQuery, Calls};
use polyai_domain::target::ApiVersion;

/// An answered list request.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) body: Vec<u8>,
    pub(crate) rows: usize,
    /// Ids of the rows that were not shown as running.
    pub(crate) finished: Vec<String>,
}

/// What a fault does to a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PagingFault {
    #[default]
    None,
    /// `cursor` is the one that was sent.
    RepeatCursor,
    /// No rows, and a cursor that leads to those left out.
    EmptyPage,
}

/// A list request together with what it is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing<'a> {
    pub(crate) project: &'a Project,
    pub(crate) version: ApiVersion,
    pub(crate) query: &'a Query,
    pub(crate) now: DateTime<Utc>,
}

/// The page with the facts that paging needs.
#[derive(Default)]
struct Rows {
    page: Page,
    last: Option<Position>,
    more: bool,
}

impl Listing<'_> {
    /// The body of the answer.
    pub(crate) fn page(&self, trick: PagingFault) -> Page {
        let bare = self.project.quirks.bare_array;
        let mut rows = Rows::default();
        rows.page.body.extend_from_slice(if bare { b"[" } else { br#"{"conversations":["# });
        if trick != PagingFault::EmptyPage {
            match self.order() {
                Order::Shuffled => self.shuffled(&mut rows),
                Order::Ascending => self.ordered(&mut rows, false),
                Order::Descending => self.ordered(&mut rows, true),
            }
        }
        rows.page.body.push(b']');
        if !bare {
            self.envelope(&mut rows, trick);
        }
        rows.page
    }

    fn order(&self) -> Order {
        match (self.version, &self.query.retrieval) {
            (ApiVersion::V1, _) => Order::Ascending,
            (_, Some(Retrieval::Sample)) => Order::Shuffled,
            _ => self.project.quirks.order,
        }
    }

    fn ask(&self, newest_first: bool) -> CallQuery {
        let end = self.query.end_time.map(|end| match self.project.quirks.end_time {
            EndBound::Inclusive => end,
            // Nothing is before the beginning of time.
            EndBound::Exclusive => end.checked_sub_signed(TimeDelta::microseconds(1)).unwrap_or(end),
        });
        CallQuery {
            env: self.query.client_env,
            from: self.query.start_time,
            to: Some(end.map_or(self.now, |end| end.min(self.now))),
            newest_first,
            open_at: (self.filter() == Some(true)).then_some(self.now),
        }
    }

    fn filter(&self) -> Option<bool> {
        self.query.in_progress.filter(|_| !self.project.quirks.ignores_in_progress)
    }

    fn ordered(&self, rows: &mut Rows, newest_first: bool) {
        if let Calls::Bulk(bulk) = &self.project.calls
            && self.takes_all()
        {
            return self.copied(rows, bulk, newest_first);
        }
        let after = self.query.cursor.as_ref().map(|cursor| &cursor.position);
        let mut ask = self.ask(newest_first);
        if let Some(start) =
            after.and_then(|position| DateTime::from_timestamp_micros(position.rank.try_into().ok()?))
        {
            if newest_first {
                ask.to = ask.to.map(|to| to.min(start));
            } else {
                ask.from = Some(ask.from.map_or(start, |from| from.max(start)));
            }
        }
        let mut skip = self.query.offset;
        self.project.calls.visit(&ask, &mut |call| {
            let rank = i128::from(call.start.timestamp_micros());
            let key = (rank, call.id.as_str());
            let seen = after.is_some_and(|after| {
                let after = (after.rank, after.id.as_str());
                if newest_first { key >= after } else { key <= after }
            });
            let Some(shown) = (!seen).then(|| self.matching(call)).flatten() else {
                return ControlFlow::Continue(());
            };
            if skip > 0 {
                skip -= 1;
                return ControlFlow::Continue(());
            }
            if rows.page.rows == self.query.limit {
                rows.more = true;
                return ControlFlow::Break(());
            }
            self.push(rows, &shown, rank);
            ControlFlow::Continue(())
        });
    }

    /// Whether nothing but time and state chooses rows.
    fn takes_all(&self) -> bool {
        let query = self.query;
        query.channels.is_empty()
            && query.variant_id.is_none()
            && query.variant_name.is_none()
            && query.retrieval.is_none()
    }

    /// As `ordered`, from records that are rendered already.
    fn copied(&self, rows: &mut Rows, bulk: &Bulk, newest_first: bool) {
        if self.filter() == Some(true) {
            return;
        }
        let ask = self.ask(newest_first);
        let mut range = bulk.range(ask.from, ask.to);
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
        let records = bulk.records(self.project, self.version, self.query.include_latency);
        for step in 0..left.min(self.query.limit as u64) {
            let index = if newest_first { range.end - 1 - skip - step } else { range.start + skip + step };
            if rows.page.rows > 0 {
                rows.page.body.push(b',');
            }
            rows.page.rows += 1;
            records.write(&mut rows.page.body, bulk, index);
            let id = bulk.id(index);
            rows.last = Some(Position::of(bulk.start(index), &id));
            rows.page.finished.push(id);
        }
        rows.more = left > self.query.limit as u64;
    }

    fn shuffled(&self, rows: &mut Rows) {
        let after = self.query.cursor.as_ref().map(|cursor| &cursor.position);
        let wanted = self.query.offset.saturating_add(self.query.limit).saturating_add(1);
        let mut kept: BTreeMap<Position, Call> = BTreeMap::new();
        self.project.calls.visit(&self.ask(false), &mut |call| {
            let position = Position { rank: i128::from(mix_text(&call.id)), id: call.id.clone() };
            if after.is_none_or(|after| position > *after) && self.matching(call).is_some() {
                kept.insert(position, call.clone());
                if kept.len() > wanted {
                    kept.pop_last();
                }
            }
            ControlFlow::Continue(())
        });
        for (position, call) in kept.into_iter().skip(self.query.offset) {
            if rows.page.rows == self.query.limit {
                rows.more = true;
                return;
            }
            if let Some(shown) = self.matching(&call) {
                self.push(rows, &shown, position.rank);
            }
        }
    }

    fn push(&self, rows: &mut Rows, shown: &VisibleCall<'_>, rank: i128) {
        if rows.page.rows > 0 {
            rows.page.body.push(b',');
        }
        rows.page.rows += 1;
        rows.last = Some(Position { rank, id: shown.call.id.clone() });
        render::record(&mut rows.page.body, shown, self.project, self.version, self.query.include_latency);
        if !shown.in_progress {
            rows.page.finished.push(shown.call.id.clone());
        }
    }

    /// The call as shown, if it is shown and asked for.
    fn matching<'c>(&self, call: &'c Call) -> Option<VisibleCall<'c>> {
        let shown = call.shown(self.now, &self.project.quirks)?;
        let query = self.query;
        let (variant_id, variant_name) =
            shown.call.variant.as_ref().map_or(("", ""), |(id, name)| (id.as_ref(), name.as_ref()));
        let channel = shown.call.channel.as_deref().unwrap_or("");
        let wanted = self.filter().is_none_or(|running| running == shown.in_progress)
            && (query.channels.is_empty() || query.channels.iter().any(|asked| on_channel(channel, asked)))
            && query.variant_id.as_deref().is_none_or(|asked| asked == variant_id)
            && query.variant_name.as_deref().is_none_or(|asked| asked == variant_name)
            && query.retrieval.as_ref().is_none_or(|retrieval| retrieval.finds(&shown));
        wanted.then_some(shown)
    }

    fn envelope(&self, rows: &mut Rows, trick: PagingFault) {
        let quirks = &self.project.quirks;
        let with_cursor = cursors(self.version, quirks);
        let going_on =
            rows.more || (quirks.empty_last_page && rows.page.rows > 0) || trick == PagingFault::EmptyPage;
        let offsets = match quirks.paging {
            Paging::CursorAndOffset | Paging::OffsetOnly => true,
            Paging::CursorOnly => !with_cursor,
            Paging::OffsetUnsaid => false,
        };
        let body = &mut rows.page.body;
        if going_on && offsets && self.query.cursor.is_none() {
            let next = self.query.offset.saturating_add(rows.page.rows);
            body.extend_from_slice(br#","next_offset":"#);
            body.extend_from_slice(itoa::Buffer::new().format(next).as_bytes());
        }
        if with_cursor {
            let repeated = self.query.cursor.as_ref().filter(|_| trick == PagingFault::RepeatCursor);
            let cursor = match (repeated, &rows.last) {
                (Some(sent), _) => Some(sent.clone()),
                (None, Some(last)) if going_on => {
                    Some(Cursor { position: last.clone(), fingerprint: self.query.fingerprint, nonce: 0 })
                }
                (None, None) if trick == PagingFault::EmptyPage => Some(self.same_place()),
                (None, _) => None,
            };
            match (cursor, quirks.last_cursor) {
                (Some(cursor), _) => {
                    body.extend_from_slice(br#","cursor":"#);
                    render::string(body, &cursor.encode());
                }
                (None, LastCursor::Null) => body.extend_from_slice(br#","cursor":null"#),
                (None, LastCursor::Empty) => body.extend_from_slice(br#","cursor":"""#),
                (None, LastCursor::Absent) => {}
            }
        }
        if self.version == ApiVersion::V1 {
            body.extend_from_slice(br#","descriptions":{"id":"Identifier of the conversation"}"#);
        }
        body.push(b'}');
    }

    /// A cursor that looks new and leads where this request began.
    fn same_place(&self) -> Cursor {
        let start = match self.order() {
            Order::Ascending | Order::Shuffled => i128::MIN,
            Order::Descending => i128::MAX,
        };
        let begin = Cursor {
            position: Position { rank: start, id: String::new() },
            fingerprint: self.query.fingerprint,
            nonce: 0,
        };
        let mut cursor = self.query.cursor.clone().unwrap_or(begin);
        cursor.nonce += 1;
        cursor
    }
}

/// `voice` and `chat` are the parameter's documented words, the field's own values work too.
fn on_channel(channel: &str, asked: &str) -> bool {
    channel.eq_ignore_ascii_case(asked)
        || (asked.eq_ignore_ascii_case("voice") && channel.starts_with("VOICE"))
        || (asked.eq_ignore_ascii_case("chat") && channel.ends_with("CHAT"))
}

impl Retrieval {
    fn finds(&self, shown: &VisibleCall<'_>) -> bool {
        match self {
            Self::Sample => true,
            Self::Transcript { query, user, agent } => {
                let query = query.to_lowercase();
                shown.turns.iter().any(|turn| {
                    (*user && turn.user.to_lowercase().contains(&query))
                        || (*agent && turn.agent.to_lowercase().contains(&query))
                })
            }
            Self::Semantic { query } => {
                let said: String = shown
                    .turns
                    .iter()
                    .map(|turn| format!("{} {} ", turn.user, turn.agent).to_lowercase())
                    .collect();
                query.to_lowercase().split_whitespace().all(|word| said.contains(word))
            }
        }
    }
}
