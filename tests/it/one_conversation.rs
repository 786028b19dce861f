//! THE GUIDED TOUR: one conversation on its way through the program, from the plan of a poll to the bytes of the exposition.
//!
//! Each step takes what the step before it made, and shows it in a snapshot of its own. Read the function from top to bottom
//! beside the modules that it calls; the daemon does the same for many conversations at once.
//!
//! The conversation is `tests/fixtures/api/transferred_after_three_turns.json`: a call of 74 seconds about a bill that was
//! charged twice. The agent greets, does not understand the caller once, is interrupted once, and hands over to a human.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use exporter_exposition::{self, ContentEncoding, ExpositionCache, Format, FormatOptions};
use polyai_api::{Page, wire};
use polyai_domain::conversation::Conversation;
use polyai_domain::fetch::FetchedPages;
use polyai_domain::target::{ClientEnv, Region, TargetKey};
use polyai_domain::timestamp::Timestamp;
use polyai_engine::aggregate::{
    self, ExemplarId, ExemplarSource, LabelLimiter, Metric, SeriesKey, SeriesSchema, TargetSeries,
};
use polyai_engine::ledger::store::Store;
use polyai_engine::ledger::transition::{Count, CountingRules, Transition, decide};
use polyai_engine::ledger::{LedgerEntry, Watermarks};
use polyai_engine::planner::PollPolicy;
use polyai_engine::poll_session::{Command, Notice, PollSession, SessionTime};
use polyai_engine::recorder::{
    CountingPolicy, Observation, PollerCheckpoint, Recorder, TargetIndex, TargetSetup,
};
use polyai_exporter::config::{Dimension, Metrics};
use polyai_exporter::metrics_source::SnapshotSource;

use crate::wire_fixtures::described;

#[test]
fn one_conversation_from_poll_plan_to_exposition() {
    // poll_session.rs, planner.rs: a tick makes a poll due. The session says what to read first: everything that is in progress.
    // Nothing is, because the call ended two seconds ago.
    let first_seen = at("2026-08-20T09:16:18.370Z");
    let mut session = a_session();
    session.start(time(first_seen));
    let Some(Command::Fetch(plan, limit)) = session.next_command(time(first_seen)) else { panic!() };
    let line = format!("{} pass, {}, {:?}, {limit:?}", plan.pass.name(), plan.window, plan.filter);
    insta::assert_snapshot!(line, @"open pass, all times, InProgress, StopAt(10000)");
    session.on_fetched(Ok(fetched(Vec::new())), time(first_seen));
    let Some(Command::Submit(open_list)) = session.next_command(time(first_seen)) else { panic!() };
    // The state is new, so the beginning of catching up is logged.
    assert!(matches!(session.next_command(time(first_seen)), Some(Command::Notify(Notice::Progress { .. }))));

    // The next window is planned while that is committed: what has started since the fresh watermark, with a small overlap.
    let Some(Command::Fetch(plan, limit)) = session.next_command(time(first_seen)) else { panic!() };
    let line = format!("{} pass, {}, {:?}, {limit:?}", plan.pass.name(), plan.window, plan.filter);
    insta::assert_snapshot!(line, @"fresh pass, 2026-08-20T09:14:48.000Z to 2026-08-20T09:16:18.370Z, Finished, RefuseAt(10000)");

    // api/wire.rs: the bytes of the response become typed records that borrow from them. They take every shape that the API is
    // known to send, and of what was said they keep no more than whether something was.
    let bytes = include_bytes!("../fixtures/api/transferred_after_three_turns.json");
    let record: wire::Conversation<'_> = serde_json::from_slice(bytes).unwrap();
    let last_turn = record.turns.list.last().unwrap();
    let read = format!(
        "{:?} {:?}\nlast turn: user_input {:?}, {:?}, barge_in {:?}",
        record.id, record.total_duration, last_turn.user_input, last_turn.latency, last_turn.barge_in
    );
    insta::assert_snapshot!(read, @r#"
    LenientString("CA7f3d8a52c1e94b06a7d2f0c4b8e615f9") LenientNumber(Some(74.0))
    last turn: user_input IsPresent(true), Latency(Some(2.275)), barge_in LenientBool(Some(true))
    "#);

    // api/record.rs: what the fields amount to. The first turn answers nobody, so it is the greeting; the end is the start and
    // the duration; amounts are whole millionths, so that sums do not depend on their order.
    let conversation = Conversation::try_from(&record).unwrap();
    insta::assert_snapshot!(described(&conversation), @r#"
    id: CA7f3d8a52c1e94b06a7d2f0c4b8e615f9
    started: 2026-08-20T09:15:02.370Z, finished
    channel: VOICE-SIP
    variant: London
    duration: 74 s
    of it the agent's: 52 s
    last turn: 2026-08-20T09:15:50.275Z
    ended: 2026-08-20T09:16:16.370Z
    turns: 3
    out of domain: 1
    barged in: 1
    handoff: "billing_dispute" to "billing_team"
    greeting: 3.88 s
    replies: 1.41, 2.275 s
    "#);

    // api/decode.rs does that for a whole page; the page is the last one, and so the window is complete.
    let body = [b"[", &bytes[..], b"]"].concat();
    let page = Page::decode(&body).unwrap();
    assert_eq!(page.conversations, [conversation]);
    session.on_fetched(Ok(fetched(page.conversations)), time(first_seen));

    // The pages take effect as a whole: as a batch, with the watermark that moves with it. One batch is committed at a time.
    let mut recorder = a_recorder(first_seen);
    assert!(matches!(session.next_command(time(first_seen)), Some(Command::AwaitCommit)));
    let outcome = recorder.apply_batch(&open_list).unwrap();
    recorder.commit(false).unwrap();
    session.on_committed(&outcome, time(first_seen));
    let Some(Command::Submit(batch)) = session.next_command(time(first_seen)) else { panic!() };
    let [Observation { conversation, seen_by }] = &batch.observations[..] else { panic!("{batch:?}") };
    let read_to = batch.watermarks.as_ref().unwrap().fresh;
    insta::assert_snapshot!(format!("{} seen by {seen_by:?}; read to {read_to}", conversation.id), @"CA7f3d8a52c1e94b06a7d2f0c4b8e615f9 seen by Fresh; read to 2026-08-20T09:16:18.370Z");

    // ledger/transition.rs: seen finished for the first time, two seconds after its end, it does not count yet: late turns may
    // still arrive. It is kept with the time of this observation.
    let rules = CountingRules {
        anchor: at(ANCHOR),
        settle: Duration::from_secs(10),
        settled_age: Duration::from_secs(300),
        pruned_before: None,
    };
    let transition = decide(None, Some((&conversation.data, *seen_by)), first_seen, &rules);
    let Transition::Settle(entry) = transition else { panic!("{transition:?}") };
    let LedgerEntry::Settling { since, late, .. } = &entry else { panic!("{entry:?}") };
    insta::assert_snapshot!(format!("settling since {since}, late: {late}"), @"settling since 2026-08-20T09:16:18.370Z, late: false");

    // One poll later the settle time has passed, and it counts, now and never again, whether or not it is seen once more.
    let settled = first_seen + INTERVAL;
    let transition = decide(Some(&entry), None, settled, &rules);
    let Transition::Count(Count { late, ended_at, .. }) = transition else { panic!("{transition:?}") };
    insta::assert_snapshot!(format!("counts; ended at {ended_at}, late: {late}"), @"counts; ended at 2026-08-20T09:16:16.370Z, late: false");

    // aggregate/contributions.rs: what it adds to which metric. Of all its texts only the channel and where it was handed off
    // to become labels, and of those no more than the limit admits. Each has a time: of the turn that it counts, else the end.
    let mut limiter = LabelLimiter::new(NonZeroUsize::new(50).unwrap());
    let contributions = aggregate::contributions(&transition, settled, &[Dimension::Channel], &mut limiter);
    let lines = contributions.updates.iter().map(|update| {
        format!("{:?}{:?} {:?}, {}", update.key.metric, update.key.values, update.op, update.at)
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r#"
    Conversations["VOICE-SIP"] Add(1), 2026-08-20T09:16:16.370Z
    Turns["VOICE-SIP"] Add(3), 2026-08-20T09:16:16.370Z
    OodTurns["VOICE-SIP"] Add(1), 2026-08-20T09:16:16.370Z
    BargeInTurns["VOICE-SIP"] Add(1), 2026-08-20T09:16:16.370Z
    ConversationsWithOod["VOICE-SIP"] Add(1), 2026-08-20T09:16:16.370Z
    ConversationDuration["VOICE-SIP"] Observe(Amount(74000000)), 2026-08-20T09:16:16.370Z
    AgentDuration["VOICE-SIP"] Observe(Amount(52000000)), 2026-08-20T09:16:16.370Z
    ConversationTurns["VOICE-SIP"] Observe(Amount(3000000)), 2026-08-20T09:16:16.370Z
    GreetingLatency["VOICE-SIP"] Observe(Amount(3880000)), 2026-08-20T09:15:06.250Z
    TurnLatency["VOICE-SIP"] Observe(Amount(1410000)), 2026-08-20T09:15:21.310Z
    TurnLatency["VOICE-SIP"] Observe(Amount(2275000)), 2026-08-20T09:15:50.275Z
    Handoffs["VOICE-SIP"] Add(1), 2026-08-20T09:16:16.370Z
    HandoffsByReason["VOICE-SIP", "billing_dispute", "billing_team"] Add(1), 2026-08-20T09:16:16.370Z
    LastConversation[] Latest(Timestamp(1787217376370)), 2026-08-20T09:16:48.370Z
    IngestLag[] Observe(Amount(32000000)), 2026-08-20T09:16:48.370Z
    "#);

    // aggregate/series.rs: contributions add up in series. Two replies, of 1.41 s and 2.275 s, are two observations.
    // aggregate/exemplar.rs: and each bucket keeps the newest conversation that fell into it.
    let schema = SeriesSchema::from(&Metrics::default());
    let id = ExemplarId::of(&conversation.id).unwrap();
    let mut series = TargetSeries::default();
    for update in &contributions.updates {
        let source = ExemplarSource { id: &id, at: update.at };
        series.apply(&update.key, update.op, Some(source), &schema, settled);
    }
    let latency = SeriesKey { metric: Metric::TurnLatency, values: ["VOICE-SIP".into()].into() };
    let latency = &series.get(&latency).unwrap().value;
    let aggregate::Value::Histogram(histogram) = latency else { panic!("{latency:?}") };
    let buckets = histogram.bounds().units().zip(histogram.counts()).filter(|(_, count)| **count > 0);
    insta::assert_snapshot!(format!("{:?}, sum {}", buckets.collect::<Vec<_>>(), histogram.sum()), @"[(1.5, 1), (2.5, 1)], sum 3.685");
    let exemplars = histogram.exemplars().iter().flatten();
    let exemplars = exemplars.map(|one| format!("{} at {}, {}", one.value(), one.at(), one.id()));
    insta::assert_snapshot!(exemplars.collect::<Vec<_>>().join("\n"), @r"
    1.41 at 2026-08-20T09:15:21.310Z, CA7f3d8a52c1e94b06a7d2f0c4b8e615f9
    2.275 at 2026-08-20T09:15:50.275Z, CA7f3d8a52c1e94b06a7d2f0c4b8e615f9
    ");

    // recorder/: all of this for whole batches, in one transaction with the ledger's entries. The session learns that its batch is
    // committed, and reports that the poll succeeded.
    let outcome = recorder.apply_batch(&batch).unwrap();
    recorder.commit(false).unwrap();
    assert!(matches!(session.next_command(time(first_seen)), Some(Command::AwaitCommit)));
    session.on_committed(&outcome, time(first_seen));
    assert!(matches!(session.next_command(time(first_seen)), Some(Command::Notify(Notice::Progress { .. }))));
    let Some(Command::Report(report)) = session.next_command(time(first_seen)) else { panic!() };
    insta::assert_snapshot!(format!("up: {}, {:?}", report.status.up, report.stats), @"up: true, PollStats { fetches: 2, records: 1, rejected: 0, counted: 0 }");
    assert!(session.next_command(time(first_seen)).is_none());

    // The target is new, so nothing is exposed until what was found by now has counted.
    recorder.set_poll_status(&report.status);
    recorder.commit(false).unwrap();
    let exposed = |recorder: &Recorder| recorder.snapshot().targets[0].1.of(Metric::Conversations).count();
    assert_eq!(exposed(&recorder), 0);

    // The next poll finds nothing new, but time has passed, and the conversation counts.
    session.start(time(settled));
    let mut outcome = None;
    let report = loop {
        match session.next_command(time(settled)).unwrap() {
            Command::Fetch(..) => session.on_fetched(Ok(fetched(Vec::new())), time(settled)),
            Command::Submit(batch) => outcome = Some(recorder.apply_batch(&batch).unwrap()),
            Command::AwaitCommit => session.on_committed(&outcome.take().unwrap(), time(settled)),
            Command::Notify(notice) => panic!("{notice:?}"),
            Command::Report(report) => break report,
        }
    };
    recorder.set_poll_status(&report.status);
    recorder.commit(false).unwrap();
    assert_eq!((report.stats.counted, exposed(&recorder)), (1, 1));

    // exposition/: a scrape sees the snapshot that was committed last, under full names and with the labels of the target in
    // front. The cache renders what has changed.
    let cache = ExpositionCache::new(FormatOptions { native_histograms: true, openmetrics_created: false });
    let page = |format| {
        let source = SnapshotSource::new(recorder.snapshot().clone());
        let now = exporter_exposition::Timestamp::from_millis(settled.millis());
        let body = cache.render(format, ContentEncoding::Identity, &source, now, Vec::new);
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    };
    // OpenMetrics has exemplars, which name the call.
    let handed_off = page(Format::OpenMetrics);
    let handed_off = handed_off.lines().find(|line| line.starts_with("polyai_handoffs_by_reason_total{"));
    insta::assert_snapshot!(handed_off.unwrap(), @r#"polyai_handoffs_by_reason_total{project="reservations",region="us-1",client_env="live",channel="VOICE-SIP",reason="billing_dispute",destination="billing_team"} 1 # {conversation_id="CA7f3d8a52c1e94b06a7d2f0c4b8e615f9"} 1 1787217376.370"#);

    // exposition/text.rs: the default format. These are all the series that the call has added to, without their buckets.
    let exposition = page(Format::Text);
    let own = r#"project="reservations",region="us-1",client_env="live""#;
    let added_to = exposition.lines().filter(|line| {
        let others = ["_bucket", "polyai_target_", "polyai_recent_"];
        !line.starts_with('#') && !line.ends_with(" 0") && !others.iter().any(|part| line.contains(part))
    });
    insta::assert_snapshot!(added_to.collect::<Vec<_>>().join("\n").replace(own, "TARGET"), @r#"
    polyai_conversations_total{TARGET,channel="VOICE-SIP"} 1
    polyai_handoffs_total{TARGET,channel="VOICE-SIP"} 1
    polyai_handoffs_by_reason_total{TARGET,channel="VOICE-SIP",reason="billing_dispute",destination="billing_team"} 1
    polyai_conversation_duration_seconds_sum{TARGET,channel="VOICE-SIP"} 74
    polyai_conversation_duration_seconds_count{TARGET,channel="VOICE-SIP"} 1
    polyai_conversation_agent_duration_seconds_sum{TARGET,channel="VOICE-SIP"} 52
    polyai_conversation_agent_duration_seconds_count{TARGET,channel="VOICE-SIP"} 1
    polyai_conversation_turns_sum{TARGET,channel="VOICE-SIP"} 3
    polyai_conversation_turns_count{TARGET,channel="VOICE-SIP"} 1
    polyai_turns_total{TARGET,channel="VOICE-SIP"} 3
    polyai_ood_turns_total{TARGET,channel="VOICE-SIP"} 1
    polyai_barge_in_turns_total{TARGET,channel="VOICE-SIP"} 1
    polyai_conversations_with_ood_total{TARGET,channel="VOICE-SIP"} 1
    polyai_turn_latency_seconds_sum{TARGET,channel="VOICE-SIP"} 3.685
    polyai_turn_latency_seconds_count{TARGET,channel="VOICE-SIP"} 2
    polyai_greeting_latency_seconds_sum{TARGET,channel="VOICE-SIP"} 3.88
    polyai_greeting_latency_seconds_count{TARGET,channel="VOICE-SIP"} 1
    polyai_last_conversation_timestamp_seconds{TARGET} 1787217376.37
    polyai_ingest_lag_seconds_sum{TARGET} 32
    polyai_ingest_lag_seconds_count{TARGET} 1
    "#);
}

const ANCHOR: &str = "2026-08-20T09:00:00Z";
const INTERVAL: Duration = Duration::from_secs(30);

fn at(time: &str) -> Timestamp {
    Timestamp::parse(time).unwrap()
}

/// The time as a driver passes it.
fn time(now: Timestamp) -> SessionTime {
    let steady = now.saturating_duration_since(at(ANCHOR));
    SessionTime { api: now, steady, certain: true, skewed: false }
}

fn fetched(conversations: Vec<Conversation>) -> FetchedPages {
    FetchedPages { conversations, complete: true, ..FetchedPages::default() }
}

/// The session of a target that was read up to 09:14:50 and has no rechecks.
fn a_session() -> PollSession {
    let policy = PollPolicy {
        interval: INTERVAL,
        ages: Vec::new(),
        initial_lookback: Duration::ZERO,
        anchor: None,
        refetch_budget: 5,
    };
    let watermarks = Watermarks { fresh: at("2026-08-20T09:14:50Z"), ..Watermarks::initial(at(ANCHOR), &[]) };
    let checkpoint =
        PollerCheckpoint { watermarks: Some(watermarks), open: BTreeMap::new(), starts: Vec::new() };
    PollSession::resume(TargetIndex(0), policy, checkpoint)
}

/// A recorder with its state in memory and one target, which starts at `now`.
fn a_recorder(now: Timestamp) -> Recorder {
    let target = TargetSetup {
        key: TargetKey {
            project: "reservations".to_owned(),
            region: Region::Us1,
            client_env: ClientEnv::Live,
        },
        channels: vec!["VOICE-SIP".to_owned()],
        info: ["ws-00000001", "PROJECT-0000001", "api.us-1.platform.polyai.app", "v3"].map(str::to_owned),
    };
    let counting = CountingPolicy {
        schema: SeriesSchema::from(&Metrics::default()),
        settle: Duration::from_secs(10),
        settled_age: Duration::from_secs(300),
        recent_window: Duration::from_secs(15 * 60),
        max_label_values: NonZeroUsize::new(50).unwrap(),
    };
    let store = Store::in_memory().unwrap();
    Recorder::load(store, &[target], counting, now).unwrap().0
}
