//! `bailiwick demo`: a small shop behind sidecars on this machine; its calls, decided and explained; a policy edit.
//!
//! Everything that is shown was seen to happen: the status is what came back, decision and rule are what the called
//! sidecar wrote into its audit log. What was expected is in [`plan`], and a row that differs is a failure.

mod audit;
mod calls;
mod diff;
mod edit;
mod ending;
mod http;
mod operator;
mod plan;
mod ports;
mod processes;
mod reasons;
mod reload;
mod screen;
mod sessions;
mod setting;
mod strangers;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::calls::{Row, Stage};
use self::plan::{CALLS, From, Planned};
use self::processes::{Processes, Programs};
use self::reasons::Reasons;
use self::reload::Reload;
use self::screen::Screen;
use self::setting::Setting;
use self::world::Folder;
use crate::exit::Exit;
use crate::output::{Output, print_json};

/// The shell's convention for a program that a Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// See services call each other through sidecars: calls allowed and refused, and a policy edit
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave everything running until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Where the operator, the sidecar and the service are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

/// The one object of `-o json`.
#[derive(Debug, Serialize)]
struct Report {
    calls: Vec<Row>,
    reload: Reload,
    /// True if every call went as expected.
    ok: bool,
    millis: u64,
}

/// Runs the demonstration. Whatever happens, nothing of it is left.
///
/// # Errors
/// When something cannot be started or does not answer.
pub(crate) async fn run(arguments: Arguments, output: Output) -> Result<ExitCode> {
    let mut ending = Ending::listen()?;
    let programs = Programs::find(arguments.binaries.as_deref())?;
    let folder = Folder::create()?;
    let mut processes = Processes::default();
    let performance = perform(&arguments, output.is_json(), &folder, &programs, &mut processes);
    let outcome = tokio::select! {
        outcome = performance => Some(outcome),
        () = ending.asked() => None,
    };
    match &outcome {
        Some(Ok(_)) if arguments.keep => ending.asked().await,
        Some(Err(_)) => processes.show_logs(),
        Some(Ok(_)) | None => {}
    }
    processes.stop().await;
    folder.remove()?;
    outcome.unwrap_or_else(|| Ok(ExitCode::from(INTERRUPTED)))
}

/// Starts everything, makes the calls, applies the edit.
async fn perform(
    arguments: &Arguments,
    json: bool,
    folder: &Folder,
    programs: &Programs,
    processes: &mut Processes,
) -> Result<ExitCode> {
    let start = Instant::now();
    let screen = Screen::new(json);
    let reasons = match Reasons::read(&folder.path("source")) {
        Ok(reasons) => reasons,
        Err(error) => {
            Screen::progress(&format!("{error:#}"));
            return Ok(Exit::Invalid.into());
        }
    };
    let setting = setting::start(folder, programs, processes).await?;
    Screen::progress(&format!("ready after {} ms", start.elapsed().as_millis()));
    let mut stage = Stage::new(folder, &setting.places)?;
    let mut rows = Vec::new();
    screen.line("");
    screen.header();
    for planned in &CALLS {
        let mut row = stage.call(planned).await?;
        screen.row(&row);
        if rows.is_empty() {
            screen.note("caller", &caller(&row, &setting).await?);
        }
        tell(&screen, &reasons, planned, &mut row)?;
        rows.push(row);
    }
    let places = (folder, &setting.places);
    let reload = reload::reload(&mut stage, places, &setting.operator, &screen, &mut rows).await?;
    let unexpected = rows.iter().filter(|row| !row.as_expected).count();
    let ok = unexpected == 0;
    let seconds = start.elapsed().as_secs_f64();
    screen.line("");
    screen.line(&match unexpected {
        0 => format!("{} calls, each decided as expected, in {seconds:.1} s", rows.len()),
        some => format!("{some} of {} calls were not decided as expected", rows.len()),
    });
    ending::try_next(&screen, arguments.keep.then_some((folder, setting.operator.admin)));
    if json {
        let millis = u64::try_from(start.elapsed().as_millis())?;
        print_json(&Report { calls: rows, reload, ok, millis })?;
    }
    if arguments.keep {
        ending::keep(&screen, folder, &setting)?;
    }
    Ok(if ok { Exit::Success.into() } else { Exit::Failure.into() })
}

/// What is to be said of a row: why, what would allow it, and whether it is what was expected.
fn tell(screen: &Screen, reasons: &Reasons, planned: &Planned, row: &mut Row) -> Result<()> {
    if !planned.shows.is_empty() {
        screen.note("shows", planned.shows);
    }
    if let From::Stranger(stranger) = planned.from {
        screen.note("why", &format!("{}; what the sidecar noted: {}", row.status, row.rule));
        screen.note("missing", stranger.missing());
    }
    tell_difference(screen, row);
    let Some(identity) = planned.from.identity() else { return Ok(()) };
    let why = reasons.of(identity, planned.to, planned.call)?;
    if row.decision == "deny" || row.rule.contains("would be") {
        screen.note("why", &why.reason);
        if let Some(allow) = &why.allow {
            screen.note("to allow", allow);
        }
    }
    if why.permitted != (row.decision == "allow") {
        row.as_expected = false;
        screen.wrong("`bailiwick can` and the sidecar do not agree on this call");
    }
    Ok(())
}

fn tell_difference(screen: &Screen, row: &mut Row) {
    if let Some(difference) = row.difference() {
        row.as_expected = false;
        screen.wrong(&difference);
    }
}

/// The caller's proven identity and what is left of its certificate.
async fn caller(row: &Row, setting: &Setting) -> Result<String> {
    let identity = row.identity.as_deref().context("the sidecar knows no caller of the first call")?;
    let answer = http::get(setting.places.web.admin, "/config").await?;
    let config: serde_json::Value = serde_json::from_str(&answer.body)?;
    let not_after = config.pointer("/certificate/notAfter").and_then(serde_json::Value::as_i64);
    let not_after = not_after.context("the sidecar shows no certificate")?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let minutes = (not_after - now).max(0) / 60;
    Ok(format!("{identity}, its certificate is good for {} h {} min", minutes / 60, minutes % 60))
}

/// Ctrl-C, a plain `kill`, or the terminal's end.
struct Ending {
    signals: [Signal; 3],
}

impl Ending {
    fn listen() -> Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self { signals: [interrupt?, terminate?, hangup?] })
    }

    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
