//! A client of PolyAI's Conversations API.
//!
//! [`ConversationList::fetch`] reads every page of a window, within the rate limit of the key and with retries, and returns
//! typed conversations. A malformed record or field costs only itself. Nothing is logged or counted here: implement
//! [`ListObserver`] to see requests, rejected records and partially read ones.
//!
//! A response passes through the modules in this order: `client` → `paginate` → `decode` → [`wire`] → `record` →
//! [`Conversation`](polyai_domain::conversation::Conversation).
//!
//! ```no_run
//! use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use polyai_api::{
//!     ApiCredentials, ApiKey, Client, ConcurrencyLimit, ConversationList, Endpoint, Filter, Limit, ListObserver,
//!     RateLimiter, Window,
//! };
//! use polyai_domain::clock::Clock;
//! use polyai_domain::target::{ApiVersion, ClientEnv, LatencyUnit};
//!
//! #[derive(Debug)]
//! struct Ignore;
//! impl ListObserver for Ignore {}
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let concurrency = ConcurrencyLimit::new(NonZeroUsize::MIN);
//! let client = Client::new("example/1.0", Duration::from_secs(20), None, concurrency, Clock::system())?;
//! let credentials = ApiCredentials {
//!     endpoint: Endpoint::new(
//!         "https://api.us-1.platform.polyai.app",
//!         ApiVersion::V3,
//!         "account",
//!         "project",
//!         ClientEnv::Live,
//!     ),
//!     api_key: ApiKey::new("key"),
//!     latency_unit: LatencyUnit::Seconds,
//!     rate_limiter: RateLimiter::new(NonZeroU32::new(60).ok_or("zero")?),
//! };
//! let page_size = NonZeroU16::new(100).ok_or("zero")?;
//! let mut list = ConversationList::new(client, credentials, page_size, Arc::new(Ignore));
//! let pages = list.fetch(Window::ALL, Filter::Finished, Limit::StopAt(1000)).await?;
//! println!("{} conversations", pages.conversations.len());
//! # Ok(())
//! # }
//! ```

mod client;
mod decode;
mod expected;
mod lenient;
mod non_finite;
mod paginate;
mod proxy;
mod rate_limit;
mod record;
mod redact;
mod request;
mod server_clock;
mod tls;
pub mod wire;

pub use client::{ApiCredentials, ApiKey, ApiResponse, Client, ClientError, ResponseInfo};
pub use decode::{Page, PageStyle, PartialRecord};
pub use expected::RecordEnvironment;
pub use paginate::{ConversationList, FetchedRecords, ListObserver, Pagination};
pub use polyai_domain::fetch::{
    FetchError, FetchErrorKind, FetchedPages, Filter, Limit, RequestStats, Window, WindowError,
};
pub use proxy::check_proxy_variables;
pub use rate_limit::{ConcurrencyLimit, RateLimiter, RequestPermit};
pub use request::{Endpoint, PageRequest, Position};
pub use server_clock::{DateObservation, ServerClock};
pub use tls::CaBundle;
