//! One run of load against one proxy, with the proxy's clocks read around it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::client::HttpVersion;
use crate::error::{BenchError, Tried as _};
use crate::load::{LoadResult, READY};
use crate::process::Process;
use crate::proxy::{Programs, Proxy};
use crate::world::allowed_path;

/// What one run showed.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The proxy's own CPU time by calls, microseconds.
    pub(crate) user_micros: f64,
    pub(crate) kernel_micros: f64,
    pub(crate) calls_a_second: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
}

impl Sample {
    pub(crate) const fn cpu_micros(&self) -> f64 {
        self.user_micros + self.kernel_micros
    }
}

/// What is done in a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) version: HttpVersion,
    pub(crate) seconds: f64,
    /// Calls a second; none: as fast as answers come.
    pub(crate) rate: Option<f64>,
}

impl Load {
    const CONNECTIONS: u32 = 16;

    /// Calls at once on each connection.
    const fn streams(self) -> u32 {
        match self.version {
            HttpVersion::Http1 => 1,
            HttpVersion::Http2 => 10,
        }
    }
}

/// Runs the load client against a proxy.
pub(crate) fn run(
    programs: &Programs,
    proxy: &Proxy,
    load: Load,
    folder: &Path,
) -> Result<Sample, BenchError> {
    let mut command = Command::new(&programs.load);
    command
        .arg("load")
        .args(["--connect", &proxy.address.to_string()])
        .args(["--protocol", proxy.kind.protocol(load.version), "--http", load.version.flag()])
        .args(["--connections", &Load::CONNECTIONS.to_string(), "--streams", &load.streams().to_string()])
        .args(["--seconds", &load.seconds.to_string(), "--path", &allowed_path(proxy.policies)])
        .arg("--certificate")
        .arg(&proxy.client.certificate)
        .arg("--key")
        .arg(&proxy.client.key)
        .arg("--roots")
        .arg(&proxy.client.roots);
    if let Some(rate) = load.rate {
        command.args(["--rate", &rate.to_string()]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = Process::start("load", &mut command, folder)?;
    let (Some(mut input), Some(output)) = (client.child.stdin.take(), client.child.stdout.take()) else {
        return Err(client.not_ready(0));
    };
    let mut lines = BufReader::new(output).lines();
    if lines.next().transpose().tried("the load client")?.as_deref() != Some(READY) {
        return Err(client.not_ready(0));
    }
    let before = proxy.process.cpu()?;
    writeln!(input).tried("the load client")?;
    let line = lines.next().transpose().tried("the load client")?.unwrap_or_default();
    let after = proxy.process.cpu()?;
    let result: LoadResult = serde_json::from_str(&line).map_err(|error| BenchError::Content {
        what: "the load's result".to_owned(),
        detail: error.to_string(),
    })?;
    if result.errors > 0 || result.requests == 0 {
        let (errors, requests) = (result.errors, result.requests + result.errors);
        return Err(BenchError::Failures { name: proxy.process.name.clone(), errors, requests });
    }
    let calls = f64::from(u32::try_from(result.requests).unwrap_or(u32::MAX));
    Ok(Sample {
        user_micros: (after.user_micros - before.user_micros) / calls,
        kernel_micros: (after.kernel_micros - before.kernel_micros) / calls,
        calls_a_second: calls / result.seconds,
        p50_micros: result.p50_micros,
        p99_micros: result.p99_micros,
    })
}
