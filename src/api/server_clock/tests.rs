//! Stories of two clocks. Offsets are seconds that the API is ahead of the machine as it was at first.

use super::*;

fn wall() -> DateTime<Utc> {
    DateTime::from_timestamp(1_787_000_000, 0).unwrap()
}

/// A machine and an API that it asks every half minute.
struct Scene {
    clock: ServerClock,
    began: Instant,
    /// Since it began; seconds.
    now: i64,
    /// By how much somebody has stepped the clock on the wall.
    stepped: i64,
}

impl Scene {
    fn new() -> Self {
        Self { clock: ServerClock::default(), began: Instant::now(), now: 0, stepped: 0 }
    }

    fn look(&self, seconds_ago: i64) -> ClockReading {
        let passed = self.now - seconds_ago;
        ClockReading {
            wall: wall() + TimeDelta::seconds(passed + self.stepped),
            steady: self.began + Duration::from_secs(u64::try_from(passed).unwrap()),
        }
    }

    /// An answer that took `took` seconds and was stamped `offset` ahead when it was asked for.
    fn answer(&mut self, offset: Option<i64>, took: i64) {
        self.now += 30;
        let date = offset.map(|offset| wall() + TimeDelta::seconds(self.now - took + offset));
        self.clock.observe(DateObservation { date, asked: self.look(took), answered: self.look(0) });
    }

    fn answers(&mut self, offset: i64, times: u32) {
        (0..times).for_each(|_| self.answer(Some(offset), 0));
    }

    fn without_date(&mut self, times: u32) {
        (0..times).for_each(|_| self.answer(None, 0));
    }

    /// How far the API is held to be ahead of the machine as it was at first.
    fn offset(&self) -> i64 {
        (self.clock.at(self.look(0)) - wall()).num_seconds() - self.now
    }
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

#[test]
fn rounding_is_no_skew() {
    let mut scene = Scene::new();
    for offset in [-1, 1, 0] {
        scene.answers(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (0, true));
    }
}

#[test]
fn a_small_step_counts_at_the_second_answer() {
    for offset in [-45, 45] {
        let mut scene = Scene::new();
        scene.answers(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset.min(0), false));
        scene.answers(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset, true));
    }
}

#[test]
fn at_first_the_second_answer_sets_the_clock_however_far() {
    for offset in [-300, 300, -3 * DAY, 21 * DAY] {
        let mut scene = Scene::new();
        scene.answers(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset.min(0), false), "{offset}");
        scene.answers(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset, true), "{offset}");
    }
}

#[test]
fn a_large_step_counts_after_minutes_and_until_then_the_earlier_time_holds() {
    for offset in [-300, 300, -3 * DAY, 3 * DAY, 21 * DAY] {
        let mut scene = Scene::new();
        scene.answers(0, 1);
        scene.answers(offset, 10);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset.min(0), false), "{offset}");
        scene.answers(offset, 1);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (offset, true), "{offset}");
    }
}

#[test]
fn odd_answers_move_nothing() {
    let mut scene = Scene::new();
    scene.answers(0, 1);
    for offset in [DAY, -500, 3 * DAY, 30] {
        scene.answers(offset, 1);
        scene.answers(0, 1);
        assert_eq!(scene.offset(), 0);
    }
    // A node that is days ahead, for as long as a connection to it is kept.
    scene.answers(3 * DAY, 9);
    assert_eq!(scene.offset(), 0);
    scene.answers(0, 1);
    assert_eq!((scene.offset(), scene.clock.is_certain()), (0, true));
}

#[test]
fn of_answers_that_differ_the_smallest_step_is_followed() {
    let mut scene = Scene::new();
    scene.answers(0, 1);
    (0..6).for_each(|_| {
        scene.answers(600, 1);
        scene.answers(300, 1);
    });
    assert_eq!(scene.offset(), 300);
}

#[test]
fn a_step_of_the_machines_clock_is_none_of_the_apis() {
    for step in [3 * DAY, -3 * DAY] {
        let mut scene = Scene::new();
        scene.answers(0, 3);
        scene.stepped = step;
        assert_eq!(scene.offset(), 0);
        scene.answers(0, 3);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (0, true));
        assert_eq!(scene.clock.skew_seconds(scene.look(0)), Some(step as f64));
    }
}

#[test]
fn without_a_date_the_clock_on_the_wall_is_followed_as_slowly() {
    let mut scene = Scene::new();
    scene.without_date(1);
    assert_eq!((scene.offset(), scene.clock.is_certain()), (0, true));
    scene.stepped = 3 * DAY;
    scene.without_date(10);
    assert_eq!(scene.offset(), 0);
    scene.without_date(1);
    assert_eq!(scene.offset(), 3 * DAY);
    assert_eq!(scene.clock.skew_seconds(scene.look(0)), None, "there is nothing to compare it with");
}

#[test]
fn when_dates_are_left_out_what_they_said_stays() {
    let mut scene = Scene::new();
    scene.answers(300, 20);
    scene.without_date(20);
    assert_eq!((scene.offset(), scene.clock.is_certain()), (300, true));
}

#[test]
fn a_slow_answer_is_no_skew() {
    let mut scene = Scene::new();
    for written_after in [0, 12, 25] {
        scene.answer(Some(written_after), 25);
        assert_eq!((scene.offset(), scene.clock.is_certain()), (0, true));
    }
}

#[test]
fn a_skew_that_matters_is_told_as_how_far_this_machine_is_ahead() {
    for (offset, told) in [(-45, Some(45.0)), (5, None), (3 * HOUR, Some(-10_800.0))] {
        let mut scene = Scene::new();
        scene.answers(offset, 1);
        assert_eq!(scene.clock.skew_seconds(scene.look(0)), None, "one answer tells nothing");
        scene.answers(offset, 1);
        assert_eq!(scene.clock.skew_seconds(scene.look(0)), told);
    }
}

#[test]
fn no_date_however_far_away_makes_it_panic() {
    for date in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        let mut scene = Scene::new();
        for _ in 0..20 {
            scene.now += 30;
            scene.clock.observe(DateObservation {
                date: Some(date),
                asked: scene.look(1),
                answered: scene.look(0),
            });
            scene.now += 30;
            let _ = (scene.clock.at(scene.look(0)), scene.clock.skew_seconds(scene.look(0)));
        }
    }
}
