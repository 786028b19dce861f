//! Calls, batches that have seen them, and states that outlive a recorder.

use polyai_domain::conversation::{
    ConversationData, ConversationState, Handoff, HandoffOutcome, LatencyValues, Transcript, TurnLatency,
};
use polyai_domain::target::Region;
use redb::StorageBackend;

use crate::ledger::CatchUp;

use super::*;

pub(super) const AGES: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(3600)];
pub(super) const THE_TARGET: TargetIndex = TargetIndex(0);

/// Seconds after the first start, which is the anchor.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_787_217_300_000 + seconds * 1000)
}

const LATENCY: [f64; 13] = [0.25, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 5.0, 8.0, 10.0, 15.0];
const DURATION: [f64; 11] = [5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];

fn schema(labels: &[Dimension], latency: &[f64]) -> SeriesSchema {
    SeriesSchema::new(labels.to_vec(), latency, &DURATION)
}

pub(super) fn with_latency_buckets(latency: &[f64]) -> CountingPolicy {
    CountingPolicy { schema: schema(&[Dimension::Channel], latency), ..counting() }
}

pub(super) fn counting() -> CountingPolicy {
    CountingPolicy {
        schema: schema(&[Dimension::Channel], &LATENCY),
        settle: Duration::from_secs(10),
        settled_age: AGES[0],
        recent_window: Duration::from_secs(15 * 60),
        max_label_values: NonZeroUsize::new(50).unwrap(),
    }
}

pub(super) fn with_labels(labels: &[Dimension]) -> CountingPolicy {
    CountingPolicy { schema: schema(labels, &LATENCY), ..counting() }
}

pub(super) fn setup() -> TargetSetup {
    TargetSetup {
        key: TargetKey { project: "reservations".into(), region: Region::Us1, client_env: ClientEnv::Live },
        channels: vec!["VOICE-SIP".into()],
        info: ["ws-00000001", "PROJECT-0000001", "localhost", "v3"].map(str::to_owned),
    }
}

/// A call on the phone that started so many seconds after the anchor and runs.
pub(super) fn running(id: &str, start: i64) -> Conversation {
    let data = ConversationData {
        started_at: at(start),
        state: ConversationState::InProgress,
        channel: Some("VOICE-SIP".into()),
        variant: Some("London".into()),
        duration: None,
        agent_duration: None,
        last_turn_at: None,
        turns: None,
        ood_turns: Some(0),
        silence_turns: Some(0),
        barge_in_turns: 0,
        handoff: HandoffOutcome::Contained,
        greeting: None,
        replies: Box::default(),
        transcript: Transcript::Empty,
        latency_values: LatencyValues::Plausible,
    };
    Conversation { id: ConversationId::new(id).unwrap(), data }
}

/// The same after it has ended: four turns, one of them out of domain, one reply in 1.25 s.
pub(super) fn finished(id: &str, start: i64, duration: u32) -> Conversation {
    let Conversation { id, data } = running(id, start);
    let data = ConversationData {
        state: ConversationState::Finished,
        duration: Some(Amount::from_count(duration)),
        turns: Some(4),
        ood_turns: Some(1),
        replies: Box::from([TurnLatency { latency: Amount(1_250_000), at: None }]),
        transcript: Transcript::Visible,
        ..data
    };
    Conversation { id, data }
}

pub(super) fn on_channel(conversation: Conversation, channel: &str) -> Conversation {
    let data = ConversationData { channel: Some(channel.into()), ..conversation.data };
    Conversation { data, ..conversation }
}

pub(super) fn handed_off(conversation: Conversation, reason: &str) -> Conversation {
    let handoff = HandoffOutcome::HandedOff(Handoff { reason: reason.into(), destination: "desk".into() });
    Conversation { data: ConversationData { handoff, ..conversation.data }, ..conversation }
}

/// A walk that has seen `conversations`, and moved the fresh watermark to its end.
pub(super) fn walk(now: i64, conversations: &[Conversation]) -> Batch {
    let sighting = |conversation: &Conversation| Observation {
        conversation: conversation.clone(),
        seen_by: SeenBy::Fresh,
    };
    let watermarks =
        Watermarks { fresh: at(now), catch_up: CatchUp::Done, ..Watermarks::initial(at(0), &AGES) };
    Batch {
        target: THE_TARGET,
        now: at(now),
        observations: conversations.iter().map(sighting).collect(),
        lists_all_open: false,
        abandoned: Vec::new(),
        watermarks: Some(watermarks),
    }
}

pub(super) fn listing(now: i64, open: &[Conversation]) -> Batch {
    Batch { lists_all_open: true, ..walk(now, open) }
}

pub(super) fn poll_went_well(now: i64) -> PollStatus {
    PollStatus {
        target: THE_TARGET,
        now: at(now),
        up: true,
        caught_up: true,
        problems: BTreeSet::new(),
        missing_fields: BTreeSet::new(),
    }
}

impl Recorder {
    pub(super) fn take(&mut self, batch: &Batch) -> BatchOutcome {
        let recorded = self.apply_batch(batch).unwrap();
        self.commit(true).unwrap();
        recorded
    }
}

impl Snapshot {
    pub(super) fn series(&self, metric: Metric, values: &[&str]) -> Option<&Arc<crate::aggregate::Series>> {
        let values = values.iter().map(|&value| Arc::from(value)).collect();
        self.targets.iter().next()?.1.get(&SeriesKey { metric, values })
    }

    /// A counter, or the count of a histogram.
    pub(super) fn count(&self, metric: Metric, values: &[&str]) -> Option<u64> {
        match &self.series(metric, values)?.value {
            Value::Counter(counter) => Some(counter.count()),
            Value::Histogram(histogram) => Some(histogram.count()),
            Value::Gauge(_) => None,
        }
    }

    pub(super) fn gauge(&self, metric: Metric, values: &[&str]) -> Option<f64> {
        match self.series(metric, values)?.value {
            Value::Gauge(value) => Some(value),
            Value::Counter(_) | Value::Histogram(_) => None,
        }
    }

    pub(super) fn label_sets(&self, metric: Metric) -> Vec<String> {
        let all = self.targets.iter().next().map(|(_, series)| series.iter()).into_iter().flatten();
        all.filter(|(key, _)| key.metric == metric).map(|(key, _)| key.values.join(",")).collect()
    }
}

pub(super) fn in_memory(counting: CountingPolicy) -> Recorder {
    let store = Store::in_memory().unwrap();
    Recorder::load(store, &[setup()], counting, at(0)).unwrap().0
}

/// A state that outlives the recorders that work on it.
pub(super) struct State(pub(super) tempfile::TempDir);

impl State {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn start(&self, counting: CountingPolicy, now: i64) -> (Recorder, PollerCheckpoint) {
        let store = Store::open_dir(self.0.path()).unwrap();
        let (recorder, mut checkpoints) = Recorder::load(store, &[setup()], counting, at(now)).unwrap();
        (recorder, checkpoints.remove(0))
    }
}

/// A disk in memory that fails on demand.
#[derive(Debug, Default, Clone)]
pub(super) struct BrokenDisk(
    Arc<redb::backends::InMemoryBackend>,
    pub(super) Arc<std::sync::atomic::AtomicBool>,
);

impl BrokenDisk {
    pub(super) fn works(&self) -> std::io::Result<()> {
        let broken = self.1.load(std::sync::atomic::Ordering::SeqCst);
        if broken { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for BrokenDisk {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.works().and_then(|()| self.0.set_len(len))
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.works().and_then(|()| self.0.sync_data())
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.works().and_then(|()| self.0.write(offset, data))
    }
}
