//! Who a token speaks for.

use std::net::IpAddr;
use std::sync::Arc;

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

/// Why a token proves nobody.
#[derive(Debug)]
pub(crate) struct Unproven {
    pub(crate) code: Code,
    /// One word, for events and metrics.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Prover {
    /// The workload that a token speaks for, shown by a peer at this address.
    pub(crate) async fn workload(&self, token: &[u8], peer: IpAddr) -> Result<WorkloadKey, Unproven> {
        match self {
            Self::Files(tokens) => {
                let _any = peer;
                tokens.verify(token, Moment::now()).map_err(|refusal| Unproven {
                    code: Code::Unauthenticated,
                    reason: refusal.as_str(),
                    message: refusal.to_string(),
                })
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(reviewer) => reviewer.workload(token, peer).await,
        }
    }
}
