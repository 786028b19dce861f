//! The rules and the routes that we ship, for a world in which an hour is a minute.
//!
//! Owns: the division of durations. Never: thresholds, which stay as they are.

/// Seconds of the rules per second of the test.
pub(super) const SPEED: u64 = 60;

/// `rules` with every duration of an expression, of `for` and of `keep_firing_for` divided, and each group evaluated once a second.
/// The texts for people stay.
pub(super) fn rules(rules: &str) -> String {
    let mut text = String::with_capacity(rules.len());
    let mut is_for_people = false;
    for line in rules.split_inclusive('\n') {
        let key = line.trim_start().trim_start_matches("- ").split(':').next().unwrap_or_default();
        match key {
            "annotations" => is_for_people = true,
            "record" | "alert" | "name" => is_for_people = false,
            _ => {}
        }
        if is_for_people || line.starts_with('#') {
            text.push_str(line);
        } else if line.starts_with("    interval: ") {
            text.push_str("    interval: 1s\n");
        } else {
            text.push_str(&line_of_rule(line));
        }
    }
    text
}

/// Durations follow these; the age of data, in seconds, follows the last.
const BEFORE: [&str; 5] = ["for: ", "[", "offset ", ":", "polyai_data_age:seconds <= bool "];

fn line_of_rule(line: &str) -> String {
    let (mut done, mut rest) = (String::new(), line);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = rest[digits..].chars().next().unwrap_or(' ');
        let worth = match unit {
            _ if digits == 0 || !BEFORE.iter().any(|before| done.ends_with(before)) => None,
            's' => Some(1),
            'm' => Some(60),
            'h' => Some(3600),
            'd' => Some(86_400),
            'w' => Some(604_800),
            _ if done.ends_with(BEFORE[4]) => {
                let seconds: u64 = rest[..digits].parse().unwrap();
                done.push_str(&(seconds / SPEED).to_string());
                rest = &rest[digits..];
                continue;
            }
            _ => None,
        };
        let taken = match worth {
            Some(worth) => {
                let number: u64 = rest[..digits].parse().unwrap();
                done.push_str(&format!("{}ms", number * worth * 1000 / SPEED));
                digits + 1
            }
            None => rest.chars().next().map_or(0, char::len_utf8).max(digits),
        };
        if worth.is_none() {
            done.push_str(&rest[..taken]);
        }
        rest = &rest[taken..];
    }
    done
}

/// The example of routes with its receivers at `receiver`, without patience, and with mute times that are long past: the test
/// may run at night. Routes and inhibition stay.
pub(super) fn routes(example: &str, receiver: std::net::SocketAddr) -> String {
    let (before, intervals) = example.split_once("\ntime_intervals:\n").expect("it has mute times");
    let (intervals, after) = intervals.split_once("\nreceivers:\n").expect("receivers come last");
    let names = intervals.lines().filter(|line| line.starts_with("  - name: "));
    let past: String =
        names.map(|name| format!("{name}\n    time_intervals: [{{years: ['2000']}}]\n")).collect();
    let mut text = String::new();
    for line in format!("{before}\ntime_intervals:\n{past}\nreceivers:\n{after}").lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        match line.trim_start().split(": ").next() {
            Some(key @ ("group_wait" | "group_interval")) => text.push_str(&format!("{indent}{key}: 1s\n")),
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    assert!(text.contains("127.0.0.1:9099/pager'"), "the receivers of the example have moved");
    text.replace("127.0.0.1:9099", &receiver.to_string())
}

#[test]
fn only_durations_are_scaled() {
    let given = "\
groups:
  - name: polyai-agent
    interval: 30s
    rules:
      - record: target:polyai_data:fresh
        expr: |
          target:polyai_data_age:seconds <= bool 600 and increase(a_bucket{le=\"3.5\"}[30m] offset 1w) > 14.4
          and min_over_time(target:polyai_data:fresh[1d:5m]) == 1 and b:ratio1h_former_weeks >= 50
        for: 5m
        annotations:
          description: >-
            of the last [5m] for: 5m
      - alert: B
        expr: c[1h]
        keep_firing_for: 10m
";
    let expected = given
        .replace("interval: 30s", "interval: 1s")
        .replace("bool 600", "bool 10")
        .replace("}[30m] offset 1w", "}[30000ms] offset 10080000ms")
        .replace("[1d:5m]", "[1440000ms:5000ms]")
        .replace("        for: 5m\n", "        for: 5000ms\n")
        .replace("c[1h]", "c[60000ms]")
        .replace("keep_firing_for: 10m", "keep_firing_for: 10000ms");
    assert_eq!(rules(given), expected);
}
