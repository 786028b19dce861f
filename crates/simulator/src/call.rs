//! One conversation with everything that will ever happen to it.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::target::ClientEnv;

/// Text that is mostly a constant.
pub(crate) type Text = Cow<'static, str>;

/// A conversation. Times are those of the API's own clock.
///
/// By default a live `VOICE-SIP` call of 60 s with a greeting and three replies, listed from its start.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Call {
    pub(crate) id: String,
    pub(crate) env: ClientEnv,
    pub(crate) start: DateTime<Utc>,
    /// `None` never ends.
    pub(crate) lasting: Option<TimeDelta>,
    /// `None` leaves the field out.
    pub(crate) channel: Option<Text>,
    pub(crate) variant: Option<(Text, Text)>,
    /// `from_number`, `to_number`.
    pub(crate) numbers: (Text, Text),
    pub(crate) turns: Vec<Turn>,
    pub(crate) handoff: Option<Handoff>,
    pub(crate) metrics: Vec<(Text, MetricValue)>,
    /// The agent's part of the call; `None` is the whole call.
    pub(crate) agent_part: Option<TimeDelta>,
    pub(crate) reported: ReportedCounts,
    pub(crate) visible_from: Option<DateTime<Utc>>,
    pub(crate) finished_visible_from: Option<DateTime<Utc>>,
    pub(crate) hidden_while_running: bool,
    /// Later versions of the record with the times at which they appear, ascending.
    pub(crate) versions: Vec<(DateTime<Utc>, Self)>,
    /// Served in place of the record.
    pub(crate) raw: Option<Arc<[Piece]>>,
}

/// A part of a record that is served as it is.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(not(feature = "test-support"), expect(dead_code, reason = "for scripted calls"))]
pub(crate) enum Piece {
    Literal(Vec<u8>),
    Id,
    /// After the start.
    Timestamp(TimeDelta),
}

/// Fields that contradict the rest of the record, or are missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportedCounts {
    /// `num_turns`, whatever `turns` holds.
    pub num_turns: Option<u64>,
    /// `num_ood`, whatever the flags of the turns say.
    pub num_ood: Option<u64>,
    /// `num_silences`, whatever the flags of the turns say.
    pub num_silences: Option<u64>,
    /// Neither `total_duration` nor `polyai_duration` is present.
    pub no_duration: bool,
    /// `in_progress` is absent.
    pub no_in_progress: bool,
}

/// One turn: the user's input and the agent's response.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turn {
    /// Since the start of the call; `None` spreads turns evenly over the call.
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
    /// Text.
    Text(Text),
    /// A number.
    Number(f64),
    /// A flag.
    Flag(bool),
}

impl Turn {
    /// The agent's greeting, without user input.
    pub fn greeting() -> Self {
        let agent = Cow::Borrowed("Hello, how can I help?");
        Self { user: Cow::Borrowed(""), agent, latency: Some(3.0), ..Self::reply() }
    }

    /// A reply to user input.
    pub fn reply() -> Self {
        Self {
            user: Cow::Borrowed("I have a question."),
            agent: Cow::Borrowed("Of course, go ahead."),
            latency: Some(1.0),
            ..Self::default()
        }
    }
}

impl Call {
    /// A call with this id that starts at the Unix epoch.
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
            reported: ReportedCounts::default(),
            visible_from: None,
            finished_visible_from: None,
            hidden_while_running: false,
            versions: Vec::new(),
            raw: None,
        }
    }

    /// The end; `None` if it never ends.
    pub fn end(&self) -> Option<DateTime<Utc>> {
        self.lasting.map(|lasting| self.start + lasting)
    }

    /// From `moment` on the record is what `change` returns. A longer call that has not ended by then runs again.
    pub fn amended(mut self, moment: DateTime<Utc>, change: impl FnOnce(Self) -> Self) -> Self {
        let mut latest = self.versions.last().map_or_else(|| self.clone(), |(_, version)| version.clone());
        latest.versions.clear();
        self.versions.push((moment, change(latest)));
        self.versions.sort_by_key(|(from, _)| *from);
        self
    }
}

/// The calls that a list request asks for, by start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallQuery {
    pub(crate) env: ClientEnv,
    /// Inclusive.
    pub(crate) from: Option<DateTime<Utc>>,
    /// Inclusive.
    pub(crate) to: Option<DateTime<Utc>>,
    pub(crate) newest_first: bool,
    /// Calls that were listed as finished before this time may be left out.
    pub(crate) open_at: Option<DateTime<Utc>>,
}
