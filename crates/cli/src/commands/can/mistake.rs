//! Arguments that name nothing, or more than one thing.

use bailiwick_identity::{Port, SpiffeIdError};

/// Why the question cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mistake {
    #[error("`{path}` is not there")]
    NoFolder { path: String },
    #[error("`{text}` is not a workload")]
    NotAWorkload { text: String, meant: Option<String> },
    #[error("unknown workload `{text}`")]
    UnknownWorkload { text: String, meant: Option<String> },
    #[error("`{text}` is a Service, and calls are decided by the workloads behind it")]
    Service { text: String, workloads: Vec<String> },
    #[error(transparent)]
    SpiffeId(#[from] SpiffeIdError),
    #[error("workload `{workload}` has no container port")]
    NoPort { workload: String },
    #[error("workload `{workload}` has no port `{port}`")]
    UnknownPort { workload: String, port: String, known: Vec<String> },
    #[error("the call names port {to} after the workload and port {path} as its path")]
    TwoPorts { to: Port, path: Port },
    #[error("`{text}` is not a port")]
    NotAPort { text: String },
    #[error("`{text}` is not a gRPC method")]
    NotGrpc { text: String },
    #[error("`{text}` is not a header")]
    NotAHeader { text: String },
    #[error("a TCP connection has no headers")]
    HeaderOfTcp,
}

impl Mistake {
    /// True if a document that could not be read may be what is missing.
    pub(crate) const fn is_about_the_world(&self) -> bool {
        matches!(
            self,
            Self::UnknownWorkload { .. }
                | Self::Service { .. }
                | Self::NoPort { .. }
                | Self::UnknownPort { .. }
        )
    }

    /// What to do.
    pub(crate) fn help(&self) -> Option<String> {
        let did_you_mean =
            |meant: &Option<String>| meant.as_ref().map(|meant| format!("did you mean `{meant}`?"));
        match self {
            Self::NoFolder { .. } | Self::SpiffeId(_) | Self::HeaderOfTcp => None,
            Self::NotAWorkload { meant, .. } => {
                did_you_mean(meant).or_else(|| Some("write `namespace/workload`".to_owned()))
            }
            Self::UnknownWorkload { meant, .. } => did_you_mean(meant)
                .or_else(|| Some("`bailiwick validate` counts the workloads that it finds".to_owned())),
            Self::Service { workloads, .. } => match workloads.as_slice() {
                [] => Some("it selects no workload".to_owned()),
                [one] => Some(format!("did you mean `{one}`?")),
                many => Some(format!("ask about one of {}", many.join(", "))),
            },
            Self::NoPort { workload } => Some(format!("say which, as in `{workload}:8080`")),
            Self::UnknownPort { known, .. } if known.is_empty() => None,
            Self::UnknownPort { known, .. } => Some(format!("it has {}", known.join(", "))),
            Self::TwoPorts { .. } => Some("leave out the one after the workload".to_owned()),
            Self::NotAPort { .. } => Some("use a number from 1 to 65535".to_owned()),
            Self::NotGrpc { .. } => Some("write `package.Service/Method`".to_owned()),
            Self::NotAHeader { .. } => Some("write `name:value`".to_owned()),
        }
    }
}
