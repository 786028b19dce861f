//! Basic authentication: users with bcrypt-hashed passwords.
//!
//! Neither passwords, hashes nor the user names of requests appear in messages: people type passwords into that field.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bcrypt::HashParts;
use exporter_schema::{Diagnostic, Report, Section, display_key, join_path};
use ring::hmac;
use ring::rand::SystemRandom;

use crate::admission::AdmissionControl;
use crate::stream::Peer;

/// A bcrypt hash, hidden in debug output.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PasswordHash(String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

/// Verifying a hash of a higher cost keeps a core busy for seconds.
const MAX_REASONABLE_COST: u32 = 14;

pub(super) fn parse(section: &Section<'_>, report: &mut Report) -> BTreeMap<String, PasswordHash> {
    const EXPECTED: &str =
        "write the bcrypt hash of the password, as `htpasswd -nBC 10 \"\" | tr -d ':\\n'` makes it";
    let mut users = BTreeMap::new();
    for (name, node) in section.entries() {
        let key = join_path(section.path(), &display_key(name));
        let diagnostic = |text: String| Diagnostic::new(&node.location, &key, text);
        if name.contains(':') || name.contains(char::is_control) {
            let text = "no client can send a user name with a colon or a control character";
            report.errors.push(diagnostic(text.to_owned()));
        }
        let text = node.as_text();
        let cost = text.and_then(|text| Some(HashParts::from_str(text).ok()?.get_cost()));
        let (Some(text), Some(cost @ 4..=31)) = (text, cost) else {
            // The value is not repeated: it may be the password.
            let found = if text.is_some() { "text" } else { "something" };
            let text = format!("found {found} that is no bcrypt hash (not shown); {EXPECTED}");
            report.errors.push(diagnostic(text));
            continue;
        };
        if cost > MAX_REASONABLE_COST {
            report.warnings.push(diagnostic(format!(
                "found a bcrypt cost of {cost}, so that each password takes seconds to check; 10 to 12 is usual"
            )));
        }
        users.insert(name.to_owned(), PasswordHash(text.to_owned()));
    }
    users
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthResult {
    /// A user with the right password.
    Known,
    /// Anyone else.
    Unknown,
    /// Not checked: too many checks are waiting.
    Overloaded,
}

/// The users, at least one.
pub(crate) struct Users {
    hashes: BTreeMap<String, PasswordHash>,
    /// Random, so that cached digests mean nothing outside this process.
    key: hmac::Key,
    right: Mutex<CredentialCache>,
    /// Separate, so that guesses do not evict right credentials.
    wrong: Mutex<CredentialCache>,
    /// One check at a time, since each keeps a core busy; networks take turns, so that guesses from one do not delay users in
    /// another.
    admission: AdmissionControl<Option<IpAddr>>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("count", &self.hashes.len()).finish_non_exhaustive()
    }
}

/// How long a check waits: as long as Prometheus waits for a scrape.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

const MAX_QUEUED_CHECKS: usize = 64;

impl Users {
    /// `None` if there are no `hashes`.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn new(hashes: BTreeMap<String, PasswordHash>) -> Result<Option<Self>, String> {
        if hashes.is_empty() {
            return Ok(None);
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| "the system has no random numbers".to_owned())?;
        Ok(Some(Self {
            hashes,
            key,
            right: Mutex::default(),
            wrong: Mutex::default(),
            admission: AdmissionControl::new(1, MAX_QUEUED_CHECKS),
        }))
    }

    pub(super) fn hashes(&self) -> &BTreeMap<String, PasswordHash> {
        &self.hashes
    }

    /// Whether `user` has this `password`. An unknown user takes as long as a known one. Cached credentials do not wait.
    pub(crate) async fn check(&self, peer: Peer, user: &str, password: &[u8]) -> AuthResult {
        // Selected even for known users, so that timing does not distinguish them from unknown ones.
        let dummy = self.dummy_hash(user);
        let known = self.hashes.get(user);
        let hash = known.unwrap_or(dummy);
        let digest = self.digest(user, &hash.0, password);
        if let Some(result) = self.cached(&digest) {
            return result;
        }
        let Some(permit) = self.admission.acquire(peer.network(), QUEUE_TIMEOUT).await else {
            return AuthResult::Overloaded;
        };
        // An earlier check may have been of the same credentials.
        if let Some(result) = self.cached(&digest) {
            return result;
        }
        let (hash, password, is_user) = (hash.0.clone(), password.to_vec(), known.is_some());
        // The check holds its permit even if the client disconnects, since the work goes on.
        let checking = tokio::task::spawn_blocking(move || {
            let matches = bcrypt::verify(&password, &hash).unwrap_or(false);
            drop(permit);
            matches & is_user
        });
        let is_right = checking.await.unwrap_or(false);
        let cache = if is_right { &self.right } else { &self.wrong };
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        if !cache.contains(&digest) {
            cache.truncate(CACHE_SIZE - 1);
            cache.push_front(digest);
        }
        if is_right { AuthResult::Known } else { AuthResult::Unknown }
    }

    fn cached(&self, digest: &CredentialDigest) -> Option<AuthResult> {
        let has = |cache: &Mutex<CredentialCache>| {
            cache.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
        };
        if has(&self.right) {
            Some(AuthResult::Known)
        } else {
            has(&self.wrong).then_some(AuthResult::Unknown)
        }
    }

    /// The hash that passwords of an unknown user are checked against; the same for the same name, as a real one would be.
    fn dummy_hash(&self, user: &str) -> &PasswordHash {
        let tag = hmac::sign(&self.key, user.as_bytes());
        let bytes = tag.as_ref().iter();
        let index = bytes.fold(0, |sum, byte| (sum * 31 + usize::from(*byte)) % self.hashes.len());
        self.hashes.values().nth(index).expect("there is at least one user")
    }

    fn digest(&self, user: &str, hash: &str, password: &[u8]) -> CredentialDigest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user.as_bytes(), hash.as_bytes(), password] {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

/// A keyed digest of a user, a hash and a password.
type CredentialDigest = [u8; 32];

/// Results that need not be computed again, newest first.
type CredentialCache = VecDeque<CredentialDigest>;

/// As many as exporter-toolkit caches.
const CACHE_SIZE: usize = 100;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::yield_now;
    use tokio::time::Instant;

    use super::*;

    fn users(passwords: &[(&str, &str)]) -> Users {
        let hash = |password| PasswordHash(bcrypt::hash(password, 4).unwrap());
        let hashes = passwords.iter().map(|(user, password)| ((*user).to_owned(), hash(*password)));
        Users::new(hashes.collect()).unwrap().unwrap()
    }

    fn peer(number: u8) -> Peer {
        Peer::Address(([192, 0, 2, number], 9).into())
    }

    async fn check(users: &Users, user: &str, password: &str) -> AuthResult {
        users.check(Peer::Local, user, password.as_bytes()).await
    }

    #[tokio::test]
    async fn only_user_with_right_password_is_known() {
        let users = users(&[("alice", "secret of alice"), ("bob", "secret of bob")]);
        for _ in 0..2 {
            assert_eq!(check(&users, "alice", "secret of alice").await, AuthResult::Known);
            assert_eq!(check(&users, "bob", "secret of bob").await, AuthResult::Known);
            for (user, password) in [
                ("alice", "secret of bob"),
                ("alice", ""),
                ("Alice", "secret of alice"),
                ("", ""),
                ("carol", "secret of alice"),
                ("carol", "secret of bob"),
            ] {
                assert_eq!(check(&users, user, password).await, AuthResult::Unknown, "{user} {password}");
            }
        }
    }

    #[tokio::test]
    async fn every_version_of_bcrypt_is_accepted() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        for version in ["2a", "2b", "2y"] {
            let hash = PasswordHash(format!("${version}{}", &hash[3..]));
            let users = Users::new(BTreeMap::from([("alice".to_owned(), hash)])).unwrap().unwrap();
            assert_eq!(check(&users, "alice", "secret").await, AuthResult::Known, "{version}");
        }
    }

    #[tokio::test]
    async fn guesses_never_evict_right_credentials() {
        let users = users(&[("alice", "secret")]);
        assert_eq!(check(&users, "alice", "secret").await, AuthResult::Known);
        for guess in 0..150 {
            assert_eq!(check(&users, "alice", &format!("guess {guess}")).await, AuthResult::Unknown);
        }
        assert_eq!(users.wrong.lock().unwrap().len(), CACHE_SIZE);
        assert_eq!(users.right.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn cached_credentials_do_not_wait_for_a_check() {
        let users = users(&[("alice", "secret")]);
        assert_eq!(check(&users, "alice", "secret").await, AuthResult::Known);
        assert_eq!(check(&users, "alice", "wrong").await, AuthResult::Unknown);
        let _permit = users.admission.acquire(None, QUEUE_TIMEOUT).await.unwrap();
        let started = Instant::now();
        assert_eq!(check(&users, "alice", "secret").await, AuthResult::Known);
        assert_eq!(check(&users, "alice", "wrong").await, AuthResult::Unknown);
        assert_eq!(started.elapsed(), Duration::ZERO);
        // Whether a user exists makes no difference to what else is not cached.
        for user in ["alice", "carol"] {
            let started = Instant::now();
            assert_eq!(check(&users, user, "another").await, AuthResult::Overloaded);
            assert_eq!(started.elapsed(), QUEUE_TIMEOUT, "{user}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_from_elsewhere_do_not_keep_a_user_out() {
        let users = Arc::new(users(&[("alice", "secret")]));
        let permit = users.admission.acquire(peer(1).network(), QUEUE_TIMEOUT).await.unwrap();
        let guesses: Vec<_> = (0..2 * MAX_QUEUED_CHECKS)
            .map(|guess| {
                let users = Arc::clone(&users);
                let guess = format!("guess {guess}");
                tokio::spawn(async move { users.check(peer(1), "alice", guess.as_bytes()).await })
            })
            .collect();
        while !guesses.last().unwrap().is_finished() {
            yield_now().await;
        }
        let user = {
            let users = Arc::clone(&users);
            tokio::spawn(async move { users.check(peer(2), "alice", b"secret").await })
        };
        yield_now().await;
        drop(permit);
        assert_eq!(user.await.unwrap(), AuthResult::Known, "although the queue was full");
        assert!(guesses.iter().any(|guess| !guess.is_finished()), "and before all guesses were checked");
    }

    #[test]
    fn debug_output_hides_hashes() {
        let users = users(&[("alice", "secret")]);
        assert_eq!(format!("{users:?}"), "Users { count: 1, .. }");
        assert_eq!(format!("{:?}", users.hashes()), "{\"alice\": PasswordHash(hidden)}");
    }
}
