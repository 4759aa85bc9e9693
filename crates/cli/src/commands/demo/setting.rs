//! Starts everything, in the order in which each part needs the others.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};

use super::http::get;
use super::operator::ControlPlane;
use super::ports::Ports;
use super::processes::{Processes, Programs};
use super::screen::Screen;
use super::world::{Folder, Places, addresses, sidecar};

/// What is running.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) places: Places,
    pub(super) operator: ControlPlane,
    // Held so that nobody else is given them.
    _ports: Ports,
}

/// Starts the services, the operator and the sidecars, and waits until each is ready.
pub(super) async fn start(
    folder: &Folder,
    programs: &Programs,
    processes: &mut Processes,
) -> Result<Setting> {
    let mut ports = Ports::default();
    let places = Places::take(&mut ports)?;
    folder.write("addresses.yaml", &addresses(&places))?;
    ports.hand_over();
    Screen::progress("starting the operator, 2 services and 4 sidecars");
    start_services(folder, programs, &places, processes)?;
    let operator = start_operator(folder, programs, processes).await?;
    for place in places.all() {
        let file = format!("sidecars/{}.yaml", place.file_name());
        folder.write(&file, &sidecar(place, folder, &operator))?;
        let arguments = ["--config".to_owned(), folder.path(&file).display().to_string()];
        let name = format!("the sidecar of {}", place.workload);
        let log = folder.path(&format!("logs/sidecar-{}.log", place.file_name()));
        processes.start(&name, &programs.sidecar, &arguments, log)?;
    }
    for place in places.all() {
        processes.wait_for(&format!("the sidecar of {}", place.workload), || is_ready(place.admin)).await?;
    }
    Ok(Setting { places, operator, _ports: ports })
}

fn start_services(
    folder: &Folder,
    programs: &Programs,
    places: &Places,
    processes: &mut Processes,
) -> Result<()> {
    for place in [&places.orders, &places.legacy] {
        let name = place.workload;
        let mut arguments = vec!["--name".to_owned(), name.to_owned()];
        for inbound in &place.inbound {
            let protocol = if inbound.port == 8080 { "--http" } else { "--tcp" };
            arguments.extend([protocol.to_owned(), inbound.forward.to_string()]);
        }
        let log = folder.path(&format!("logs/service-{}.log", place.file_name()));
        processes.start(&format!("the service {name}"), &programs.service, &arguments, log)?;
    }
    Ok(())
}

async fn start_operator(
    folder: &Folder,
    programs: &Programs,
    processes: &mut Processes,
) -> Result<ControlPlane> {
    let file = folder.path("operator.json");
    let free = "127.0.0.1:0";
    let mut arguments = Vec::new();
    for (flag, value) in [
        ("--source", folder.path("source").display().to_string()),
        ("--state", folder.path("state").display().to_string()),
        ("--addresses", folder.path("addresses.yaml").display().to_string()),
        ("--ready-file", file.display().to_string()),
        ("--identity-listen", free.to_owned()),
        ("--configuration-listen", free.to_owned()),
        ("--admin-listen", free.to_owned()),
    ] {
        arguments.extend([flag.to_owned(), value]);
    }
    processes.start("the operator", &programs.operator, &arguments, folder.path("logs/operator.log"))?;
    processes.wait_for("the operator", || async { ControlPlane::read(&file).is_some() }).await?;
    let operator = ControlPlane::read(&file).context("the operator's addresses cannot be read")?;
    processes.wait_for("the operator", || is_ready(operator.admin)).await?;
    Ok(operator)
}

async fn is_ready(admin: SocketAddr) -> bool {
    get(admin, "/ready").await.is_ok_and(|answer| answer.status == "200")
}
