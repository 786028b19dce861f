//! What callers and agents say.
//!
//! Owns: templates and their filling. Nothing here is anybody's: no names, and numbers from the ranges that are reserved
//! for fiction.

use super::call::Text;
use super::dice::Rng;

/// Things said on one topic. `{n}`, `{day}`, `{time}` and `{ref}` are filled in.
#[derive(Debug, PartialEq)]
pub(crate) struct Topic {
    pub(crate) greeting: &'static str,
    /// What the user says and what the agent answers.
    pub(crate) exchanges: &'static [(&'static str, &'static str)],
    /// Values of the metric `QA`.
    pub(crate) questions: &'static [&'static str],
    /// A project-defined metric and its values.
    pub(crate) outcome: (&'static str, &'static [(u32, &'static str)]),
}

pub(crate) static RESERVATIONS: Topic = Topic {
    greeting: "Thanks for calling, this is the virtual host. Would you like to book a table, or change a booking?",
    exchanges: &[
        (
            "Hi, a table for {n} on {day} please.",
            "Sure, {n} people on {day}. What time would you like to come?",
        ),
        ("Around {time}, if that works.", "I have a table at {time}. May I book it under this phone number?"),
        (
            "Do you have anything outside?",
            "Our terrace has two tables left on {day}. Shall I take one for you?",
        ),
        (
            "Is the kitchen open late on {day}?",
            "On {day} the kitchen takes its last orders at half past ten.",
        ),
        (
            "One of us has a nut allergy.",
            "Thank you for telling me. I have added \"nut allergy\" to the booking.",
        ),
        ("Can you make that {n} people instead?", "Done. It's now a table for {n}, same time."),
        ("Yes, that's right.", "Perfect. Your confirmation number is {ref}. You'll get a text in a minute."),
        (
            "I'd like to cancel my booking, it's {ref}.",
            "I've found {ref} on {day}. Should I really cancel it?",
        ),
        ("是的，{n}位，谢谢", "好的，{n}位。请问几点到？"),
        (
            "It's a birthday 🎂 so something nice please",
            "How lovely 🎉 I've noted it. The chef will think of something.",
        ),
        ("Where can we park?", "There's a garage around the corner:\nPier Street 9, first hour free."),
    ],
    questions: &["opening_hours", "parking", "menu", "dress_code", "terrace"],
    outcome: ("BOOKING_OUTCOME", &[(7, "booked"), (2, "failed"), (1, "cancelled")]),
};

pub(crate) static BILLING: Topic = Topic {
    greeting: "Hello, you're through to billing. In a few words, how can I help you today?",
    exchanges: &[
        (
            "My bill is much higher than last month.",
            "I can look into that. Could you give me your reference?",
        ),
        ("It's {ref}.", "Thank you. I see a balance of {n}4 pounds and 20 pence, due on {day}."),
        (
            "Why is there a late fee?",
            "The payment of {day} reached us after the due date, so a fee was added.",
        ),
        (
            "I'd like to pay that now.",
            "Of course. I'm sending a secure link to the number ending in 01{n}{n}.",
        ),
        ("Can I pay in instalments?", "Yes: {n} monthly instalments, without interest. Shall I set that up?"),
        (
            "The meter reading can't be right!",
            "I understand. Could you read me the five digits on the meter?",
        ),
        (
            "{n} {n} 0 7 1",
            "Got it. With that reading your bill goes down. You'll receive a corrected one by {day}.",
        ),
        ("Ydy hi'n bosib siarad Cymraeg?", "Wrth gwrs. Sut alla i'ch helpu chi heddiw?"),
        ("When will the refund arrive?", "Refunds take up to {n} working days; yours left on {day}."),
        ("No, that's all.", "Thank you for calling. Have a good {day}."),
    ],
    questions: &["due_date", "tariff", "direct_debit", "moving_home"],
    outcome: ("PAYMENT_OUTCOME", &[(6, "paid"), (2, "promised"), (2, "declined")]),
};

pub(crate) static SUPPORT: Topic = Topic {
    greeting: "Hi, this is the support assistant. What is your device doing?",
    exchanges: &[
        (
            "It keeps beeping \u{2014} {n} times, then a pause.",
            "{n} beeps mean that the water filter wants cleaning.",
        ),
        (
            "Die Maschine zeigt \u{201e}Fehler {n}\u{201c} an.",
            "Fehler {n} bedeutet, dass der Tank leer ist. Bitte füllen Sie ihn auf.",
        ),
        ("Ça ne marche toujours pas…", "Essayons autre chose : débranchez l'appareil pendant {n} minutes."),
        ("Where do I find the serial number?", "On the label underneath:\n  SN {ref}\nPlease read it to me."),
        ("It says {ref}.", "Thank you. It's under warranty until {day} next year."),
        ("Nothing happens when I press \"start\".", "Is the light next to \"start\" green, orange, or off?"),
        ("Orange I think", "Then the lid isn't closed. Press it until it clicks."),
        ("ok that worked 👍", "Great! Is there anything else I can do for you?"),
        ("How do I send it back?", "I've e-mailed a label. The courier comes on {day} at {time}."),
        (
            "C:\\Users\\me\\update.log says \"failed\"",
            "Please restart the app, then choose Settings > Update again.",
        ),
        ("電源が入りません。", "コンセントを抜いて、{n}分後にもう一度お試しください。"),
    ],
    questions: &["warranty", "firmware", "returns", "spare_parts", "cleaning"],
    outcome: ("TICKET_OUTCOME", &[(6, "solved"), (2, "ticket"), (1, "abandoned")]),
};

/// Input that no agent is made for.
const OFF_TOPIC: [&str; 5] = [
    "What do you think of the election?",
    "Alexa, play some music",
    "uh the the thing with the, you know",
    "Tell me a joke about parrots 🦜",
    "Mein Hund hat den Brief gefressen",
];

/// A filled exchange of this topic: input and answer.
pub(crate) fn exchange(topic: &Topic, dice: &mut Rng) -> (Text, Text) {
    let Some((user, agent)) = dice.pick(topic.exchanges) else {
        return (Text::Borrowed(""), Text::Borrowed(""));
    };
    let filling = Placeholders::draw(dice);
    (filling.fill(user), filling.fill(agent))
}

/// Input that was not understood, and the answer to it.
pub(crate) fn off_topic(dice: &mut Rng) -> (Text, Text) {
    let said = dice.pick(&OFF_TOPIC).copied().unwrap_or_default();
    (Text::Borrowed(said), Text::Borrowed("Sorry, I didn't quite get that. Could you say it another way?"))
}

/// What the agent says when it hears nothing.
pub(crate) const SILENCE: &str = "I'm sorry, I can't hear you. Are you still there?";

/// What the agent says before it hands over.
pub(crate) const HANDOFF: &str = "I'll connect you with a colleague who can help. One moment, please.";

struct Placeholders {
    n: u64,
    day: &'static str,
    time: &'static str,
    reference: u64,
}

impl Placeholders {
    fn draw(dice: &mut Rng) -> Self {
        const DAYS: [&str; 7] =
            ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
        const TIMES: [&str; 5] = ["half past six", "seven", "7:15", "8 pm", "noon"];
        Self {
            n: 2 + dice.below(7),
            day: dice.pick(&DAYS).copied().unwrap_or("Monday"),
            time: dice.pick(&TIMES).copied().unwrap_or("noon"),
            reference: 100_000 + dice.below(900_000),
        }
    }

    fn fill(&self, template: &'static str) -> Text {
        if !template.contains('{') {
            return Text::Borrowed(template);
        }
        let mut text = String::with_capacity(template.len() + 16);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            match name {
                "n" => text.push_str(itoa::Buffer::new().format(self.n)),
                "day" => text.push_str(self.day),
                "time" => text.push_str(self.time),
                _ => text.push_str(itoa::Buffer::new().format(self.reference)),
            }
            rest = after;
        }
        text.push_str(rest);
        Text::Owned(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blank_is_filled() {
        let filling = Placeholders { n: 4, day: "Friday", time: "noon", reference: 123_456 };
        assert_eq!(filling.fill("{n} on {day} at {time}: {ref}."), "4 on Friday at noon: 123456.");
        for topic in [&RESERVATIONS, &BILLING, &SUPPORT] {
            for (user, agent) in topic.exchanges {
                for text in [filling.fill(user), filling.fill(agent)] {
                    assert!(!text.contains(['{', '}']), "{text}");
                }
            }
        }
    }
}
