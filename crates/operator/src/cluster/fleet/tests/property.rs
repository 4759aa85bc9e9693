//! Whatever happens in whatever order: an object is `Enforced` only while every running pod that it reaches enforces
//! this version of it or a later one.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const PODS: [&str; 2] = ["shop/a", "shop/b"];

/// A world: the generations of two objects, and whether their contents are those of the first generation again.
#[derive(Debug, Clone, Copy, PartialEq)]
struct World {
    number: u64,
    generations: [i64; 2],
    contents: [u64; 2],
}

/// A sidecar as it really is.
#[derive(Debug, Default)]
struct Sidecar {
    /// On the stream of which replica.
    at: Option<usize>,
    session: u64,
    /// What it enforces.
    enforces: Option<World>,
    /// Sent and not taken up yet, with the version.
    coming: VecDeque<(World, u64)>,
    /// Taken up and not acknowledged yet.
    unsaid: VecDeque<(World, u64)>,
}

#[derive(Debug, Clone)]
enum Step {
    /// One object's content changes; or becomes what it was at first.
    Edit(usize, bool),
    /// A replica sees the latest world.
    See(usize),
    Connect(usize, usize),
    Leave(usize),
    /// A sidecar takes up what came next.
    TakeUp(usize),
    Acknowledge(usize),
    /// The other replica tells the leader.
    Tell,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..2_usize, any::<bool>()).prop_map(|(object, back)| Step::Edit(object, back)),
        3 => (0..2_usize).prop_map(Step::See),
        2 => (0..2_usize, 0..2_usize).prop_map(|(pod, replica)| Step::Connect(pod, replica)),
        1 => (0..2_usize).prop_map(Step::Leave),
        4 => (0..2_usize).prop_map(Step::TakeUp),
        4 => (0..2_usize).prop_map(Step::Acknowledge),
        3 => Just(Step::Tell),
    ]
}

struct Model {
    world: World,
    /// The leader's and the other one's, with what each has compiled last.
    fleets: [Fleet; 2],
    seen: [Option<World>; 2],
    sidecars: [Sidecar; 2],
    told: u64,
    sessions: u64,
    /// Contents come back only where every sidecar is on the leader's own streams (docs/adr/0010).
    goes_back: bool,
}

fn content(world: World) -> u64 {
    world.contents[0] * 1_000 + world.contents[1]
}

impl Model {
    fn new(goes_back: bool) -> Self {
        Self {
            world: World { number: 1, generations: [1, 1], contents: [1, 1] },
            fleets: [Fleet::new(), Fleet::new()],
            seen: [None, None],
            sidecars: Default::default(),
            told: 0,
            sessions: 0,
            goes_back,
        }
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::Edit(object, back) => {
                self.world.number += 1;
                self.world.generations[object] += 1;
                let generation = u64::try_from(self.world.generations[object]).unwrap();
                self.world.contents[object] = if back && self.goes_back { 1 } else { generation };
            }
            Step::See(replica) => self.see(replica),
            Step::Connect(pod, replica) => {
                let replica = if self.goes_back { 0 } else { replica };
                if self.seen[replica].is_some() {
                    self.leave(pod);
                    self.connect(pod, replica);
                }
            }
            Step::Leave(pod) => self.leave(pod),
            Step::TakeUp(pod) => {
                let sidecar = &mut self.sidecars[pod];
                let Some((world, version)) = sidecar.coming.pop_front() else { return };
                // Snapshots only move forward.
                if sidecar.enforces.is_none_or(|held| held.number <= world.number) {
                    sidecar.enforces = Some(world);
                    sidecar.unsaid.push_back((world, version));
                }
            }
            Step::Acknowledge(pod) => {
                let sidecar = &mut self.sidecars[pod];
                let Some(((world, version), at)) = sidecar.unsaid.pop_front().zip(sidecar.at) else { return };
                let id = id(PODS[pod], content(world));
                self.fleets[at].sidecar(
                    &key(PODS[pod]),
                    sidecar.session,
                    Happened::Acknowledged { id, version },
                );
            }
            Step::Tell => {
                let (tick, told) = self.fleets[1].own_since(self.told);
                self.told = tick;
                told.into_iter().for_each(|told| self.fleets[0].told(&Arc::from("other"), told));
            }
        }
    }

    fn see(&mut self, replica: usize) {
        let before = self.seen[replica].replace(self.world);
        let contents = PODS.map(|pod| (pod, content(self.world)));
        let objects = ["one", "two"].into_iter().zip(self.world.generations);
        let objects: Vec<_> =
            objects.map(|(name, generation)| object(ObjectKind::Policy, name, generation, &PODS)).collect();
        compile(&self.fleets[replica], &objects, &contents);
        if before.map(content) != Some(content(self.world)) {
            for pod in 0..PODS.len() {
                if self.sidecars[pod].at == Some(replica) {
                    self.offer(pod, replica);
                }
            }
        }
    }

    fn connect(&mut self, pod: usize, replica: usize) {
        self.sessions += 1;
        let sidecar = &mut self.sidecars[pod];
        sidecar.at = Some(replica);
        sidecar.session = self.sessions;
        let held = sidecar.enforces.map(|world| id(PODS[pod], content(world)));
        let facts = facts(held);
        self.fleets[replica].sidecar(&key(PODS[pod]), self.sessions, Happened::Connected(&facts));
        self.offer(pod, replica);
    }

    fn offer(&mut self, pod: usize, replica: usize) {
        let Some(world) = self.seen[replica] else { return };
        let (id, version) = (id(PODS[pod], content(world)), world.number);
        let session = self.sidecars[pod].session;
        self.fleets[replica].sidecar(&key(PODS[pod]), session, Happened::Offered { id, version });
        self.sidecars[pod].coming.push_back((world, version));
    }

    fn leave(&mut self, pod: usize) {
        let sidecar = &mut self.sidecars[pod];
        if let Some(at) = sidecar.at.take() {
            self.fleets[at].sidecar(&key(PODS[pod]), sidecar.session, Happened::Disconnected);
        }
        sidecar.coming.clear();
        sidecar.unsaid.clear();
    }

    fn check(&self) {
        let pods = Pods::running(&PODS);
        for (number, assessment) in assess(&self.fleets[0], &pods).into_iter().enumerate() {
            if assessment.enforced.answer != Answer::Yes {
                continue;
            }
            for sidecar in &self.sidecars {
                let enforces = sidecar.enforces.expect("it enforces something");
                let wanted = self.seen[0].unwrap();
                let same = enforces.contents[number] == wanted.contents[number];
                let newer = enforces.generations[number] >= wanted.generations[number];
                assert!(same || newer, "enforced is {wanted:?}, and a sidecar enforces {enforces:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn enforced_is_never_said_too_early(goes_back: bool, steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new(goes_back);
        for step in steps {
            model.act(step);
            model.check();
        }
    }

    #[test]
    fn enforced_is_said_in_the_end(steps in prop::collection::vec(step(), 1..40)) {
        let mut model = Model::new(false);
        steps.into_iter().for_each(|step| model.act(step));
        [Step::See(0), Step::See(1), Step::Connect(0, 0), Step::Connect(1, 1)].into_iter().for_each(|step| model.act(step));
        for _ in 0..80 {
            (0..2).for_each(|pod| { model.act(Step::TakeUp(pod)); model.act(Step::Acknowledge(pod)); });
        }
        model.act(Step::Tell);
        let all = assess(&model.fleets[0], &Pods::running(&PODS));
        prop_assert!(all.iter().all(|one| one.enforced.answer == Answer::Yes), "{all:?}");
    }
}
