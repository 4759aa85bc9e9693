//! What one can do next.

use std::net::SocketAddr;

use anyhow::Result;

use super::screen::Screen;
use super::setting::Setting;
use super::world::Folder;

/// The shop's folder in a checkout.
const EXAMPLE: &str = "examples/shop";

/// Three commands to try. `running` is the folder of a demonstration that is left running, and its operator.
pub(super) fn try_next(screen: &Screen, running: Option<(&Folder, SocketAddr)>) {
    let program = program();
    let (folder, last) = match running {
        Some((folder, admin)) => {
            let source = folder.path("source").display().to_string();
            (source, format!("{program} status --operator http://{admin}"))
        }
        None => (EXAMPLE.to_owned(), format!("{program} demo --keep")),
    };
    screen.title("Try");
    screen.line(&format!("  {program} can shop/web DELETE shop/orders /orders/1 -f {folder} --explain"));
    screen.line(&format!("  {program} validate -f {folder}"));
    screen.line(&format!("  {last}"));
}

/// How to reach what is left running.
pub(super) fn keep(screen: &Screen, folder: &Folder, setting: &Setting) -> Result<()> {
    let web = setting.places.web.way_to("shop/orders:8080")?;
    let report = setting.places.report.way_to("shop/orders:8080")?;
    screen.title("Left running until Ctrl-C");
    screen.line(&format!("  the folder              {}", folder.root().display()));
    screen.line("  edit what is in source/ and see what changes; audit/ says what was decided");
    screen.line(&format!("  as shop/web             curl -i http://{web}/health"));
    screen.line(&format!("  as shop/web             curl -i http://{web}/orders/1"));
    screen.line(&format!("  as shop/report          curl -i http://{report}/orders/1"));
    screen.line(&format!("  what shop/orders enforces  curl http://{}/config", setting.places.orders.admin));
    screen.line(&format!("  what the operator knows    curl http://{}/config", setting.operator.admin));
    Ok(())
}

/// This program as one would type it here.
fn program() -> String {
    let own = std::env::current_exe().unwrap_or_default();
    let on_path = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| own.parent().is_some_and(|parent| parent == folder))
    });
    if on_path {
        return own.file_name().unwrap_or_default().to_string_lossy().into_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    let shown = own.strip_prefix(&here).unwrap_or(&own).display().to_string();
    // A shell looks up a name without a slash elsewhere.
    if shown.contains('/') { shown } else { format!("./{shown}") }
}
