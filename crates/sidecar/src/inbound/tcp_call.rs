//! A TCP connection is one call: decided when it opens, decided again while it lives.

use std::sync::Arc;

use bailiwick_policy::{Call, Decision};
use http::HeaderMap;

use crate::clock::now;
use crate::inbound::caller::Caller;
use crate::inbound::protocol::Stream;
use crate::inbound::record;
use crate::inbound::tcp::{Ended, relay};

/// Serves a connection as opaque bytes. A refusal closes it before a byte reaches the application.
pub(crate) async fn serve(stream: Box<dyn Stream>, caller: &Arc<Caller>) {
    let shared = &caller.worker.shared;
    // INVARIANT: registered first, then decided with the configuration of that moment, and authenticated by the same.
    let (active, subject, registration) = loop {
        let Some(active) = shared.config.current() else { return };
        let trust = active.trust.port(caller.port);
        let subject = match bailiwick_authn::request(&caller.connection, &HeaderMap::new(), trust) {
            Ok(subject) => Arc::new(subject),
            Err(refused) => return record::refused_authentication(caller, &refused),
        };
        let opening = caller.attributes(Call::Tcp, now()).to_owned();
        let registration = caller.worker.sessions.register(Arc::clone(&subject), opening, caller.id);
        if shared.config.current().is_some_and(|now| now.generation() == active.generation()) {
            break (active, subject, registration);
        }
    };
    if let Some(would_be) = bailiwick_authn::would_refuse(&subject, active.trust.port(caller.port)) {
        record::would_be_unauthenticated(caller, &would_be);
    }
    let decision = caller.decide(&active.snapshot, &subject, &caller.attributes(Call::Tcp, now()));
    record::decision(caller, &subject, &decision, None);
    let Decision::Permit(permit) = decision else { return };
    let application = match caller.upstream.connect().await {
        Ok(application) => application,
        Err(error) => return tracing::info!(connection = %caller.id, %error, "a TCP call was not served"),
    };
    // One decision, one call.
    drop(permit);
    let refuse_http = active.snapshot.has_http_deny(caller.port);
    match relay(stream, application, registration.cut(), refuse_http).await {
        Ok(Ended::HttpOnTcp) => record::http_on_tcp(caller),
        Ok(ended @ (Ended::Finished | Ended::Cut)) => {
            tracing::debug!(connection = %caller.id, ?ended, "a TCP call ended");
        }
        Err(error) => tracing::debug!(connection = %caller.id, %error, "a TCP call broke"),
    }
}
