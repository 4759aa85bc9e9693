use std::collections::BTreeMap;

use bailiwick_identity::{MtlsMode, PortTrust, TrustBundle, TrustConfig};
use bailiwick_policy::SnapshotParts;
use bailiwick_wire::{ChunkCache, Configuration, Position, encode};

use super::*;

fn workload() -> WorkloadKey {
    WorkloadKey { namespace: "shop".parse().unwrap(), name: "orders".parse().unwrap() }
}

fn header(authorization_audit: bool, version: u64) -> ServerMessage {
    let default =
        PortTrust { mode: MtlsMode::Strict, trust_domains: Vec::new(), audit: false, invalid: None };
    let configuration = Configuration {
        snapshot: SnapshotParts {
            workload: workload(),
            trust_domain: "cluster.local".parse().unwrap(),
            authorization_audit,
            objects: Vec::new(),
        },
        trust: TrustConfig { default, ports: BTreeMap::new() },
        protocols: BTreeMap::new(),
    };
    let position = Position { epoch: 1, marks: BTreeMap::new(), version };
    let bytes = encode(&configuration, &mut ChunkCache::default()).header(&position);
    ServerMessage { kind: Some(Inbound::SnapshotHeader(bytes)) }
}

async fn next(messages: &mut mpsc::Receiver<ClientMessage>) -> Outbound {
    messages.recv().await.unwrap().kind.unwrap()
}

/// Time stands still but for waiting, so the deadline costs nothing.
#[tokio::test(start_paused = true)]
async fn a_thread_that_lags_is_reported_and_the_acknowledgement_waits_for_it() {
    let store = Arc::new(ConfigStore::default());
    let trust = Arc::new(TrustStore::new(TrustBundle::default()).unwrap());
    let settings =
        StreamSettings { workload: workload(), instance: "one".to_owned(), version: "0".to_owned() };
    let mut session = Session::new(settings, Arc::clone(&store), trust);
    let (mut quick, mut slow) = (store.register(), store.register());
    let (outbound, mut messages) = mpsc::channel(8);
    session.connected(outbound).await;
    assert!(matches!(next(&mut messages).await, Outbound::Hello(_)));

    session.receive(header(false, 1)).await;
    let active = quick.next().await;
    quick.confirm(&active);
    let Outbound::Nack(nack) = next(&mut messages).await else { panic!("the slow thread did not confirm") };
    assert!(nack.reason.contains("not every thread"), "{}", nack.reason);

    // The stream goes on meanwhile: a newer snapshot is enforced.
    session.receive(header(true, 2)).await;
    let active = quick.next().await;
    quick.confirm(&active);
    let active = slow.next().await;
    slow.confirm(&active);
    let Outbound::Ack(ack) = next(&mut messages).await else { panic!("every thread confirmed") };
    assert_eq!(ack.version, 2, "the first was replaced: only what is enforced is acknowledged");
    assert!(messages.try_recv().is_err());
}
