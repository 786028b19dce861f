//! Quirks: points on which the documentation is silent or contradictory, or projects differ.

/// The behaviour of one project. The default is the documented v3 behaviour where there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Order of a list; undocumented for v3. v1 is always ascending.
    pub order: Order,
    /// `cursor` after the last page.
    pub last_cursor: LastCursor,
    /// Supported ways of paging. v1 has offsets only; v2 has cursors only where `chunked` is on.
    pub paging: Paging,
    /// A walk ends with a page without rows instead of a page without a cursor.
    pub empty_last_page: bool,
    /// `limit` is at most 5000 and by default 5 (prose, and always in v1) instead of 1000 (OpenAPI).
    pub prose_limits: bool,
    /// A window includes `end_time`. It always includes `start_time`.
    pub end_time_inclusive: bool,
    /// The parameter `in_progress` has no effect.
    pub ignores_in_progress: bool,
    /// The parameters `start_time` and `end_time` have no effect.
    pub ignores_window: bool,
    /// The parameter `client_env` has no effect: the conversations are those of `live`.
    pub ignores_client_env: bool,
    /// The parameter `limit` has no effect: a page has up to 1000 rows.
    pub ignores_limit: bool,
    /// Running conversations are never listed.
    pub hides_running: bool,
    /// `show_transcripts` is off: `turns` is empty while `num_turns` still counts.
    pub no_transcripts: bool,
    /// Form of `latency` on a turn, when `include_latency=true`.
    pub latency: LatencyShape,
    /// `latency` is in milliseconds instead of seconds. The recount has seconds.
    pub latency_in_milliseconds: bool,
    /// Fields that records do not have, such as a response metric that is not selected. The recount has them.
    pub omitted_fields: &'static [&'static str],
    /// `num_turns` is 0 although there are turns.
    pub num_turns_zero: bool,
    /// Records carry `id`, `account_id`, `project_id` and `started_at` only.
    pub sparse: bool,
    /// Empty text is null, as it always is in v1.
    pub null_text: bool,
    /// Form of every timestamp.
    pub timestamps: TimestampFormat,
    /// Form of the values in `metrics`.
    pub metrics: MetricShape,
    /// Flags that are false and empty lists of turns are null.
    pub null_flags: bool,
    /// `handoff` is null or an object with `destination` and `reason` (prose) instead of a boolean (schema).
    pub handoff_object: bool,
    /// Durations and counts are strings, such as `"73"`.
    pub numbers_as_text: bool,
    /// The body is the list itself, without an envelope, and hence without paging.
    pub bare_array: bool,
    /// The body is sent in chunks without a length.
    pub chunked: bool,
}

/// Order of a list, by `started_at`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    #[default]
    Descending,
    /// Neither, but the same in every walk.
    Shuffled,
}

/// `cursor` after the last page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LastCursor {
    /// `null`
    #[default]
    Null,
    /// The key is missing.
    Absent,
    /// `""`
    Empty,
}

/// Ways of paging.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Paging {
    /// `cursor` and `next_offset` are both offered.
    #[default]
    CursorAndOffset,
    /// No `next_offset`.
    CursorOnly,
    /// No `cursor` key; one that is sent has no effect.
    OffsetOnly,
    /// As `OffsetOnly`, without a `next_offset` key: a client has to know that `offset` works.
    OffsetUnannounced,
}

/// Form of `latency`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LatencyShape {
    /// Seconds as a number (OpenAPI).
    Number,
    /// An object with `perceived_latency` in seconds (recorded).
    #[default]
    Object,
    /// The object with null inside.
    NullInside,
    /// No such key, even if requested.
    Absent,
}

/// Form of a timestamp.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TimestampFormat {
    /// `2026-08-20T09:15:02.370000+00:00`
    #[default]
    Offset,
    /// `2026-08-20T09:15:02.370000Z`
    Zulu,
    /// `2026-08-20T09:15:02.370000`, meaning UTC
    Naive,
    /// `2026-08-20 09:15:02.37000`, the old example of v1
    Spaced,
}

/// Form of the values in `metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MetricShape {
    /// Strings, and lists of strings for metrics that were written more than once (OpenAPI).
    #[default]
    Text,
    /// Always a list of strings.
    List,
    /// Always a list of `{value, timestamp}`, the timestamp without a zone (recorded).
    Objects,
    /// Numbers and booleans if the value is one.
    Scalars,
}
