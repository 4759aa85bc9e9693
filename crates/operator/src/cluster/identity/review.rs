//! What a TokenReview came to.

use std::collections::BTreeMap;

use bailiwick_identity::ServiceAccount;
use bailiwick_pod::names::TOKEN_AUDIENCE;
use bailiwick_policy::WorkloadKey;
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

use super::token::TokenRefusal;

const USERNAME: &str = "system:serviceaccount:";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// What the API server says is cut: it may repeat what a stranger wrote.
const LONGEST_SAYING: usize = 256;

/// Whom the API server says a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) pod: WorkloadKey,
    pub(super) pod_uid: String,
    pub(super) service_account: ServiceAccount,
    pub(super) service_account_uid: String,
    /// The node that the kubelet asked from; API servers before 1.32 do not say it.
    pub(super) node: Option<String>,
}

impl Bound {
    /// Reads the answer.
    ///
    /// FAIL-CLOSED: authenticated is not enough. An API server that does not know audiences answers without them, and
    /// the same answer is given for nodes and people.
    pub(super) fn read(status: &TokenReviewStatus) -> Result<Self, TokenRefusal> {
        if status.authenticated != Some(true) {
            let said = status.error.as_deref().unwrap_or("it is not authenticated");
            return Err(TokenRefusal::NotAuthenticated { said: cut(said) });
        }
        if !matches!(status.audiences.as_deref(), Some([one]) if one == TOKEN_AUDIENCE) {
            return Err(TokenRefusal::Audience);
        }
        let nobody = UserInfo::default();
        let user = status.user.as_ref().unwrap_or(&nobody);
        let username = user.username.as_deref().unwrap_or_default();
        let refused = || TokenRefusal::Username { username: cut(username) };
        let parts = username.strip_prefix(USERNAME).and_then(|rest| rest.split_once(':'));
        let (namespace, account) = parts.ok_or_else(refused)?;
        let namespace = namespace.parse().map_err(|_| refused())?;
        let service_account = account.parse().map_err(|_| refused())?;
        let extra = user.extra.as_ref();
        let name = one(extra, POD_NAME).and_then(|name| name.parse().ok());
        let uid = one(extra, POD_UID);
        let (Some(name), Some(pod_uid)) = (name, uid) else { return Err(TokenRefusal::NotPodBound) };
        let uid = user.uid.clone().filter(|uid| !uid.is_empty());
        Ok(Self {
            pod: WorkloadKey { namespace, name },
            pod_uid: pod_uid.to_owned(),
            service_account,
            service_account_uid: uid.ok_or(TokenRefusal::NoAccountUid)?,
            node: one(extra, NODE_NAME).map(str::to_owned),
        })
    }
}

/// Exactly one value, and not an empty one.
fn one<'a>(extra: Option<&'a BTreeMap<String, Vec<String>>>, key: &str) -> Option<&'a str> {
    match extra?.get(key)?.as_slice() {
        [one] if !one.is_empty() => Some(one),
        _ => None,
    }
}

fn cut(text: &str) -> String {
    text.escape_debug().take(LONGEST_SAYING).collect()
}
