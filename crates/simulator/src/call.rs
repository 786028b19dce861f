//! One conversation with everything that will ever happen to it.
//!
//! Owns: the facts of a call and the words in which tests tell them. Never: what is visible at a given moment, which is
//! `shown`, nor how it is written, which is `render`.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};

use polyai_domain::target::ClientEnv;

/// Text that is mostly a constant.
pub(crate) type Text = Cow<'static, str>;

/// A conversation. Times are those of the API's own clock.
///
/// Unless told otherwise it is a live `VOICE-SIP` call of 60 s with a greeting and three replies, without handoff, listed
/// from its first moment and shown finished from its last.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub(crate) id: String,
    pub(crate) env: ClientEnv,
    pub(crate) start: DateTime<Utc>,
    /// None runs for ever.
    pub(crate) lasting: Option<TimeDelta>,
    /// None leaves the field out.
    pub(crate) channel: Option<Text>,
    /// `variant_id`, `variant_name`.
    pub(crate) variant: Option<(Text, Text)>,
    /// `from_number`, `to_number`.
    pub(crate) numbers: (Text, Text),
    pub(crate) turns: Vec<Turn>,
    pub(crate) handoff: Option<Handoff>,
    pub(crate) metrics: Vec<(Text, MetricValue)>,
    /// The agent's part of the call; the whole call where None.
    pub(crate) agent_part: Option<TimeDelta>,
    pub(crate) claims: ReportedCounts,
    pub(crate) visible_from: Option<DateTime<Utc>>,
    pub(crate) finished_visible_from: Option<DateTime<Utc>>,
    pub(crate) hidden_while_running: bool,
    /// What the record looks like from a moment on, ascending.
    pub(crate) versions: Vec<(DateTime<Utc>, Call)>,
    /// Served instead of the record.
    pub(crate) raw: Option<String>,
}

/// Fields that contradict the rest of the record, or are missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ReportedCounts {
    pub(crate) num_turns: Option<u64>,
    pub(crate) num_ood: Option<u64>,
    pub(crate) num_silences: Option<u64>,
    pub(crate) no_duration: bool,
    pub(crate) no_in_progress: bool,
}

/// One turn: what the user said and what the agent answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Since the start of the call; None spreads turns evenly over the call.
    pub at: Option<TimeDelta>,
    /// `user_input`; empty on a greeting.
    pub user: Text,
    /// `agent_response`
    pub agent: Text,
    /// `latency`, in seconds.
    pub latency: Option<f64>,
    /// `is_ood`
    pub ood: bool,
    /// `is_silence`
    pub silence: bool,
    /// `barge_in`
    pub barge_in: bool,
}

/// `handoff_reason` and `handoff_destination`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handoff {
    /// May be empty.
    pub reason: Text,
    /// May be empty.
    pub destination: Text,
}

/// A value of `metrics`, before the project's [`MetricShape`](super::MetricShape) is applied.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// Written once.
    Text(Text),
    /// A number.
    Number(f64),
    /// A flag.
    Flag(bool),
    /// Written more than once.
    Many(Vec<Text>),
    /// Verbatim JSON, whatever the project's shape.
    Raw(Text),
}

impl Turn {
    /// The agent's greeting, which answers nobody.
    pub fn greeting() -> Self {
        Self {
            user: Cow::Borrowed(""),
            agent: Cow::Borrowed("Hello, how can I help?"),
            latency: Some(3.0),
            ..Self::reply()
        }
    }

    /// A reply to something the user said.
    pub fn reply() -> Self {
        Self {
            at: None,
            user: Cow::Borrowed("I have a question."),
            agent: Cow::Borrowed("Of course, go ahead."),
            latency: Some(1.0),
            ood: false,
            silence: false,
            barge_in: false,
        }
    }
}

impl Call {
    /// A call named `id`, in the default shape, at the beginning of time: give it a start.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            env: ClientEnv::Live,
            start: DateTime::UNIX_EPOCH,
            lasting: Some(TimeDelta::seconds(60)),
            channel: Some(Cow::Borrowed("VOICE-SIP")),
            variant: None,
            numbers: (Cow::Borrowed("+15555550100"), Cow::Borrowed("+15555550199")),
            turns: vec![Turn::greeting(), Turn::reply(), Turn::reply(), Turn::reply()],
            handoff: None,
            metrics: Vec::new(),
            agent_part: None,
            claims: ReportedCounts::default(),
            visible_from: None,
            finished_visible_from: None,
            hidden_while_running: false,
            versions: Vec::new(),
            raw: None,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `started_at`.
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// When it ends; None while it runs for ever.
    pub fn end(&self) -> Option<DateTime<Utc>> {
        self.lasting.map(|lasting| self.start + lasting)
    }

    /// Starts at `start`.
    #[must_use]
    pub fn starting(mut self, start: DateTime<Utc>) -> Self {
        self.start = start;
        self
    }

    /// Lasts `seconds`.
    #[must_use]
    pub fn lasting(mut self, seconds: i64) -> Self {
        self.lasting = Some(TimeDelta::seconds(seconds));
        self
    }

    /// Lasts exactly `length`, whose fraction of a second `total_duration` does not show.
    #[must_use]
    pub fn lasting_exactly(mut self, length: TimeDelta) -> Self {
        self.lasting = Some(length);
        self
    }

    /// Never ends.
    #[must_use]
    pub fn never_ending(mut self) -> Self {
        self.lasting = None;
        self
    }

    /// Belongs to `env` instead of `live`.
    #[must_use]
    pub fn in_env(mut self, env: ClientEnv) -> Self {
        self.env = env;
        self
    }

    /// Has this `channel`.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<Text>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// Has no `channel` field.
    #[must_use]
    pub fn without_channel(mut self) -> Self {
        self.channel = None;
        self
    }

    /// Has this `variant_id` and `variant_name`.
    #[must_use]
    pub fn variant(mut self, id: impl Into<Text>, name: impl Into<Text>) -> Self {
        self.variant = Some((id.into(), name.into()));
        self
    }

    /// Has `count` turns, of which the first is a greeting.
    #[must_use]
    pub fn turns(mut self, count: usize) -> Self {
        self.turns =
            (0..count).map(|index| if index == 0 { Turn::greeting() } else { Turn::reply() }).collect();
        self
    }

    /// Has one turn more.
    #[must_use]
    pub fn turn(mut self, turn: Turn) -> Self {
        self.turns.push(turn);
        self
    }

    /// The replies (turns after the first) have these latencies, in seconds; further ones have none. Call after `turns`.
    #[must_use]
    pub fn latency(mut self, seconds: impl IntoIterator<Item = f64>) -> Self {
        let mut seconds = seconds.into_iter();
        for turn in self.turns.iter_mut().skip(1) {
            turn.latency = seconds.next();
        }
        self
    }

    /// The greeting has this latency, in seconds. Call after `turns`.
    #[must_use]
    pub fn greeting_latency(mut self, seconds: f64) -> Self {
        if let Some(turn) = self.turns.first_mut() {
            turn.latency = Some(seconds);
        }
        self
    }

    /// The last `count` turns were out of domain. Call after `turns`.
    #[must_use]
    pub fn ood(mut self, count: usize) -> Self {
        self.turns.iter_mut().rev().take(count).for_each(|turn| turn.ood = true);
        self
    }

    /// In the last `count` turns nothing was heard. Call after `turns`.
    #[must_use]
    pub fn silences(mut self, count: usize) -> Self {
        self.turns.iter_mut().rev().take(count).for_each(|turn| turn.silence = true);
        self
    }

    /// In the last `count` turns the user interrupted the agent. Call after `turns`.
    #[must_use]
    pub fn barge_ins(mut self, count: usize) -> Self {
        self.turns.iter_mut().rev().take(count).for_each(|turn| turn.barge_in = true);
        self
    }

    /// Is handed to `destination` for `reason` at its end.
    #[must_use]
    pub fn handoff(mut self, reason: impl Into<Text>, destination: impl Into<Text>) -> Self {
        self.handoff = Some(Handoff { reason: reason.into(), destination: destination.into() });
        self
    }

    /// Is not handed off.
    #[must_use]
    pub fn without_handoff(mut self) -> Self {
        self.handoff = None;
        self
    }

    /// Has a value in `metrics`; once more under the same name gives a list.
    #[must_use]
    pub fn metric(mut self, name: impl Into<Text>, value: MetricValue) -> Self {
        self.metrics.push((name.into(), value));
        self
    }

    /// The agent handled the first `seconds` of it (`polyai_duration`).
    #[must_use]
    pub fn agent_part(mut self, seconds: i64) -> Self {
        self.agent_part = Some(TimeDelta::seconds(seconds));
        self
    }

    /// `num_turns` says this, whatever `turns` holds.
    #[must_use]
    pub fn saying_num_turns(mut self, count: u64) -> Self {
        self.claims.num_turns = Some(count);
        self
    }

    /// `num_ood` says this, whatever the flags say.
    #[must_use]
    pub fn saying_num_ood(mut self, count: u64) -> Self {
        self.claims.num_ood = Some(count);
        self
    }

    /// `num_silences` says this, whatever the flags say.
    #[must_use]
    pub fn saying_num_silences(mut self, count: u64) -> Self {
        self.claims.num_silences = Some(count);
        self
    }

    /// Has neither `total_duration` nor `polyai_duration`.
    #[must_use]
    pub fn without_duration(mut self) -> Self {
        self.claims.no_duration = true;
        self
    }

    /// Has no `in_progress` field.
    #[must_use]
    pub fn without_in_progress(mut self) -> Self {
        self.claims.no_in_progress = true;
        self
    }

    /// Is listed from `moment` on only.
    #[must_use]
    pub fn visible_from(mut self, moment: DateTime<Utc>) -> Self {
        self.visible_from = Some(moment);
        self
    }

    /// Is shown as running until `moment`, even if it ends before.
    #[must_use]
    pub fn finished_visible_from(mut self, moment: DateTime<Utc>) -> Self {
        self.finished_visible_from = Some(moment);
        self
    }

    /// Is not listed while it runs.
    #[must_use]
    pub fn hidden_while_running(mut self) -> Self {
        self.hidden_while_running = true;
        self
    }

    /// From `moment` on the record looks as `change` makes it: a handoff or a turn more, a shorter or longer call. A
    /// longer call that has not ended by then runs again.
    #[must_use]
    pub fn amended(mut self, moment: DateTime<Utc>, change: impl FnOnce(Self) -> Self) -> Self {
        let mut latest = self.versions.last().map_or_else(|| self.clone(), |(_, version)| version.clone());
        latest.versions.clear();
        self.versions.push((moment, change(latest)));
        self.versions.sort_by_key(|(from, _)| *from);
        self
    }

    /// This text is served in place of the record, as it is: broken, foreign or odd JSON. Filters and order still follow
    /// the call; the recount leaves it out.
    #[must_use]
    pub fn raw(mut self, json: impl Into<String>) -> Self {
        self.raw = Some(json.into());
        self
    }
}
