//! The mesh's root in a cluster: a Secret, made once by whichever replica comes first, or the user's own.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bailiwick_authn::{
    BundlePemError, ClientTls, CredentialStore, ServerTls, TrustStore, accept_control, bundle_from_pem,
    connect,
};
use bailiwick_ca::{Authority, GivenError, GivenPem, RootError, bundle_pem};
use bailiwick_identity::{SpiffeId, TrustDomain};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use tokio::time::{sleep, timeout};
use zeroize::Zeroize as _;

use super::context::{ClusterContext, OPERATOR};
use super::events::{self, Events, Reason};
use super::single;
use crate::own_certificate::{self, OwnCertificateError};

/// The Secret that the operator makes itself. One of any other name is the user's, and is only read.
pub(crate) const OWN_SECRET: &str = "bailiwick-ca";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const ROOT: &str = "ca.crt";
/// Between two attempts to reach the API server, or to find the user's Secret.
const RETRY: Duration = Duration::from_secs(2);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// A handshake in our own memory.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Why the mesh has no root. None of it is mended by another one: the operator does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error(
        "Secret `{secret}` has no key `{key}`; it needs `tls.crt`, `tls.key` and, unless `tls.crt` ends in a root, `ca.crt`"
    )]
    NoKey { secret: String, key: &'static str },
    #[error("Secret `{secret}` is refused: {source}")]
    Given { secret: String, source: GivenError },
    #[error(transparent)]
    Root(#[from] RootError),
    #[error("Secret `{secret}` is refused: sidecars would not believe what it signs: {why}")]
    NotBelieved { secret: String, why: String },
}

/// What one attempt came to.
#[derive(Debug)]
enum Attempt {
    Found(Box<Authority>),
    /// To be tried again: the reason.
    NotYet(String),
}

/// Opens the root. It waits for the API server and for the user's Secret for as long as it takes, and says so; a
/// Secret that cannot be used ends the process.
pub(super) async fn open(context: &ClusterContext, secret: &str) -> Result<Arc<Authority>, AuthorityError> {
    let api = Api::<Secret>::namespaced(context.client.clone(), context.namespace.as_str());
    let blocker = context.readiness.block(format!("Secret `{secret}` is not read yet"));
    let mut told = String::new();
    let authority = loop {
        match attempt(&api, secret, &context.trust_domain).await? {
            Attempt::Found(authority) => break authority,
            Attempt::NotYet(why) => {
                if why != told {
                    tracing::warn!("no root yet: {why}; it is tried again");
                    told = why;
                }
                sleep(RETRY).await;
            }
        }
    };
    believable(&authority, context, secret).await?;
    blocker.done();
    Ok(Arc::new(*authority))
}

async fn attempt(api: &Api<Secret>, name: &str, domain: &TrustDomain) -> Result<Attempt, AuthorityError> {
    match timeout(REQUEST, api.get_opt(name)).await {
        Err(_) => Ok(Attempt::NotYet("the API server does not answer".to_owned())),
        Ok(Err(error)) => Ok(Attempt::NotYet(error.to_string())),
        Ok(Ok(Some(secret))) => Ok(Attempt::Found(Box::new(read(name, secret, domain)?))),
        Ok(Ok(None)) if name != OWN_SECRET => Ok(Attempt::NotYet(format!("there is no Secret `{name}`"))),
        Ok(Ok(None)) => {
            let made = make(domain)?;
            // INVARIANT: created and never replaced, then read again, so of any number of replicas that come at once all
            // use the first one's.
            match timeout(REQUEST, api.create(&PostParams::default(), &made)).await {
                Ok(Ok(_)) => tracing::info!("a new root was made; back up Secret `{name}`"),
                Ok(Err(kube::Error::Api(status))) if status.code == 409 => {}
                Ok(Err(error)) => return Ok(Attempt::NotYet(error.to_string())),
                Err(_) => return Ok(Attempt::NotYet("the API server does not answer".to_owned())),
            }
            match timeout(REQUEST, api.get_opt(name)).await {
                Ok(Ok(Some(secret))) => Ok(Attempt::Found(Box::new(read(name, secret, domain)?))),
                Ok(Ok(None)) | Ok(Err(_)) | Err(_) => {
                    Ok(Attempt::NotYet("the new root is not there yet".to_owned()))
                }
            }
        }
    }
}

fn make(domain: &TrustDomain) -> Result<Secret, AuthorityError> {
    let mut made = Authority::make_pem(domain, SystemTime::now())?;
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = BTreeMap::from([
        (CERTIFICATE.to_owned(), bytes(&made.certificate)),
        (ROOT.to_owned(), bytes(&made.certificate)),
        (KEY.to_owned(), bytes(&made.key)),
    ]);
    made.key.zeroize();
    let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), OPERATOR.to_owned())]);
    let metadata =
        ObjectMeta { name: Some(OWN_SECRET.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    Ok(Secret {
        metadata,
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data),
        ..Secret::default()
    })
}

fn read(name: &str, secret: Secret, domain: &TrustDomain) -> Result<Authority, AuthorityError> {
    let mut data = secret.data.unwrap_or_default();
    let part = |key: &'static str| {
        let missing = || AuthorityError::NoKey { secret: name.to_owned(), key };
        data.get(key).map(|bytes| bytes.0.as_slice()).ok_or_else(missing)
    };
    let given = GivenPem { certificates: part(CERTIFICATE)?, key: part(KEY)?, root: part(ROOT).ok() };
    let authority = Authority::from_pem(given, domain, SystemTime::now())
        .map_err(|source| AuthorityError::Given { secret: name.to_owned(), source });
    data.values_mut().for_each(|bytes| bytes.0.zeroize());
    authority
}

/// FAIL-CLOSED: a whole handshake, from the bundle file on as a sidecar does it. What the checks of the parts forgot
/// (constraints, extensions, key kinds) shows here and not in every pod.
async fn believable(
    authority: &Authority,
    context: &ClusterContext,
    secret: &str,
) -> Result<(), AuthorityError> {
    let refused = |why: String| AuthorityError::NotBelieved { secret: secret.to_owned(), why };
    let id = own_certificate::operator_id(&context.trust_domain, context.namespace.as_str())
        .map_err(|error| refused(error.to_string()))?;
    handshake(authority, &id).await.map_err(|error| refused(error.to_string()))
}

#[derive(Debug, thiserror::Error)]
enum Unbelievable {
    #[error(transparent)]
    Bundle(#[from] BundlePemError),
    #[error(transparent)]
    Trust(#[from] bailiwick_authn::TrustError),
    #[error(transparent)]
    Certificate(#[from] OwnCertificateError),
    #[error(transparent)]
    Handshake(#[from] bailiwick_authn::AuthnError),
}

async fn handshake(authority: &Authority, id: &SpiffeId) -> Result<(), Unbelievable> {
    let bundle = bundle_from_pem(bundle_pem(&authority.bundle()).as_bytes())?;
    let trust = Arc::new(TrustStore::new(bundle)?);
    let credentials = Arc::new(CredentialStore::default());
    own_certificate::renew(authority, id, &credentials)?;
    // Both sides present the certificate, so it is verified for both purposes.
    let server = ServerTls::control(Arc::clone(&credentials), Arc::clone(&trust));
    let client = ClientTls::control(credentials, trust);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let domains = std::slice::from_ref(id.trust_domain());
    let (accepted, connected) =
        tokio::join!(accept_control(near, &server, domains, HANDSHAKE), connect(far, &client, id, HANDSHAKE));
    connected?;
    accepted?;
    Ok(())
}

/// Says so when the Secret is no longer what is signed with. It stays so until the operator is restarted: a root that is
/// replaced at once would make every running sidecar a stranger.
pub(super) async fn watch(
    context: ClusterContext,
    secret: String,
    authority: Arc<Authority>,
    events: Events,
) {
    let api = Api::<Secret>::namespaced(context.client.clone(), context.namespace.as_str());
    let about = events::core("Secret", context.namespace.as_str(), &secret);
    let mut same = true;
    single::follow(api, &secret, &context.drain, |found| {
        let problem = difference(found, &authority, &context.trust_domain);
        if let Some(problem) = &problem {
            tracing::error!(
                "Secret `{secret}` {problem}; the root of the start is used until the operator restarts"
            );
            events.warn(about.clone(), Reason::AuthorityChanged, problem);
        } else if !same {
            tracing::info!("Secret `{secret}` holds the root in use again");
        }
        same = problem.is_none();
    })
    .await;
}

fn difference(found: Option<Secret>, authority: &Authority, domain: &TrustDomain) -> Option<String> {
    let Some(secret) = found else {
        return Some(
            "was deleted: restore it from its backup, or every sidecar is a stranger after a restart"
                .to_owned(),
        );
    };
    match read("", secret, domain) {
        Ok(other) if other.root_der() == authority.root_der() => None,
        Ok(_) => {
            Some("was replaced by another root: restore it, or restart all operators and all pods".to_owned())
        }
        Err(error) => Some(format!("was changed and cannot be used: {error}")),
    }
}
