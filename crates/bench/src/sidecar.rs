//! Our sidecar before the application: inbound only, audit events to standard output, which nobody reads.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::control_plane::ControlPlane;
use crate::error::{BenchError, Tried as _};
use crate::process::{Process, free_address, write};
use crate::proxy::{Kind, Place, Programs, Proxy, Threads};
use crate::world::{PORT, WORKLOAD};

pub(crate) fn start(
    programs: &Programs,
    plane: &ControlPlane,
    threads: Threads,
    place: Place<'_>,
) -> Result<Proxy, BenchError> {
    let (address, admin) = (free_address()?, free_address()?);
    let kind = Kind::Sidecar(threads);
    let name = format!("{}-{}", kind.slug(), plane.policies);
    let file = place.folder.join(format!("{name}.yaml"));
    write(&file, &config(plane, threads, [address, admin, place.application]))?;
    let mut command = Command::new(programs.ours("bailiwick-sidecar"));
    command.arg("--config").arg(&file);
    let started = Instant::now();
    let process = Process::daemon(&name, &mut command, place.folder)?;
    let (client, policies) = (plane.client.clone(), plane.policies);
    Ok(Proxy { kind, policies, process, address, admin: Some(admin), client, started })
}

fn config(plane: &ControlPlane, threads: Threads, addresses: [SocketAddr; 3]) -> String {
    let [listen, admin, application] = addresses;
    let ready = &plane.ready;
    let token = ready.tokens_folder.join(format!("{}.token", WORKLOAD.replace('/', ".")));
    format!(
        "workload: {WORKLOAD}
control:
  identity: '{}'
  configuration: '{}'
  operator: {}
  tokenFile: '{}'
  bundleFile: '{}'
inbound: [{{listen: '{listen}', port: {PORT}, forward: '{application}'}}]
admin: {{listen: '{admin}'}}
runtime: {{threads: {}, multiThread: {}}}
log: {{filter: warn}}
",
        ready.identity,
        ready.configuration,
        ready.operator,
        token.display(),
        ready.bundle_file.display(),
        threads.count,
        threads.multi_thread,
    )
}

/// How many audit events the sidecar could not write.
pub(crate) fn lost_events(admin: SocketAddr) -> Result<u64, BenchError> {
    const NAME: &str = "bailiwick_audit_events_dropped_total";
    let mut answer = String::new();
    let mut ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
        stream.read_to_string(&mut answer).map(drop)
    };
    ask().tried("the sidecar's metrics")?;
    let value = answer.lines().find_map(|line| line.strip_prefix(NAME)).map(str::trim);
    value.and_then(|value| value.parse().ok()).ok_or_else(|| BenchError::Content {
        what: "the sidecar's metrics".to_owned(),
        detail: format!("`{NAME}` is missing"),
    })
}
