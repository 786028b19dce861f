//! Limits on requests: a budget per API key, and a number of concurrent requests.
//!
//! The budget is a token bucket, spread over the minute, with a pause after a 429. Waiting requests are served in order and
//! hold neither a token nor a slot that another key could use. Time is that of the runtime, which tests can pause.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Known to suffice after a 429 without `Retry-After`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(65);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// A 429 lowers the rate by this factor, down to a tenth of the budget.
const BACKOFF_FACTOR: f64 = 0.7;
const MIN_RATE_FACTOR: f64 = 0.1;
/// The time in which the rate recovers fully from its minimum.
const RECOVERY: Duration = Duration::from_secs(30 * 60);
/// The requests that may be sent at once, enough for one poll.
const BURST: f64 = 6.0;

/// The rate limit of one API key, shared by all its users.
#[derive(Debug, Clone)]
pub struct RateLimiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Held by the request that is next. Tokio's mutex is fair, so requests are served in order.
    next: tokio::sync::Mutex<()>,
    bucket: Mutex<TokenBucket>,
}

#[derive(Debug)]
struct TokenBucket {
    /// Tokens per second without a 429.
    base_rate: f64,
    /// The factor on `base_rate` at `updated`, from [`MIN_RATE_FACTOR`] to 1.
    rate_factor: f64,
    tokens: f64,
    updated: Instant,
    /// No request starts before this.
    blocked_until: Instant,
    /// When a 429 last lowered `rate_factor`.
    lowered_at: Option<Instant>,
}

/// The permission to send one request. Dropping it frees its slot.
#[derive(Debug)]
pub struct RequestPermit {
    since: Instant,
    _slot: Option<OwnedSemaphorePermit>,
}

impl RateLimiter {
    /// A limit of `per_minute` requests.
    pub fn new(per_minute: NonZeroU32) -> Self {
        let now = Instant::now();
        let base_rate = f64::from(per_minute.get()) / 60.0;
        let bucket = TokenBucket {
            base_rate,
            rate_factor: 1.0,
            tokens: BURST.max(base_rate),
            updated: now,
            blocked_until: now,
            lowered_at: None,
        };
        Self(Arc::new(Shared { next: tokio::sync::Mutex::new(()), bucket: Mutex::new(bucket) }))
    }

    /// Changes the limit to `per_minute` requests. Spent tokens and a pause after a 429 remain.
    pub fn set_budget(&self, per_minute: NonZeroU32) {
        let mut bucket = self.bucket();
        bucket.refill(Instant::now());
        bucket.base_rate = f64::from(per_minute.get()) / 60.0;
        bucket.tokens = bucket.tokens.min(BURST.max(bucket.base_rate));
    }

    /// Waits for a token and a slot of `limit`.
    pub async fn acquire(&self, limit: &ConcurrencyLimit) -> RequestPermit {
        let _next = self.0.next.lock().await;
        loop {
            let ready_at = self.bucket().ready_at(Instant::now());
            if let Some(ready_at) = ready_at {
                tokio::time::sleep_until(ready_at).await;
                continue;
            }
            let slot = limit.acquire().await;
            // A pause may have begun while it waited for the slot.
            let since = Instant::now();
            if self.bucket().take(since) {
                return RequestPermit { since, _slot: slot };
            }
        }
    }

    /// Pauses for `retry_after` and lowers the rate after a 429. Of concurrent requests only the first lowers the rate,
    /// because the others were sent before it was known.
    pub fn on_rate_limited(&self, permit: &RequestPermit, retry_after: Option<Duration>) {
        let mut bucket = self.bucket();
        let now = Instant::now();
        bucket.refill(now);
        if bucket.lowered_at.is_none_or(|lowered_at| permit.since > lowered_at) {
            bucket.rate_factor = (bucket.rate_factor * BACKOFF_FACTOR).max(MIN_RATE_FACTOR);
            bucket.lowered_at = Some(now);
        }
        bucket.tokens = bucket.tokens.min(1.0);
        let pause = retry_after.unwrap_or(DEFAULT_RETRY_AFTER).min(MAX_RETRY_AFTER);
        bucket.blocked_until = bucket.blocked_until.max(now + pause);
    }

    fn bucket(&self) -> std::sync::MutexGuard<'_, TokenBucket> {
        // The bucket is consistent between any two statements, so a panic cannot corrupt it.
        self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenBucket {
    fn refill(&mut self, now: Instant) {
        // No tokens accrue during a pause, or a burst would follow it.
        let elapsed = now.saturating_duration_since(self.updated.max(self.blocked_until)).as_secs_f64();
        self.updated = now;
        self.tokens =
            (self.tokens + elapsed * self.base_rate * self.rate_factor).min(BURST.max(self.base_rate));
        self.rate_factor = (self.rate_factor + elapsed / RECOVERY.as_secs_f64()).min(1.0);
    }

    /// The time of the next token; `None` if there is one now.
    fn ready_at(&mut self, now: Instant) -> Option<Instant> {
        self.refill(now);
        if now < self.blocked_until {
            return Some(self.blocked_until);
        }
        if self.tokens >= 1.0 {
            return None;
        }
        let missing = (1.0 - self.tokens) / (self.base_rate * self.rate_factor);
        // Slightly longer than needed, so that rounding does not cause an early wake-up.
        Some(now + Duration::from_secs_f64(missing.clamp(0.001, 3600.0)) + Duration::from_millis(1))
    }

    /// Takes a token if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let is_ready = self.ready_at(now).is_none();
        if is_ready {
            self.tokens -= 1.0;
        }
        is_ready
    }
}

/// A limit on concurrent requests, over all keys.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit(Arc<Semaphore>);

impl ConcurrencyLimit {
    /// A limit of `max` requests.
    pub fn new(max: NonZeroUsize) -> Self {
        Self(Arc::new(Semaphore::new(max.get())))
    }

    async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(max: usize) -> ConcurrencyLimit {
        ConcurrencyLimit::new(NonZeroUsize::new(max).unwrap())
    }

    async fn seconds_for(limiter: &RateLimiter, requests: usize) -> f64 {
        let (started, limit) = (Instant::now(), slots(1));
        for _ in 0..requests {
            limiter.acquire(&limit).await;
        }
        started.elapsed().as_secs_f64()
    }

    /// A request that is sent now and answered with 429.
    async fn reject(limiter: &RateLimiter, retry_after: Option<u64>) {
        let permit = RequestPermit { since: Instant::now(), _slot: None };
        tokio::time::sleep(Duration::from_millis(1)).await;
        limiter.on_rate_limited(&permit, retry_after.map(Duration::from_secs));
    }

    #[tokio::test(start_paused = true)]
    async fn burst_is_immediate_and_the_rest_is_spread() {
        let limiter = RateLimiter::new(NonZeroU32::new(30).unwrap());
        assert!(seconds_for(&limiter, 6).await < 0.001);
        let next_ten = seconds_for(&limiter, 10).await;
        assert!((19.9..20.3).contains(&next_ten), "{next_ten}");
    }

    #[tokio::test(start_paused = true)]
    async fn rejection_pauses_and_lowers_the_rate() {
        let limiter = RateLimiter::new(NonZeroU32::new(60).unwrap());
        reject(&limiter, Some(7)).await;
        let first = seconds_for(&limiter, 1).await;
        assert!((7.0..7.1).contains(&first), "{first}");
        let rest = seconds_for(&limiter, 10).await;
        assert!((12.0..14.5).contains(&rest), "{rest}");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_served_in_order() {
        let limiter = RateLimiter::new(NonZeroU32::new(60).unwrap());
        seconds_for(&limiter, 6).await;
        let started = Instant::now();
        let patient = limiter.clone();
        let patient = tokio::spawn(async move { patient.acquire(&slots(1)).await });
        // The next token is due, and the waiting task has not run yet.
        tokio::time::sleep(Duration::from_secs(1)).await;
        limiter.acquire(&slots(1)).await;
        assert!(patient.is_finished(), "the newcomer went first, after {:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn no_burst_follows_a_rejection() {
        let limiter = RateLimiter::new(NonZeroU32::new(6).unwrap());
        reject(&limiter, Some(120)).await;
        let two = seconds_for(&limiter, 2).await;
        assert!((133.0..134.5).contains(&two), "{two}");
    }

    #[tokio::test(start_paused = true)]
    async fn new_budget_keeps_the_pause_and_spent_tokens() {
        let limiter = RateLimiter::new(NonZeroU32::new(60).unwrap());
        reject(&limiter, Some(100)).await;
        limiter.set_budget(NonZeroU32::new(30).unwrap());
        let first = seconds_for(&limiter, 1).await;
        assert!((100.0..100.1).contains(&first), "{first}");
        let ten = seconds_for(&limiter, 10).await;
        assert!((20.0..28.7).contains(&ten), "{ten} s, at 70 % of a request every two seconds and more");
    }

    #[tokio::test(start_paused = true)]
    async fn rejection_without_retry_after_pauses_65_seconds() {
        let limiter = RateLimiter::new(NonZeroU32::new(60).unwrap());
        reject(&limiter, None).await;
        let first = seconds_for(&limiter, 1).await;
        assert!((65.0..65.1).contains(&first), "{first}");
    }

    #[tokio::test(start_paused = true)]
    async fn rate_recovers_in_half_an_hour() {
        let limiter = RateLimiter::new(NonZeroU32::new(60).unwrap());
        for _ in 0..20 {
            reject(&limiter, Some(0)).await;
        }
        tokio::time::sleep(RECOVERY).await;
        limiter.acquire(&slots(1)).await;
        limiter.bucket().tokens = 0.0;
        let ten = seconds_for(&limiter, 10).await;
        assert!((9.9..10.2).contains(&ten), "{ten}");
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_rejections_lower_the_rate_once() {
        let limiter = RateLimiter::new(NonZeroU32::new(60).unwrap());
        let limit = slots(6);
        let mut permits = Vec::new();
        for _ in 0..6 {
            permits.push(limiter.acquire(&limit).await);
        }
        for (answer, permit) in permits.into_iter().enumerate() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            limiter.on_rate_limited(&permit, Some(Duration::from_secs(if answer == 2 { 30 } else { 0 })));
        }
        let factor = limiter.bucket().rate_factor;
        assert!((0.7..0.71).contains(&factor), "{factor}");
        // The third answer came after 3 s, and all had come after 6 s.
        let first = seconds_for(&limiter, 1).await;
        assert!((27.0..27.1).contains(&first), "{first}");
        reject(&limiter, Some(0)).await;
        let factor = limiter.bucket().rate_factor;
        assert!((0.49..0.51).contains(&factor), "a request after the pause lowers it again: {factor}");
    }

    #[tokio::test(start_paused = true)]
    async fn pause_applies_to_requests_waiting_for_a_slot() {
        let limiter = RateLimiter::new(NonZeroU32::new(60).unwrap());
        let limit = slots(1);
        let under_way = limiter.acquire(&limit).await;
        let (waiting, limit) = (limiter.clone(), limit.clone());
        let waiting = tokio::spawn(async move { waiting.acquire(&limit).await.since });
        tokio::time::sleep(Duration::from_secs(5)).await;
        limiter.on_rate_limited(&under_way, Some(Duration::from_secs(40)));
        let answered_at = Instant::now();
        drop(under_way);
        let began = waiting.await.unwrap().duration_since(answered_at).as_secs_f64();
        assert!((40.0..40.1).contains(&began), "it began {began} s after the 429");
    }

    #[tokio::test(start_paused = true)]
    async fn long_wait_for_a_slot_saves_no_tokens() {
        let limiter = RateLimiter::new(NonZeroU32::new(60).unwrap());
        let limit = slots(20);
        let all = limit.0.clone().acquire_many_owned(20).await.unwrap();
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let (limiter, limit) = (limiter.clone(), limit.clone());
                tokio::spawn(async move { limiter.acquire(&limit).await.since })
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
    async fn paused_key_holds_no_slot() {
        let (pausing, other) = (RateLimiter::new(NonZeroU32::MIN), RateLimiter::new(NonZeroU32::MIN));
        let limit = slots(1);
        reject(&pausing, Some(100)).await;
        let its_limit = limit.clone();
        tokio::spawn(async move { pausing.acquire(&its_limit).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let started = Instant::now();
        other.acquire(&limit).await;
        assert!(started.elapsed() < Duration::from_millis(1), "{:?}", started.elapsed());
    }
}
