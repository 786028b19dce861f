//! A state of format 1, as its last version wrote it: `fixtures/format_1.redb.gz`.

use std::io::Read as _;

use super::*;
use polyai_domain::conversation::ConversationData;

/// By channel, as the version that wrote the state exposed them.
const CONVERSATIONS: [(&str, u64); 3] = [("CHAT", 6), ("VOICE-SIP", 101), ("WEBCHAT", 6)];
const HANDOFFS: [(&str, u64); 3] = [("CHAT", 1), ("VOICE-SIP", 12), ("WEBCHAT", 2)];
const LATENCIES: [(&str, u64); 3] = [("CHAT", 58), ("VOICE-SIP", 590), ("WEBCHAT", 39)];

fn former_state() -> State {
    let compressed = &include_bytes!("../../../fixtures/format_1.redb.gz")[..];
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(compressed).read_to_end(&mut bytes).unwrap();
    let state = State::new();
    std::fs::write(state.0.path().join("state.redb"), bytes).unwrap();
    state
}

fn entries(state: &State) -> Vec<(String, LedgerEntry)> {
    let store = Store::open_dir(state.0.path()).unwrap();
    let target = store.target_ids(&[setup().key.to_string()]).unwrap()[0];
    let mut all = Vec::new();
    store.for_each_entry(target, |id, entry| all.push((id.to_owned(), entry))).unwrap();
    all
}

fn load(state: &State) -> (Recorder, PollerCheckpoint) {
    state.start(counting(), 9_000_000)
}

#[test]
fn former_state_goes_on_as_it_was() {
    let state = former_state();
    let (recorder, checkpoint) = load(&state);
    let snapshot = recorder.snapshot();
    for (metric, expected) in [
        (Metric::Conversations, CONVERSATIONS),
        (Metric::Handoffs, HANDOFFS),
        (Metric::TurnLatency, LATENCIES),
    ] {
        for (channel, count) in expected {
            assert_eq!(snapshot.count(metric, &[channel]), Some(count), "{metric:?} {channel}");
        }
    }
    assert_eq!(snapshot.gauge(Metric::TargetCatchingUp, &[]), Some(0.0), "it was exposed all along");
    let watermarks = checkpoint.watermarks.unwrap();
    assert_eq!(watermarks.rechecks.len(), 2);
    assert_eq!(watermarks.series_since, watermarks.fresh, "metrics that are new count from here");
    assert_eq!(checkpoint.open.len(), 20);
}

#[test]
fn migration_keeps_every_entry_and_happens_once() {
    let state = former_state();
    let converted = || Store::open_dir(state.0.path()).unwrap().converted_from();
    assert_eq!([converted(), converted()], [Some(1), None]);
    let migrated = entries(&state);
    let of = |is: fn(&LedgerEntry) -> bool| migrated.iter().filter(|(_, entry)| is(entry)).count();
    let open = of(|entry| matches!(entry, LedgerEntry::Open { .. }));
    let settling = of(|entry| matches!(entry, LedgerEntry::Settling { .. }));
    let counted = of(|entry| matches!(entry, LedgerEntry::Counted(_)));
    assert_eq!((open, settling, counted), (20, 3, 56));
    assert_eq!(entries(&state), migrated, "the second start has nothing to convert");
}

#[test]
fn conversation_of_a_former_state_is_not_counted_again() {
    let state = former_state();
    let migrated = entries(&state);
    let (id, counted) = migrated
        .iter()
        .find_map(|(id, entry)| match entry {
            LedgerEntry::Counted(counted) => Some((id, counted)),
            LedgerEntry::Open { .. } | LedgerEntry::Settling { .. } => None,
        })
        .unwrap();
    let (mut recorder, checkpoint) = load(&state);
    // It has more content than then: what was observed before was not recorded.
    let call = finished(id, 0, 3000);
    let data = ConversationData { started_at: counted.started_at, ..call.data };
    let latencies = recorder.snapshot().count(Metric::TurnLatency, &["VOICE-SIP"]);
    let watermarks = checkpoint.watermarks.unwrap();
    let batch = Batch {
        now: watermarks.fresh,
        watermarks: Some(watermarks),
        ..walk(0, &[Conversation { id: call.id, data }])
    };
    assert_eq!(recorder.take(&batch).counted, 0);
    assert_eq!(recorder.snapshot().count(Metric::TurnLatency, &["VOICE-SIP"]), latencies);
}
