//! The calls of one project as they truly were, and what the adversary lets be seen of each, when.

use std::fmt::Write as _;

use polyai_api::Page;
use polyai_domain::conversation::Conversation;

use super::rng::Rng;
use super::scenario::{HOUR, Kind, MINUTE, Running, SECOND, Scenario, moment};

/// A call: its truth, and its appearances at the API.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) start: i64,
    pub(super) channel: &'static str,
    /// Its finished record: as first served, then each amendment.
    pub(super) contents: Vec<Content>,
    /// Its states, each with the time from which it is shown.
    pub(super) states: Vec<(i64, CallState)>,
    running: Option<Conversation>,
    finished: Vec<Conversation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallState {
    Absent,
    Running,
    /// With the content of this index.
    Finished(usize),
}

/// The content of a finished record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// `total_duration`, whole seconds.
    pub(super) seconds: Option<i64>,
    pub(super) agent_seconds: Option<i64>,
    pub(super) turns: Vec<Turn>,
    /// Whether the turns themselves are withheld, and only their numbers shown.
    pub(super) is_hidden: bool,
    pub(super) handoff: Option<(&'static str, &'static str)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) is_reply: bool,
    pub(super) ood: bool,
    pub(super) silence: bool,
    pub(super) barge_in: bool,
    pub(super) latency_ms: Option<i64>,
    /// After the start of the call.
    pub(super) at: Option<i64>,
}

impl Call {
    pub(super) fn state_at(&self, time: i64) -> CallState {
        let shown = self.states.iter().rev().find(|(from, _)| *from <= time);
        shown.map_or(CallState::Absent, |&(_, state)| state)
    }

    /// From when on it changes no more.
    pub(super) fn final_from(&self) -> i64 {
        self.states.last().unwrap().0
    }

    pub(super) fn record(&self, state: CallState) -> Option<&Conversation> {
        match state {
            CallState::Absent => None,
            CallState::Running => self.running.as_ref(),
            CallState::Finished(content) => self.finished.get(content),
        }
    }
}

/// The calls of one target.
pub(super) fn calls(scenario: &Scenario, rng: &mut Rng) -> Vec<Call> {
    let most = if scenario.kind == Kind::Calm { rng.pick(&[5, 60, 300]) } else { rng.pick(&[5, 20, 60]) };
    let number = rng.between(1, most);
    let mut calls: Vec<Call> = Vec::new();
    for n in 0..number {
        let neighbour = calls.last().map(|call| call.start);
        let start = scenario.on_grid(start(scenario, number, neighbour, rng));
        calls.push(call(scenario, format!("CA{n}"), start, rng));
    }
    let mut records = Vec::new();
    for call in &calls {
        records.push(json(call, &call.contents[0], true));
        records.extend(call.contents.iter().map(|content| json(call, content, false)));
    }
    let page = Page::decode(format!("[{}]", records.join(",")).as_bytes()).unwrap();
    assert!(page.rejected.is_empty(), "{:?}", page.rejected);
    let mut parsed = page.conversations.into_iter();
    for call in &mut calls {
        call.running = parsed.next();
        call.finished = parsed.by_ref().take(call.contents.len()).collect();
    }
    calls
}

/// Starts lie all over the time that is read, thickest around the anchor, and some almost together. Many lie close together.
fn start(scenario: &Scenario, number: i64, neighbour: Option<i64>, rng: &mut Rng) -> i64 {
    let last = scenario.last_age();
    let anchor = scenario.anchor.unwrap_or(scenario.start - scenario.lookback);
    match (rng.below(10), neighbour) {
        _ if number > 60 => scenario.start + rng.between(0, scenario.span / 6),
        (0..2, Some(neighbour)) => neighbour + rng.between(-1500, 1500),
        // What a first start does not read cannot be the same everywhere.
        (2..3, _) if scenario.kind == Kind::Replicas => anchor - rng.between(0, last),
        (2..3, _) => anchor - rng.between(0, last * 5 / 4),
        (3..5, _) => anchor + rng.between(-10 * MINUTE, 10 * MINUTE),
        _ => rng.between(scenario.start.min(anchor), scenario.end()),
    }
}

fn call(scenario: &Scenario, id: String, start: i64, rng: &mut Rng) -> Call {
    let last = scenario.last_age();
    // What shows itself up to this age is seen by the last recheck, whatever happens to single walks.
    let latest = last * 8 / 10;
    let interval = scenario.interval;
    let mut lasts = match rng.below(12) {
        0 => 0,
        1..4 => rng.between(0, interval),
        4..9 => rng.between(interval, 10 * MINUTE),
        9..11 => rng.between(0, latest),
        _ => rng.between(last, last * 3 / 2),
    };
    if scenario.running == Running::Hidden || lasts < last {
        lasts = lasts.min(latest);
    }
    let late = |rng: &mut Rng, most: i64| match rng.below(6) {
        _ if most <= 0 || scenario.kind == Kind::Calm => 0,
        0..3 => 0,
        3 => rng.between(0, (5 * SECOND).min(most)),
        4 => rng.between(0, (3 * MINUTE).min(most)),
        _ => rng.between(0, most.min(12 * HOUR)),
    };
    let end = start + lasts;
    let shown_from = start + late(rng, latest * 4 / 10);
    let finished_from = (end + late(rng, start + latest - end)).max(shown_from);
    let runs_visibly = scenario.running != Running::Hidden && shown_from < finished_from;
    let mut states = Vec::new();
    if runs_visibly {
        states.push((shown_from, CallState::Running));
        if end > shown_from && finished_from > end && finished_from < start + latest && rng.percent(50) {
            states.push((end, CallState::Absent));
        }
    }
    states.push((finished_from, CallState::Finished(0)));
    let flips = scenario.kind != Kind::Calm && rng.percent(10);
    let (back, again) = (finished_from + rng.between(1, 2 * interval), rng.between(1, 5 * interval));
    if flips && back + again < start + latest {
        let meanwhile =
            if scenario.running == Running::Hidden { CallState::Absent } else { CallState::Running };
        states.extend([(back, meanwhile), (back + again, CallState::Finished(0))]);
    }
    let mut contents = vec![content(lasts, rng)];
    let final_from = states.last().unwrap().0;
    if scenario.amends && rng.percent(30) && final_from + 1 < start + latest {
        if rng.percent(40) {
            // The record is served before all of it has arrived.
            contents.insert(0, incomplete(&contents[0], rng));
        } else {
            contents.push(amended(&contents[0], rng));
        }
        if rng.percent(40) {
            // And then it reads as it did at first.
            contents.push(contents[0].clone());
        }
        let mut from = final_from;
        for content in 1..contents.len() {
            let most = (start + latest - from).max(1);
            let soon = rng.percent(50);
            from += rng.between(1, if soon { most.min(10 * MINUTE) } else { most });
            states.push((from, CallState::Finished(content)));
        }
    }
    let channel = rng.pick(&["VOICE-SIP", "VOICE-SIP", "CHAT", "SMS", ""]);
    Call { id, start, channel, contents, states, running: None, finished: Vec::new() }
}

fn content(lasts: i64, rng: &mut Rng) -> Content {
    let has_turns = rng.percent(85);
    let number = if has_turns { rng.between(1, 12) } else { 0 };
    let turns = (0..number)
        .map(|n| Turn {
            is_reply: n > 0 || rng.percent(30),
            ood: rng.percent(15),
            silence: rng.percent(10),
            barge_in: rng.percent(10),
            latency_ms: rng.percent(80).then(|| rng.between(0, 20_000)),
            at: rng.percent(90).then(|| lasts * n / number),
        })
        .collect();
    Content {
        seconds: rng.percent(90).then_some(lasts / 1000),
        agent_seconds: rng.percent(70).then_some(lasts / 2000),
        turns,
        is_hidden: rng.percent(15),
        handoff: rng.percent(25).then(|| rng.pick(&REASONS)),
    }
}

pub(super) const REASONS: [(&str, &str); 4] =
    [("billing", "desk"), ("billing", ""), ("", ""), ("angry", "manager")];

/// The same call as its record reads before some of it has arrived.
fn incomplete(complete: &Content, rng: &mut Rng) -> Content {
    let mut before = complete.clone();
    match rng.below(5) {
        0 => before.agent_seconds = None,
        1 => (before.seconds, before.agent_seconds) = (None, None),
        2 => before.is_hidden = true,
        3 => before.turns.truncate(rng.below(before.turns.len() + 1)),
        _ => before
            .turns
            .iter_mut()
            .for_each(|turn| turn.latency_ms = turn.latency_ms.filter(|_| rng.percent(50))),
    }
    before
}

/// The same call as its record reads later: more of some things, or less, or both.
fn amended(before: &Content, rng: &mut Rng) -> Content {
    let mut after = before.clone();
    let reply = Turn {
        is_reply: true,
        ood: true,
        silence: rng.percent(50),
        barge_in: true,
        latency_ms: Some(900),
        at: None,
    };
    match rng.below(6) {
        0 | 1 => after.turns.extend([reply].repeat(1 + rng.below(3))),
        2 => {
            after.turns.pop();
        }
        3 => after.turns.iter_mut().for_each(|turn| (turn.ood, turn.silence) = (turn.silence, turn.ood)),
        4 => after.is_hidden = !after.is_hidden,
        _ => after.seconds = after.seconds.map(|seconds| seconds + 1),
    }
    if rng.percent(40) {
        after.handoff = match before.handoff {
            Some(_) => None,
            None => Some(rng.pick(&REASONS)),
        };
    }
    after
}

/// The record as the API would send it.
fn json(call: &Call, content: &Content, is_running: bool) -> String {
    let mut text = format!(r#"{{"id":"{}","started_at":"{}""#, call.id, moment(call.start));
    write!(text, r#","in_progress":{is_running},"channel":"{}""#, call.channel).unwrap();
    if is_running {
        text.push_str(r#","num_turns":0,"turns":[]}"#);
        return text;
    }
    for (name, seconds) in [("total_duration", content.seconds), ("polyai_duration", content.agent_seconds)] {
        if let Some(seconds) = seconds {
            write!(text, r#","{name}":{seconds}"#).unwrap();
        }
    }
    let of = |flag: fn(&Turn) -> bool| content.turns.iter().filter(|turn| flag(turn)).count();
    let (number, ood, silences) = (content.turns.len(), of(|turn| turn.ood), of(|turn| turn.silence));
    write!(text, r#","num_turns":{number},"num_ood":{ood},"num_silences":{silences}"#).unwrap();
    write!(text, r#","handoff":{}"#, content.handoff.is_some()).unwrap();
    if let Some((reason, destination)) = content.handoff {
        write!(text, r#","handoff_reason":"{reason}","handoff_destination":"{destination}""#).unwrap();
    }
    let turns: Vec<String> = content.turns.iter().map(|turn| turn_json(call, turn)).collect();
    let shown = if content.is_hidden { String::new() } else { turns.join(",") };
    write!(text, r#","turns":[{shown}]}}"#).unwrap();
    text
}

fn turn_json(call: &Call, turn: &Turn) -> String {
    let Turn { ood, silence, barge_in, .. } = turn;
    let input = if turn.is_reply { "hello" } else { "" };
    let mut text = format!(r#"{{"user_input":"{input}","is_ood":{ood},"is_silence":{silence}"#);
    write!(text, r#","barge_in":{barge_in}"#).unwrap();
    if let Some(latency) = turn.latency_ms {
        write!(text, r#","latency":{}.{:03}"#, latency / 1000, latency % 1000).unwrap();
    }
    if let Some(at) = turn.at {
        write!(text, r#","agent_response_datetime":"{}""#, moment(call.start + at)).unwrap();
    }
    text.push('}');
    text
}
