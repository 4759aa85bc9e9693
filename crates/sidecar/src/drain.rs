//! How HTTP/1 connections end on a drain without losing a call: for the time of the grace every answer says
//! `connection: close`, and only then are idle connections closed. Closing an idle one at once would lose the request
//! that its client is just sending (RFC 9112, section 9.5).

use std::time::Duration;

use bailiwick_runtime::drain::Watch;
use http::header::CONNECTION;
use http::{HeaderValue, Response, StatusCode, Version};

/// Waits until the drain has begun and callers have had the time of the grace to learn of it, or until nothing new is
/// taken anyway.
pub(crate) async fn over(watch: &Watch, grace: Duration) {
    let learned = async {
        watch.signaled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        () = learned => {}
        () = watch.last_called() => {}
    }
}

/// Waits until the client of an HTTP/2 connection is to be sent elsewhere: when the drain begins. A connection that was
/// made after that has the time of the grace, since its client does not know better: ended during its handshake it would
/// serve nothing at all.
pub(crate) fn going_away(watch: &Watch, grace: Duration) -> impl Future<Output = ()> + Send + use<'_> {
    let late = watch.is_draining();
    async move {
        watch.signaled().await;
        if late {
            tokio::time::sleep(grace).await;
        }
    }
}

/// During a drain, tells the client of an HTTP/1 connection that this answer is the last on it.
pub(crate) fn announce<B>(watch: &Watch, response: &mut Response<B>) {
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if watch.is_draining() && !upgraded && response.version() != Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_runtime::drain::Drain;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_answer_says_so_and_idle_connections_live_through_the_grace() {
        let drain = Drain::new();
        let watch = drain.watch();
        let mut before = Response::new(());
        announce(&watch, &mut before);
        assert!(!before.headers().contains_key(CONNECTION));
        drain.signal();
        let begun = tokio::time::Instant::now();
        over(&watch, Duration::from_secs(1)).await;
        assert!(begun.elapsed() >= Duration::from_secs(1));
        drain.last_call();
        over(&watch, Duration::from_secs(1)).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "the last call ends what is idle at once");
        let mut after = Response::new(());
        announce(&watch, &mut after);
        assert_eq!(after.headers()[CONNECTION], "close");
        let mut upgraded = Response::builder().status(101).body(()).unwrap();
        announce(&watch, &mut upgraded);
        assert!(!upgraded.headers().contains_key(CONNECTION));
    }
}
