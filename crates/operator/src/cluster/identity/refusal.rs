//! Everything that can keep a pod from its certificate, and what its sidecar is told.

use std::time::Duration;

use bailiwick_identity::Namespace;
use bailiwick_pod::names::{INJECT_ENABLED, INJECT_LABEL};
use bailiwick_policy::WorkloadKey;
use tonic::Code;

use super::api::ApiError;
use super::pod::PodRefusal;
use super::token::TokenRefusal;
use crate::identity::Unproven;

/// Why nobody is proven.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    #[error(transparent)]
    Pod(#[from] PodRefusal),
    #[error("namespace `{namespace}` is not labelled `{INJECT_LABEL}: {INJECT_ENABLED}`")]
    NotEnrolled { namespace: Namespace },
    #[error("pods of this service account are exempt from injection, and have no identity")]
    Exempt,
    #[error("the service account is gone")]
    AccountGone,
    #[error("the service account was made anew since the token was issued; restart the pod")]
    OtherAccount,
    #[error("the service account's name is too long for an identity")]
    NoIdentity,
    #[error("too many tokens are shown; try again in {} ms", .wait.as_millis())]
    Busy { wait: Duration },
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Refusal {
    const fn code(&self) -> Code {
        match self {
            Self::Token(_) | Self::AccountGone | Self::OtherAccount => Code::Unauthenticated,
            // Nothing is wrong: it is only too early.
            Self::Pod(PodRefusal::NoAddressYet) | Self::Api(_) => Code::Unavailable,
            Self::Pod(_) | Self::NotEnrolled { .. } | Self::Exempt | Self::NoIdentity => {
                Code::PermissionDenied
            }
            Self::Busy { .. } => Code::ResourceExhausted,
        }
    }

    const fn reason(&self) -> &'static str {
        match self {
            Self::Token(token) => token.reason(),
            Self::Pod(pod) => pod.reason(),
            Self::NotEnrolled { .. } => "namespace-not-enrolled",
            Self::Exempt => "pod-exempt",
            Self::AccountGone => "account-gone",
            Self::OtherAccount => "account-other-uid",
            Self::NoIdentity => "account-name",
            Self::Busy { .. } => "rate",
            Self::Api(_) => "api-unavailable",
        }
    }

    /// True if an administrator should see it beside the pod. What passes by itself is not told.
    pub(super) const fn is_for_people(&self) -> bool {
        !matches!(self.code(), Code::Unavailable | Code::ResourceExhausted)
    }

    pub(super) fn into_unproven(self, pod: Option<WorkloadKey>) -> Unproven {
        let wait = match &self {
            Self::Busy { wait } => Some(*wait),
            Self::Token(_)
            | Self::Pod(_)
            | Self::NotEnrolled { .. }
            | Self::Exempt
            | Self::AccountGone
            | Self::OtherAccount
            | Self::NoIdentity
            | Self::Api(_) => None,
        };
        Unproven { code: self.code(), reason: self.reason(), message: self.to_string(), wait, workload: pod }
    }
}
