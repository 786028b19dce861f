//! Two clocks. Offsets are the seconds by which the API is ahead of the machine's clock at the start.

use super::*;

fn wall() -> DateTime<Utc> {
    DateTime::from_timestamp(1_787_000_000, 0).unwrap()
}

/// A machine that sends a request every half minute.
struct Scene {
    clock: ServerClock,
    began: Instant,
    /// Seconds since the start.
    now: i64,
    /// The seconds by which the wall clock was stepped.
    stepped: i64,
}

impl Scene {
    fn new() -> Self {
        Self { clock: ServerClock::default(), began: Instant::now(), now: 0, stepped: 0 }
    }

    fn read(&self, seconds_ago: i64) -> ClockReading {
        let passed = self.now - seconds_ago;
        ClockReading {
            wall: wall() + TimeDelta::seconds(passed + self.stepped),
            steady: self.began + Duration::from_secs(u64::try_from(passed).unwrap()),
        }
    }

    /// A response that took `took` seconds and whose date was `offset` ahead when it was requested.
    fn respond(&mut self, offset: Option<i64>, took: i64) {
        self.now += 30;
        let date = offset.map(|offset| wall() + TimeDelta::seconds(self.now - took + offset));
        self.clock.observe(DateObservation { date, sent: self.read(took), received: self.read(0) });
    }

    fn responses(&mut self, offset: i64, times: u32) {
        (0..times).for_each(|_| self.respond(Some(offset), 0));
    }

    fn without_date(&mut self, times: u32) {
        (0..times).for_each(|_| self.respond(None, 0));
    }

    /// The estimated lead of the API over the machine's clock at the start.
    fn offset(&self) -> i64 {
        (self.clock.at(self.read(0)) - wall()).num_seconds() - self.now
    }
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

#[test]
fn rounding_is_not_skew() {
    let mut scene = Scene::new();
    for offset in [-1, 1, 0] {
        scene.responses(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (0, true));
    }
}

#[test]
fn small_step_counts_at_second_response() {
    for offset in [-45, 45] {
        let mut scene = Scene::new();
        scene.responses(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset.min(0), false));
        scene.responses(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset, true));
    }
}

#[test]
fn second_response_sets_unconfirmed_clock() {
    for offset in [-300, 300, -3 * DAY, 21 * DAY] {
        let mut scene = Scene::new();
        scene.responses(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset.min(0), false), "{offset}");
        scene.responses(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset, true), "{offset}");
    }
}

#[test]
fn large_step_counts_after_five_minutes() {
    for offset in [-300, 300, -3 * DAY, 3 * DAY, 21 * DAY] {
        let mut scene = Scene::new();
        scene.responses(0, 1);
        scene.responses(offset, 10);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset.min(0), false), "{offset}");
        scene.responses(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset, true), "{offset}");
    }
}

#[test]
fn odd_responses_do_not_move_the_clock() {
    let mut scene = Scene::new();
    scene.responses(0, 1);
    for offset in [DAY, -500, 3 * DAY, 30] {
        scene.responses(offset, 1);
        scene.responses(0, 1);
        assert_eq!(scene.offset(), 0);
    }
    // A node that is days ahead, for as long as a connection to it is kept.
    scene.responses(3 * DAY, 9);
    assert_eq!(scene.offset(), 0);
    scene.responses(0, 1);
    assert_eq!((scene.offset(), scene.clock.is_certain()), (0, true));
}

#[test]
fn smallest_of_differing_steps_counts() {
    let mut scene = Scene::new();
    scene.responses(0, 1);
    (0..6).for_each(|_| {
        scene.responses(600, 1);
        scene.responses(300, 1);
    });
    assert_eq!(scene.offset(), 300);
}

#[test]
fn dates_of_nodes_that_differ_settle_within_minutes() {
    for nodes in [&[3, -3][..], &[-3, 3], &[45, -45], &[300, -300], &[-300, 300], &[9, -4, 300], &[-DAY, DAY]]
    {
        let mut scene = Scene::new();
        let mut certain = 0;
        for turn in 0..40 {
            scene.responses(nodes[turn % nodes.len()], 1);
            if turn >= 10 {
                certain += usize::from(scene.clock.is_certain());
                assert!(nodes.contains(&scene.offset()), "{nodes:?}: {}", scene.offset());
            }
        }
        assert!(certain >= 10, "{nodes:?}: certain at {certain} of 30 responses");
    }
}

#[test]
fn large_median_needs_five_minutes_once_confirmed() {
    let mut scene = Scene::new();
    scene.responses(0, 3);
    for turn in 0..9 {
        scene.responses(if turn % 2 == 0 { HOUR } else { -HOUR }, 1);
        assert!(!scene.clock.is_certain() && scene.clock.skew_seconds(scene.read(0)).is_none());
    }
    scene.responses(-HOUR, 4);
    assert_eq!((scene.offset(), scene.clock.is_certain()), (-HOUR, true));
}

#[test]
fn latest_time_includes_pending_step() {
    let mut scene = Scene::new();
    scene.responses(0, 3);
    scene.responses(DAY, 1);
    let latest = scene.clock.latest(scene.read(0)) - wall() - TimeDelta::seconds(scene.now);
    assert_eq!((scene.offset(), latest.num_seconds()), (0, DAY));
}

#[test]
fn wall_clock_step_does_not_move_the_clock() {
    for step in [3 * DAY, -3 * DAY] {
        let mut scene = Scene::new();
        scene.responses(0, 3);
        scene.stepped = step;
        assert_eq!(scene.offset(), 0);
        scene.responses(0, 3);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (0, true));
        assert_eq!(scene.clock.skew_seconds(scene.read(0)), Some(step as f64));
    }
}

#[test]
fn wall_clock_replaces_absent_dates() {
    let mut scene = Scene::new();
    scene.without_date(1);
    assert_eq!((scene.offset(), scene.clock.is_certain()), (0, true));
    scene.stepped = 3 * DAY;
    scene.without_date(10);
    assert_eq!(scene.offset(), 0);
    scene.without_date(1);
    assert_eq!(scene.offset(), 3 * DAY);
    assert_eq!(scene.clock.skew_seconds(scene.read(0)), None, "there is no date to compare with");
}

#[test]
fn offset_stays_when_dates_stop() {
    let mut scene = Scene::new();
    scene.responses(300, 20);
    scene.without_date(20);
    assert_eq!((scene.offset(), scene.clock.is_certain()), (300, true));
}

#[test]
fn slow_response_is_not_skew() {
    let mut scene = Scene::new();
    for written_after in [0, 12, 25] {
        scene.respond(Some(written_after), 25);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (0, true));
    }
}

#[test]
fn skew_is_lead_of_this_machine() {
    for (offset, expected) in [(-45, Some(45.0)), (5, None), (3 * HOUR, Some(-10_800.0))] {
        let mut scene = Scene::new();
        scene.responses(offset, 1);
        assert_eq!(scene.clock.skew_seconds(scene.read(0)), None, "one response is not enough");
        scene.responses(offset, 1);
        assert_eq!(scene.clock.skew_seconds(scene.read(0)), expected);
    }
}

#[test]
fn extreme_dates_do_not_panic() {
    for date in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        let mut scene = Scene::new();
        for _ in 0..20 {
            scene.now += 30;
            scene.clock.observe(DateObservation {
                date: Some(date),
                sent: scene.read(1),
                received: scene.read(0),
            });
            scene.now += 30;
            let _ = (scene.clock.at(scene.read(0)), scene.clock.skew_seconds(scene.read(0)));
        }
    }
}
