//! The list endpoint: filters, order, paging and the envelope of one page.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::target::{ApiVersion, ClientEnv};
use serde_json::{Map, Value, json};

use super::call::{Call, CallQuery};
use super::cursor::{Cursor, Position};
use super::encode::Dialect;
use super::faults::FaultKind;
use super::project::Project;
use super::query::{Query, supports_cursors};
use super::quirks::{LastCursor, Order, Paging};
use super::rng::hash_text;
use super::visibility::VisibleCall;

#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) body: Vec<u8>,
    pub(crate) rows: usize,
    /// Ids of the rows that are not listed as running.
    pub(crate) finished: Vec<String>,
    last: Option<Position>,
    more: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing<'a> {
    pub(crate) project: &'a Project,
    pub(crate) version: ApiVersion,
    pub(crate) query: &'a Query,
    pub(crate) now: DateTime<Utc>,
    pub(crate) faults: &'a [FaultKind],
}

impl Page {
    fn begin(&mut self, position: Position) {
        if self.rows > 0 {
            self.body.push(b',');
        }
        self.rows += 1;
        self.last = Some(position);
    }
}

impl Listing<'_> {
    pub(crate) fn page(&self) -> Page {
        let bare = self.project.quirks.bare_array;
        let mut page = Page::default();
        page.body.extend_from_slice(if bare { b"[" } else { br#"{"conversations":["# });
        if !self.faults.contains(&FaultKind::EmptyPage) {
            match self.order() {
                Order::Shuffled => self.shuffled(&mut page),
                Order::Ascending => self.ordered(&mut page, false),
                Order::Descending => self.ordered(&mut page, true),
            }
        }
        page.body.push(b']');
        if !bare {
            let rest = Value::Object(self.envelope(&page)).to_string();
            page.body.extend_from_slice(if rest == "{}" { b"" } else { b"," });
            page.body.extend_from_slice(&rest.as_bytes()[1..]);
        }
        page
    }

    fn dialect(&self) -> Dialect<'_> {
        let include_latency = self.query.include_latency;
        Dialect { project: self.project, version: self.version, include_latency }
    }

    fn order(&self) -> Order {
        if self.version == ApiVersion::V1 { Order::Ascending } else { self.project.quirks.order }
    }

    fn call_query(&self, newest_first: bool) -> CallQuery {
        // The first possible time has none before it.
        let before = |end: DateTime<Utc>| end.checked_sub_signed(TimeDelta::microseconds(1)).unwrap_or(end);
        let inclusive = self.project.quirks.end_time_inclusive;
        let quirks = &self.project.quirks;
        let (from, to) = (self.query.start_time, self.query.end_time);
        let (from, to) = if quirks.ignores_window { (None, None) } else { (from, to) };
        let end = to.map(|end| if inclusive { end } else { before(end) });
        let env = self.query.client_env.filter(|_| !quirks.ignores_client_env);
        CallQuery {
            env: env.unwrap_or(ClientEnv::Live),
            from,
            to: Some(end.map_or(self.now, |end| end.min(self.now))),
            newest_first,
            open_at: (self.state_filter() == Some(true)).then_some(self.now),
        }
    }

    fn state_filter(&self) -> Option<bool> {
        self.query.in_progress.filter(|_| !self.project.quirks.ignores_in_progress)
    }

    /// The position of the row before the page.
    fn after(&self) -> Option<&Position> {
        let cursor = self.query.cursor.as_ref().filter(|_| !self.faults.contains(&FaultKind::EndlessPages));
        cursor.map(|cursor| &cursor.position)
    }

    fn ordered(&self, page: &mut Page, newest_first: bool) {
        let after = self.after();
        let mut query = self.call_query(newest_first);
        if let Some(start) =
            after.and_then(|position| DateTime::from_timestamp_micros(position.rank.try_into().ok()?))
        {
            if newest_first {
                query.to = query.to.map(|to| to.min(start));
            } else {
                query.from = Some(query.from.map_or(start, |from| from.max(start)));
            }
        }
        let mut skip = self.query.offset;
        self.project.calls.visit(&query, &mut |call| {
            let position = Position::new(call.start, &call.id);
            let seen =
                after.is_some_and(|after| if newest_first { position >= *after } else { position <= *after });
            let Some(visible) = (!seen).then(|| self.matching(call)).flatten() else {
                return ControlFlow::Continue(());
            };
            if skip > 0 {
                skip -= 1;
                return ControlFlow::Continue(());
            }
            self.push(page, &visible, position)
        });
    }

    fn shuffled(&self, page: &mut Page) {
        let after = self.after();
        let wanted = self.query.offset.saturating_add(self.query.limit).saturating_add(1);
        let mut first: BTreeMap<Position, Call> = BTreeMap::new();
        self.project.calls.visit(&self.call_query(false), &mut |call| {
            let position = Position { rank: i128::from(hash_text(&call.id)), id: call.id.clone() };
            if after.is_none_or(|after| position > *after) && self.matching(call).is_some() {
                first.insert(position, call.clone());
                if first.len() > wanted {
                    first.pop_last();
                }
            }
            ControlFlow::Continue(())
        });
        let _ = first.into_iter().skip(self.query.offset).try_for_each(|(position, call)| {
            self.matching(&call)
                .map_or(ControlFlow::Continue(()), |visible| self.push(page, &visible, position))
        });
    }

    /// Appends a row; breaks if the page is full.
    fn push(&self, page: &mut Page, visible: &VisibleCall<'_>, position: Position) -> ControlFlow<()> {
        if page.rows == self.query.limit {
            page.more = true;
            return ControlFlow::Break(());
        }
        page.begin(position);
        self.dialect().write(&mut page.body, visible);
        if !visible.in_progress {
            page.finished.push(visible.call.id.clone());
        }
        ControlFlow::Continue(())
    }

    /// The visible call, if it is visible and matches the query.
    fn matching<'c>(&self, call: &'c Call) -> Option<VisibleCall<'c>> {
        let visible = call.at(self.now, &self.project.quirks)?;
        let (channel, wanted) = (visible.call.channel.as_deref().unwrap_or(""), &self.query.channels);
        let wanted = self.state_filter().is_none_or(|running| running == visible.in_progress)
            && (wanted.is_empty() || wanted.iter().any(|wanted| is_on_channel(channel, wanted)));
        wanted.then_some(visible)
    }

    /// The fields other than `conversations`.
    fn envelope(&self, page: &Page) -> Map<String, Value> {
        let quirks = &self.project.quirks;
        let with_cursor = supports_cursors(self.version, quirks);
        let has_next = page.more
            || (quirks.empty_last_page && page.rows > 0)
            || self.faults.contains(&FaultKind::EmptyPage);
        let with_offset = match quirks.paging {
            Paging::CursorAndOffset | Paging::OffsetOnly => true,
            Paging::CursorOnly => !with_cursor,
            Paging::OffsetUnannounced => false,
        };
        let mut envelope = Map::new();
        if has_next && with_offset && self.query.cursor.is_none() {
            envelope.insert("next_offset".to_owned(), self.query.offset.saturating_add(page.rows).into());
        }
        if with_cursor {
            let cursor = self.cursor(page, has_next).map(|cursor| cursor.encode().into());
            let absent = match quirks.last_cursor {
                LastCursor::Null => Some(Value::Null),
                LastCursor::Empty => Some("".into()),
                LastCursor::Absent => None,
            };
            envelope.extend(cursor.or(absent).map(|cursor| ("cursor".to_owned(), cursor)));
        }
        if self.version == ApiVersion::V1 {
            envelope.insert("descriptions".to_owned(), json!({"id": "Identifier of the conversation"}));
        }
        envelope
    }

    fn cursor(&self, page: &Page, has_next: bool) -> Option<Cursor> {
        let sent = self.query.cursor.as_ref();
        if sent.is_some() && self.faults.contains(&FaultKind::RepeatCursor) {
            return sent.cloned();
        }
        let fingerprint = self.query.fingerprint;
        if let Some(position) = page.last.clone() {
            let is_endless = self.faults.contains(&FaultKind::EndlessPages);
            let nonce = sent.filter(|_| is_endless).map_or(0, |sent| sent.nonce + 1);
            return (has_next || is_endless).then_some(Cursor { position, fingerprint, nonce });
        }
        let start = match self.order() {
            Order::Ascending | Order::Shuffled => i128::MIN,
            Order::Descending => i128::MAX,
        };
        // After an empty page, the cursor looks new and leads to the position of this request.
        let begin = Cursor { position: Position { rank: start, id: String::new() }, fingerprint, nonce: 0 };
        let here = sent.cloned().unwrap_or(begin);
        let is_empty = self.faults.contains(&FaultKind::EmptyPage);
        is_empty.then(|| Cursor { nonce: here.nonce + 1, ..here })
    }
}

/// `voice` and `chat` are the documented values of the parameter; values of the field work too.
fn is_on_channel(channel: &str, wanted: &str) -> bool {
    channel.eq_ignore_ascii_case(wanted)
        || (wanted.eq_ignore_ascii_case("voice") && channel.starts_with("VOICE"))
        || (wanted.eq_ignore_ascii_case("chat") && channel.ends_with("CHAT"))
}
