//! The health of the whole in one line: how many targets, what is wrong with the worst, and since when. Pure.

use std::collections::BTreeMap;

use super::format::{JsonTimestamp, strip_control};
use super::target_state::{Severity, State};
use super::view::{Health, TargetRow};
use crate::timestamp::Timestamp;

/// The health of the whole, in one line.
pub(super) fn health(rows: &[TargetRow], now: Timestamp) -> Health {
    let mut targets: BTreeMap<State, usize> = BTreeMap::new();
    for row in rows {
        *targets.entry(row.state).or_default() += 1;
    }
    let in_state = |state: State| rows.iter().filter(|row| row.state == state).count();
    let total = rows.len();
    let all = if total == 1 { "The one target".to_owned() } else { format!("All {total} targets") };
    let are = |number: usize| if number == 1 { "is" } else { "are" };
    let worst = rows.iter().min_by_key(|row| row.state);
    let ill = rows.iter().filter(|row| row.state <= State::Failing).count();
    let sentence = match worst {
        None => "No target is configured.".to_owned(),
        Some(row) if row.state == State::StorageFailing => format!("{}.", row.sentence),
        Some(row) if ill > 0 => {
            let have = if ill == 1 { "has" } else { "have" };
            let which = format!("{} is {}", strip_control(&row.key.to_string()), row.state.label());
            let since = row
                .since
                .map(|since| format!(" since {}", since.hh_mm(JsonTimestamp(now))))
                .unwrap_or_default();
            match (ill, total) {
                (1, 1) => format!("{which}{since}."),
                (ill, total) if ill == total => {
                    format!("All {total} targets {have} a problem; {which}{since}.")
                }
                (ill, total) => format!("{ill} of {total} targets {have} a problem; {which}{since}."),
            }
        }
        Some(_) => {
            let counted = |number: usize| {
                if number == total { all.clone() } else { format!("{number} of {total} targets") }
            };
            let (untried, behind, limited) =
                (in_state(State::NotTried), in_state(State::CatchingUp), in_state(State::Limited));
            if untried > 0 {
                let has = if untried == 1 { "has" } else { "have" };
                format!("{} {has} not been tried yet.", counted(untried))
            } else if behind > 0 {
                format!("{} {} catching up.", counted(behind), are(behind))
            } else if limited > 0 {
                let with = match limited {
                    _ if total == 1 => "with".to_owned(),
                    limited if limited == total => "all with".to_owned(),
                    limited => format!("{limited} with"),
                };
                format!("{all} {} up to date, {with} a problem that does not stop polling.", are(total))
            } else {
                format!("{all} {} up to date.", are(total))
            }
        }
    };
    let tone = worst.map_or(Severity::Warn, |row| row.state.tone());
    Health { tone, sentence, targets }
}
