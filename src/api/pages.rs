//! A walk over all pages of a window.
//!
//! Owns: the way from page to page (cursor first, offset only where nothing better is offered, never both), the guards
//! against going round in circles, a second try for failures that pass, and that a walk sees each conversation once. The
//! result is whole or an error: a half-read walk is never handed on.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use polyai_domain::fetch::{FetchError, Filter, Window};
pub use polyai_domain::fetch::{FetchedPages, Limit, RequestStats, WalkError};

use super::client::{ApiCredentials, Client, LIST};
use super::page::{Page, PageStyle};
use super::request::{PageRequest, Position};
use super::server_clock::ServerClock;
use crate::clock::Clock;
use crate::conversation::Conversation;
use crate::events::{Events, RequestFailure};
use crate::target::TargetKey;

/// Pages without records may come between others; this many in a row are the end.
const MAX_EMPTY_PAGES: u32 = 10;
const RETRIES: usize = 2;

/// A target's list, ready to be walked.
#[derive(Debug)]
pub struct ConversationList {
    /// The HTTP client.
    pub client: Client,
    /// Where and with which key.
    pub access: ApiCredentials,
    /// `polling.page_size`
    pub page_size: NonZeroU16,
    /// Whose list it is, for the log.
    pub target: TargetKey,
    /// Where failures are told.
    pub events: Events,
    /// This machine's clock.
    pub clock: Clock,
    /// The API's, learned from every answer.
    pub server_clock: ServerClock,
    /// What its requests have cost since it was last taken from here.
    pub traffic: RequestStats,
}

impl ConversationList {
    /// Reads every page of a window.
    ///
    /// # Errors
    /// When a page cannot be had, the pages go round in circles, or there is more than `limit` allows.
    pub async fn walk(
        &mut self,
        window: Window,
        filter: Filter,
        limit: Limit,
    ) -> Result<FetchedPages, WalkError> {
        let mut walked = self.pages(window, filter, limit).await?;
        walked.conversations = dedup_by_id(walked.conversations);
        Ok(walked)
    }

    /// The pages as they come, their conversations possibly more than once.
    async fn pages(
        &mut self,
        window: Window,
        filter: Filter,
        limit: Limit,
    ) -> Result<FetchedPages, WalkError> {
        let mut walked = FetchedPages::default();
        let mut way = Pagination::default();
        loop {
            let request = PageRequest { window, filter, limit: self.page_size, position: &way.position };
            let page = self.page_with_retries(&request).await?;
            let next = way.next_position(&page, self.page_size)?;
            let left_out = page.truncated;
            self.add_page(page, &mut walked);
            if left_out > 0 {
                // So long a page comes only from an API that knows no limit, and there is nothing to read on from.
                return match limit {
                    Limit::StopAt(_) => Ok(walked),
                    Limit::RefuseAt(most) => Err(WalkError::TooLarge(most)),
                    Limit::None => Err(oversized_page_error(walked.len() + left_out).into()),
                };
            }
            let Some(next) = next else {
                walked.complete = true;
                return Ok(walked);
            };
            way.position = next;
            match limit {
                Limit::StopAt(most) if walked.len() >= most => return Ok(walked),
                Limit::RefuseAt(most) if walked.len() > most => {
                    return Err(WalkError::TooLarge(most));
                }
                Limit::StopAt(_) | Limit::RefuseAt(_) | Limit::None => {}
            }
        }
    }

    /// Adds a page, and tells of what nobody else will tell.
    fn add_page(&self, page: Page, walked: &mut FetchedPages) {
        for in_part in &page.partial {
            self.events.record_partially_read(&self.target, in_part.id.as_deref(), &in_part.unread);
        }
        walked.conversations.extend(page.conversations);
        for rejected in walked.rejected.extend(page.rejected) {
            let detail = "one of more than a walk keeps by name";
            let (id, kind) = (rejected.id.as_deref(), rejected.kind.as_str());
            self.events.record_rejected(&self.target, id, kind, &detail);
        }
    }

    async fn page_with_retries(&mut self, request: &PageRequest<'_>) -> Result<Page, FetchError> {
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(300))
            .with_factor(3.0)
            .with_jitter()
            .with_max_times(RETRIES)
            .build();
        loop {
            let exchange = self.client.page(&self.access, request).await;
            self.traffic.requests += 1;
            self.traffic.pages += u32::from(exchange.outcome.is_ok());
            self.traffic.bytes += exchange.bytes;
            if let Some(stamp) = exchange.stamp {
                self.server_clock.observe(stamp);
            }
            let error = match exchange.outcome {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            self.events.request_failed(
                &self.target,
                RequestFailure {
                    endpoint: LIST,
                    kind: error.kind.as_str(),
                    status: error.status,
                    correlation_id: error.correlation_id.as_deref(),
                    message: &error.message,
                },
            );
            match waits.next() {
                Some(wait) if error.kind.is_transient() => tokio::time::sleep(wait).await,
                Some(_) | None => return Err(error),
            }
        }
    }
}

fn oversized_page_error(records: usize) -> FetchError {
    FetchError::bad_payload(format!(
        "one page holds {records} records, more than any that was asked for; the stretch is read again later"
    ))
}

/// Offsets drift while pages are read: when a conversation begins, the last record of a page may come again on the next.
/// Of such sights the last is kept, which is the newest. What an earlier one showed more of is not lost by that: if it is
/// still so, a recheck adds it.
pub fn dedup_by_id(mut conversations: Vec<Conversation>) -> Vec<Conversation> {
    let mut seen = HashSet::with_capacity(conversations.len());
    conversations.reverse();
    conversations.retain(|conversation| seen.insert(conversation.id.clone()));
    conversations.reverse();
    conversations
}

/// The way through the pages so far.
#[derive(Debug, Default)]
pub(crate) struct Pagination {
    /// Where the next page is.
    pub(crate) position: Position,
    cursors: HashSet<String>,
    empty_pages: u32,
    /// The API does not say where the next page is.
    is_probing: bool,
}

impl Pagination {
    /// Where the page after `page` is; none after the last.
    pub(crate) fn next_position(
        &mut self,
        page: &Page,
        limit: NonZeroU16,
    ) -> Result<Option<Position>, FetchError> {
        self.empty_pages = if page.is_empty() { self.empty_pages + 1 } else { 0 };
        if page.len() >= usize::from(limit.get()) {
            // Where it said so for the page before, a page that says nothing is the last.
            let no_next_hint = self.is_probing || self.position == Position::First;
            match page.form {
                PageStyle::Array => return self.next_for_full_array(page).map(Some),
                PageStyle::NoCursor if no_next_hint => return Ok(self.next_for_unmarked_page(page)),
                PageStyle::NoCursor | PageStyle::Paged => {}
            }
        }
        match (&self.position, &page.cursor, page.next_offset) {
            (Position::First | Position::Cursor(_), Some(cursor), _) => {
                if !self.cursors.insert(cursor.clone()) {
                    return Err(FetchError::bad_payload(
                        "the API repeated a page cursor: the walk would never end; the stretch is read again later",
                    ));
                }
                // The documents call an empty page the last one, but what follows it would then be lost.
                Ok((self.empty_pages < MAX_EMPTY_PAGES).then(|| Position::Cursor(cursor.clone())))
            }
            (Position::Cursor(_), None, _) | (Position::First | Position::Offset(_), _, None) => Ok(None),
            (Position::First, None, Some(offset)) => {
                Ok((self.empty_pages == 0).then_some(Position::Offset(offset)))
            }
            (Position::Offset(before), _, Some(offset)) if offset > *before => {
                Ok((self.empty_pages == 0).then_some(Position::Offset(offset)))
            }
            (Position::Offset(_), _, Some(_)) => Err(FetchError::bad_payload(
                "the API's next_offset does not move on: the walk would never end; the stretch is read again later",
            )),
        }
    }
}

impl Pagination {
    /// A bare list as long as was asked for may have been cut there: ask on by offset.
    fn next_for_full_array(&mut self, page: &Page) -> Result<Position, FetchError> {
        self.offset_after(page).ok_or_else(|| {
            FetchError::bad_payload(
                "the API answers a bare list, as long as was asked for, and ignores offset: what follows cannot be had; raise polling.page_size",
            )
        })
    }

    /// As a bare list. But what comes again here is no error: an object that could say where to go on, and does not, is
    /// mostly the last.
    fn next_for_unmarked_page(&mut self, page: &Page) -> Option<Position> {
        self.is_probing = true;
        self.offset_after(page)
    }

    /// Where the page after this one is by offset; none if it has been here before.
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
    use super::*;
    use crate::conversation::{ConversationState, RejectedKind};

    fn page(records: usize, cursor: Option<&str>, next_offset: Option<u64>) -> Page {
        let rejected = crate::conversation::RejectedRecord { id: None, kind: RejectedKind::BadId };
        Page {
            rejected: vec![rejected; records],
            cursor: cursor.map(str::to_owned),
            next_offset,
            ..Page::default()
        }
    }

    fn follow(pages: &[Page]) -> Result<Vec<Position>, String> {
        let mut way = Pagination::default();
        let mut positions = Vec::new();
        for page in pages {
            match way.next_position(page, NonZeroU16::new(2).unwrap()).map_err(|error| error.message)? {
                Some(position) => {
                    way.position = position.clone();
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
    fn cursors_are_followed_to_the_end_and_offsets_then_ignored() {
        let pages = [page(2, Some("a"), Some(2)), page(2, Some("b"), Some(4)), page(1, None, Some(6))];
        assert_eq!(follow(&pages), Ok(vec![cursor("a"), cursor("b")]));
    }

    #[test]
    fn offsets_are_followed_only_where_there_is_no_cursor() {
        let pages = [page(2, None, Some(2)), page(2, Some("a"), Some(4)), page(1, None, None)];
        assert_eq!(follow(&pages), Ok(vec![Position::Offset(2), Position::Offset(4)]));
    }

    #[test]
    fn a_repeated_cursor_or_offset_is_an_error() {
        let circle = [page(2, Some("a"), None), page(2, Some("b"), None), page(2, Some("a"), None)];
        assert!(follow(&circle).unwrap_err().contains("repeated a page cursor"));
        let stuck = [page(2, None, Some(2)), page(2, None, Some(2))];
        assert!(follow(&stuck).unwrap_err().contains("does not move on"));
    }

    #[test]
    fn of_a_conversation_that_came_again_the_last_sight_is_kept() {
        let record = |id: &str, running: bool| {
            format!(r#"{{"id":"{id}","started_at":"2026-08-20T09:15:02Z","in_progress":{running}}}"#)
        };
        let body = [record("A", true), record("B", false), record("A", false), record("C", true)].join(",");
        let seen = dedup_by_id(Page::read(format!("[{body}]").as_bytes()).unwrap().conversations);
        let seen: Vec<_> = seen.iter().map(|seen| (seen.id.as_str(), seen.data.state)).collect();
        assert_eq!(
            seen,
            [
                ("B", ConversationState::Finished),
                ("A", ConversationState::Finished),
                ("C", ConversationState::InProgress)
            ]
        );
    }

    #[test]
    fn a_full_bare_list_is_asked_on_by_offset_until_one_is_not_full() {
        let bare = |ids: &[&str]| {
            let records =
                ids.iter().map(|id| format!(r#"{{"id":"{id}","started_at":"2026-08-20T09:15:02Z"}}"#));
            Page::read(format!("[{}]", records.collect::<Vec<_>>().join(",")).as_bytes()).unwrap()
        };
        let pages = [bare(&["A", "B"]), bare(&["C", "D"]), bare(&["E"])];
        assert_eq!(follow(&pages), Ok(vec![Position::Offset(2), Position::Offset(4)]));
        let ignored = [bare(&["A", "B"]), bare(&["A", "B"])];
        assert!(follow(&ignored).unwrap_err().contains("ignores offset"));
    }

    #[test]
    fn a_full_page_that_does_not_say_what_follows_is_asked_on_by_offset_until_one_is_not_full_or_comes_again()
    {
        let silent = |ids: &[&str]| {
            let records =
                ids.iter().map(|id| format!(r#"{{"id":"{id}","started_at":"2026-08-20T09:15:02Z"}}"#));
            let records = records.collect::<Vec<_>>().join(",");
            Page::read(format!(r#"{{"conversations":[{records}]}}"#).as_bytes()).unwrap()
        };
        let two_more = || Ok(vec![Position::Offset(2), Position::Offset(4)]);
        assert_eq!(follow(&[silent(&["A", "B"]), silent(&["C", "D"]), silent(&["E"])]), two_more());
        assert_eq!(follow(&[silent(&["A", "B"]), silent(&["C", "D"]), silent(&[])]), two_more());
        let ignored = [silent(&["A", "B"]), silent(&["A", "B"]), silent(&["A", "B"])];
        assert_eq!(follow(&ignored), Ok(vec![Position::Offset(2)]));
        assert_eq!(follow(&[silent(&["A"])]), Ok(vec![]));
        // After a cursor, its absence is an answer; and so is an empty one.
        assert_eq!(follow(&[page(2, Some("a"), None), silent(&["C", "D"])]), Ok(vec![cursor("a")]));
        assert_eq!(follow(&[page(2, None, Some(2)), silent(&["C", "D"])]), Ok(vec![Position::Offset(2)]));
        for last in [r#""cursor":null"#, r#""cursor":"""#, r#""next_offset":null"#] {
            let body = format!(r#"{{"conversations":[{{"id":"A"}},{{"id":"B"}}],{last}}}"#);
            assert_eq!(follow(&[Page::read(body.as_bytes()).unwrap()]), Ok(vec![]), "{last}");
        }
    }

    #[test]
    fn an_empty_page_in_between_does_not_end_the_walk_but_many_do() {
        let gap = [page(2, Some("a"), None), page(0, Some("b"), None), page(1, None, None)];
        assert_eq!(follow(&gap), Ok(vec![cursor("a"), cursor("b")]));
        let endless: Vec<_> = (0..50).map(|n| page(0, Some(&n.to_string()), None)).collect();
        assert_eq!(follow(&endless).unwrap().len(), 9);
    }
}
