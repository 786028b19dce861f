//! The pace of requests: a budget per API key, and a limit on how many run at once.
//!
//! Owns: one token bucket per key on the runtime's clock, so that tests can pause it, and the pause after a 429. The budget is
//! spread over the minute rather than spent at its start. Whoever waits holds neither a token nor a place that another could
//! use. Never: which request goes next; waiting is first come, first served.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What the field reports to be enough after a 429 that names no time.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(65);
/// The longest pause that an answer can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// A 429 lowers the pace to this share, down to a tenth of the budget.
const BACKOFF_FACTOR: f64 = 0.7;
const MIN_RATE_FACTOR: f64 = 0.1;
/// In this time without a 429 the pace recovers fully from its slowest.
const RECOVERY: Duration = Duration::from_secs(30 * 60);
/// How many requests may follow each other at once: a tick's worth.
const BURST: f64 = 6.0;

/// The pace of one API key, shared by all targets that use it.
#[derive(Debug, Clone)]
pub struct RateLimiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Whoever is next holds it while waiting; the others queue for it in the order in which they came.
    next: tokio::sync::Mutex<()>,
    bucket: Mutex<TokenBucket>,
}

#[derive(Debug)]
struct TokenBucket {
    /// Tokens per second when nothing slows it down.
    base_rate: f64,
    /// Share of it at `updated`, from [`MIN_RATE_FACTOR`] to 1.
    rate_factor: f64,
    tokens: f64,
    updated: Instant,
    /// No request starts before this.
    blocked_until: Instant,
    /// When a 429 lowered the share last.
    lowered_at: Option<Instant>,
}

/// The right to make one request; its place is free again when it is dropped.
#[derive(Debug)]
pub struct RequestPermit {
    since: Instant,
    _place: Option<OwnedSemaphorePermit>,
}

impl RateLimiter {
    /// With a budget of `per_minute` requests.
    pub fn new(per_minute: NonZeroU32) -> Self {
        let now = Instant::now();
        let full = f64::from(per_minute.get()) / 60.0;
        let burst = BURST.max(full);
        let bucket = TokenBucket {
            base_rate: full,
            rate_factor: 1.0,
            tokens: burst,
            updated: now,
            blocked_until: now,
            lowered_at: None,
        };
        Self(Arc::new(Shared { next: tokio::sync::Mutex::new(()), bucket: Mutex::new(bucket) }))
    }

    /// From now on with a budget of `per_minute` requests; what has been spent, and a pause that the API asked for, stay.
    pub fn set_budget(&self, per_minute: NonZeroU32) {
        let mut bucket = self.bucket();
        bucket.refill(Instant::now());
        bucket.base_rate = f64::from(per_minute.get()) / 60.0;
        bucket.tokens = bucket.tokens.min(BURST.max(bucket.base_rate));
    }

    /// Waits for the next free place in the budget and `limit` all requests, and takes both.
    pub async fn acquire(&self, limit: &ConcurrencyLimit) -> RequestPermit {
        let _next = self.0.next.lock().await;
        loop {
            let ready_at = self.bucket().ready_at(Instant::now());
            if let Some(ready_at) = ready_at {
                tokio::time::sleep_until(ready_at).await;
                continue;
            }
            let place = limit.acquire().await;
            // While it waited for the place, a pause may have begun.
            let since = Instant::now();
            if self.bucket().take(since) {
                return RequestPermit { since, _place: place };
            }
        }
    }

    /// The API answered a request with 429: pause for what it asks for, then go slower than before. Of the requests that
    /// were under way together only the first makes it slower, because the others could not have known.
    pub fn on_rate_limited(&self, turn: &RequestPermit, retry_after: Option<Duration>) {
        let mut bucket = self.bucket();
        let now = Instant::now();
        bucket.refill(now);
        if bucket.lowered_at.is_none_or(|lowered_at| turn.since > lowered_at) {
            bucket.rate_factor = (bucket.rate_factor * BACKOFF_FACTOR).max(MIN_RATE_FACTOR);
            bucket.lowered_at = Some(now);
        }
        bucket.tokens = bucket.tokens.min(1.0);
        let pause = retry_after.unwrap_or(DEFAULT_RETRY_AFTER).min(MAX_RETRY_AFTER);
        bucket.blocked_until = bucket.blocked_until.max(now + pause);
    }

    fn bucket(&self) -> std::sync::MutexGuard<'_, TokenBucket> {
        // The bucket is consistent between any two statements.
        self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenBucket {
    fn refill(&mut self, now: Instant) {
        // Nothing is saved up during a pause, or a burst would follow it.
        let elapsed = now.saturating_duration_since(self.updated.max(self.blocked_until)).as_secs_f64();
        self.updated = now;
        self.tokens =
            (self.tokens + elapsed * self.base_rate * self.rate_factor).min(BURST.max(self.base_rate));
        self.rate_factor = (self.rate_factor + elapsed / RECOVERY.as_secs_f64()).min(1.0);
    }

    /// When there will be a token; none if there is one.
    fn ready_at(&mut self, now: Instant) -> Option<Instant> {
        self.refill(now);
        if now < self.blocked_until {
            return Some(self.blocked_until);
        }
        if self.tokens >= 1.0 {
            return None;
        }
        let missing = (1.0 - self.tokens) / (self.base_rate * self.rate_factor);
        // A little more than needed, so that rounding does not wake it too early.
        Some(now + Duration::from_secs_f64(missing.clamp(0.001, 3600.0)) + Duration::from_millis(1))
    }

    /// Takes a token, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let is_ready = self.ready_at(now).is_none();
        if is_ready {
            self.tokens -= 1.0;
        }
        is_ready
    }
}

/// How many requests may run at once, over all targets.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit(Arc<Semaphore>);

impl ConcurrencyLimit {
    /// At most `most`.
    pub fn new(most: NonZeroUsize) -> Self {
        Self(Arc::new(Semaphore::new(most.get())))
    }

    /// Waits for a place, which is free again when the permit is dropped.
    pub async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(most: usize) -> ConcurrencyLimit {
        ConcurrencyLimit::new(NonZeroUsize::new(most).unwrap())
    }

    async fn seconds_for(pace: &RateLimiter, requests: usize) -> f64 {
        let (started, among) = (Instant::now(), places(1));
        for _ in 0..requests {
            pace.acquire(&among).await;
        }
        started.elapsed().as_secs_f64()
    }

    /// A request that begins now, and a moment later its answer.
    async fn a_429(pace: &RateLimiter, retry_after: Option<u64>) {
        let turn = RequestPermit { since: Instant::now(), _place: None };
        tokio::time::sleep(Duration::from_millis(1)).await;
        pace.on_rate_limited(&turn, retry_after.map(Duration::from_secs));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_goes_at_once_and_the_rest_at_the_pace_of_the_budget() {
        let pace = RateLimiter::new(NonZeroU32::new(30).unwrap());
        assert!(seconds_for(&pace, 6).await < 0.001);
        let next_ten = seconds_for(&pace, 10).await;
        assert!((19.9..20.3).contains(&next_ten), "{next_ten}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_is_waited_out_and_then_it_goes_slower() {
        let pace = RateLimiter::new(NonZeroU32::new(60).unwrap());
        a_429(&pace, Some(7)).await;
        let first = seconds_for(&pace, 1).await;
        assert!((7.0..7.1).contains(&first), "{first}");
        let rest = seconds_for(&pace, 10).await;
        assert!((12.0..14.5).contains(&rest), "{rest}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_first_goes_first() {
        let pace = RateLimiter::new(NonZeroU32::new(60).unwrap());
        seconds_for(&pace, 6).await;
        let started = Instant::now();
        let patient = pace.clone();
        let patient = tokio::spawn(async move { patient.acquire(&places(1)).await });
        // Just when the next place comes free, and just before the one that waits for it wakes.
        tokio::time::sleep(Duration::from_secs(1)).await;
        pace.acquire(&places(1)).await;
        assert!(patient.is_finished(), "the newcomer went first, after {:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn no_burst_follows_a_429() {
        let pace = RateLimiter::new(NonZeroU32::new(6).unwrap());
        a_429(&pace, Some(120)).await;
        let two = seconds_for(&pace, 2).await;
        assert!((133.0..134.5).contains(&two), "{two}");
    }

    #[tokio::test(start_paused = true)]
    async fn another_budget_ends_no_pause_and_brings_no_burst() {
        let pace = RateLimiter::new(NonZeroU32::new(60).unwrap());
        a_429(&pace, Some(100)).await;
        pace.set_budget(NonZeroU32::new(30).unwrap());
        let first = seconds_for(&pace, 1).await;
        assert!((100.0..100.1).contains(&first), "{first}");
        let ten = seconds_for(&pace, 10).await;
        assert!((20.0..28.7).contains(&ten), "{ten} s, at 70 % of a request every two seconds and more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_without_a_time_waits_65_seconds() {
        let pace = RateLimiter::new(NonZeroU32::new(60).unwrap());
        a_429(&pace, None).await;
        let first = seconds_for(&pace, 1).await;
        assert!((65.0..65.1).contains(&first), "{first}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_half_an_hour_the_pace_is_as_before() {
        let pace = RateLimiter::new(NonZeroU32::new(60).unwrap());
        for _ in 0..20 {
            a_429(&pace, Some(0)).await;
        }
        tokio::time::sleep(RECOVERY).await;
        pace.acquire(&places(1)).await;
        pace.bucket().tokens = 0.0;
        let ten = seconds_for(&pace, 10).await;
        assert!((9.9..10.2).contains(&ten), "{ten}");
    }
    #[tokio::test(start_paused = true)]
    async fn six_429_to_requests_under_way_together_slow_down_once_and_the_longest_pause_holds() {
        let pace = RateLimiter::new(NonZeroU32::new(60).unwrap());
        let among = places(6);
        let mut turns = Vec::new();
        for _ in 0..6 {
            turns.push(pace.acquire(&among).await);
        }
        for (answer, turn) in turns.into_iter().enumerate() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            pace.on_rate_limited(&turn, Some(Duration::from_secs(if answer == 2 { 30 } else { 0 })));
        }
        let share = pace.bucket().rate_factor;
        assert!((0.7..0.71).contains(&share), "{share}");
        // The third answer came after 3 s, and all had come after 6 s.
        let first = seconds_for(&pace, 1).await;
        assert!((27.0..27.1).contains(&first), "{first}");
        a_429(&pace, Some(0)).await;
        let share = pace.bucket().rate_factor;
        assert!((0.49..0.51).contains(&share), "a request after the pause is another matter: {share}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_place_sees_the_pause_that_begins_meanwhile() {
        let pace = RateLimiter::new(NonZeroU32::new(60).unwrap());
        let among = places(1);
        let under_way = pace.acquire(&among).await;
        let (waiting, place) = (pace.clone(), among.clone());
        let waiting = tokio::spawn(async move { waiting.acquire(&place).await.since });
        tokio::time::sleep(Duration::from_secs(5)).await;
        pace.on_rate_limited(&under_way, Some(Duration::from_secs(40)));
        let answered_at = Instant::now();
        drop(under_way);
        let began = waiting.await.unwrap().duration_since(answered_at).as_secs_f64();
        assert!((40.0..40.1).contains(&began), "it began {began} s after the 429");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_long_for_a_place_keeps_the_spacing() {
        let pace = RateLimiter::new(NonZeroU32::new(60).unwrap());
        let among = places(20);
        let all = among.0.clone().acquire_many_owned(20).await.unwrap();
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let (pace, among) = (pace.clone(), among.clone());
                tokio::spawn(async move { pace.acquire(&among).await.since })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let freed_at = Instant::now();
        drop(all);
        let mut last = 0.0;
        for waiting in waiting {
            last = waiting.await.unwrap().duration_since(freed_at).as_secs_f64();
        }
        assert!((13.9..14.2).contains(&last), "a tick's worth at once, then one per second: {last}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_pauses_holds_no_place_that_another_could_use() {
        let (pausing, other) = (RateLimiter::new(NonZeroU32::MIN), RateLimiter::new(NonZeroU32::MIN));
        let among = places(1);
        a_429(&pausing, Some(100)).await;
        let place = among.clone();
        tokio::spawn(async move { pausing.acquire(&place).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let started = Instant::now();
        other.acquire(&among).await;
        assert!(started.elapsed() < Duration::from_millis(1), "{:?}", started.elapsed());
    }
}
