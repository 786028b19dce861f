//! The slots of connections, over all listeners, and whose is given to a newcomer when all are taken.
//!
//! Owns: the count, and the choice. Never: a socket.
//!
//! The connection on which nothing has passed for the longest makes way. So whoever opens connections and asks nothing, or asks and
//! does not read, keeps nobody out, from however many addresses it does so, and a newcomer has the time in which all slots
//! change hands to ask its question. A share of the slots per address would do less: behind a proxy or the address translation of a
//! cluster everybody has the same, the probes of the kubelet among them, and who has many addresses has as many shares.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::pulse::ConnectionActivity;

/// All slots.
#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    most: usize,
    taken: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    holders: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    pulse: ConnectionActivity,
    evict: CancellationToken,
}

/// A slot for one connection, which has it until this is dropped or another takes its place.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    slots: Arc<ConnectionLimiter>,
    number: u64,
    /// What passes on the connection.
    pub(super) pulse: ConnectionActivity,
    /// Cancelled when another has the slot: the connection is to end at once.
    pub(super) leave: CancellationToken,
}

/// What a newcomer gets.
#[derive(Debug)]
pub(super) enum Admission {
    /// A slot that was free.
    Available(ConnectionPermit),
    /// That of another, which was told to leave.
    Evicting(ConnectionPermit),
    /// None: all are taken, and something is being answered on each.
    Refused,
}

impl ConnectionLimiter {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A slot for a connection that has just come.
    pub(super) fn admit(self: &Arc<Self>) -> Admission {
        let mut taken = self.taken();
        let made_way = if taken.holders.len() < self.most {
            false
        } else if let Some(holder) =
            taken.least_recently_active().and_then(|number| taken.holders.remove(&number))
        {
            holder.evict.cancel();
            true
        } else {
            return Admission::Refused;
        };
        let (number, pulse, leave) = (taken.next, ConnectionActivity::new(), CancellationToken::new());
        taken.next += 1;
        taken.holders.insert(number, Entry { pulse: pulse.clone(), evict: leave.clone() });
        let slot = ConnectionPermit { slots: Arc::clone(self), number, pulse, leave };
        if made_way { Admission::Evicting(slot) } else { Admission::Available(slot) }
    }

    fn taken(&self) -> MutexGuard<'_, Connections> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// The connection on which nothing has passed for the longest; the older one of two.
    fn least_recently_active(&self) -> Option<u64> {
        let quiet =
            self.holders.iter().filter_map(|(number, holder)| Some((holder.pulse.idle_since()?, number)));
        quiet.min().map(|(_, number)| *number)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.slots.taken().holders.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn free(slots: &Arc<ConnectionLimiter>) -> ConnectionPermit {
        let Admission::Available(slot) = slots.admit() else { panic!("no slot is free") };
        slot
    }

    fn in_place(slots: &Arc<ConnectionLimiter>) -> ConnectionPermit {
        let Admission::Evicting(slot) = slots.admit() else { panic!("nobody makes way") };
        slot
    }

    async fn a_second() {
        advance(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_gets_the_slot_on_which_nothing_has_passed_for_the_longest() {
        let slots = ConnectionLimiter::new(3);
        let [oldest, asked, newest] = [free(&slots), free(&slots), free(&slots)];
        a_second().await;
        drop(asked.pulse.start_request());
        drop(oldest.pulse.start_request());
        a_second().await;
        let newcomer = in_place(&slots);
        assert!(newest.leave.is_cancelled() && !newcomer.leave.is_cancelled());
        let another = in_place(&slots);
        assert!(oldest.leave.is_cancelled() && !asked.leave.is_cancelled(), "of two the older one");
        drop((oldest, newest, another));
        drop(free(&slots));
        assert!(!asked.leave.is_cancelled() && !newcomer.leave.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_makes_way_whose_answer_is_being_made_but_who_does_not_take_it_does() {
        let slots = ConnectionLimiter::new(2);
        let (working, stalled) = (free(&slots), free(&slots));
        let (_answer, unread) = (working.pulse.start_request(), stalled.pulse.start_request());
        a_second().await;
        assert!(matches!(slots.admit(), Admission::Refused));
        unread.record_progress();
        a_second().await;
        let _newcomer = in_place(&slots);
        assert!(stalled.leave.is_cancelled() && !working.leave.is_cancelled());
    }

    #[test]
    fn a_slot_is_free_again_when_its_connection_ends() {
        let slots = ConnectionLimiter::new(1);
        for _ in 0..3 {
            drop(free(&slots));
        }
        assert!(slots.taken().holders.is_empty());
    }
}
