//! What is to be written, in which order and how fast.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bailiwick_compile::ObjectKey;
use tokio::time::Instant;

use crate::cluster::fleet::{Answer, Assessment};

/// Writes a second in the long run; a status may wait, the API server is everybody's.
const PER_SECOND: f64 = 5.0;
/// Writes at once, so that after an edit or two nobody waits.
const BURST: f64 = 10.0;
/// Acknowledgements are on their way: one write says both that a change is seen and that it is enforced.
const SETTLING: Duration = Duration::from_millis(50);
/// Between two attempts at one object.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One object whose status is to change.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) assessment: Assessment,
    /// The status is of an older generation: somebody edited the object, and waits.
    urgent: bool,
    /// Since when the status is wrong.
    since: Instant,
    failures: u32,
    not_before: Instant,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is written, or there is nothing to write it on.
    Done,
    /// It is tried again.
    Failed,
    /// It never succeeds as it is.
    Refused,
    /// The API server wants to be left alone for a while.
    Busy(Duration),
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct Queue {
    jobs: BTreeMap<ObjectKey, Job>,
    in_flight: BTreeSet<ObjectKey>,
    tokens: f64,
    filled: Instant,
    paused_until: Instant,
}

impl Queue {
    pub(super) fn new(now: Instant) -> Self {
        let (jobs, in_flight) = (BTreeMap::new(), BTreeSet::new());
        Self { jobs, in_flight, tokens: BURST, filled: now, paused_until: now }
    }

    /// The status should say this; it replaces what it should have said before.
    pub(super) fn want(&mut self, assessment: Assessment, urgent: bool, now: Instant) {
        let old = self.jobs.get(&assessment.key);
        let since = old.map_or(now, |old| old.since);
        let failures = old.map_or(0, |old| old.failures);
        let settled = if assessment.enforced.answer == Answer::NotYet { since + SETTLING } else { now };
        let not_before =
            old.filter(|old| old.failures > 0).map_or(settled, |old| old.not_before.max(settled));
        let key = assessment.key.clone();
        self.jobs.insert(key, Job { assessment, urgent, since, failures, not_before });
    }

    /// The status says what it should.
    pub(super) fn satisfied(&mut self, key: &ObjectKey) {
        self.jobs.remove(key);
    }

    /// The next one to write, if it is time. It is in flight until [`Queue::ended`].
    pub(super) fn next(&mut self, now: Instant) -> Option<Job> {
        self.fill(now);
        if self.tokens < 1.0 || now < self.paused_until {
            return None;
        }
        let ready = |(key, job): &(&ObjectKey, &Job)| job.not_before <= now && !self.in_flight.contains(*key);
        // What was edited first, the last edit before all: somebody waits for it. Then whatever waits longest.
        let order = |(_, job): &(&ObjectKey, &Job)| {
            let age = now.saturating_duration_since(job.since);
            if job.urgent { (0, age) } else { (1, Duration::MAX.saturating_sub(age)) }
        };
        let key = self.jobs.iter().filter(ready).min_by_key(order).map(|(key, _)| key.clone())?;
        let job = self.jobs.remove(&key)?;
        self.in_flight.insert(key);
        self.tokens -= 1.0;
        Some(job)
    }

    /// A job that turned out to have nothing to say costs nothing.
    pub(super) fn nothing_to_write(&mut self, job: &Job) {
        self.in_flight.remove(&job.assessment.key);
        self.tokens = (self.tokens + 1.0).min(BURST);
    }

    /// An attempt has ended. One that failed is tried again, unless something newer is to be written anyway.
    pub(super) fn ended(&mut self, job: Job, ended: Ended, now: Instant) {
        self.in_flight.remove(&job.assessment.key);
        let failures = match ended {
            Ended::Done => return,
            Ended::Failed | Ended::Busy(_) => job.failures.saturating_add(1),
            Ended::Refused => u32::MAX,
        };
        if let Ended::Busy(pause) = ended {
            self.paused_until = self.paused_until.max(now + pause);
        }
        let pause = FIRST_PAUSE.saturating_mul(1_u32 << (failures - 1).min(16)).min(LONGEST_PAUSE);
        let not_before = now + pause;
        let again = Job { failures, not_before, ..job };
        let job = self.jobs.entry(again.assessment.key.clone()).or_insert(again);
        job.failures = job.failures.max(failures);
        job.not_before = job.not_before.max(not_before);
    }

    /// When to look again, if nothing happens before.
    pub(super) fn wake(&self) -> Option<Instant> {
        let ready = self.jobs.iter().filter(|(key, _)| !self.in_flight.contains(*key));
        let first = ready.map(|(_, job)| job.not_before).min()?;
        let token = if self.tokens >= 1.0 {
            self.filled
        } else {
            self.filled + Duration::from_secs_f64((1.0 - self.tokens) / PER_SECOND)
        };
        Some(first.max(token).max(self.paused_until))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = passed.mul_add(PER_SECOND, self.tokens).min(BURST);
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_compile::ObjectKind;

    use super::*;
    use crate::cluster::fleet::Enforced;
    use crate::status::Verdict;

    fn assessment(name: &str, answer: Answer) -> Assessment {
        Assessment {
            key: ObjectKey { kind: ObjectKind::Policy, namespace: "shop".into(), name: name.into() },
            uid: "one".into(),
            generation: 1,
            accepted: Verdict::Holds,
            resolved: Verdict::Holds,
            enforced: Enforced { answer, reason: "x".into(), message: String::new() },
            audit: false,
            targeted: 0,
            acknowledged: 0,
        }
    }

    fn name(job: Option<Job>) -> String {
        job.map(|job| job.assessment.key.name.to_string()).unwrap_or_default()
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_then_five_a_second_the_last_edit_first_then_the_longest_waiting() {
        let now = Instant::now();
        let mut queue = Queue::new(now);
        for number in 0..40_u64 {
            queue.want(assessment(&format!("old{number:02}"), Answer::Yes), false, now + millis(number));
        }
        queue.want(assessment("edited", Answer::Yes), true, now + millis(50));
        queue.want(assessment("edited-later", Answer::Yes), true, now + millis(60));
        let now = now + millis(60);
        assert_eq!(name(queue.next(now)), "edited-later");
        assert_eq!(name(queue.next(now)), "edited");
        assert_eq!(name(queue.next(now)), "old00");
        let mut written = 3;
        for step in 0..1_000 {
            written += i32::from(queue.next(now + millis(step)).is_some());
        }
        assert!((14..=15).contains(&written), "{written} in the first second");
    }

    #[test]
    fn what_settles_is_written_once() {
        let now = Instant::now();
        let mut queue = Queue::new(now);
        queue.want(assessment("a", Answer::NotYet), true, now);
        assert_eq!(name(queue.next(now)), "");
        assert_eq!(queue.wake(), Some(now + SETTLING));
        queue.want(assessment("a", Answer::Yes), true, now + millis(10));
        assert_eq!(name(queue.next(now + millis(10))), "a");
        queue.want(assessment("b", Answer::NotYet), true, now);
        queue.want(assessment("b", Answer::NotYet), true, now + millis(40));
        assert_eq!(name(queue.next(now + SETTLING)), "b", "it does not wait for ever");
    }

    #[test]
    fn failures_wait_longer_each_time_and_a_busy_server_stops_everything() {
        let mut now = Instant::now();
        let mut queue = Queue::new(now);
        queue.want(assessment("a", Answer::Yes), true, now);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let job = queue.next(now).unwrap();
            assert_eq!(name(queue.next(now)), "", "one at a time");
            queue.ended(job, Ended::Failed, now);
            let wake = queue.wake().unwrap();
            pauses.push(wake - now);
            now = wake;
        }
        assert_eq!(pauses.first().copied(), Some(FIRST_PAUSE));
        assert!(pauses.is_sorted() && pauses.last().copied() == Some(LONGEST_PAUSE), "{pauses:?}");
        let job = queue.next(now).unwrap();
        queue.ended(job, Ended::Busy(millis(90_000)), now);
        queue.want(assessment("b", Answer::Yes), true, now);
        assert_eq!(name(queue.next(now + millis(89_000))), "");
        assert_eq!(name(queue.next(now + millis(90_000))), "b");
    }

    #[test]
    fn what_changed_while_it_was_written_is_written_again() {
        let now = Instant::now();
        let mut queue = Queue::new(now);
        queue.want(assessment("a", Answer::NotYet), true, now - SETTLING);
        let job = queue.next(now).unwrap();
        queue.want(assessment("a", Answer::Yes), false, now);
        assert_eq!(name(queue.next(now)), "", "not while the first is on its way");
        queue.ended(job, Ended::Done, now);
        assert_eq!(name(queue.next(now)), "a");
        assert_eq!(queue.len(), 0);
    }
}
