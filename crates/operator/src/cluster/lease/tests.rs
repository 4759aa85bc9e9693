use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;

/// One API server for several candidates.
#[derive(Debug, Default)]
struct Server {
    lease: Mutex<(Option<Record>, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// As 429 or 503.
    Refused,
    Conflict,
    /// The request is carried out, and the answer is lost.
    AnswerLost,
    Hangs,
}

/// A candidate's way to the server: its faults, and how wrong its clock is.
#[derive(Debug, Clone)]
struct Way {
    server: Arc<Server>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    always: Arc<Mutex<Fault>>,
    skew: i64,
}

impl Way {
    fn to(server: &Arc<Server>) -> Self {
        let server = Arc::clone(server);
        Self { server, faults: Arc::default(), always: Arc::new(Mutex::new(Fault::None)), skew: 0 }
    }

    fn next(&self) -> Fault {
        self.faults.lock().unwrap().pop_front().unwrap_or(*self.always.lock().unwrap())
    }

    fn fail(&self, fault: Fault) {
        *self.always.lock().unwrap() = fault;
    }

    async fn answer(
        &self,
        act: impl FnOnce(&mut (Option<Record>, u64)) -> Result<Record, LeaseError>,
    ) -> Result<Record, LeaseError> {
        sleep(Duration::from_millis(3)).await;
        let fault = self.next();
        match fault {
            Fault::None | Fault::AnswerLost => {
                let done = act(&mut self.server.lease.lock().unwrap());
                if fault == Fault::AnswerLost {
                    Err(LeaseError::Failed("the connection broke".into()))
                } else {
                    done
                }
            }
            Fault::Refused => Err(LeaseError::Failed("429 too many requests".into())),
            Fault::Conflict => Err(LeaseError::Conflict),
            Fault::Hangs => std::future::pending().await,
        }
    }

    fn skewed(&self, mut record: Record) -> Record {
        record.renewed = record.renewed.checked_add(jiff::SignedDuration::from_secs(self.skew)).unwrap();
        record
    }
}

impl LeaseApi for Way {
    async fn get(&self) -> Result<Record, LeaseError> {
        self.answer(|(lease, _)| lease.clone().ok_or(LeaseError::NotFound)).await
    }

    async fn create(&self, record: Record) -> Result<Record, LeaseError> {
        let record = self.skewed(record);
        self.answer(|(lease, version)| {
            if lease.is_some() {
                return Err(LeaseError::Conflict);
            }
            *version += 1;
            Ok(lease.insert(Record { resource_version: version.to_string(), ..record }).clone())
        })
        .await
    }

    async fn replace(&self, record: Record) -> Result<Record, LeaseError> {
        let record = self.skewed(record);
        self.answer(|(lease, version)| {
            let Some(found) = lease else { return Err(LeaseError::NotFound) };
            if found.resource_version != record.resource_version {
                return Err(LeaseError::Conflict);
            }
            *version += 1;
            *found = Record { resource_version: version.to_string(), ..record };
            Ok(found.clone())
        })
        .await
    }
}

struct Candidate {
    way: Way,
    leadership: watch::Receiver<Leadership>,
    drain: drain::Drain,
    task: tokio::task::JoinHandle<()>,
}

impl Candidate {
    fn start(way: Way, name: &str) -> Self {
        let (elector, leadership) = Elector::new(way.clone(), name);
        let drain = drain::Drain::new();
        let task = tokio::spawn(elector.run(drain.watch()));
        Self { way, leadership, drain, task }
    }

    fn leads(&self) -> bool {
        self.leadership.borrow().leads()
    }
}

/// Passes time in small steps, and fails if there are ever two leaders. Gives how long `until` took to hold.
async fn pass(candidates: &[&Candidate], most: Duration, until: impl Fn() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < most {
        sleep(Duration::from_millis(50)).await;
        assert!(candidates.iter().filter(|one| one.leads()).count() <= 1, "two leaders");
        if until() {
            return Some(begun.elapsed());
        }
    }
    None
}

const LONG: Duration = Duration::from_secs(120);

#[tokio::test(start_paused = true)]
async fn one_of_two_leads_and_both_know_who() {
    let server = Arc::default();
    let (a, b) = (Candidate::start(Way::to(&server), "a"), Candidate::start(Way::to(&server), "b"));
    pass(&[&a, &b], LONG, || a.leads() || b.leads()).await.unwrap();
    let leader = if a.leads() { "a" } else { "b" };
    pass(&[&a, &b], LONG, || false).await;
    assert!(a.leads() == (leader == "a") && b.leads() == (leader == "b"), "it stays");
    for one in [&a, &b] {
        assert_eq!(one.leadership.borrow().holder.as_deref(), Some(leader));
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_leads_within_20_s_of_a_kill_and_within_3_s_of_a_drain() {
    let server = Arc::default();
    let a = Candidate::start(Way::to(&server), "a");
    pass(&[&a], LONG, || a.leads()).await.unwrap();
    let b = Candidate::start(Way::to(&server), "b");
    pass(&[&a, &b], Duration::from_secs(31), || false).await;
    a.task.abort();
    let took = pass(&[&b], LONG, || b.leads()).await.unwrap();
    assert!(took <= Duration::from_secs(20), "{took:?}");
    let c = Candidate::start(Way::to(&server), "c");
    pass(&[&b, &c], Duration::from_secs(10), || false).await;
    b.drain.signal();
    let took = pass(&[&b, &c], LONG, || c.leads()).await.unwrap();
    assert!(took <= Duration::from_secs(3), "{took:?}");
    assert!(!b.leads());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_is_none_before_another_can_be_one() {
    for fault in [Fault::Refused, Fault::Hangs] {
        let server = Arc::default();
        let a = Candidate::start(Way::to(&server), "a");
        pass(&[&a], LONG, || a.leads()).await.unwrap();
        let b = Candidate::start(Way::to(&server), "b");
        pass(&[&a, &b], Duration::from_secs(21), || false).await;
        a.way.fail(fault);
        let stepped_down = pass(&[&a, &b], LONG, || !a.leads()).await.unwrap();
        assert!(stepped_down <= Duration::from_secs(12), "{stepped_down:?}");
        assert!(!b.leads());
        pass(&[&a, &b], Duration::from_secs(10), || b.leads()).await.unwrap();
        a.way.fail(Fault::None);
        pass(&[&a, &b], LONG, || false).await;
        assert!(b.leads() && !a.leads());
    }
}

#[tokio::test(start_paused = true)]
async fn single_faults_do_not_end_a_leadership() {
    let server = Arc::default();
    let a = Candidate::start(Way::to(&server), "a");
    pass(&[&a], LONG, || a.leads()).await.unwrap();
    for fault in [Fault::Refused, Fault::Conflict, Fault::AnswerLost, Fault::Hangs] {
        a.way.faults.lock().unwrap().push_back(fault);
        let ended = pass(&[&a], Duration::from_secs(30), || !a.leads()).await;
        assert_eq!(ended, None, "{fault:?}");
    }
    server.lease.lock().unwrap().0 = None;
    assert_eq!(pass(&[&a], Duration::from_secs(30), || !a.leads()).await, None, "it is made again");
}

#[tokio::test(start_paused = true)]
async fn a_holder_with_a_wrong_clock_is_believed_while_it_renews_and_no_longer() {
    for skew in [-86_400, 86_400] {
        let server = Arc::default();
        let a = Candidate::start(Way { skew, ..Way::to(&server) }, "a");
        pass(&[&a], LONG, || a.leads()).await.unwrap();
        let b = Candidate::start(Way::to(&server), "b");
        pass(&[&a, &b], LONG, || false).await;
        assert!(a.leads() && !b.leads());
        a.task.abort();
        let took = pass(&[&b], LONG, || b.leads()).await.unwrap();
        assert!(took <= Duration::from_secs(20), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_takes_the_lease_ends_the_leadership() {
    let server: Arc<Server> = Arc::default();
    let a = Candidate::start(Way::to(&server), "a");
    pass(&[&a], LONG, || a.leads()).await.unwrap();
    {
        let mut lease = server.lease.lock().unwrap();
        let record = lease.0.as_mut().unwrap();
        record.holder = "stranger".into();
        record.resource_version = "999".into();
    }
    let took = pass(&[&a], LONG, || !a.leads()).await.unwrap();
    assert!(took <= Duration::from_secs(3), "{took:?}");
    assert_eq!(a.leadership.borrow().holder.as_deref(), Some("stranger"));
    pass(&[&a], LONG, || a.leads()).await.expect("the stranger does not renew");
    assert_eq!(server.lease.lock().unwrap().0.as_ref().unwrap().transitions, 1);
}

#[tokio::test(start_paused = true)]
async fn there_are_never_two_leaders_whatever_fails() {
    let server = Arc::default();
    let candidates: Vec<_> =
        ["a", "b", "c"].map(|name| Candidate::start(Way::to(&server), name)).into_iter().collect();
    let all: Vec<&Candidate> = candidates.iter().collect();
    let mut led = 0;
    for round in 0..300_u32 {
        let number: u32 = rand::random();
        let faults =
            [Fault::None, Fault::None, Fault::Refused, Fault::Conflict, Fault::AnswerLost, Fault::Hangs];
        let victim = &candidates[(number % 3) as usize];
        victim.way.fail(faults[(number as usize / 3) % faults.len()]);
        let time = Duration::from_millis(u64::from(number % 9_000));
        pass(&all, time, || false).await;
        led += u32::from(all.iter().any(|one| one.leads()));
        if round % 10 == 9 {
            candidates.iter().for_each(|one| one.way.fail(Fault::None));
            pass(&all, LONG, || all.iter().any(|one| one.leads())).await.expect("it recovers");
        }
    }
    assert!(led > 50, "{led}");
}
