//! What every enforcement point shares: its certificate's renewal, the configuration that it enforces, where calls
//! lead, audit events, and reports of denials.
//!
//! The agent talks to the operator and to nobody else. It must never decide a call, make a subject, write a key to
//! disk, put a credential into an event, or give up the last good state because something newer is bad or absent.
//!
//! ```text
//!  token file, bundle.pem --> Renewal -----Issue-----> operator (Identity)
//!                               |-> CredentialStore
//!  ConfigStream <--headers, chunks, bundles-- operator (Configuration)
//!     |-> TrustStore     |-> ConfigStore --(every data-plane thread confirms)--> ack
//!  Destinations <--answers-- operator (Destinations)          AuditSink --> one JSON line an event
//!  Reports --denials--> operator (Reports)
//! ```

pub mod audit;
mod backoff;
mod channel;
mod clock;
mod destinations;
mod renew;
mod reports;
mod store;
mod stream;

pub use channel::{DialError, Dialer};
pub use destinations::{Destinations, DestinationsTask, LookupError, Subscription};
pub use renew::{Renewal, RenewalError, RenewalSettings};
pub use reports::{Reports, ReportsTask};
pub use store::{Active, Advanced, Applier, Candidate, ConfigStore, OlderSnapshot};
pub use stream::{ConfigStream, StreamSettings};
