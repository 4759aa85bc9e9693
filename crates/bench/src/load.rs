//! The load client: so many connections, so many streams on each, one call at a time on every stream.
//!
//! It says `ready` when every connection has carried a call, begins when a line comes in, and prints one JSON object.
//! So whoever drives it can read the proxy's clocks exactly around the calls, without handshakes.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::client::{Caller, HttpVersion};
use crate::error::{BenchError, Tried as _};
use crate::figures::percentile;
use crate::tls::{self, ClientFiles};

/// The word that tells that everything is connected.
pub(crate) const READY: &str = "ready";

/// What is called, how, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadOptions {
    /// The proxy
    #[arg(long, value_name = "IP:PORT")]
    connect: SocketAddr,
    /// The protocol name to offer (ALPN)
    #[arg(long)]
    protocol: String,
    #[arg(long, value_enum)]
    http: HttpVersion,
    #[arg(long)]
    connections: usize,
    /// Calls at once on each connection
    #[arg(long, default_value_t = 1)]
    streams: usize,
    #[arg(long)]
    seconds: f64,
    /// What is asked for
    #[arg(long)]
    path: String,
    /// Calls a second, all streams together, evenly spaced; without it, as fast as answers come
    #[arg(long)]
    rate: Option<f64>,
    #[command(flatten)]
    files: ClientFiles,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoadResult {
    /// Calls that were answered with 200.
    pub(crate) requests: u64,
    /// Calls that were not.
    pub(crate) errors: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
}

/// Runs to the end and prints the result.
pub(crate) fn run(options: &LoadOptions) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.tried("the runtime")?.block_on(load(options))?;
    let line = serde_json::to_string(&result).map_err(std::io::Error::other).tried("the result")?;
    say(&line)
}

fn say(line: &str) -> Result<(), BenchError> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).tried("standard output")
}

async fn load(options: &LoadOptions) -> Result<LoadResult, BenchError> {
    let settings = tls::settings(&options.files, &options.protocol)?;
    let mut callers = Vec::new();
    for _ in 0..options.connections {
        let mut caller = Caller::connect(options.connect, &settings, options.http).await?;
        caller.get(&options.path).await?;
        callers.extend(caller.streams(options.streams)?);
    }
    say(READY)?;
    std::io::stdin().lock().read_line(&mut String::new()).tried("standard input")?;
    let start = Instant::now();
    let run = Run {
        path: Arc::from(options.path.as_str()),
        start,
        end: start + Duration::from_secs_f64(options.seconds),
        spacing: options.rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
        workers: u32::try_from(callers.len()).unwrap_or(u32::MAX),
    };
    let workers = callers.into_iter().zip(0_u32..).map(|(caller, number)| {
        let run = run.clone();
        tokio::spawn(async move { run.work(caller, number).await })
    });
    let done = join_all(workers).await;
    let seconds = start.elapsed().as_secs_f64();
    let mut latencies = Vec::new();
    let mut errors = 0;
    for worker in done {
        match worker {
            Ok((nanos, failed)) => {
                latencies.extend(nanos);
                errors += failed;
            }
            Err(_) => errors += 1,
        }
    }
    latencies.sort_unstable();
    let micros = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e6;
    Ok(LoadResult {
        requests: u64::try_from(latencies.len()).unwrap_or(u64::MAX),
        errors,
        seconds,
        p50_micros: micros(percentile(&latencies, 500)),
        p99_micros: micros(percentile(&latencies, 990)),
    })
}

#[derive(Debug, Clone)]
struct Run {
    path: Arc<str>,
    start: Instant,
    end: Instant,
    /// Between two calls of all workers together.
    spacing: Option<Duration>,
    workers: u32,
}

impl Run {
    /// Calls until the end; returns nanoseconds of each call that was answered with 200, and how many were not.
    async fn work(&self, mut caller: Caller, number: u32) -> (Vec<u64>, u64) {
        let mut latencies = Vec::with_capacity(64 * 1024);
        let mut errors = 0;
        let mut due = self.spacing.map(|spacing| self.start + spacing * number);
        loop {
            let begun = match due {
                Some(due) => wait_for(due).await,
                None => Instant::now(),
            };
            if begun >= self.end {
                return (latencies, errors);
            }
            match caller.get(&self.path).await {
                Ok(StatusCode::OK) => {
                    latencies.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
                }
                Ok(_) => errors += 1,
                // The connection is gone: this worker has nothing left to call with.
                Err(_) => return (latencies, errors + 1),
            }
            due = due.zip(self.spacing).map(|(due, spacing)| due + spacing * self.workers);
        }
    }
}

/// When the call counts as begun. One that is late because an answer was late counts from when it was due, so a proxy
/// that stalls cannot hide it; how exactly this process is woken up is not the proxy's doing.
async fn wait_for(due: Instant) -> Instant {
    if Instant::now() >= due {
        return due;
    }
    tokio::time::sleep_until(due.into()).await;
    Instant::now()
}
