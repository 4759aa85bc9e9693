//! Where events go: a bounded queue and a thread that writes.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime};

use super::{AuditEvent, AuthenticationEvent, AuthorizationEvent};

/// Events that may wait for the writer.
const CAPACITY: usize = 8192;
/// What callers' words in the events that wait may take: a path can be as long as a request's head.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Where events are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditOutput {
    /// Standard output.
    Stdout,
    /// The end of a file, which is made if it is missing, readable by its owner only.
    File(PathBuf),
}

/// Why events cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened.
    #[error("the audit log `{path}` cannot be opened: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no thread.
    #[error("the audit writer cannot be started: {0}")]
    Thread(io::Error),
}

/// Takes events without ever waiting. Cheap to clone.
///
/// INVARIANT: no event is lost without being counted, and a `dropped` event says so in the log itself. Calls are not
/// held up by a slow log: an attacker who can slow the log down must not be able to stop the service.
#[derive(Debug, Clone)]
pub struct AuditSink {
    queue: SyncSender<Message>,
    /// The bytes of callers' words that wait.
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Event(AuditEvent),
    Flush(SyncSender<()>),
}

impl AuditSink {
    /// Opens the output and starts its writer, which ends with the last clone.
    ///
    /// # Errors
    /// When the file cannot be opened or the system gives no thread.
    pub fn open(output: &AuditOutput) -> Result<Self, AuditError> {
        match output {
            AuditOutput::Stdout => Self::to_writer(io::stdout(), CAPACITY),
            AuditOutput::File(path) => {
                let mut options = OpenOptions::new();
                options.append(true).create(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let file =
                    options.open(path).map_err(|source| AuditError::Open { path: path.clone(), source })?;
                Self::to_writer(file, CAPACITY)
            }
        }
    }

    /// Writes to anything, with room for `capacity` events.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn to_writer(output: impl Write + Send + 'static, capacity: usize) -> Result<Self, AuditError> {
        let (queue, messages) = sync_channel(capacity);
        let dropped = Arc::new(AtomicU64::new(0));
        let waiting = Arc::<AtomicUsize>::default();
        let writer = Writer {
            output: BufWriter::new(output),
            messages,
            waiting: Arc::clone(&waiting),
            dropped: Arc::clone(&dropped),
            reported: 0,
            failing: false,
        };
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())
            .map_err(AuditError::Thread)?;
        Ok(Self { queue, waiting, dropped })
    }

    /// Records a decision. To be called before any byte moves on.
    pub fn authorization(&self, event: AuthorizationEvent) {
        self.record(AuditEvent::Authorization(Box::new(event)));
    }

    /// Records what authentication did.
    pub fn authentication(&self, event: AuthenticationEvent) {
        self.record(AuditEvent::Authentication(Box::new(event)));
    }

    /// Records an event.
    pub fn record(&self, event: AuditEvent) {
        let words = words(&event);
        let fits = self.waiting.fetch_add(words, Ordering::Relaxed).saturating_add(words) <= MOST_BYTES;
        if !fits || self.queue.try_send(Message::Event(event)).is_err() {
            self.waiting.fetch_sub(words, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many events were lost since the start. For the metric `audit_events_dropped_total`.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything that was recorded before is written, at most for `deadline`; for the end of the process.
    /// Returns false if that took longer.
    #[must_use]
    pub fn flush(&self, deadline: Duration) -> bool {
        let (written, done) = sync_channel(1);
        let until = std::time::Instant::now() + deadline;
        let mut message = Message::Flush(written);
        loop {
            match self.queue.try_send(message) {
                Ok(()) => {
                    return done
                        .recv_timeout(until.saturating_duration_since(std::time::Instant::now()))
                        .is_ok();
                }
                Err(TrySendError::Full(back)) if std::time::Instant::now() < until => {
                    message = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return false,
            }
        }
    }
}

struct Writer<W: Write> {
    output: BufWriter<W>,
    messages: Receiver<Message>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
    reported: u64,
    failing: bool,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        while let Ok(message) = self.messages.recv() {
            self.take(message);
            // Everything that is there is written in one go, and nothing waits in the buffer for the next event.
            while let Ok(message) = self.messages.try_recv() {
                self.take(message);
            }
            self.report_dropped();
            self.flush();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Event(event) => {
                self.waiting.fetch_sub(words(&event), Ordering::Relaxed);
                if !self.write(&event) {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Flush(written) => {
                self.report_dropped();
                self.flush();
                // Who asked may have stopped waiting.
                let _sent = written.try_send(());
            }
        }
    }

    fn report_dropped(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > self.reported {
            let event = AuditEvent::Dropped { time: SystemTime::now(), count: dropped - self.reported };
            if self.write(&event) {
                self.reported = dropped;
            }
        }
    }

    fn write(&mut self, event: &AuditEvent) -> bool {
        let Ok(line) = serde_json::to_string(event) else { return false };
        let result = self.output.write_all(one_line(line).as_bytes());
        self.note(&result);
        result.is_ok()
    }

    fn flush(&mut self) {
        let result = self.output.flush();
        self.note(&result);
    }

    /// Said once when it starts, not for every line.
    fn note(&mut self, result: &io::Result<()>) {
        if let (Err(error), false) = (result, self.failing) {
            tracing::error!(%error, "audit events cannot be written");
        }
        self.failing = result.is_err();
    }
}

/// How many bytes of an event a caller chose.
fn words(event: &AuditEvent) -> usize {
    let length = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
    match event {
        AuditEvent::Authorization(event) => {
            length(&event.call.method) + length(&event.call.path) + length(&event.call.host)
        }
        AuditEvent::Authentication(_) | AuditEvent::Dropped { .. } => 0,
    }
}

/// JSON escapes the control characters of ASCII; those after it, and Unicode's line breaks, could still speak to a
/// terminal or break a line (C5).
fn one_line(mut line: String) -> String {
    let unsafe_character =
        |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    if line.contains(unsafe_character) {
        line = line.chars().fold(String::with_capacity(line.len() + 16), |mut text, character| {
            if unsafe_character(character) {
                text.push_str(&format!("\\u{:04x}", u32::from(character)));
            } else {
                text.push(character);
            }
            text
        });
    }
    line.push('\n');
    line
}
