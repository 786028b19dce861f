//! The entries and watermarks of state format 1, and their conversion.
//!
//! The types describe what is stored and never change; only their conversion follows today's types. postcard stores fields in order,
//! without names.

use std::time::Duration;

use polyai_domain::conversation::{
    Amount, ConversationData, ConversationState, Handoff, HandoffOutcome, LatencyValues, Transcript,
    TurnLatency,
};
use polyai_domain::timestamp::Timestamp;
use redb::{Database, ReadableTable};
use serde::{Deserialize, Serialize};

use super::{ENTRIES, META, StoreError, WATERMARKS, decode, encode};
use crate::dimension::Dimension;
use crate::ledger::Observed;
use crate::ledger::watermarks::CatchUp;
use crate::ledger::{Amounts, Counted, LedgerEntry, RecheckWatermark, Watermarks};

/// Its number.
pub(super) const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
enum Entry {
    Open { started_at: Timestamp, late: bool },
    Settling { since: Timestamp, data: Data, late: bool },
    Counted(CountedEntry),
}

#[derive(Serialize, Deserialize)]
struct Data {
    started_at: Timestamp,
    state: ConversationState,
    channel: Option<Box<str>>,
    variant: Option<Box<str>>,
    duration: Option<Amount>,
    agent_duration: Option<Amount>,
    last_turn_at: Option<Timestamp>,
    turns: Option<u32>,
    ood_turns: u32,
    silence_turns: u32,
    barge_in_turns: u32,
    handoff: Option<Handoff>,
    greeting: Option<TurnLatency>,
    replies: Box<[TurnLatency]>,
    transcript: Transcript,
    complete: bool,
}

#[derive(Serialize, Deserialize)]
struct CountedEntry {
    started_at: Timestamp,
    ended_at: Timestamp,
    counted: CountedAmounts,
    last_seen: CountedAmounts,
    dimensions: Vec<(Dimension, Box<str>)>,
}

#[derive(Serialize, Deserialize)]
struct CountedAmounts {
    duration: Amount,
    agent_duration: Amount,
    turns: u32,
    ood_turns: u32,
    silence_turns: u32,
    barge_in_turns: u32,
    handoff: bool,
}

#[derive(Serialize, Deserialize)]
struct Marks {
    anchor: Timestamp,
    fresh: Timestamp,
    rechecks: Vec<RecheckMark>,
    overlap: Duration,
    pruned_before: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct RecheckMark {
    age: Duration,
    read_to: Timestamp,
    already_read: Option<(Timestamp, Timestamp)>,
}

impl From<Entry> for LedgerEntry {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Open { started_at, late } => Self::Open { started_at, late },
            Entry::Settling { since, data, late } => Self::Settling { since, data: data.into(), late },
            Entry::Counted(counted) => Self::Counted(counted.into()),
        }
    }
}

impl From<CountedEntry> for Counted {
    fn from(entry: CountedEntry) -> Self {
        let counted = Amounts::from(entry.counted);
        Self {
            started_at: entry.started_at,
            ended_at: entry.ended_at,
            // It was not recorded which replies had been observed, nor whether there was a greeting.
            observed: Observed {
                duration: counted.duration.is_some(),
                agent_duration: counted.agent_duration.is_some(),
                turns: counted.turns > Some(0),
                greeting: true,
                replies: None,
            },
            counted,
            last_seen: entry.last_seen.into(),
            dimensions: entry.dimensions,
        }
    }
}

impl From<Marks> for Watermarks {
    fn from(marks: Marks) -> Self {
        let recheck =
            |RecheckMark { age, read_to, already_read }| RecheckWatermark { age, read_to, already_read };
        Self {
            anchor: marks.anchor,
            fresh: marks.fresh,
            rechecks: marks.rechecks.into_iter().map(recheck).collect(),
            overlap: marks.overlap,
            pruned_before: marks.pruned_before,
            // Its series have been exposed all along; metrics that are new count from here.
            catch_up: CatchUp::Done,
            series_since: marks.fresh.max(marks.anchor),
        }
    }
}

/// Converts the whole store to the present format in one transaction. Series are stored as before.
pub(super) fn migrate(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        // In parts: all ids of a large state would not fit into memory.
        let mut next: Option<(u32, String)> = Some((0, String::new()));
        while let Some((target, id)) = next.take() {
            let mut part = Vec::with_capacity(PART);
            for stored in entries.range((target, &*id)..)? {
                let (key, value) = stored?;
                let (target, id) = key.value();
                if part.len() == PART {
                    next = Some((target, id.to_owned()));
                    break;
                }
                let entry: Entry = decode(value.value(), "ledger entry")?;
                part.push((target, id.to_owned(), encode(&LedgerEntry::from(entry), "ledger entry")?));
            }
            for (target, id, entry) in part {
                entries.insert((target, &*id), entry.as_slice())?;
            }
        }
        let mut watermarks = transaction.open_table(WATERMARKS)?;
        let mut all = Vec::new();
        for stored in watermarks.iter()? {
            let (target, value) = stored?;
            let marks: Marks = decode(value.value(), "watermark")?;
            all.push((target.value(), encode(&Watermarks::from(marks), "watermark")?));
        }
        for (target, marks) in all {
            watermarks.insert(target, marks.as_slice())?;
        }
        transaction.open_table(META)?.insert("format", super::FORMAT)?;
    }
    Ok(transaction.commit()?)
}

/// Entries that are converted at a time.
const PART: usize = 4096;

impl From<CountedAmounts> for Amounts {
    fn from(amounts: CountedAmounts) -> Self {
        // An absent amount was stored as 0.
        let known = |amount: Amount| Some(amount).filter(|amount| *amount > Amount(0));
        Self {
            duration: known(amounts.duration),
            agent_duration: known(amounts.agent_duration),
            turns: Some(amounts.turns),
            ood_turns: Some(amounts.ood_turns),
            silence_turns: Some(amounts.silence_turns),
            barge_in_turns: amounts.barge_in_turns,
            handoff: Some(amounts.handoff),
        }
    }
}

impl From<Data> for ConversationData {
    fn from(data: Data) -> Self {
        // Of an incomplete record nothing was known but its id and start.
        let known = |amount: u32| Some(amount).filter(|_| data.complete);
        Self {
            started_at: data.started_at,
            state: data.state,
            channel: data.channel,
            variant: data.variant,
            duration: data.duration,
            agent_duration: data.agent_duration,
            last_turn_at: data.last_turn_at,
            turns: data.turns,
            ood_turns: known(data.ood_turns),
            silence_turns: known(data.silence_turns),
            barge_in_turns: data.barge_in_turns,
            handoff: match data.handoff {
                Some(handoff) => HandoffOutcome::HandedOff(handoff),
                None if data.complete => HandoffOutcome::Contained,
                None => HandoffOutcome::Unknown,
            },
            greeting: data.greeting,
            replies: data.replies,
            transcript: if data.complete { data.transcript } else { Transcript::Absent },
            latency_values: LatencyValues::Plausible,
        }
    }
}
