//! The operator's replicas, each asked by a port-forward through the API server.
//!
//! Their admin server listens on loopback only, so whoever may not forward ports into the operator's namespace cannot
//! ask it.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::Value;

use super::client::{Cluster, ClusterError, causes};
use super::text;
use crate::exchange;

const WITHIN: Duration = Duration::from_secs(20);
const SELECTOR: &str =
    "labelSelector=app.kubernetes.io%2Fname%3Dbailiwick-operator%2Capp.kubernetes.io%2Fcomponent%3Doperator";

/// What a replica said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The answer.
    Found(String),
    /// It has nothing of the kind.
    NotFound,
}

/// A replica, and what it said.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) replica: String,
    /// Or why it could not be asked.
    pub(crate) reply: Result<Reply, String>,
}

/// The operator's pods.
pub(crate) async fn operator_pods(cluster: &Cluster) -> Result<Vec<Value>, ClusterError> {
    cluster.list(&format!("/api/v1/namespaces/{}/pods?{SELECTOR}", cluster.operator_namespace)).await
}

/// Asks each replica for a path and its query.
pub(crate) async fn ask_all(cluster: &Cluster, pods: &[Value], target: &str) -> Vec<Answered> {
    let live = pods.iter().filter(|pod| !super::is_over(pod));
    join_all(live.map(|pod| ask(cluster, pod, target))).await
}

async fn ask(cluster: &Cluster, pod: &Value, target: &str) -> Answered {
    let replica = text(pod, "/metadata/name").to_owned();
    let phase = text(pod, "/status/phase");
    let reply = if phase == "Running" {
        let answer = tokio::time::timeout(WITHIN, forwarded(cluster, &replica, target)).await;
        answer.unwrap_or_else(|_| Err(format!("it did not answer within {} s", WITHIN.as_secs())))
    } else {
        Err(format!("it is {phase}"))
    };
    Answered { replica, reply }
}

async fn forwarded(cluster: &Cluster, pod: &str, target: &str) -> Result<Reply, String> {
    let port = bailiwick_pod::ports::OPERATOR_ADMIN;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.operator_namespace);
    let forward = pods.portforward(pod, &[port]).await;
    let mut forward = forward.map_err(|error| format!("no port-forward: {}", causes(&error)))?;
    let stream = forward.take_stream(port).ok_or_else(|| "no port-forward".to_owned())?;
    let told = forward.take_error(port);
    let answer = exchange::get(stream, "localhost", target).await;
    let outcome = match answer {
        Ok((StatusCode::OK, text)) => Ok(Reply::Found(text)),
        Ok((StatusCode::NOT_FOUND, _)) => Ok(Reply::NotFound),
        Ok((status, _)) => Err(format!("it answered {status}")),
        Err(error) => {
            // What the kubelet said of the port is more useful than that the stream ended.
            let said = match told {
                Some(told) => tokio::time::timeout(Duration::from_secs(1), told).await.ok().flatten(),
                None => None,
            };
            Err(said.unwrap_or_else(|| causes(&error)))
        }
    };
    forward.abort();
    outcome
}
