//! A policy edit while calls are open: who acknowledged it and when, and what it cut.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tokio::time::sleep;

use super::audit::Event;
use super::calls::{Row, Stage};
use super::diff::unified;
use super::edit::edited;
use super::http::KeptAlive;
use super::operator::{ControlPlane, Status};
use super::plan::{AFTER_EDIT, CALLS, Call};
use super::reasons::Reasons;
use super::screen::Screen;
use super::sessions::Session;
use super::world::{Folder, POLICIES, Places};
use super::{tell, tell_difference};

const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);
const FILE: &str = "policies.yaml";

/// What the edit came to.
#[derive(Debug, Serialize)]
pub(super) struct Reload {
    /// Sidecars that enforce what is published.
    acknowledged: usize,
    /// Sidecars that there are.
    of: usize,
    /// From the write of the file to the last acknowledgement.
    millis: u64,
    /// The sidecars whose policy changed at all.
    concerned: usize,
    cut: Vec<Cut>,
    /// Calls that the edit does not concern, and that go on.
    kept: Vec<Kept>,
}

#[derive(Debug, Serialize)]
struct Cut {
    from: &'static str,
    what: &'static str,
    /// From the write of the file.
    millis: u64,
}

#[derive(Debug, Serialize)]
struct Kept {
    from: &'static str,
    what: &'static str,
}

/// Everything that is open when the edit comes.
struct Open {
    web: Vec<Session>,
    report: Vec<Session>,
    kept_alive: KeptAlive,
}

/// Opens what the edit will meet, edits, and tells what became of it. Adds the calls that it makes to `rows`.
pub(super) async fn reload(
    stage: &mut Stage<'_>,
    (folder, places): (&Folder, &Places),
    operator: &ControlPlane,
    screen: &Screen,
    rows: &mut Vec<Row>,
) -> Result<Reload> {
    screen.title("A policy edit, while calls are open");
    let mut open = open(places).await?;
    for session in open.web.iter().chain(&open.report) {
        screen.note("open", &format!("{}: {}", session.from, session.what));
    }
    let [first, ..] = &CALLS;
    screen.note("open", "shop/web: an HTTP/1.1 connection, kept alive, with its first call:");
    let mut row = stage.call_on(&mut open.kept_alive, first).await?;
    screen.row(&row);
    tell_difference(screen, &mut row);
    rows.push(row);

    let after = edited(POLICIES)?;
    screen.line("");
    screen.diff(&unified(FILE, POLICIES, &after));
    screen.line("");
    stage.log().skip()?;
    let version = operator.status().await?.version();
    let (written, since) = (SystemTime::now(), Instant::now());
    folder.write(&format!("source/{FILE}"), &after)?;
    let status = acknowledged(operator, version).await?;
    let mut reload = summary(&status, written)?;
    let Reload { acknowledged, of, concerned, millis, .. } = &reload;
    screen.line(&format!(
        "acknowledged by {acknowledged} of {of} sidecars {millis} ms after the file was written ({concerned} had something to change)"
    ));
    if acknowledged != of {
        bail!("not every sidecar enforces what is published");
    }

    let events = cuts(stage, open.web.len()).await?;
    screen.note("next", "the same HTTP/1.1 connection, and a new TCP connection:");
    let reasons = Reasons::read(&folder.path("source"))?;
    for planned in &AFTER_EDIT {
        let mut row = match planned.call {
            Call::Http { .. } => stage.call_on(&mut open.kept_alive, planned).await?,
            Call::Grpc { .. } | Call::Tcp => stage.call(planned).await?,
        };
        screen.row(&row);
        tell(screen, &reasons, planned, &mut row)?;
        rows.push(row);
    }
    verify(&mut open, since, &events, &mut reload).await?;
    for cut in &reload.cut {
        screen.note(
            "cut",
            &format!("{}: {}, {} ms after the file was written", cut.from, cut.what, cut.millis),
        );
    }
    for kept in &reload.kept {
        screen.note("goes on", &format!("{}: {}", kept.from, kept.what));
    }
    Ok(reload)
}

async fn open(places: &Places) -> Result<Open> {
    let http = "shop/orders:8080";
    let (web, report) = (places.web.way_to(http)?, places.report.way_to(http)?);
    Ok(Open {
        web: vec![
            Session::websocket("shop/web", web).await?,
            Session::grpc_stream("shop/web", web).await?,
            Session::tcp("shop/web", places.web.way_to("shop/orders:5432")?).await?,
        ],
        report: vec![
            Session::websocket("shop/report", report).await?,
            Session::grpc_stream("shop/report", report).await?,
        ],
        kept_alive: KeptAlive::open(web).await?,
    })
}

/// Waits until a later publication than `version` is acknowledged by everybody whom it concerns.
async fn acknowledged(operator: &ControlPlane, version: u64) -> Result<Status> {
    let start = Instant::now();
    loop {
        let status = operator.status().await?;
        let (current, all) = status.current();
        let done = status.publication.as_ref().is_some_and(|publication| {
            publication.version > version && publication.is_acknowledged() && current == all
        });
        if done {
            return Ok(status);
        }
        if start.elapsed() > ACKNOWLEDGED_WITHIN {
            bail!("the edit was not acknowledged within {} s: {status:?}", ACKNOWLEDGED_WITHIN.as_secs());
        }
        sleep(POLL).await;
    }
}

fn summary(status: &Status, written: SystemTime) -> Result<Reload> {
    let (acknowledged, of) = status.current();
    let written = u64::try_from(written.duration_since(UNIX_EPOCH)?.as_millis())?;
    let last = status.acknowledged_at(status.version()).context("nobody acknowledged the edit")?;
    Ok(Reload {
        acknowledged,
        of,
        millis: last.saturating_sub(written),
        concerned: status.publication.as_ref().map_or(0, |publication| publication.of),
        cut: Vec::new(),
        kept: Vec::new(),
    })
}

/// What the called sidecar wrote about the calls that it cut.
async fn cuts(stage: &mut Stage<'_>, wanted: usize) -> Result<Vec<Event>> {
    let start = Instant::now();
    let mut found = Vec::new();
    while found.len() < wanted && start.elapsed() < ACKNOWLEDGED_WITHIN {
        found.extend(stage.log().events()?.into_iter().filter(Event::is_cut));
        sleep(POLL).await;
    }
    Ok(found)
}

/// Sees each call of `web` cut, and each of `report` go on; and that the sidecar says the same.
async fn verify(open: &mut Open, since: Instant, events: &[Event], reload: &mut Reload) -> Result<()> {
    for session in &mut open.web {
        let millis = u64::try_from(session.cut_after(since).await?.as_millis())?;
        reload.cut.push(Cut { from: session.from, what: session.what, millis });
    }
    for session in &mut open.report {
        session.goes_on().await?;
        reload.kept.push(Kept { from: session.from, what: session.what });
    }
    let of_web = |event: &&Event| event.identity().is_some_and(|id| id.ends_with("/ns/shop/sa/web"));
    let told = events.iter().filter(of_web).count();
    if told != open.web.len() || told != events.len() {
        let told: Vec<_> = events.iter().map(|event| (event.identity(), event.path.as_deref())).collect();
        bail!("the sidecar wrote of other cuts than those that were seen: {told:?}");
    }
    Ok(())
}
