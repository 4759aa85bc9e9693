//! A sidecar's state as a message, and back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bailiwick_policy::{SnapshotId, WorkloadKey};
use bailiwick_wire::proto::{BundleState, OfferedSnapshot, SidecarState};

use crate::cluster::fleet::Told;
use crate::status::{SidecarFacts, SidecarKey};

/// Why a message is no sidecar's state.
#[derive(Debug, thiserror::Error)]
#[error("the state of a sidecar has a malformed `{0}`")]
pub(super) struct Malformed(&'static str);

pub(super) fn encode(told: &Told) -> SidecarState {
    let Told { key, session, facts, .. } = told;
    let snapshot = |id: &SnapshotId| id.0.to_vec();
    SidecarState {
        namespace: key.workload.namespace.to_string(),
        workload: key.workload.name.to_string(),
        instance: key.instance.clone(),
        session: *session,
        sidecar_version: facts.version.clone(),
        schema_level: facts.schema_level,
        identity: facts.identity.to_string(),
        certificate_serial: facts.certificate_serial.clone(),
        certificate_not_after: facts.certificate_not_after,
        connected_ms: millis(told.connected),
        ended: told.ended,
        acknowledged: told.acknowledged.as_ref().map(snapshot).unwrap_or_default(),
        acknowledged_ms: told.acknowledged_at.map_or(0, millis),
        outstanding: told
            .outstanding
            .iter()
            .map(|(version, id)| OfferedSnapshot { version: *version, snapshot_id: snapshot(id) })
            .collect(),
        refused: told.refused.clone(),
        bundle: told.bundle.as_ref().map(|bundle| BundleState { refused: bundle.clone().err() }),
    }
}

pub(super) fn decode(state: SidecarState) -> Result<Told, Malformed> {
    let outstanding =
        state.outstanding.into_iter().map(|one| Ok((one.version, id(&one.snapshot_id, "outstanding")?)));
    let acknowledged = match state.acknowledged.as_slice() {
        [] => None,
        bytes => Some(id(bytes, "acknowledged")?),
    };
    Ok(Told {
        key: SidecarKey {
            workload: WorkloadKey {
                namespace: state.namespace.parse().map_err(|_| Malformed("namespace"))?,
                name: state.workload.parse().map_err(|_| Malformed("workload"))?,
            },
            instance: state.instance,
        },
        session: state.session,
        facts: SidecarFacts {
            version: state.sidecar_version,
            schema_level: state.schema_level,
            identity: state.identity.parse().map_err(|_| Malformed("identity"))?,
            certificate_serial: state.certificate_serial,
            certificate_not_after: state.certificate_not_after,
            held: None,
        },
        connected: time(state.connected_ms),
        ended: state.ended,
        acknowledged,
        acknowledged_at: (state.acknowledged_ms > 0).then(|| time(state.acknowledged_ms)),
        outstanding: outstanding.collect::<Result<_, _>>()?,
        refused: state.refused,
        bundle: state.bundle.map(|bundle| bundle.refused.map_or(Ok(()), Err)),
    })
}

fn id(bytes: &[u8], field: &'static str) -> Result<SnapshotId, Malformed> {
    bytes.try_into().map(SnapshotId).map_err(|_| Malformed(field))
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(since).unwrap_or(u64::MAX)
}

fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{identity, workload};

    fn told() -> Told {
        Told {
            key: SidecarKey { workload: workload("shop/a"), instance: "uid".into() },
            session: 7,
            facts: SidecarFacts {
                version: "0.1.0".into(),
                schema_level: 1,
                identity: identity("shop/orders"),
                certificate_serial: "01".into(),
                certificate_not_after: 9,
                held: None,
            },
            connected: time(1_700_000_000_123),
            ended: false,
            acknowledged: Some(SnapshotId([1; 32])),
            acknowledged_at: Some(time(1_700_000_000_456)),
            outstanding: vec![(8, SnapshotId([2; 32]))],
            refused: Some("broken".into()),
            bundle: Some(Err("empty".into())),
        }
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let bare = Told {
            acknowledged: None,
            acknowledged_at: None,
            outstanding: Vec::new(),
            bundle: None,
            ..told()
        };
        for told in [told(), Told { bundle: Some(Ok(())), refused: None, ended: true, ..told() }, bare] {
            assert_eq!(decode(encode(&told)).unwrap(), told);
        }
    }

    #[test]
    fn what_is_malformed_is_said() {
        let good = || encode(&told());
        for (state, field) in [
            (SidecarState { namespace: "A/b".into(), ..good() }, "namespace"),
            (SidecarState { identity: "x".into(), ..good() }, "identity"),
            (SidecarState { acknowledged: vec![1], ..good() }, "acknowledged"),
        ] {
            assert!(decode(state).unwrap_err().to_string().contains(field));
        }
    }
}
