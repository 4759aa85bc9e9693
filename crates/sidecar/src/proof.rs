//! Proof that the capture is in force, without privileges.
//!
//! ```text
//!  output: sidecar --nonce--> reserved address --redirected?--> own outbound listener: seen
//!  input:  kubelet --GET /ready--> port where nothing listens --redirected?--> own inbound listener --readiness-->
//! ```
//!
//! Where a redirection is missing, the nonce never arrives, and the kubelet's probe is refused: the pod is not Ready in
//! either case.

mod input;
mod output;

pub(crate) use self::input::serve_readiness;
pub(crate) use self::output::{OutputProof, Prover, answer, is_proof};
