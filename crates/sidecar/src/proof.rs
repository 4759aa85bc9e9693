//! Proof that the capture is in force, without privileges.
//!
//! ```text
//!  output: sidecar --connect--> reserved address --redirected?--> own outbound listener --answer--> sidecar
//!  input:  kubelet --GET /ready--> port where nothing listens --redirected?--> own inbound listener --readiness-->
//! ```
//!
//! Where a redirection is missing, the reserved address answers nobody, and the kubelet's probe is refused: the pod is
//! not Ready in either case.

mod input;
mod output;

pub(crate) use self::input::serve_readiness;
pub(crate) use self::output::{answer, is_proof};
