//! The client: calls a list of targets, once or in a loop, and says what came of each.

mod exchange;
mod target;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::time::sleep;

pub use target::{Target, UrlError};

/// Pause between two attempts at what is not yet as expected.
const RETRY: Duration = Duration::from_millis(250);

/// What is called, how often, and what is expected of it.
#[derive(Debug, clap::Args)]
pub struct Plan {
    /// http://HOST:PORT/PATH, grpc://HOST:PORT/SERVICE/METHOD, grpc+stream://…, ws://… or tcp://HOST:PORT
    #[arg(value_name = "URL", required = true)]
    targets: Vec<Target>,
    /// The method of HTTP calls
    #[arg(long, default_value = "GET")]
    method: http::Method,
    /// What each call should come to, in the order of the URLs: an HTTP or gRPC status, `open`, `held`, `cut`,
    /// `closed`, `unreachable`
    #[arg(long, value_name = "WORD,…", value_delimiter = ',')]
    expect: Vec<String>,
    /// Seconds for which a call that is not as expected is tried again
    #[arg(long, default_value_t = 0)]
    within: u64,
    /// How many rounds; 0 is without end
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Milliseconds between two rounds
    #[arg(long, default_value_t = 1000)]
    interval: u64,
    /// Seconds for which a stream, a WebSocket or a TCP connection is kept open and used
    #[arg(long, default_value_t = 0)]
    hold: u64,
    /// Prints only what was not as expected, and the sum
    #[arg(long)]
    quiet: bool,
}

/// What came of one call.
#[derive(Debug)]
struct Outcome {
    /// One word: a status, or what became of the connection.
    word: String,
    /// The first line of a refusal, or why there is no connection.
    detail: String,
}

/// Calls what the plan says, and prints a line for each call and the sum. 1 if anything was not as expected.
pub async fn call(plan: &Plan) -> ExitCode {
    let (mut done, mut unexpected, mut round) = (0_u64, 0_u64, 0_u64);
    while plan.count == 0 || round < plan.count {
        if round > 0 {
            sleep(Duration::from_millis(plan.interval)).await;
        }
        for (position, target) in plan.targets.iter().enumerate() {
            done += 1;
            if !one_call(plan, target, plan.expect.get(position)).await {
                unexpected += 1;
            }
        }
        round += 1;
    }
    println!("{done} calls, {unexpected} not as expected");
    if unexpected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// True if it came to what was expected, or nothing was.
async fn one_call(plan: &Plan, target: &Target, expected: Option<&String>) -> bool {
    let patience = Instant::now() + Duration::from_secs(plan.within);
    loop {
        let began = Instant::now();
        let outcome = exchange::exchange(target, &plan.method, Duration::from_secs(plan.hold)).await;
        let good = expected.is_none_or(|word| *word == outcome.word);
        if !good && Instant::now() < patience {
            sleep(RETRY).await;
            continue;
        }
        if !good || !plan.quiet {
            let Outcome { word, detail } = outcome;
            let wanted =
                expected.filter(|_| !good).map(|word| format!("  (expected {word})")).unwrap_or_default();
            let line = format!("{word:<12} {target}  {} ms  {detail}{wanted}", began.elapsed().as_millis());
            println!("{}", line.trim_end());
        }
        return good;
    }
}
