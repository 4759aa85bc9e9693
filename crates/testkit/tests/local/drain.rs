//! A sidecar that is asked to end: nobody's call is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::application::SLOW;
use crate::member::Member;
use crate::world::World;

/// How calls went.
#[derive(Debug, Default)]
struct Tally {
    served: usize,
    /// Of those, sent after the sidecar was asked to end.
    served_after: usize,
    /// Sent, and not answered with 200.
    lost: Vec<String>,
}

impl Tally {
    fn served(&mut self, ended: bool) {
        self.served += 1;
        self.served_after += usize::from(ended);
    }

    fn lost(&mut self, ended: bool, what: impl std::fmt::Debug) {
        let when = if ended { "after" } else { "before" };
        self.lost.push(format!("{when} the signal: {what:?}"));
    }
}

/// One caller: who, where, what, and until when.
#[derive(Clone)]
struct Caller {
    member: Member,
    address: SocketAddr,
    path: &'static str,
    ending: Arc<AtomicBool>,
}

impl Caller {
    fn ended(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// HTTP/1.1, until no new connection is taken.
    async fn http1(self) -> Tally {
        let mut tally = Tally::default();
        while let Ok(mut mesh) = self.member.connect(self.address, "orders").await {
            loop {
                let ended = self.ended();
                match mesh.call("GET", self.path).await {
                    Ok(answer) if answer.status == 200 => {
                        tally.served(ended);
                        if answer.closes() {
                            break;
                        }
                    }
                    Ok(answer) => tally.lost(ended, answer),
                    Err(error) => {
                        tally.lost(ended, error);
                        break;
                    }
                }
            }
        }
        tally
    }

    /// HTTP/2: a call that was never taken is not lost.
    async fn http2(self) -> Tally {
        let mut tally = Tally::default();
        while let Ok(mesh) = self.member.connect(self.address, "orders").await {
            let Ok((mut sender, connection)) =
                handshake(TokioExecutor::new(), TokioIo::new(mesh.stream)).await
            else {
                continue;
            };
            tokio::spawn(connection);
            while sender.ready().await.is_ok() {
                let ended = self.ended();
                let request = Request::get(format!("http://orders{}", self.path));
                match sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await {
                    Ok(answer) if answer.status() == 200 => match answer.into_body().collect().await {
                        Ok(_) => tally.served(ended),
                        Err(error) => tally.lost(ended, error),
                    },
                    Ok(answer) => tally.lost(ended, answer.status()),
                    // Never taken, and the server says so (RFC 9113, section 6.8): it may be made elsewhere.
                    Err(error) if error.is_canceled() || is_go_away(&error) => break,
                    Err(error) => {
                        tally.lost(ended, error);
                        break;
                    }
                }
            }
        }
        tally
    }
}

fn is_go_away(error: &hyper::Error) -> bool {
    format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_no_call() {
    let world = World::new();
    let _operator = world.operator().await;
    let application = world.application("orders").await;
    let mut sidecar = world.sidecar("orders").await;
    let (member, address) = (Member::enrol(&world, "web").await, world.place("orders").inbound);
    let ending = Arc::<AtomicBool>::default();
    let caller = |path| Caller { member: member.clone(), address, path, ending: Arc::clone(&ending) };
    let mut callers = Vec::new();
    for _ in 0..4 {
        callers.push(("HTTP/1.1", tokio::spawn(caller("/orders/1").http1())));
        // In flight at whatever moment the signal comes.
        callers.push(("slow HTTP/1.1", tokio::spawn(caller("/orders/slow").http1())));
    }
    callers.push(("HTTP/2", tokio::spawn(caller("/orders/1").http2())));
    callers.push(("slow HTTP/2", tokio::spawn(caller("/orders/slow").http2())));

    tokio::time::sleep(Duration::from_secs(1)).await;
    ending.store(true, Ordering::SeqCst);
    sidecar.signal("TERM");
    let begun = Instant::now();
    let status = sidecar.ends_within(Duration::from_secs(10)).await;
    println!("ended {:?} after SIGTERM: {status}", begun.elapsed());
    assert!(status.success(), "{status}\n{}", sidecar.log());
    assert!(begun.elapsed() < SLOW + Duration::from_secs(5), "{:?}", begun.elapsed());
    let (mut lost, mut served) = (Vec::new(), 0);
    for (name, tally) in callers {
        let tally = tally.await.unwrap();
        println!("{name}: {} served, {} of them after the signal", tally.served, tally.served_after);
        assert!(tally.served > 0, "{name}: {tally:?}");
        served += tally.served;
        lost.extend(tally.lost.into_iter().map(|what| format!("{name}, {what}")));
    }
    assert!(lost.is_empty(), "{} calls lost, such as: {:?}", lost.len(), lost.first());
    assert_eq!(application.seen().len(), served, "no call was executed without its caller being told");
}
