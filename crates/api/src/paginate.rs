//! Reads a window of the conversation list page by page, with retries.
//!
//! The result is complete or an error: nothing is returned of a fetch that failed halfway. A response names the next page by a
//! cursor or, failing that, by an offset; the two are never mixed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::conversation::{Conversation, ConversationId, RejectedKind, RejectedRecord};
use polyai_domain::fetch::{FetchError, FetchedPages, Filter, Limit, RequestStats, Window, WindowError};
use polyai_domain::timestamp::Timestamp;
use tokio::time::Instant;

use crate::client::{ApiCredentials, ApiResponse, Client, ResponseInfo};
use crate::decode::{Page, PageStyle, PartialRecord};
use crate::request::{PageRequest, Position};
use crate::server_clock::ServerClock;

/// Pages without records may come between others; this many in a row are the end.
const MAX_EMPTY_PAGES: u32 = 10;
/// So many pages in a row without a new conversation are an endless list.
const MAX_REPEATING_PAGES: u32 = 10;
/// Ten times the records of a window that is read whole.
const MAX_RECORDS: usize = 100_000;
/// A window of 10,000 conversations has 50 pages at the default size.
const MAX_PAGES: u32 = 1000;
/// A window of 10,000 conversations of 100 KB.
const MAX_BYTES: u64 = 1 << 30;
/// A window of 50 pages takes less even at two requests per minute.
const MAX_DURATION: Duration = Duration::from_secs(30 * 60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A conversation that starts further ahead of the API's time is an error; its entry would never be pruned.
const MAX_LEAD_OF_START: TimeDelta = TimeDelta::days(1);
/// A longer `Retry-After` ends the fetch; the poller waits instead.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(2);
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(900)];

/// Receives what happens while a list is read, for logs and metrics.
pub trait ListObserver: fmt::Debug + Send + Sync {
    /// A request, possibly a retry, ended with a page or with `error`.
    fn on_request(&self, _info: &ResponseInfo, _error: Option<&FetchError>) {}

    /// A record was rejected that [`FetchedPages::rejected`] counts but does not hold.
    fn on_rejected(&self, _record: &RejectedRecord) {}

    /// A record, or a page, was read without some of its fields.
    fn on_partial(&self, _record: &PartialRecord) {}
}

/// The conversation list of a project.
#[derive(Debug)]
pub struct ConversationList {
    client: Client,
    credentials: ApiCredentials,
    page_size: NonZeroU16,
    observer: Arc<dyn ListObserver>,
    /// The API's clock, learned from every response.
    pub server_clock: ServerClock,
    /// The requests made since this was last reset.
    pub request_stats: RequestStats,
}

impl ConversationList {
    /// The list that `credentials` give access to, read in pages of `page_size`.
    pub fn new(
        client: Client,
        credentials: ApiCredentials,
        page_size: NonZeroU16,
        observer: Arc<dyn ListObserver>,
    ) -> Self {
        let (server_clock, request_stats) = Default::default();
        Self { client, credentials, page_size, observer, server_clock, request_stats }
    }

    /// Reads every page of a window. Each conversation is returned once.
    ///
    /// # Errors
    /// If a page cannot be fetched, the pages never end, or they hold more than `limit` or any window permits.
    pub async fn fetch(
        &mut self,
        window: Window,
        filter: Filter,
        limit: Limit,
    ) -> Result<FetchedPages, WindowError> {
        let mut fetched = FetchedRecords::default();
        let mut pagination = Pagination::default();
        let bounds = FetchBounds { started: Instant::now(), before: self.request_stats };
        loop {
            let request =
                PageRequest { window, filter, limit: self.page_size, position: &pagination.position };
            let page = self.page_with_retries(&request).await?;
            let next = pagination.next_position(&page, self.page_size)?;
            let truncated = page.truncated;
            self.add_page(page, window, &mut fetched)?;
            if truncated > 0 {
                // Only an API that ignores `limit` sends such a page, and no position follows it.
                return match limit {
                    Limit::StopAt(_) => Ok(fetched.pages),
                    Limit::RefuseAt(max) => Err(fetched.refused(max)),
                    Limit::Unlimited => Err(oversized_page_error(fetched.pages.len() + truncated).into()),
                };
            }
            let Some(next) = next else {
                fetched.pages.complete = true;
                return Ok(fetched.pages);
            };
            pagination.position = next;
            let records = fetched.pages.len();
            let exceeded = bounds.exceeded(records, self.request_stats);
            match limit {
                Limit::StopAt(max) if records >= max || exceeded.is_some() => return Ok(fetched.pages),
                Limit::RefuseAt(max) if records > max || exceeded.is_some() => {
                    return Err(fetched.refused(max));
                }
                Limit::Unlimited if let Some(exceeded) = exceeded => {
                    let text =
                        format!("the list does not end after {exceeded}; the window is read again later");
                    return Err(FetchError::bad_payload(text).into());
                }
                Limit::StopAt(_) | Limit::RefuseAt(_) | Limit::Unlimited => {}
            }
        }
    }

    /// # Errors
    /// If page after page repeats what has been read.
    fn add_page(&self, page: Page, window: Window, fetched: &mut FetchedRecords) -> Result<(), FetchError> {
        page.partial.iter().for_each(|record| self.observer.on_partial(record));
        let latest_start = self.server_clock.latest(self.client.clock().read()) + MAX_LEAD_OF_START;
        let (plausible, ahead): (Vec<_>, Vec<_>) = page
            .conversations
            .into_iter()
            .partition(|conversation| conversation.data.started_at <= Timestamp::from(latest_start));
        let ahead = ahead.into_iter().map(|conversation| RejectedRecord {
            id: Some(conversation.id.to_string()),
            kind: RejectedKind::BadStart,
        });
        let (foreign, rejected) = page
            .rejected
            .into_iter()
            .chain(ahead)
            .partition(|record| record.kind == RejectedKind::WrongEnvironment);
        let mut unnamed = fetched.pages.rejected.extend(rejected);
        unnamed.extend(fetched.pages.foreign.extend(foreign));
        unnamed.iter().for_each(|record| self.observer.on_rejected(record));
        let is_outside = |one: &&Conversation| is_far_outside(window, one.data.started_at);
        fetched.pages.outside += plausible.iter().filter(is_outside).count();
        fetched.add(plausible)
    }

    async fn page_with_retries(&mut self, request: &PageRequest<'_>) -> Result<Page, FetchError> {
        let mut delays = RETRY_DELAYS.into_iter();
        loop {
            let ApiResponse { info, result } = self.client.page(&self.credentials, request).await;
            self.request_stats.requests += 1;
            self.request_stats.pages += u32::from(result.is_ok());
            self.request_stats.bytes += info.bytes;
            if let Some(date) = info.date {
                self.server_clock.observe(date);
            }
            self.observer.on_request(&info, result.as_ref().err());
            let requested = result.as_ref().err().and_then(|error| error.retry_after).unwrap_or_default();
            match (result, delays.next()) {
                (Err(error), Some(delay)) if error.kind.is_transient() && requested <= MAX_RETRY_AFTER => {
                    tokio::time::sleep(delay.mul_f64(1.0 + rand::random::<f64>()).max(requested)).await;
                }
                (result, _) => return result,
            }
        }
    }
}

/// Whether a start is so far outside of a window that neither a rounded time nor another time zone explains it.
fn is_far_outside(window: Window, start: Timestamp) -> bool {
    window.from.is_some_and(|from| start + DAY < from) || window.to.is_some_and(|to| start > to + DAY)
}

fn oversized_page_error(records: usize) -> FetchError {
    FetchError::bad_payload(format!(
        "one page holds {records} records, more than were requested; the window is read again later"
    ))
}

/// The records of a window that have been read so far.
#[derive(Debug, Default)]
pub struct FetchedRecords {
    /// The records, each conversation once.
    pub pages: FetchedPages,
    indices: HashMap<ConversationId, usize>,
    repeating_pages: u32,
}

impl FetchedRecords {
    /// The error of a fetch that holds more than `max` records.
    fn refused(&self, max: usize) -> WindowError {
        let is_ignored = self.pages.outside * 2 > self.pages.conversations.len();
        if is_ignored { WindowError::WindowIgnored(max) } else { WindowError::TooLarge(max) }
    }

    /// Adds a page. Of the records of one conversation the last is kept, which is the newest: with offsets, a conversation that
    /// starts while pages are read moves the last record of a page to the next one.
    ///
    /// # Errors
    /// If the last ten pages had no conversation that earlier ones had not.
    pub fn add(&mut self, conversations: Vec<Conversation>) -> Result<(), FetchError> {
        let (before, is_empty) = (self.indices.len(), conversations.is_empty());
        for conversation in conversations {
            let list = &mut self.pages.conversations;
            match self.indices.get(&conversation.id).and_then(|index| list.get_mut(*index)) {
                Some(earlier) => *earlier = conversation,
                None => {
                    self.indices.insert(conversation.id.clone(), list.len());
                    list.push(conversation);
                }
            }
        }
        let repeats = !is_empty && self.indices.len() == before;
        self.repeating_pages = if repeats { self.repeating_pages + 1 } else { 0 };
        if self.repeating_pages < MAX_REPEATING_PAGES {
            return Ok(());
        }
        Err(FetchError::bad_payload(
            "the API repeats the same records under new cursors, so the pages never end; the window is read again later",
        ))
    }
}

/// The limits of a fetch, whatever the API sends.
#[derive(Debug, Clone, Copy)]
struct FetchBounds {
    started: Instant,
    /// The requests before it.
    before: RequestStats,
}

impl FetchBounds {
    /// The exceeded bound of a fetch that has read `records`; `None` if all are kept.
    fn exceeded(self, records: usize, now: RequestStats) -> Option<String> {
        let pages = now.pages.saturating_sub(self.before.pages);
        let bytes = now.bytes.saturating_sub(self.before.bytes);
        if records > MAX_RECORDS {
            Some(format!("{records} records"))
        } else if pages >= MAX_PAGES {
            Some(format!("{pages} pages"))
        } else if bytes > MAX_BYTES {
            Some(format!("{} MiB", bytes >> 20))
        } else {
            let elapsed = self.started.elapsed();
            (elapsed > MAX_DURATION).then(|| format!("{} minutes", elapsed.as_secs() / 60))
        }
    }
}

/// The position in the pages of a window. Detects pages that repeat.
#[derive(Debug, Default)]
pub struct Pagination {
    /// The position of the next page.
    pub position: Position,
    cursors: HashSet<String>,
    empty_pages: u32,
    /// The API does not name the next page, so offsets are tried.
    probing: bool,
}

impl Pagination {
    /// Returns the position after `page`, which was requested with `limit`; `None` after the last page.
    ///
    /// # Errors
    /// If the pages repeat.
    pub fn next_position(&mut self, page: &Page, limit: NonZeroU16) -> Result<Option<Position>, FetchError> {
        self.empty_pages = if page.is_empty() { self.empty_pages + 1 } else { 0 };
        if page.len() >= usize::from(limit.get()) {
            // After a page with a cursor or offset, a page with neither is the last.
            let no_next_hint = self.probing || self.position == Position::First;
            match page.style {
                // A full array may have been cut at the limit.
                PageStyle::Array => {
                    return self.offset_after(page).map(Some).ok_or_else(|| {
                        FetchError::bad_payload(
                            "the API returns a full array and ignores offset, so the rest cannot be read; raise polling.page_size",
                        )
                    });
                }
                // As above, but a repeated page is no error: an object without a cursor usually is the last one.
                PageStyle::NoCursor if no_next_hint => {
                    self.probing = true;
                    return Ok(self.offset_after(page));
                }
                PageStyle::NoCursor | PageStyle::Paged => {}
            }
        }
        match (&self.position, &page.cursor, page.next_offset) {
            (Position::First | Position::Cursor(_), Some(cursor), _) => {
                if !self.cursors.insert(cursor.clone()) {
                    return Err(FetchError::bad_payload(
                        "the API repeated a page cursor, so the pages never end; the window is read again later",
                    ));
                }
                // PolyAI documents an empty page as the last one, but conversations could follow it.
                Ok((self.empty_pages < MAX_EMPTY_PAGES).then(|| Position::Cursor(cursor.clone())))
            }
            (Position::Cursor(_), None, _) | (Position::First | Position::Offset(_), _, None) => Ok(None),
            (Position::Offset(before), _, Some(offset)) if offset <= *before => Err(FetchError::bad_payload(
                "the API's next_offset does not advance, so the pages never end; the window is read again later",
            )),
            (Position::First, None, Some(offset)) | (Position::Offset(_), _, Some(offset)) => {
                Ok((self.empty_pages == 0).then_some(Position::Offset(offset)))
            }
        }
    }

    /// The offset of the page after `page`; `None` if the first record of `page` has been seen before.
    fn offset_after(&mut self, page: &Page) -> Option<Position> {
        let first = page.conversations.first().map(|conversation| conversation.id.to_string());
        let first = first.or_else(|| page.rejected.first().and_then(|rejected| rejected.id.clone()));
        let before = match self.position {
            Position::Offset(before) => before,
            Position::First | Position::Cursor(_) => 0,
        };
        let is_new = self.cursors.insert(first.unwrap_or_default());
        is_new.then_some(Position::Offset(before + page.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use polyai_domain::conversation::{ConversationState, RejectedKind};

    use super::*;

    fn page(records: usize, cursor: Option<&str>, next_offset: Option<u64>) -> Page {
        let rejected = RejectedRecord { id: None, kind: RejectedKind::BadId };
        Page {
            rejected: vec![rejected; records],
            cursor: cursor.map(str::to_owned),
            next_offset,
            ..Page::default()
        }
    }

    fn follow(pages: &[Page]) -> Result<Vec<Position>, String> {
        let mut pagination = Pagination::default();
        let mut positions = Vec::new();
        for page in pages {
            match pagination
                .next_position(page, NonZeroU16::new(2).unwrap())
                .map_err(|error| error.message)?
            {
                Some(position) => {
                    pagination.position = position.clone();
                    positions.push(position);
                }
                None => break,
            }
        }
        Ok(positions)
    }

    fn cursor(text: &str) -> Position {
        Position::Cursor(text.into())
    }

    #[test]
    fn cursor_wins_over_offset() {
        let pages = [page(2, Some("a"), Some(2)), page(2, Some("b"), Some(4)), page(1, None, Some(6))];
        assert_eq!(follow(&pages), Ok(vec![cursor("a"), cursor("b")]));
    }

    #[test]
    fn offset_is_followed_without_cursor() {
        let pages = [page(2, None, Some(2)), page(2, Some("a"), Some(4)), page(1, None, None)];
        assert_eq!(follow(&pages), Ok(vec![Position::Offset(2), Position::Offset(4)]));
    }

    #[test]
    fn repeated_cursor_or_offset_is_an_error() {
        let circle = [page(2, Some("a"), None), page(2, Some("b"), None), page(2, Some("a"), None)];
        assert!(follow(&circle).unwrap_err().contains("repeated a page cursor"));
        let stuck = [page(2, None, Some(2)), page(2, None, Some(2))];
        assert!(follow(&stuck).unwrap_err().contains("does not advance"));
    }

    #[test]
    fn last_duplicate_of_a_conversation_is_kept() {
        let record = |id: &str, running: bool| {
            format!(r#"{{"id":"{id}","started_at":"2026-08-20T09:15:02Z","in_progress":{running}}}"#)
        };
        let body = [record("A", true), record("B", false), record("A", false), record("C", true)].join(",");
        let mut read = FetchedRecords::default();
        read.add(Page::decode(format!("[{body}]").as_bytes()).unwrap().conversations).unwrap();
        let seen: Vec<_> =
            read.pages.conversations.iter().map(|seen| (seen.id.as_str(), seen.data.state)).collect();
        assert_eq!(
            seen,
            [
                ("A", ConversationState::Finished),
                ("B", ConversationState::Finished),
                ("C", ConversationState::InProgress)
            ]
        );
    }

    #[test]
    fn full_array_continues_by_offset() {
        let bare = |ids: &[&str]| {
            let records =
                ids.iter().map(|id| format!(r#"{{"id":"{id}","started_at":"2026-08-20T09:15:02Z"}}"#));
            Page::decode(format!("[{}]", records.collect::<Vec<_>>().join(",")).as_bytes()).unwrap()
        };
        let pages = [bare(&["A", "B"]), bare(&["C", "D"]), bare(&["E"])];
        assert_eq!(follow(&pages), Ok(vec![Position::Offset(2), Position::Offset(4)]));
        let ignored = [bare(&["A", "B"]), bare(&["A", "B"])];
        assert!(follow(&ignored).unwrap_err().contains("ignores offset"));
    }

    #[test]
    fn full_page_without_cursor_continues_by_offset() {
        let silent = |ids: &[&str]| {
            let records =
                ids.iter().map(|id| format!(r#"{{"id":"{id}","started_at":"2026-08-20T09:15:02Z"}}"#));
            let records = records.collect::<Vec<_>>().join(",");
            Page::decode(format!(r#"{{"conversations":[{records}]}}"#).as_bytes()).unwrap()
        };
        let two_more = || Ok(vec![Position::Offset(2), Position::Offset(4)]);
        assert_eq!(follow(&[silent(&["A", "B"]), silent(&["C", "D"]), silent(&["E"])]), two_more());
        assert_eq!(follow(&[silent(&["A", "B"]), silent(&["C", "D"]), silent(&[])]), two_more());
        let ignored = [silent(&["A", "B"]), silent(&["A", "B"]), silent(&["A", "B"])];
        assert_eq!(follow(&ignored), Ok(vec![Position::Offset(2)]));
        assert_eq!(follow(&[silent(&["A"])]), Ok(vec![]));
        // After a page with a cursor, a page without one is the last; an empty cursor also means the last page.
        assert_eq!(follow(&[page(2, Some("a"), None), silent(&["C", "D"])]), Ok(vec![cursor("a")]));
        assert_eq!(follow(&[page(2, None, Some(2)), silent(&["C", "D"])]), Ok(vec![Position::Offset(2)]));
        for last in [r#""cursor":null"#, r#""cursor":"""#, r#""next_offset":null"#] {
            let body = format!(r#"{{"conversations":[{{"id":"A"}},{{"id":"B"}}],{last}}}"#);
            assert_eq!(follow(&[Page::decode(body.as_bytes()).unwrap()]), Ok(vec![]), "{last}");
        }
    }

    #[test]
    fn only_ten_empty_pages_in_a_row_end_the_list() {
        let gap = [page(2, Some("a"), None), page(0, Some("b"), None), page(1, None, None)];
        assert_eq!(follow(&gap), Ok(vec![cursor("a"), cursor("b")]));
        let endless: Vec<_> = (0..50).map(|n| page(0, Some(&n.to_string()), None)).collect();
        assert_eq!(follow(&endless).unwrap().len(), 9);
    }
}
