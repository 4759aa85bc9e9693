//! What is measured, in which order. Every repetition goes through all proxies before the next one begins, so that
//! whatever else the machine does meanwhile falls on all of them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::client::HttpVersion;
use crate::control_plane::ControlPlane;
use crate::error::{BenchError, Tried as _};
use crate::figures::Spread;
use crate::measure::{self, Load, Sample};
use crate::process::{Memory, Process, free_address};
use crate::proxy::{Kind, Place, Programs, Proxy, Threads};
use crate::{envoy, sidecar};

/// How long a proxy rests between its first answer and the reading of its memory.
const REST: Duration = Duration::from_millis(500);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) repetitions: u32,
    pub(crate) seconds: f64,
    pub(crate) policies: u32,
}

/// A start of a proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) first_answer: Duration,
    pub(crate) memory: Memory,
}

/// Repetitions of one measurement of one proxy.
#[derive(Debug)]
pub(crate) struct Series<K, V> {
    pub(crate) of: K,
    pub(crate) values: Vec<V>,
}

/// A kind of proxy with a number of policies.
pub(crate) type Setup = (Kind, u32);

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) starts: Vec<Series<Setup, Start>>,
    pub(crate) saturated: Vec<Series<(Setup, HttpVersion), Sample>>,
    pub(crate) threads: Vec<Series<(Threads, HttpVersion), Sample>>,
    /// At half of what one thread could do.
    pub(crate) half: Vec<Series<(Threads, HttpVersion), Sample>>,
    pub(crate) threads_memory: Vec<(Threads, Memory)>,
    /// How long our operator took until it served, by policies.
    pub(crate) operators: Vec<(u32, Duration)>,
    /// Audit events that could not be written, of all sidecars together.
    pub(crate) lost_events: u64,
}

/// Adds a value to the series of its key.
fn note<K: PartialEq, V>(all: &mut Vec<Series<K, V>>, of: K, value: V) {
    match all.iter_mut().find(|series| series.of == of) {
        Some(series) => series.values.push(value),
        None => all.push(Series { of, values: vec![value] }),
    }
}

struct Bench<'a> {
    programs: &'a Programs,
    plan: &'a Plan,
    folder: TempDir,
    application: std::net::SocketAddr,
    planes: Vec<ControlPlane>,
    _application: Process,
}

/// Measures everything.
pub(crate) fn measure(programs: &Programs, plan: &Plan) -> Result<Figures, BenchError> {
    let bench = Bench::open(programs, plan)?;
    let operators = bench.planes.iter().map(|plane| (plane.policies, plane.started_in)).collect();
    let mut figures = Figures { operators, ..Figures::default() };
    bench.starts(&mut figures)?;
    bench.saturated(&mut figures)?;
    bench.threads(&mut figures)?;
    Ok(figures)
}

/// Progress goes to standard error, a line a step.
fn tell(step: &str) {
    eprintln!("  {step}");
}

impl<'a> Bench<'a> {
    fn open(programs: &'a Programs, plan: &'a Plan) -> Result<Self, BenchError> {
        let folder = TempDir::with_prefix("bailiwick-bench-").tried("a temporary folder")?;
        let application = free_address()?;
        let mut command = Command::new(programs.ours("bailiwick-demo-service"));
        command.args(["--name", "orders", "--http", &application.to_string()]);
        let process = Process::daemon("application", &mut command, folder.path())?;
        tell("starting the operators");
        let planes =
            [1, plan.policies].map(|policies| ControlPlane::start(programs, folder.path(), policies));
        let planes = planes.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(Self { programs, plan, folder, application, planes, _application: process })
    }

    /// A started proxy, which may not answer yet; none where there is no Envoy.
    fn start(&self, kind: Kind, plane: &ControlPlane) -> Result<Option<Proxy>, BenchError> {
        let place = Place { folder: self.folder.path(), application: self.application };
        match (kind, &self.programs.envoy) {
            (Kind::Sidecar(threads), _) => sidecar::start(self.programs, plane, threads, place).map(Some),
            (Kind::Envoy { access_log }, Some(envoy)) => {
                envoy::start(envoy, plane, access_log, place).map(Some)
            }
            (Kind::Envoy { .. }, None) => Ok(None),
        }
    }

    /// A proxy that answers and does the job.
    fn ready(&self, kind: Kind, plane: &ControlPlane) -> Result<Option<Proxy>, BenchError> {
        let Some(mut proxy) = self.start(kind, plane)? else { return Ok(None) };
        proxy.first_answer()?;
        proxy.check_job()?;
        Ok(Some(proxy))
    }

    fn starts(&self, figures: &mut Figures) -> Result<(), BenchError> {
        for repetition in 1..=self.plan.repetitions {
            tell(&format!("start and memory, repetition {repetition} of {}", self.plan.repetitions));
            for plane in &self.planes {
                for kind in [Kind::SIDECAR, Kind::ENVOY] {
                    let Some(mut proxy) = self.start(kind, plane)? else { continue };
                    let first_answer = proxy.first_answer()?;
                    std::thread::sleep(REST);
                    let memory = proxy.process.memory()?;
                    note(&mut figures.starts, (kind, plane.policies), Start { first_answer, memory });
                }
            }
        }
        Ok(())
    }

    fn saturated(&self, figures: &mut Figures) -> Result<(), BenchError> {
        let mut proxies = Vec::new();
        for plane in &self.planes {
            proxies.extend(self.ready(Kind::SIDECAR, plane)?);
            proxies.extend(self.ready(Kind::ENVOY, plane)?);
        }
        if let Some(plane) = self.planes.first() {
            proxies.extend(self.ready(Kind::Envoy { access_log: true }, plane)?);
        }
        for repetition in 1..=self.plan.repetitions {
            tell(&format!("calls at saturation, repetition {repetition} of {}", self.plan.repetitions));
            for version in HttpVersion::BOTH {
                for proxy in &proxies {
                    let load = Load { version, seconds: self.plan.seconds, rate: None };
                    let sample = measure::run(self.programs, proxy, load, self.folder())?;
                    note(&mut figures.saturated, ((proxy.kind, proxy.policies), version), sample);
                }
            }
        }
        figures.lost_events += lost(&proxies)?;
        Ok(())
    }

    fn threads(&self, figures: &mut Figures) -> Result<(), BenchError> {
        let Some(plane) = self.planes.first() else { return Ok(()) };
        let mut proxies = Vec::new();
        for threads in [Threads::ONE, Threads::TWO, Threads::TWO_SHARED] {
            if let Some(proxy) = self.ready(Kind::Sidecar(threads), plane)? {
                std::thread::sleep(REST);
                figures.threads_memory.push((threads, proxy.process.memory()?));
                proxies.push((threads, proxy));
            }
        }
        for repetition in 1..=self.plan.repetitions {
            tell(&format!("shapes of the runtime, repetition {repetition} of {}", self.plan.repetitions));
            for version in HttpVersion::BOTH {
                for (threads, proxy) in &proxies {
                    let load = Load { version, seconds: self.plan.seconds, rate: None };
                    let sample = measure::run(self.programs, proxy, load, self.folder())?;
                    note(&mut figures.threads, (*threads, version), sample);
                }
            }
        }
        for repetition in 1..=self.plan.repetitions {
            tell(&format!("the same at half the rate, repetition {repetition} of {}", self.plan.repetitions));
            for version in HttpVersion::BOTH {
                let most = rate_of_one_thread(figures, version);
                for (threads, proxy) in &proxies {
                    let load =
                        Load { version, seconds: self.plan.seconds, rate: most.map(|most| most / 2.0) };
                    let sample = measure::run(self.programs, proxy, load, self.folder())?;
                    note(&mut figures.half, (*threads, version), sample);
                }
            }
        }
        figures.lost_events += lost(proxies.iter().map(|(_, proxy)| proxy))?;
        Ok(())
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn rate_of_one_thread(figures: &Figures, version: HttpVersion) -> Option<f64> {
    let one = figures.threads.iter().find(|series| series.of == (Threads::ONE, version))?;
    Spread::of(one.values.iter().map(|sample| sample.calls_a_second)).map(|spread| spread.median)
}

fn lost<'p>(proxies: impl IntoIterator<Item = &'p Proxy>) -> Result<u64, BenchError> {
    proxies.into_iter().filter_map(|proxy| proxy.admin).map(sidecar::lost_events).sum()
}
