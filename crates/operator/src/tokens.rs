//! One short-lived token file a workload: what a sidecar on this machine shows for its first certificate.
//!
//! The operator keeps only SHA-256 of each token, in memory: a restart makes every token void and writes new ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bailiwick_policy::WorkloadKey;
use bailiwick_wire::Digest;
use rand::TryRngCore as _;
use rand::rngs::OsRng;

use crate::files::{self, Durability};
use crate::state::{StateFolderError, private_folder};

/// How long a token is good for.
pub(crate) const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How old a token may be when its file is written anew: whoever reads a file has six minutes at least.
const RENEW_AFTER: Duration = Duration::from_secs(4 * 60);
/// A step back of the wall clock that is a correction and no reason to void tokens.
const CLOCK_CORRECTION: Duration = Duration::from_secs(30);
/// 256 bits.
const TOKEN_BYTES: usize = 32;
/// A longer text is none of ours, and is not hashed.
const LONGEST: usize = 1024;

/// Why a token proves nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenRefusal {
    #[error("no token was given")]
    Empty,
    #[error("the token is longer than any token of this operator")]
    TooLong,
    #[error("the token is not one of this operator's, or its workload is gone")]
    Unknown,
    #[error("the token has expired; read the token file again")]
    Expired,
}

impl TokenRefusal {
    /// The word used in audit events and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "token-empty",
            Self::TooLong => "token-too-long",
            Self::Unknown => "token-unknown",
            Self::Expired => "token-expired",
        }
    }
}

/// A moment on both clocks: one that sees a suspended machine, and one that nobody can set back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) wall: SystemTime,
    pub(crate) steady: Instant,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }

    /// True if `age` has passed since `start` on either clock, or the wall clock was set back behind it.
    ///
    /// FAIL-CLOSED: where the clocks disagree, the one that says "expired" is believed.
    fn is_past(self, start: Self, age: Duration) -> bool {
        let wall = match self.wall.duration_since(start.wall) {
            Ok(passed) => passed >= age,
            Err(set_back) => set_back.duration() > CLOCK_CORRECTION,
        };
        wall || self.steady.saturating_duration_since(start.steady) >= age
    }
}

/// The tokens that are good now.
#[derive(Debug)]
pub(crate) struct Tokens {
    folder: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    // Looked up by digest, so how long a comparison takes says nothing about a token.
    by_digest: HashMap<Digest, (WorkloadKey, Moment)>,
    /// When the file of each workload was last written.
    written: BTreeMap<WorkloadKey, Moment>,
}

impl Tokens {
    /// Takes over the folder (0700). Files of an earlier run are removed: their tokens are void.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, StateFolderError> {
        private_folder(&folder)?;
        let failed = |source| StateFolderError::Folder { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "token" || extension == "new") {
                files::remove(&path).map_err(failed)?;
            }
        }
        Ok(Self { folder, known: Mutex::default() })
    }

    /// Brings the files in line with the workloads that are there: new ones get a token, old tokens are replaced,
    /// and a workload that is gone loses its tokens at once. Returns what could not be written.
    pub(crate) fn sync(
        &self,
        workloads: &BTreeSet<WorkloadKey>,
        now: Moment,
    ) -> Vec<(WorkloadKey, io::Error)> {
        let mut known = self.lock();
        let mut failed = Vec::new();
        let known = &mut *known;
        known
            .by_digest
            .retain(|_, (workload, start)| workloads.contains(workload) && !now.is_past(*start, LIFETIME));
        known.written.retain(|workload, _| {
            let keep = workloads.contains(workload);
            if !keep && let Err(error) = files::remove(&self.folder.join(file_name(workload))) {
                failed.push((workload.clone(), error));
            }
            keep
        });
        for workload in workloads {
            let fresh = |start: &Moment| !now.is_past(*start, RENEW_AFTER);
            if known.written.get(workload).is_some_and(fresh) {
                continue;
            }
            match self.write(known, workload, now) {
                Ok(()) => drop(known.written.insert(workload.clone(), now)),
                Err(error) => failed.push((workload.clone(), error)),
            }
        }
        failed
    }

    fn write(&self, known: &mut Known, workload: &WorkloadKey, now: Moment) -> io::Result<()> {
        let mut random = [0_u8; TOKEN_BYTES];
        OsRng.try_fill_bytes(&mut random).map_err(io::Error::other)?;
        let token = base64url(&random);
        let digest = Digest::of(token.as_bytes());
        // Known before it can be read: whoever reads the new file is believed at once.
        known.by_digest.insert(digest, (workload.clone(), now));
        let path = self.folder.join(file_name(workload));
        let written = files::replace(&path, token.as_bytes(), files::PRIVATE, Durability::Atomic);
        if written.is_err() {
            known.by_digest.remove(&digest);
        }
        written
    }

    /// The workload that a token speaks for.
    pub(crate) fn verify(&self, token: &[u8], now: Moment) -> Result<WorkloadKey, TokenRefusal> {
        let token = token.trim_ascii();
        if token.is_empty() {
            return Err(TokenRefusal::Empty);
        }
        if token.len() > LONGEST {
            return Err(TokenRefusal::TooLong);
        }
        let known = self.lock();
        let (workload, start) = known.by_digest.get(&Digest::of(token)).ok_or(TokenRefusal::Unknown)?;
        if now.is_past(*start, LIFETIME) {
            return Err(TokenRefusal::Expired);
        }
        Ok(workload.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A namespace has no dot, so the name is unambiguous.
pub(crate) fn file_name(workload: &WorkloadKey) -> String {
    format!("{}.{}.token", workload.namespace, workload.name)
}

/// Base64 for URLs without padding (RFC 4648, section 5).
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            let index = usize::try_from((bits >> (18 - 6 * place)) & 63).unwrap_or_default();
            text.push(ALPHABET.get(index).copied().map_or('A', char::from));
        }
    }
    text
}

#[cfg(test)]
mod tests;
