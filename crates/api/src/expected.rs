//! Compares records with what was asked for: their environment and their latencies' unit.

use polyai_domain::conversation::{Amount, ConversationData, LatencyValues, TurnLatency};
use polyai_domain::target::{ClientEnv, LatencyUnit};

/// The environment that a record names (`environment`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordEnvironment {
    /// None, or an empty one.
    Unstated,
    /// One that can be asked for, in any spelling: `Pre-Release`, `pre_release` and `prerelease` are one.
    Known(ClientEnv),
    /// Any other, such as `test`.
    Other,
}

impl RecordEnvironment {
    pub(crate) fn new(text: &str) -> Self {
        fn plain(text: &str) -> impl Iterator<Item = char> {
            text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
        }
        if plain(text).next().is_none() {
            return Self::Unstated;
        }
        let known = ClientEnv::ALL.into_iter().find(|env| plain(env.as_str()).eq(plain(text)));
        known.map_or(Self::Other, Self::Known)
    }

    /// Whether a record of this environment is no answer to a request for `asked`.
    pub(crate) fn is_foreign_to(self, asked: ClientEnv) -> bool {
        match self {
            Self::Unstated => false,
            Self::Known(found) => found != asked,
            Self::Other => true,
        }
    }
}

/// No caller waits longer for a reply, in seconds.
const MAX_SECONDS: Amount = Amount::from_count(120);
/// No agent replies faster, in milliseconds.
const MIN_MILLISECONDS: Amount = Amount::from_count(20);

/// Converts the latencies of a conversation, which are in `unit`, to seconds. If more than half of them are not possible in it,
/// all are withheld: that depends on the record alone, so that replicas and rebuilt states agree.
pub(crate) fn convert_latencies(data: &mut ConversationData, unit: LatencyUnit) {
    let is_impossible = |latency: Amount| match unit {
        LatencyUnit::Seconds => latency > MAX_SECONDS,
        LatencyUnit::Milliseconds => latency > Amount(0) && latency < MIN_MILLISECONDS,
    };
    let all = || data.greeting.iter().chain(&data.replies);
    let impossible = all().filter(|turn| is_impossible(turn.latency)).count();
    if impossible * 2 > all().count() {
        (data.greeting, data.replies) = (None, Box::default());
        data.latency_values = LatencyValues::OtherUnit;
    } else if unit == LatencyUnit::Milliseconds {
        let to_seconds = |turn: &mut TurnLatency| turn.latency = Amount((turn.latency.0 + 500) / 1000);
        data.greeting.iter_mut().chain(&mut data.replies).for_each(to_seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Page;

    #[test]
    fn environment_is_found_in_any_spelling() {
        use RecordEnvironment::{Known, Other, Unstated};
        let cases = [
            ("", Unstated),
            (" ", Unstated),
            ("live", Known(ClientEnv::Live)),
            ("LIVE ", Known(ClientEnv::Live)),
            ("pre-release", Known(ClientEnv::PreRelease)),
            ("PRE_RELEASE", Known(ClientEnv::PreRelease)),
            ("prerelease", Known(ClientEnv::PreRelease)),
            ("Sandbox", Known(ClientEnv::Sandbox)),
            ("test", Other),
            ("scenarios", Other),
        ];
        for (text, expected) in cases {
            assert_eq!(RecordEnvironment::new(text), expected, "{text:?}");
        }
    }

    #[test]
    fn foreign_records_are_rejected_and_others_kept() {
        let body = r#"[{"id":"A","started_at":"2026-08-20T09:15:02Z","environment":"sandbox"},
            {"id":"B","started_at":"2026-08-20T09:15:02Z","environment":"live"},
            {"id":"C","started_at":"2026-08-20T09:15:02Z","environment":null},
            {"id":"D","started_at":"2026-08-20T09:15:02Z"},
            {"id":"E","started_at":"2026-08-20T09:15:02Z","environment":1e999}]"#;
        let page = Page::decode(body.as_bytes()).unwrap().expecting(ClientEnv::Live, LatencyUnit::Seconds);
        let kept: Vec<_> = page.conversations.iter().map(|kept| kept.id.as_str()).collect();
        assert_eq!(kept, ["B", "C", "D", "E"]);
        let rejected: Vec<_> =
            page.rejected.iter().map(|record| (record.id.as_deref(), record.kind)).collect();
        assert_eq!(rejected, [(Some("A"), polyai_domain::conversation::RejectedKind::WrongEnvironment)]);
        assert_eq!(page.len(), 5, "a full page must stay full, or paging ends");
    }

    /// The latencies in seconds, and whether they are withheld.
    fn read(latencies: &str, unit: LatencyUnit) -> (Vec<f64>, LatencyValues) {
        let turns: Vec<_> = latencies.split_whitespace().map(|l| format!(r#"{{"latency":{l}}}"#)).collect();
        let body =
            format!(r#"[{{"id":"A","started_at":"2026-08-20T09:15:02Z","turns":[{}]}}]"#, turns.join(","));
        let page = Page::decode(body.as_bytes()).unwrap().expecting(ClientEnv::Live, unit);
        let data = &page.conversations[0].data;
        (data.greeting.iter().chain(&data.replies).map(|t| t.latency.units()).collect(), data.latency_values)
    }

    #[test]
    fn latencies_of_another_unit_are_withheld() {
        use LatencyUnit::{Milliseconds, Seconds};
        use LatencyValues::{OtherUnit, Plausible};
        let cases: [(&str, LatencyUnit, &[f64], LatencyValues); 9] = [
            ("", Seconds, &[], Plausible),
            ("3.9 1.2", Seconds, &[3.9, 1.2], Plausible),
            ("3900 1200.5", Seconds, &[], OtherUnit),
            // One slow reply is no unit.
            ("3900 1.2", Seconds, &[3900.0, 1.2], Plausible),
            ("3900 1200 90", Seconds, &[], OtherUnit),
            ("3900 1200.5", Milliseconds, &[3.9, 1.2005], Plausible),
            ("3882.713", Milliseconds, &[3.882_713], Plausible),
            ("3.9 1.2", Milliseconds, &[], OtherUnit),
            ("0 0", Milliseconds, &[0.0, 0.0], Plausible),
        ];
        for (latencies, unit, expected, values) in cases {
            assert_eq!(read(latencies, unit), (expected.to_vec(), values), "{latencies} in {unit}");
        }
    }
}
