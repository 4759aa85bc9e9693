//! Where calls lead: asked for when needed, kept current while used.

mod table;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bailiwick_authn::CredentialStore;
use bailiwick_wire::proto::destinations_client::DestinationsClient;
use bailiwick_wire::proto::{EndOfQuery, LookupRequest, LookupResponse, lookup_request};
use bailiwick_wire::{Destination, MAXIMUM_MESSAGE_BYTES, Query, decode_destination, encode_query};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::backoff::Backoff;
use crate::stream::wait_for_certificate;
use crate::{DialError, Dialer};
use table::{Answers, Asked, Table};

/// How long a first answer may take. FAIL-CLOSED: later is no answer, and no answer is a refusal, never plaintext.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);
/// A destination that nobody uses for this long is no longer subscribed.
const UNUSED: Duration = Duration::from_secs(5 * 60);
/// How often unused ones are looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// How long the operator may take to open the stream.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no answer. The call is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The operator did not answer in time.
    #[error("the operator did not say within 1 s where `{query}` leads")]
    NoAnswer {
        /// What was asked.
        query: Query,
    },
    /// Too many destinations are in use at once.
    #[error("`{query}` is not looked up: {limit} destinations are in use already")]
    TooMany {
        /// What was asked.
        query: Query,
        /// How many may be.
        limit: usize,
    },
}

/// Asks where calls lead. Cheap to clone; every thread has one.
#[derive(Debug, Clone)]
pub struct Destinations {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// Questions that were added or given up since the stream was opened.
    asked: mpsc::UnboundedSender<Change>,
}

/// What changed among the open questions.
#[derive(Debug)]
enum Change {
    Added(Query),
    GivenUp(u64),
}

/// A destination in use: the last good answer, and word of each new one. While it lives the answer is kept current.
#[derive(Debug, Clone)]
pub struct Subscription {
    answers: Answers,
    first: Arc<Destination>,
}

impl Subscription {
    /// The last good answer.
    #[must_use]
    pub fn current(&self) -> Arc<Destination> {
        self.answers.borrow().clone().unwrap_or_else(|| Arc::clone(&self.first))
    }

    /// Waits for another answer than the last one that this subscription saw.
    pub async fn changed(&mut self) -> Arc<Destination> {
        if self.answers.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.current()
    }
}

impl Destinations {
    /// The asking side, and the task that talks to the operator.
    #[must_use]
    pub fn new(dialer: Dialer, credentials: Arc<CredentialStore>) -> (Self, DestinationsTask) {
        let (asked, questions) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { table: Mutex::default(), asked });
        let task = DestinationsTask { dialer, credentials, shared: Arc::clone(&shared), questions };
        (Self { shared }, task)
    }

    /// Where a call leads. A known answer comes at once; a new question waits for at most 1 s.
    ///
    /// # Errors
    /// When there is no answer in time, or too many destinations are in use. The call must then be refused.
    pub async fn lookup(&self, query: Query) -> Result<Subscription, LookupError> {
        let mut answers = {
            let mut table = self.shared.lock();
            let (answers, asked) = table
                .subscribe(&query, Instant::now())
                .map_err(|limit| LookupError::TooMany { query: query.clone(), limit })?;
            if let Asked::Anew { instead } = asked {
                // Without the task there are no answers, and the deadline says so. What is given up comes first: the
                // operator answers no more than a limit at once.
                let given_up = instead.map(Change::GivenUp);
                for change in given_up.into_iter().chain([Change::Added(query.clone())]) {
                    drop(self.shared.asked.send(change));
                }
            }
            answers
        };
        let found = timeout(ANSWER_DEADLINE, answers.wait_for(Option::is_some)).await;
        let first = found.ok().and_then(|answer| answer.as_deref().ok().cloned().flatten());
        match first {
            Some(first) => Ok(Subscription { answers, first }),
            None => Err(LookupError::NoAnswer { query }),
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps one stream to the operator for all questions.
#[derive(Debug)]
pub struct DestinationsTask {
    dialer: Dialer,
    credentials: Arc<CredentialStore>,
    shared: Arc<Shared>,
    questions: mpsc::UnboundedReceiver<Change>,
}

#[derive(Debug, thiserror::Error)]
enum LookupStreamError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the operator refused or ended the destinations stream: {0}")]
    Status(Box<tonic::Status>),
    #[error("the operator ended the destinations stream")]
    Ended,
}

impl DestinationsTask {
    /// Runs until dropped. While the operator is away the last good answers stay.
    pub async fn run(mut self) {
        let mut backoff = Backoff::reconnect();
        let mut renewed = self.credentials.subscribe();
        loop {
            wait_for_certificate(&self.credentials).await;
            renewed.mark_unchanged();
            let mut heard = false;
            let Err(error) = self.connect(&mut heard).await;
            if heard {
                backoff.reset();
            }
            let delay = backoff.next_delay();
            tracing::warn!(%error, ?delay, "no destinations stream; the last good answers stay");
            drop(timeout(delay, renewed.changed()).await);
        }
    }

    async fn connect(&mut self, heard: &mut bool) -> Result<Infallible, LookupStreamError> {
        let status = |status| LookupStreamError::Status(Box::new(status));
        let channel = self.dialer.dial().await?;
        let mut client = DestinationsClient::new(channel).max_decoding_message_size(MAXIMUM_MESSAGE_BYTES);
        let (outbound, requests) = mpsc::unbounded_channel();
        let queries = {
            let mut table = self.shared.lock();
            table.remove_unused(Instant::now(), UNUSED);
            table.queries()
        };
        for (query_id, query) in queries {
            send(&outbound, query_id, Some(&query))?;
        }
        let response = timeout(OPEN_DEADLINE, client.lookup(UnboundedReceiverStream::new(requests)))
            .await
            .map_err(|_| status(tonic::Status::deadline_exceeded("the stream was not opened in time")))?
            .map_err(status)?;
        let mut answers = response.into_inner();
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                answer = answers.next() => {
                    *heard = true;
                    self.answer(&answer.ok_or(LookupStreamError::Ended)?.map_err(status)?);
                }
                change = self.questions.recv() => self.ask(change, &outbound)?,
                _ = sweep.tick() => {
                    let unused = self.shared.lock().remove_unused(Instant::now(), UNUSED);
                    unused.into_iter().try_for_each(|query_id| send(&outbound, query_id, None))?;
                }
            }
        }
    }

    fn ask(
        &self,
        change: Option<Change>,
        outbound: &mpsc::UnboundedSender<LookupRequest>,
    ) -> Result<(), LookupStreamError> {
        match change {
            None => Err(LookupStreamError::Ended),
            Some(Change::GivenUp(query_id)) => send(outbound, query_id, None),
            // A question from before this connection was already sent; asking twice under one id changes nothing.
            Some(Change::Added(query)) => match self.shared.lock().id(&query) {
                Some(query_id) => send(outbound, query_id, Some(&query)),
                None => Ok(()),
            },
        }
    }

    fn answer(&self, response: &LookupResponse) {
        match decode_destination(response) {
            Ok(destination) => self.shared.lock().answer(response.query_id, destination),
            // FAIL-CLOSED: the last good answer stays, and without one the call is refused.
            Err(error) => tracing::error!(%error, "an answer of the operator is refused"),
        }
    }
}

fn send(
    outbound: &mpsc::UnboundedSender<LookupRequest>,
    query_id: u64,
    query: Option<&Query>,
) -> Result<(), LookupStreamError> {
    let action = match query {
        Some(query) => lookup_request::Action::Subscribe(encode_query(query)),
        None => lookup_request::Action::Unsubscribe(EndOfQuery {}),
    };
    outbound.send(LookupRequest { query_id, action: Some(action) }).map_err(|_| LookupStreamError::Ended)
}
