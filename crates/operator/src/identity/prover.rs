//! Who a token speaks for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_identity::SpiffeId;
use bailiwick_policy::WorkloadKey;
use tonic::Code;

use crate::tokens::{Moment, Tokens};

/// What believes tokens.
#[derive(Debug)]
pub(crate) enum Prover {
    /// The files that this operator wrote.
    Files(Arc<Tokens>),
    /// The API server, asked about each token.
    #[cfg(feature = "cluster")]
    Cluster(Arc<crate::cluster::Reviewer>),
}

/// Who a token speaks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    pub(crate) workload: WorkloadKey,
    /// Its identity, where the proof says it; else it is that of the workload's service account as published.
    pub(crate) identity: Option<SpiffeId>,
}

/// Why a token proves nobody.
#[derive(Debug)]
pub(crate) struct Unproven {
    pub(crate) code: Code,
    /// One word, for events and metrics.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// When to come again.
    pub(crate) wait: Option<Duration>,
    /// The workload that the token speaks for, where it is known and refused all the same.
    pub(crate) workload: Option<WorkloadKey>,
}

impl Prover {
    /// Who a token speaks for, shown by a peer at this address.
    #[cfg_attr(
        not(feature = "cluster"),
        expect(unused_variables, reason = "a token file says nothing of addresses")
    )]
    pub(crate) async fn prove(&self, token: &[u8], peer: IpAddr) -> Result<Proven, Unproven> {
        match self {
            Self::Files(tokens) => match tokens.verify(token, Moment::now()) {
                Ok(workload) => Ok(Proven { workload, identity: None }),
                Err(refusal) => Err(Unproven {
                    code: Code::Unauthenticated,
                    reason: refusal.as_str(),
                    message: refusal.to_string(),
                    wait: None,
                    workload: None,
                }),
            },
            #[cfg(feature = "cluster")]
            Self::Cluster(reviewer) => reviewer.prove(token, peer).await,
        }
    }
}
