//! A process that the bench started: its log, its CPU time, its memory. It ends with the value.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::{BenchError, Tried as _};

/// The lines of a log that an error shows.
const SHOWN: usize = 15;

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) child: Child,
    log: PathBuf,
}

/// The CPU time of all threads of a process since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    pub(crate) user_micros: f64,
    pub(crate) kernel_micros: f64,
}

/// Memory that is resident, in MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    /// The part that is no file: heap and stacks.
    pub(crate) anonymous: f64,
}

impl Process {
    /// Starts a program whose standard error goes to a log in `folder`; where its standard output goes is its caller's.
    pub(crate) fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self, BenchError> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).tried(format!("`{}`", log.display()))?;
        let child = command.stderr(file).spawn().tried(format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// A daemon: nothing in, nothing out.
    pub(crate) fn daemon(name: &str, command: &mut Command, folder: &Path) -> Result<Self, BenchError> {
        Self::start(name, command.stdin(Stdio::null()).stdout(Stdio::null()), folder)
    }

    /// The error if the process has ended.
    pub(crate) fn check(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait().tried(format!("waiting for {}", self.name))? {
            Some(_status) => Err(BenchError::Ended { name: self.name.clone(), log: self.log_end() }),
            None => Ok(()),
        }
    }

    pub(crate) fn not_ready(&self, seconds: u64) -> BenchError {
        BenchError::NotReady { name: self.name.clone(), seconds, log: self.log_end() }
    }

    fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let skipped = lines.len().saturating_sub(SHOWN);
        lines.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// What it has used so far; the kernel counts in ticks, usually of 10 ms (proc_pid_stat(5)).
    pub(crate) fn cpu(&self) -> Result<CpuTime, BenchError> {
        let text = self.read("stat")?;
        // The second field is a name that may hold anything, in parentheses; fields 14 and 15 are user and kernel time.
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut times = fields.split_whitespace().skip(11).map(str::parse::<f64>);
        let (Some(Ok(user)), Some(Ok(kernel))) = (times.next(), times.next()) else {
            return Err(self.unexpected("stat", &text));
        };
        let ticks = u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100);
        let micros = 1e6 / f64::from(ticks);
        Ok(CpuTime { user_micros: user * micros, kernel_micros: kernel * micros })
    }

    pub(crate) fn memory(&self) -> Result<Memory, BenchError> {
        let text = self.read("status")?;
        let mebibytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let kibibytes = line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
            kibibytes.map(|kibibytes| kibibytes / 1024.0).ok_or_else(|| self.unexpected(name, line))
        };
        Ok(Memory { resident: mebibytes("VmRSS:")?, anonymous: mebibytes("RssAnon:")? })
    }

    fn read(&self, file: &str) -> Result<String, BenchError> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).tried(format!("`{path}` of {}", self.name))
    }

    fn unexpected(&self, file: &str, detail: &str) -> BenchError {
        BenchError::Content { what: format!("`{file}` of {}", self.name), detail: detail.to_owned() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port of loopback that nobody uses now.
pub(crate) fn free_address() -> Result<SocketAddr, BenchError> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).tried("a free port")
}

/// Writes a file of the bench's world.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    fs::write(path, text).tried(format!("`{}`", path.display()))
}
