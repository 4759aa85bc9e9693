//! Service `Destinations`: a sidecar asks where a Service or an address leads, and hears of every change.

#[cfg(feature = "cluster")]
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bailiwick_identity::{Namespace, Port};
use bailiwick_runtime::drain;
use bailiwick_wire::proto::destinations_server::Destinations;
use bailiwick_wire::proto::lookup_request::Action;
use bailiwick_wire::proto::{LookupRequest, LookupResponse};
use bailiwick_wire::{Destination, Endpoint, MAXIMUM_OPEN_QUERIES, Query, decode_query, encode_destination};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::publish::Publisher;
use crate::serve::{Caller, proven};

/// Answers that wait for a reader; the rest waits in the table.
const OUTBOUND: usize = 16;
/// A sidecar that takes nothing for this long is cut, and asks again.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// Where everything leads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DestinationTable {
    /// By namespace, Service and Service port; a Service port without a ready endpoint has an empty list.
    pub(crate) services: BTreeMap<(Namespace, String, Port), Vec<Endpoint>>,
    /// By the address where a sidecar listens.
    pub(crate) addresses: BTreeMap<SocketAddr, Endpoint>,
}

impl DestinationTable {
    /// FAIL-CLOSED: a Service that is not known is `Unknown`, never "outside": the caller must not fall back to
    /// plaintext. An address is outside only because this folder lists every address of the mesh.
    pub(crate) fn answer(&self, query: &Query) -> Destination {
        match query {
            Query::Service { namespace, name, port } => self
                .services
                .get(&(namespace.clone(), name.clone(), *port))
                .map_or(Destination::Unknown, |endpoints| Destination::Endpoints(endpoints.clone().into())),
            Query::Address { ip, port } => self
                .addresses
                .get(&SocketAddr::new(*ip, port.number()))
                .map_or(Destination::Outside, |endpoint| {
                    Destination::Endpoints(vec![endpoint.clone()].into())
                }),
        }
    }
}

/// What answers questions.
#[derive(Debug, Clone)]
pub(crate) enum Directory {
    /// The table of each publication.
    Folder(Arc<Publisher>),
    /// The cluster's pods and Services, and the API server where they are not known.
    #[cfg(feature = "cluster")]
    Cluster(Arc<crate::cluster::ClusterDirectory>),
}

/// The questions of one sidecar.
#[derive(Debug)]
enum Asker {
    Folder(watch::Receiver<Arc<DestinationTable>>),
    #[cfg(feature = "cluster")]
    Cluster(crate::cluster::Asker),
}

/// An answer, or what it waits for.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `None` while there is none.
    pub(crate) destination: Option<Destination>,
    /// When one of these is done there may be another answer.
    pub(crate) pending: Vec<Pending>,
    /// What the answer was made of; while that is the same, so is the answer.
    basis: Option<Basis>,
}

/// Becomes true.
#[derive(Debug)]
pub(crate) struct Pending(pub(crate) watch::Receiver<bool>);

/// What an answer was made of.
#[cfg(feature = "cluster")]
#[derive(Debug, Clone)]
pub(crate) struct Basis(Arc<dyn Any + Send + Sync>);

/// A folder's answers are always made anew.
#[cfg(not(feature = "cluster"))]
#[derive(Debug, Clone)]
pub(crate) enum Basis {}

impl Answer {
    pub(crate) const fn of(destination: Destination) -> Self {
        Self { destination: Some(destination), pending: Vec::new(), basis: None }
    }

    #[cfg(feature = "cluster")]
    pub(crate) const fn based_on(destination: Destination, basis: Basis) -> Self {
        Self { destination: Some(destination), pending: Vec::new(), basis: Some(basis) }
    }

    #[cfg(feature = "cluster")]
    pub(crate) const fn none(pending: Vec<Pending>) -> Self {
        Self { destination: None, pending, basis: None }
    }

    #[cfg(all(test, feature = "cluster"))]
    pub(crate) const fn basis(&self) -> Option<&Basis> {
        self.basis.as_ref()
    }

    /// True if there is an endpoint.
    #[cfg(feature = "cluster")]
    pub(crate) fn leads_somewhere(&self) -> bool {
        match &self.destination {
            Some(Destination::Endpoints(endpoints)) => !endpoints.ready.is_empty(),
            Some(Destination::Outside | Destination::Unknown) | None => false,
        }
    }
}

#[cfg(feature = "cluster")]
impl Basis {
    pub(crate) fn of<T: Any + Send + Sync>(made_of: Arc<T>) -> Self {
        Self(made_of)
    }

    /// True if it is this very value.
    pub(crate) fn is<T>(&self, other: &Arc<T>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(other))
    }
}

impl Directory {
    fn asker(&self, caller: IpAddr) -> Asker {
        match self {
            Self::Folder(publisher) => {
                let _anywhere = caller;
                Asker::Folder(publisher.destinations())
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(directory) => Asker::Cluster(directory.asker(caller)),
        }
    }
}

impl Asker {
    /// Waits until answers may be others; false once there will be none.
    async fn changed(&mut self) -> bool {
        match self {
            Self::Folder(table) => table.changed().await.is_ok(),
            #[cfg(feature = "cluster")]
            Self::Cluster(asker) => asker.changed().await,
        }
    }

    /// True if what an answer was made of is as it was.
    fn is_still(&self, query: &Query, basis: &Basis) -> bool {
        match self {
            Self::Folder(_) => {
                let _always_asked = (query, basis);
                false
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(asker) => asker.is_still(query, basis),
        }
    }

    fn answer(&self, query: &Query, previous: Option<&Destination>) -> Answer {
        match self {
            // Not marked as seen: the questions that were answered before must hear of a newer table too.
            Self::Folder(table) => {
                let _none = previous;
                Answer::of(table.borrow().answer(query))
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(asker) => asker.answer(query, previous),
        }
    }
}

/// The service.
#[derive(Debug)]
pub(crate) struct DestinationsService {
    publisher: Arc<Publisher>,
    directory: Directory,
    drain: drain::Watch,
}

impl DestinationsService {
    pub(crate) fn new(publisher: Arc<Publisher>, directory: Directory, drain: drain::Watch) -> Self {
        Self { publisher, directory, drain }
    }
}

#[tonic::async_trait]
impl Destinations for DestinationsService {
    type LookupStream = ReceiverStream<Result<LookupResponse, Status>>;

    async fn lookup(
        &self,
        request: Request<Streaming<LookupRequest>>,
    ) -> Result<Response<Self::LookupStream>, Status> {
        let caller = proven(&request)?;
        if !self.publisher.current().knows(caller.id()) {
            return Err(Status::permission_denied(format!("`{}` is no workload of this mesh", caller.id())));
        }
        let (outbound, answers) = mpsc::channel(OUTBOUND);
        let asker = self.directory.asker(caller.contact.address.ip());
        let session = Session::new(asker, outbound.clone());
        let drain = self.drain.clone();
        tokio::spawn(async move {
            let status = session.run(request.into_inner(), caller, drain).await;
            // Whoever is gone needs no reason.
            drop(timeout(SEND_DEADLINE, outbound.send(Err(status))).await);
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

#[derive(Debug)]
struct Session {
    asker: Asker,
    open: HashMap<u64, Question>,
    /// Questions that wait for something; each ends with its id.
    waiting: JoinSet<u64>,
    outbound: mpsc::Sender<Result<LookupResponse, Status>>,
}

#[derive(Debug)]
struct Question {
    query: Query,
    version: u64,
    answer: Option<Destination>,
    basis: Option<Basis>,
    /// True while something is waited for.
    waits: bool,
}

impl Session {
    fn new(asker: Asker, outbound: mpsc::Sender<Result<LookupResponse, Status>>) -> Self {
        Self { asker, open: HashMap::new(), waiting: JoinSet::new(), outbound }
    }

    /// Answers until the stream ends; the status says why it did.
    async fn run(
        mut self,
        mut inbound: Streaming<LookupRequest>,
        caller: Caller,
        drain: drain::Watch,
    ) -> Status {
        let expiry = caller.expiry();
        tokio::pin!(expiry);
        loop {
            tokio::select! {
                biased;
                () = drain.signaled() => return Status::unavailable("the operator is stopping"),
                () = &mut expiry => return Status::unauthenticated("the certificate of this connection has expired"),
                () = self.outbound.closed() => return Status::cancelled("the sidecar left"),
                changed = self.asker.changed() => {
                    if !changed {
                        return Status::unavailable("the operator is stopping");
                    }
                    let moved = |question: &Question| {
                        let same = |basis| self.asker.is_still(&question.query, basis);
                        !question.basis.as_ref().is_some_and(same)
                    };
                    let open: Vec<u64> = self.open.iter().filter(|(_, one)| moved(one)).map(|(id, _)| *id).collect();
                    for id in open {
                        if let Err(status) = self.answer(id).await {
                            return status;
                        }
                    }
                }
                Some(Ok(id)) = self.waiting.join_next() => {
                    if let Some(question) = self.open.get_mut(&id) {
                        question.waits = false;
                    }
                    if let Err(status) = self.answer(id).await {
                        return status;
                    }
                }
                message = inbound.message() => match message {
                    Ok(Some(request)) => {
                        if let Err(status) = self.receive(request).await {
                            return status;
                        }
                    }
                    Ok(None) => return Status::ok("the sidecar ended the stream"),
                    Err(status) => return status,
                },
            }
        }
    }

    async fn receive(&mut self, request: LookupRequest) -> Result<(), Status> {
        let id = request.query_id;
        match request.action {
            Some(Action::Subscribe(query)) => {
                let query =
                    decode_query(&query).map_err(|error| Status::invalid_argument(error.to_string()))?;
                if self.open.len() >= MAXIMUM_OPEN_QUERIES && !self.open.contains_key(&id) {
                    return self.refuse(id).await;
                }
                self.open.insert(id, Question { query, version: 0, answer: None, basis: None, waits: false });
                self.answer(id).await
            }
            Some(Action::Unsubscribe(_)) => {
                self.open.remove(&id);
                Ok(())
            }
            None => Err(Status::invalid_argument("the request neither asks nor ends a question")),
        }
    }

    /// FAIL-CLOSED: one question too many is `Unknown`, so its call is refused. The stream and every other question
    /// stay.
    async fn refuse(&self, id: u64) -> Result<(), Status> {
        tracing::warn!(query = id, limit = MAXIMUM_OPEN_QUERIES, "a sidecar has too many questions open");
        self.send(encode_destination(id, 1, &Destination::Unknown)).await
    }

    /// Sends the answer if there is one and it is another one than before.
    async fn answer(&mut self, id: u64) -> Result<(), Status> {
        let Some(question) = self.open.get_mut(&id) else { return Ok(()) };
        let Answer { destination, pending, basis } =
            self.asker.answer(&question.query, question.answer.as_ref());
        if !pending.is_empty() && !std::mem::replace(&mut question.waits, true) {
            self.waiting.spawn(async move {
                for Pending(mut done) in pending {
                    // Whoever asked and is gone has no answer either.
                    drop(done.wait_for(|done| *done).await);
                }
                id
            });
        }
        question.basis = basis;
        let Some(answer) = destination.filter(|answer| question.answer.as_ref() != Some(answer)) else {
            return Ok(());
        };
        question.version += 1;
        let message = encode_destination(id, question.version, &answer);
        question.answer = Some(answer);
        self.send(message).await
    }

    async fn send(&self, message: LookupResponse) -> Result<(), Status> {
        match timeout(SEND_DEADLINE, self.outbound.send(Ok(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Status::cancelled("the sidecar left")),
            Err(_) => Err(Status::deadline_exceeded("the sidecar does not read")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_question_too_many_is_refused_and_the_stream_stays() {
        let (_table, table) = watch::channel(Arc::new(DestinationTable::default()));
        let (outbound, mut answers) = mpsc::channel(1);
        let mut session = Session::new(Asker::Folder(table), outbound);
        let query = Query::Address { ip: [10, 0, 0, 1].into(), port: 80_u32.try_into().unwrap() };
        let ask = |query_id: usize| LookupRequest {
            query_id: u64::try_from(query_id).unwrap(),
            action: Some(Action::Subscribe(bailiwick_wire::encode_query(&query))),
        };
        for id in 1..=MAXIMUM_OPEN_QUERIES + 1 {
            session.receive(ask(id)).await.unwrap();
            let answer = bailiwick_wire::decode_destination(&answers.recv().await.unwrap().unwrap()).unwrap();
            let refused = id > MAXIMUM_OPEN_QUERIES;
            assert_eq!(answer, if refused { Destination::Unknown } else { Destination::Outside });
        }
        assert_eq!(session.open.len(), MAXIMUM_OPEN_QUERIES);
    }
}
