//! The destinations in use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_wire::{Destination, MAXIMUM_OPEN_QUERIES, Query};
use tokio::sync::watch;
use tokio::time::Instant;

/// The answers to one question; `None` before the first.
pub(super) type Answers = watch::Receiver<Option<Arc<Destination>>>;

/// Each open question with its last good answer.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<Query, Entry>,
    queries: HashMap<u64, Query>,
    next_id: u64,
}

/// What a subscription asks of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The question is open already.
    Nothing,
    /// A new question, which took the place of the one with this id.
    Anew {
        /// No longer open.
        instead: Option<u64>,
    },
}

#[derive(Debug)]
struct Entry {
    id: u64,
    answers: watch::Sender<Option<Arc<Destination>>>,
    last_used: Instant,
}

impl Table {
    /// The answers to a question, and what the operator has to be told for them.
    ///
    /// # Errors
    /// The limit, when too many questions are in use.
    pub(super) fn subscribe(&mut self, query: &Query, now: Instant) -> Result<(Answers, Asked), usize> {
        if let Some(entry) = self.entries.get_mut(query) {
            entry.last_used = now;
            return Ok((entry.answers.subscribe(), Asked::Nothing));
        }
        // An application that dials everything must not fill our memory or the operator's; but one that dials ever new
        // addresses, as a crawler does, uses few of them at once.
        let mut instead = None;
        if self.entries.len() >= MAXIMUM_OPEN_QUERIES {
            instead = Some(self.remove_oldest_unused().ok_or(MAXIMUM_OPEN_QUERIES)?);
        }
        self.next_id += 1;
        let entry = Entry { id: self.next_id, answers: watch::Sender::new(None), last_used: now };
        let receiver = entry.answers.subscribe();
        self.queries.insert(entry.id, query.clone());
        self.entries.insert(query.clone(), entry);
        Ok((receiver, Asked::Anew { instead }))
    }

    fn remove_oldest_unused(&mut self) -> Option<u64> {
        let unused = self.entries.values().filter(|entry| entry.answers.receiver_count() == 0);
        let id = unused.min_by_key(|entry| entry.last_used)?.id;
        if let Some(query) = self.queries.remove(&id) {
            self.entries.remove(&query);
        }
        Some(id)
    }

    pub(super) fn id(&self, query: &Query) -> Option<u64> {
        self.entries.get(query).map(|entry| entry.id)
    }

    /// Every open question.
    pub(super) fn queries(&self) -> Vec<(u64, Query)> {
        self.queries.iter().map(|(id, query)| (*id, query.clone())).collect()
    }

    pub(super) fn answer(&self, query_id: u64, destination: Destination) {
        let entry = self.queries.get(&query_id).and_then(|query| self.entries.get(query));
        if let Some(entry) = entry {
            entry.answers.send_if_modified(|held| {
                let changed = held.as_deref() != Some(&destination);
                if changed {
                    *held = Some(Arc::new(destination));
                }
                changed
            });
        }
    }

    /// Forgets the questions that nobody holds and nobody asked for `unused`; returns their ids.
    pub(super) fn remove_unused(&mut self, now: Instant, unused: Duration) -> Vec<u64> {
        let mut removed = Vec::new();
        self.entries.retain(|_, entry| {
            let used =
                entry.answers.receiver_count() > 0 || now.saturating_duration_since(entry.last_used) < unused;
            if !used {
                removed.push(entry.id);
            }
            used
        });
        for id in &removed {
            self.queries.remove(id);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(port: u16) -> Query {
        Query::Address { ip: [10, 0, 0, 1].into(), port: port.try_into().unwrap() }
    }

    #[test]
    fn only_the_unused_are_forgotten_and_the_rest_is_bounded() {
        let mut table = Table::default();
        let start = Instant::now();
        let unused = Duration::from_secs(300);
        let (held, asked) = table.subscribe(&query(1), start).unwrap();
        assert_eq!(asked, Asked::Anew { instead: None });
        drop(table.subscribe(&query(2), start).unwrap());
        assert!(table.remove_unused(start + unused / 2, unused).is_empty(), "both may be used again");
        assert_eq!(table.remove_unused(start + unused, unused), [2], "the first is held");
        table.answer(1, Destination::Outside);
        assert_eq!(held.borrow().as_deref(), Some(&Destination::Outside));
        let mut used: Vec<_> =
            (2..4096).map(|port| table.subscribe(&query(port), start).unwrap().0).collect();
        let last = table.subscribe(&query(4096), start).unwrap().1;
        assert_eq!(last, Asked::Anew { instead: None });
        let id = table.id(&query(4096));
        let (newest, asked) = table.subscribe(&query(4097), start).unwrap();
        assert_eq!(asked, Asked::Anew { instead: id }, "the unused one makes room");
        used.push(newest);
        let refused = table.subscribe(&query(4098), start).unwrap_err();
        assert_eq!(refused, MAXIMUM_OPEN_QUERIES, "no more than the operator answers");
        assert_eq!(
            table.subscribe(&query(1), start).unwrap().1,
            Asked::Nothing,
            "one in use is still answered"
        );
        assert_eq!(table.queries().len(), MAXIMUM_OPEN_QUERIES);
    }
}
