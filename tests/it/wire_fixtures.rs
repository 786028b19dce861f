//! Records of the API, one file for each case, and how they are parsed.
//!
//! The snapshot omits what a record does not have.

use std::fmt::Write;
use std::path::Path;

use polyai_api::Page;
use polyai_domain::conversation::{
    Conversation, ConversationData, ConversationState, LatencyValues, MissingField, RejectedRecord,
    Transcript,
};

/// The fixture `name`, as a page of one record would bring it.
fn page_of(name: &str) -> Page {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/api").join(format!("{name}.json"));
    let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let page = Page::decode(format!(r#"{{"conversations":[{json}],"cursor":null}}"#).as_bytes()).unwrap();
    assert_eq!(page.len(), 1, "{name}");
    page
}

fn record(mut page: Page) -> Result<Conversation, RejectedRecord> {
    page.conversations.pop().ok_or_else(|| page.rejected.remove(0))
}

fn names() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/api");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> =
        files.filter_map(|file| file.to_str()?.strip_suffix(".json").map(str::to_owned)).collect();
    names.sort();
    names
}

#[test]
fn records_match_snapshot() {
    let mut table = String::new();
    for name in names() {
        writeln!(table, "{name}").unwrap();
        let page = page_of(&name);
        for in_part in &page.partial {
            writeln!(table, "    not understood: {}", in_part.unreadable).unwrap();
        }
        match record(page) {
            Ok(conversation) => {
                for line in described(&conversation).lines() {
                    writeln!(table, "    {line}").unwrap();
                }
            }
            Err(rejected) => {
                let id = rejected.id.as_deref().unwrap_or("not known");
                writeln!(table, "    refused: {}, id {id}", rejected.kind.as_str()).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn transcripts_and_callers_are_not_kept() {
    let kept = format!("{:?}", record(page_of("transferred_after_three_turns")).unwrap());
    for private in ["+1555", "charged", "money", "Thank you", "amount"] {
        assert!(!kept.contains(private), "{private} is in {kept}");
    }
}

/// The fields of a conversation, one per line.
pub(crate) fn described(conversation: &Conversation) -> String {
    let mut text = String::new();
    let ConversationData {
        started_at,
        state,
        channel,
        variant,
        duration,
        agent_duration,
        last_turn_at,
        turns,
        ood_turns,
        silence_turns,
        barge_in_turns,
        handoff,
        greeting,
        replies,
        transcript,
        latency_values,
    } = &conversation.data;
    let mut say = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            writeln!(text, "{what}: {value}").unwrap();
        }
    };
    let some = |amount: u32| (amount > 0).then(|| amount.to_string());
    let missing: Vec<&str> = MissingField::ALL
        .into_iter()
        .filter(|&field| conversation.data.lacks(field))
        .map(MissingField::as_str)
        .collect();
    let state = if *state == ConversationState::InProgress { "running" } else { "finished" };
    say("id", Some(conversation.id.to_string()));
    say("started", Some(format!("{started_at}, {state}")));
    say("channel", channel.as_deref().map(str::to_owned));
    say("variant", variant.as_deref().map(str::to_owned));
    say("duration", duration.map(|seconds| format!("{} s", seconds.units())));
    say("of it the agent's", agent_duration.map(|seconds| format!("{} s", seconds.units())));
    say("last turn", last_turn_at.map(|at| at.to_string()));
    say("ended", conversation.data.ended_at().map(|at| at.to_string()));
    say("turns", turns.map(|turns| turns.to_string()));
    say("out of domain", ood_turns.and_then(some));
    say("silent", silence_turns.and_then(some));
    say("barged in", some(*barge_in_turns));
    say("handoff", handoff.handoff().map(|to| format!("{:?} to {:?}", to.reason, to.destination)));
    say("greeting", greeting.map(|greeting| format!("{} s", greeting.latency.units())));
    let latencies: Vec<String> = replies.iter().map(|reply| reply.latency.units().to_string()).collect();
    say("replies", (!latencies.is_empty()).then(|| format!("{} s", latencies.join(", "))));
    say("transcript", (*transcript == Transcript::Hidden).then(|| "hidden".to_owned()));
    say("latencies", (*latency_values == LatencyValues::OtherUnit).then(|| "withheld".to_owned()));
    say("missing", (!missing.is_empty()).then(|| missing.join(", ")));
    text
}
