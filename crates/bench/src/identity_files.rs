//! Certificates of the operator's own root, as files: for the load client and for Envoy.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bailiwick_ca::{Authority, write_bundle_pem};
use bailiwick_identity::{SpiffeId, TrustDomain};

use crate::error::{BenchError, Tried as _};
use crate::process::write;
use crate::world::TRUST_DOMAIN;

const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A certificate, its key, and the roots that its holder believes.
#[derive(Debug, Clone)]
pub(crate) struct IdentityFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) roots: PathBuf,
}

/// Issues for one identity from the root in an operator's state folder.
pub(crate) fn issue(
    state: &Path,
    identity: &str,
    folder: &Path,
    name: &str,
) -> Result<IdentityFiles, BenchError> {
    let domain: TrustDomain = TRUST_DOMAIN.parse().map_err(named)?;
    let id: SpiffeId = identity.parse().map_err(named)?;
    let now = SystemTime::now();
    let authority = Authority::open(state, &domain, now)?;
    let own = authority.issue_own(&id, LIFETIME, now)?;
    let path = |kind: &str| folder.join(format!("{name}-{kind}.pem"));
    let files = IdentityFiles { certificate: path("certificate"), key: path("key"), roots: path("roots") };
    let chain = own.issued.chain.into_iter().map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der)));
    write(&files.certificate, &chain.collect::<String>())?;
    // The folder is a temporary one that only this user may enter.
    write(&files.key, &pem::encode(&pem::Pem::new("PRIVATE KEY", own.key.secret_pkcs8_der())))?;
    let roots = write_bundle_pem(&files.roots, &authority.bundle());
    roots.map_err(std::io::Error::other).tried("the roots")?;
    Ok(files)
}

fn named(error: impl ToString) -> BenchError {
    BenchError::Name(error.to_string())
}
