//! Who may ask: users with bcrypt-hashed passwords.
//!
//! Owns: the check of a password and the memory of checks. Never: a password or its hash in a message, nor the user name of a
//! request: people type passwords into that field. A name of the file stands in the complaints about it, as any key does.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::str::FromStr as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bcrypt::HashParts;
use ring::hmac;
use ring::rand::SystemRandom;

use super::reader::{Reader, Section};
use crate::config::{Diagnostic, Value, display_key};
use crate::turns::Admission;

/// A bcrypt hash, hidden in debug output.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PasswordHash(String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(hidden)")
    }
}

/// Hashes beyond it take seconds, each of which a core is busy.
const MAX_REASONABLE_COST: u32 = 14;

/// Section `basic_auth_users`.
pub(super) fn read(reader: &mut Reader, section: &Section<'_>) -> BTreeMap<String, PasswordHash> {
    const RIGHT: &str =
        "write the bcrypt hash of the password, as `htpasswd -nBC 10 \"\" | tr -d ':\\n'` makes it";
    let mut users = BTreeMap::new();
    for (name, node) in section.entries() {
        let key = section.key(&display_key(name));
        if name.contains(':') || name.contains(char::is_control) {
            reader.complain(node, &key, "no client can send a user name with a colon or a control character");
        }
        // What stands here instead of a hash may be the password.
        let Value::Text(text) = &node.value else {
            reader.complain(
                node,
                &key,
                format!("found something that is no bcrypt hash (not shown); {RIGHT}"),
            );
            continue;
        };
        let cost = HashParts::from_str(text).map(|parts| parts.get_cost()).ok();
        match cost.filter(|cost| (4..=31).contains(cost)) {
            None => {
                reader.complain(node, &key, format!("found text that is no bcrypt hash (not shown); {RIGHT}"))
            }
            Some(cost) => {
                if cost > MAX_REASONABLE_COST {
                    let sentence = format!(
                        "found a bcrypt cost of {cost}, so that each password takes seconds to check; 10 to 12 is usual"
                    );
                    reader.warnings.push(Diagnostic::new(&node.location, &key, sentence));
                }
                users.insert(name.to_owned(), PasswordHash(text.clone()));
            }
        }
    }
    users
}

/// What is known about who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthResult {
    /// A user with the right password.
    Known,
    /// Anyone else.
    Unknown,
    /// Too many passwords are being checked; nothing is known.
    Overloaded,
}

/// The users, at least one.
pub(crate) struct Users {
    hashes: BTreeMap<String, PasswordHash>,
    /// Of this process alone, so that what is remembered says nothing outside of it.
    key: hmac::Key,
    right: Mutex<CredentialCache>,
    /// Apart, so that guessing does not push out what is right.
    wrong: Mutex<CredentialCache>,
    /// Checks keep a core busy, so there is one at a time, and the runtime's workers stay free.
    turns: Admission,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("count", &self.hashes.len()).finish_non_exhaustive()
    }
}

/// How long a check waits for its turn: as long as Prometheus waits for a scrape.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks that wait for their turn.
const MAX_QUEUED_CHECKS: usize = 64;

impl Users {
    /// Of `hashes`; none if there are none.
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
            turns: Admission::new(1, MAX_QUEUED_CHECKS),
        }))
    }

    pub(super) fn hashes(&self) -> &BTreeMap<String, PasswordHash> {
        &self.hashes
    }

    /// Whether `user` has this `password`. A user who does not exist takes as long as one who does.
    pub(crate) async fn check(&self, user: &str, password: &[u8]) -> AuthResult {
        // Looked for always: even what is remembered may not come faster for one of them.
        let stand_in = self.dummy_hash(user);
        let known = self.hashes.get(user);
        let hash = known.unwrap_or(stand_in);
        let mark = self.digest(user, &hash.0, password);
        if let Some(verdict) = self.cached(&mark) {
            return verdict;
        }
        let Some(turn) = self.turns.acquire(PATIENCE).await else { return AuthResult::Overloaded };
        // Whoever was before may have asked the same.
        if let Some(verdict) = self.cached(&mark) {
            return verdict;
        }
        let (hash, password, is_user) = (hash.0.clone(), password.to_vec(), known.is_some());
        // The turn goes along, since the work goes on if the client hangs up.
        let checking = tokio::task::spawn_blocking(move || {
            let matches = bcrypt::verify(&password, &hash).unwrap_or(false);
            drop(turn);
            matches & is_user
        });
        let is_right = checking.await.unwrap_or(false);
        let memory = if is_right { &self.right } else { &self.wrong };
        memory.lock().unwrap_or_else(PoisonError::into_inner).keep(mark);
        if is_right { AuthResult::Known } else { AuthResult::Unknown }
    }

    fn cached(&self, mark: &CredentialDigest) -> Option<AuthResult> {
        let has = |memory: &Mutex<CredentialCache>| {
            memory.lock().unwrap_or_else(PoisonError::into_inner).marks.contains(mark)
        };
        if has(&self.right) {
            Some(AuthResult::Known)
        } else if has(&self.wrong) {
            Some(AuthResult::Unknown)
        } else {
            None
        }
    }

    /// The hash that a name without one is measured against: always the same for the same name, as a real one would be.
    fn dummy_hash(&self, user: &str) -> &PasswordHash {
        let tag = hmac::sign(&self.key, user.as_bytes());
        let index = tag
            .as_ref()
            .iter()
            .fold(0_usize, |sum, byte| (sum * 31 + usize::from(*byte)) % self.hashes.len());
        self.hashes.values().nth(index).expect("there is at least one user")
    }

    fn digest(&self, user: &str, hash: &str, password: &[u8]) -> CredentialDigest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user.as_bytes(), hash.as_bytes(), password] {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let mut mark = [0; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }
}

/// What stands for a user, a hash and a password.
type CredentialDigest = [u8; 32];

/// Checks that need not be repeated; the oldest is forgotten first.
#[derive(Default)]
struct CredentialCache {
    marks: HashSet<CredentialDigest>,
    order: VecDeque<CredentialDigest>,
}

/// As many as the original remembers.
const CACHE_SIZE: usize = 100;

impl CredentialCache {
    fn keep(&mut self, mark: CredentialDigest) {
        if self.marks.insert(mark) {
            self.order.push_back(mark);
        }
        if self.order.len() > CACHE_SIZE
            && let Some(oldest) = self.order.pop_front()
        {
            self.marks.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;

    fn users(passwords: &[(&str, &str, u32)]) -> Users {
        let hash = |password, cost| PasswordHash(bcrypt::hash(password, cost).unwrap());
        let hashes =
            passwords.iter().map(|(user, password, cost)| ((*user).to_owned(), hash(*password, *cost)));
        Users::new(hashes.collect()).unwrap().unwrap()
    }

    #[tokio::test]
    async fn only_a_user_with_the_right_password_is_known() {
        let users = users(&[("alice", "secret of alice", 4), ("bob", "secret of bob", 4)]);
        for _ in 0..2 {
            assert_eq!(users.check("alice", b"secret of alice").await, AuthResult::Known);
            assert_eq!(users.check("bob", b"secret of bob").await, AuthResult::Known);
            for (user, password) in [
                ("alice", "secret of bob"),
                ("alice", ""),
                ("Alice", "secret of alice"),
                ("", ""),
                ("carol", "secret of alice"),
                ("carol", "secret of bob"),
            ] {
                assert_eq!(
                    users.check(user, password.as_bytes()).await,
                    AuthResult::Unknown,
                    "{user} {password}"
                );
            }
        }
    }

    #[tokio::test]
    async fn every_version_of_a_hash_is_read() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        for version in ["2a", "2b", "2y"] {
            let hash = PasswordHash(format!("${version}{}", &hash[3..]));
            let users = Users::new(BTreeMap::from([("alice".to_owned(), hash)])).unwrap().unwrap();
            assert_eq!(users.check("alice", b"secret").await, AuthResult::Known, "{version}");
        }
    }

    #[tokio::test]
    async fn guesses_are_forgotten_and_never_push_out_what_is_right() {
        let users = users(&[("alice", "secret", 4)]);
        assert_eq!(users.check("alice", b"secret").await, AuthResult::Known);
        for guess in 0..150 {
            assert_eq!(users.check("alice", format!("guess {guess}").as_bytes()).await, AuthResult::Unknown);
        }
        assert_eq!(users.wrong.lock().unwrap().marks.len(), CACHE_SIZE);
        assert_eq!(users.wrong.lock().unwrap().order.len(), CACHE_SIZE);
        assert_eq!(users.right.lock().unwrap().marks.len(), 1);
    }

    /// Costs that are dear enough to be measured, and medians, so that a busy machine does not decide.
    #[tokio::test]
    async fn a_name_that_does_not_exist_takes_as_long_as_one_that_does() {
        let users = users(&[("alice", "secret", 8)]);
        let mut medians = Vec::new();
        for user in ["alice", "carol"] {
            let mut spans = Vec::new();
            for guess in 0..9 {
                let began = Instant::now();
                users.check(user, format!("guess {guess}").as_bytes()).await;
                spans.push(began.elapsed());
            }
            spans.sort();
            medians.push(spans[4].as_secs_f64());
        }
        let ratio = medians[0] / medians[1];
        assert!((0.4..2.5).contains(&ratio), "{medians:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn guessing_waits_in_line_while_those_who_are_known_pass() {
        let users = Arc::new(users(&[("alice", "secret", 10)]));
        assert_eq!(users.check("alice", b"secret").await, AuthResult::Known);
        let guesses: Vec<_> = (0..5)
            .map(|guess| {
                let users = Arc::clone(&users);
                tokio::spawn(async move { users.check("alice", format!("guess {guess}").as_bytes()).await })
            })
            .collect();
        while users.turns.available() > 0 {
            tokio::task::yield_now().await;
        }
        let began = Instant::now();
        assert_eq!(users.check("alice", b"secret").await, AuthResult::Known);
        let waited = began.elapsed();
        assert!(guesses.iter().any(|guess| !guess.is_finished()), "the guesses are still being checked");
        assert!(waited < Duration::from_millis(500), "{waited:?}");
        for guess in guesses {
            assert_eq!(guess.await.unwrap(), AuthResult::Unknown);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_gets_no_turn_says_so() {
        let users = users(&[("alice", "secret", 4)]);
        let _turn = users.turns.acquire(PATIENCE).await.unwrap();
        let began = Instant::now();
        assert_eq!(users.check("alice", b"secret").await, AuthResult::Overloaded);
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let users = users(&[("alice", "secret", 4)]);
        assert_eq!(format!("{users:?}"), "Users { count: 1, .. }");
        assert_eq!(format!("{:?}", users.hashes()), "{\"alice\": Hash(hidden)}");
    }
}
