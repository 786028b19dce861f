//! Phrases of callers and agents, by topic.

use std::sync::LazyLock;

use serde::Deserialize;

use super::call::Text;
use super::rng::Rng;

/// All phrases; none is from a real call. `{n}`, `{day}`, `{time}` and `{ref}` are placeholders.
#[derive(Debug, Deserialize)]
pub(crate) struct Phrases {
    pub(crate) reservations: Topic,
    pub(crate) billing: Topic,
    pub(crate) support: Topic,
    /// Input that is out of domain for every agent.
    off_topic: Vec<String>,
}

/// Phrases on one topic.
#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Topic {
    pub(crate) greeting: String,
    /// User inputs with the agent's responses.
    exchanges: Vec<(String, String)>,
    /// Values of the metric `QA`.
    pub(crate) questions: Vec<String>,
    /// The name of a project-defined metric.
    pub(crate) outcome: String,
    /// Its values by weight.
    pub(crate) outcomes: Vec<(u32, String)>,
}

pub(crate) static PHRASES: LazyLock<Phrases> =
    LazyLock::new(|| serde_json::from_str(include_str!("phrases.json")).expect("a test reads it"));

/// The agent's response to silence.
pub(crate) const SILENCE: &str = "I'm sorry, I can't hear you. Are you still there?";
/// The agent's response to input that is out of domain.
pub(crate) const NOT_UNDERSTOOD: &str = "Sorry, I didn't quite get that. Could you say it another way?";
/// The agent's last response before a handoff.
pub(crate) const HANDOFF: &str = "I'll connect you with a colleague who can help. One moment, please.";

/// Draws user input and the agent's response on `topic`.
pub(crate) fn exchange(topic: &Topic, rng: &mut Rng) -> (Text, Text) {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    const TIMES: [&str; 5] = ["half past six", "seven", "7:15", "8 pm", "noon"];
    let Some((user, agent)) = rng.pick(&topic.exchanges) else { return Default::default() };
    let number = (2 + rng.below(7)).to_string();
    let (day, time) = (rng.pick(&DAYS).unwrap_or(&"Monday"), rng.pick(&TIMES).unwrap_or(&"noon"));
    let reference = (100_000 + rng.below(900_000)).to_string();
    let fill = |template: &str| {
        let filled = template.replace("{n}", &number).replace("{day}", day).replace("{time}", time);
        Text::Owned(filled.replace("{ref}", &reference))
    };
    (fill(user), fill(agent))
}

/// Draws input that is out of domain.
pub(crate) fn off_topic(rng: &mut Rng) -> Text {
    rng.pick(&PHRASES.off_topic).map(|input| Text::Borrowed(input)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_have_no_unfilled_placeholder() {
        let mut rng = Rng::new(&[1]);
        for topic in [&PHRASES.reservations, &PHRASES.billing, &PHRASES.support] {
            for _ in 0..200 {
                let (user, agent) = exchange(topic, &mut rng);
                assert!(!user.is_empty() && !format!("{user}{agent}").contains(['{', '}']), "{user} {agent}");
            }
        }
    }
}
