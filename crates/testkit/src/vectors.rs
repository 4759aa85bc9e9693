//! One corpus of examples, many engines.
//!
//! A vector is a world (the YAML that would be applied) and calls with what becomes of them. The corpus is the blocks
//! marked `yaml vector` of docs/policy-semantics.md, which is normative, and the files of tests/vectors. An engine is a
//! function from an [`Asked`] call to what it [`Observed`]; [`run`] gives it every call and lists the differences.
//!
//! ```text
//!  docs/policy-semantics.md ─┐                      ┌─ engine::policy   Snapshot + authorize, and explain beside it
//!  tests/vectors/*.yaml ─────┴─ load ─ Vector ─ run ┼─ engine::wire     encode, decode, assemble, then the same
//!                                                   └─ a closure of the sidecar's tests, of the CLI's
//! ```

#![expect(clippy::panic, reason = "test code: a failure is the report")]

mod ask;
mod corpus;
pub mod engine;

use std::net::IpAddr;

use bailiwick_compile::{Compiled, World};
use bailiwick_policy::Timestamp;

pub use ask::{Asked, Request};
pub use corpus::load;

/// A world and calls with what becomes of them.
#[derive(Debug, Clone)]
pub struct Vector {
    /// What it shows.
    pub name: String,
    /// The file that it stands in, from the root of the workspace.
    pub file: String,
    /// The YAML that would be applied.
    pub world: String,
    /// The calls.
    pub calls: Vec<VectorCall>,
}

/// A call and what becomes of it.
#[derive(Debug, Clone)]
pub struct VectorCall {
    /// `namespace/workload`, a SPIFFE ID, or `anonymous`.
    pub from: String,
    /// An HTTP method, `grpc` or `tcp`.
    pub method: String,
    /// `namespace/workload[:port]`.
    pub to: String,
    /// The request target; of `grpc` `package.Service/Method`, of `tcp` the container port.
    pub path: String,
    /// `Host`; `name.namespace` of the called workload if it is not given.
    pub host: Option<String>,
    /// `Content-Type`; that of gRPC for `grpc` if it is not given.
    pub content_type: Option<String>,
    /// The caller's address; 127.0.0.1 if it is not given.
    pub ip: Option<IpAddr>,
    /// The time; 2026-06-01 if it is not given. An engine on the real clock skips the calls that give one.
    pub now: Option<Timestamp>,
    /// What becomes of it.
    pub expect: Expect,
    /// The first deciding rule: `Kind namespace/name rule`, `Kind name rule`, `Kind namespace/name` of an object that
    /// does not compile, or `default`. `None` is not compared.
    pub rule: Option<String>,
    /// What would become of it with nothing in audit. `None` is not compared.
    pub would_be: Option<Expect>,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Expect {
    /// It is forwarded.
    Allow,
    /// 403, `PERMISSION_DENIED`, or the connection is closed.
    Deny,
    /// 401, `UNAUTHENTICATED`, a TLS alert, or plaintext TCP that is closed.
    Unauthenticated,
    /// 400, before any policy is asked.
    Invalid,
    /// 503: an Authentication that selects the port is invalid.
    Unavailable,
}

/// What an engine saw of a call; what is `None` did not happen, or the engine cannot see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What became of it.
    pub expect: Expect,
    /// The first deciding rule, as in [`VectorCall::rule`].
    pub rule: Option<String>,
    /// What would become of it with nothing in audit.
    pub would_be: Option<Expect>,
}

impl Observed {
    /// For engines that see everything: what is `None` did not happen.
    ///
    /// # Errors
    /// When the call expects something there.
    pub fn in_full(self, call: &VectorCall) -> Result<Option<Self>, String> {
        if call.rule.is_some() && self.rule.is_none() {
            return Err(format!("no rule decided, but it is {:?}", self.expect));
        }
        if call.would_be.is_some() && self.would_be.is_none() {
            return Err(format!("it is {:?}, and nothing is in audit", self.expect));
        }
        Ok(Some(self))
    }
}

impl Vector {
    /// The world, read and compiled as the operator does at its start.
    #[must_use]
    pub fn compile(&self) -> (World, Compiled) {
        let world = bailiwick_inputs::read_bytes(&self.file, self.world.as_bytes()).world;
        let compiled = bailiwick_compile::compile(&world);
        (world, compiled)
    }
}

impl std::fmt::Display for VectorCall {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} {} {}", self.from, self.method, self.to, self.path)
    }
}

/// Gives every call of every vector to an engine; `Ok(None)` says that the engine cannot make the call.
///
/// # Panics
/// With every difference, if there is one, and when nothing at all was asked.
pub fn run(
    vectors: &[Vector],
    mut engine: impl FnMut(&Vector, &VectorCall, &Asked) -> Result<Option<Observed>, String>,
) {
    let mut differences = Vec::new();
    let mut asked = 0_usize;
    for vector in vectors {
        let (world, compiled) = vector.compile();
        for call in &vector.calls {
            let observed = Asked::new(&world, &compiled, call).and_then(|asked| engine(vector, call, &asked));
            let difference = match observed {
                Err(error) => Some(error),
                Ok(None) => None,
                Ok(Some(observed)) => {
                    asked += 1;
                    difference(call, &observed)
                }
            };
            let place = format!("{}: {}: `{call}`", vector.file, vector.name);
            differences.extend(difference.map(|difference| format!("{place}: {difference}")));
        }
    }
    assert!(asked > 0 || !differences.is_empty(), "no call was made");
    if !differences.is_empty() {
        let of = asked.max(differences.len());
        panic!("{} of {of} calls differ:\n  {}", differences.len(), differences.join("\n  "));
    }
}

fn difference(call: &VectorCall, observed: &Observed) -> Option<String> {
    let mut differences = Vec::new();
    if observed.expect != call.expect {
        differences.push(format!("expected {:?}, got {:?}", call.expect, observed.expect));
    }
    if let (Some(wanted), Some(found)) = (&call.rule, &observed.rule)
        && wanted != found
    {
        differences.push(format!("expected rule `{wanted}`, got `{found}`"));
    }
    if let (Some(wanted), Some(found)) = (call.would_be, observed.would_be)
        && wanted != found
    {
        differences.push(format!("expected would-be {wanted:?}, got {found:?}"));
    }
    (!differences.is_empty()).then(|| differences.join("; "))
}
