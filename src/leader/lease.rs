//! The requests and the renewal task: the thin part around `candidate`.

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use kube::{Api, Client, Config, api::PostParams};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    candidate::{Action, Candidate, Now, holder, released},
    fence::{Fence, Loss, State},
    timings::{InvalidTimings, Timings},
};

/// Why a lease cannot be acquired, or not be released.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The timings do not fit together.
    #[error(transparent)]
    Timings(#[from] InvalidTimings),
    /// The identity is empty: a record without a holder means that the lease is free.
    #[error("the identity of this replica is empty; set --identity, or POD_NAME to the pod's name")]
    NoIdentity,
    /// The client could not be built from the configuration.
    #[error("the lease's own client cannot be built: {0}")]
    Client(#[source] kube::Error),
    /// The API server refused a request.
    #[error("{0}")]
    Request(#[source] kube::Error),
    /// The API server did not answer in time.
    #[error("no answer from the API server within {0:?}")]
    NoAnswer(Duration),
}

/// A lease that can be acquired.
#[derive(Debug)]
pub struct Lease {
    requests: Requests,
    timings: Timings,
}

impl Lease {
    /// Prepares a candidate with a client of its own, without kube's retries (up to 164 s inside one call) and with short
    /// time-outs. Call it inside a tokio runtime. A random suffix is added to `identity`, because two processes with one
    /// identity (a container restarted in its pod) would share a term.
    ///
    /// # Errors
    /// When the timings do not fit together, the identity is empty, or the client cannot be built.
    pub fn new(
        config: &Config,
        namespace: &str,
        name: &str,
        identity: &str,
        timings: Timings,
    ) -> Result<Self, LeaseError> {
        timings.validate()?;
        let mut config = config.clone();
        config.default_retry = false;
        config.connect_timeout = Some(timings.call_timeout());
        config.read_timeout = Some(timings.call_timeout());
        config.write_timeout = Some(timings.call_timeout());
        config.reset_reader_on_write = true;
        let client = Client::try_from(config).map_err(LeaseError::Client)?;
        Self::with_client(client, namespace, name, identity, timings)
    }

    pub(super) fn with_client(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        timings: Timings,
    ) -> Result<Self, LeaseError> {
        if identity.is_empty() {
            return Err(LeaseError::NoIdentity);
        }
        let unique = RandomState::new().hash_one(std::process::id());
        let requests = Requests {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: format!("{identity}_{unique:016x}"),
            limit: timings.call_timeout(),
        };
        Ok(Self { requests, timings })
    }

    /// The holder that the Lease names while it is ours.
    pub fn identity(&self) -> &str {
        &self.requests.identity
    }

    /// Waits until the lease is ours, without limit, and keeps it renewed from then on. Requests that fail are logged and
    /// retried. Dropping the future is safe at any time.
    pub async fn acquire(&self) -> Held {
        let mut contender = Contender::new(self.requests.clone(), self.timings);
        let (mut waiting, mut failing) = (OnChange::default(), OnChange::default());
        loop {
            let started = Instant::now();
            let mut next = started + self.timings.retry_period;
            match contender.contend().await {
                Ok(Standing::Holding { until }) if Instant::now() < until => {
                    tracing::info!(lease = %self.requests.name, identity = %self.identity(), "acquired the lease");
                    return Held::keep(contender, until, started);
                }
                Ok(Standing::Holding { .. }) => failing.report("the response came after the term ended", |why| {
                    tracing::warn!(lease = %self.requests.name, why, "the lease was not acquired");
                }),
                Ok(Standing::Waiting { holder, until }) => {
                    next = next.min(until);
                    failing = OnChange::default();
                    waiting.report(&holder, |holder| {
                        let holder =
                            if holder.is_empty() { "none any more: emptied or deleted by hand" } else { holder };
                        tracing::info!(lease = %self.requests.name, holder, "standing by until the lease is free");
                    });
                }
                Err(error) => failing.report(&error.to_string(), |why| {
                    tracing::warn!(lease = %self.requests.name, why, "the lease cannot be acquired; retrying");
                }),
            }
            sleep_until(next).await;
        }
    }
}

/// The lease is ours, and a task renews it. Dropping this stops the renewals without releasing the lease.
#[derive(Debug)]
pub struct Held {
    fence: Fence,
    state: Arc<watch::Sender<State>>,
    task: JoinHandle<()>,
    requests: Requests,
}

impl Held {
    fn keep(contender: Contender, until: Instant, sent: Instant) -> Self {
        let (sender, receiver) = watch::channel(State::Held { until });
        let (state, requests) = (Arc::new(sender), contender.requests.clone());
        let fence = Fence::new(receiver, contender.timings.renew_deadline);
        let task = tokio::spawn(renew(contender, Arc::clone(&state), until, sent));
        Self { fence, state, task, requests }
    }

    /// A view of this term, for the code that writes.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Resolves when the lease is no longer ours.
    pub async fn lost(&self) -> Loss {
        self.fence.lost().await
    }

    /// Releases the lease, so that another replica can acquire it at once. Stop writing before. Takes at most half the
    /// renew deadline.
    ///
    /// # Errors
    /// When the API server refused or did not answer. Other replicas then wait for the end of the lease.
    pub async fn release(mut self) -> Result<(), LeaseError> {
        self.end();
        // The task ends at its next await point. A renewal in flight loses against the release by its resource version.
        let _ = (&mut self.task).await;
        let limit = self.requests.limit;
        timeout(limit, self.requests.release()).await.unwrap_or(Err(LeaseError::NoAnswer(limit)))
    }

    fn end(&self) {
        self.task.abort();
        self.state.send_if_modified(|state| {
            let held = matches!(state, State::Held { .. });
            if held {
                *state = State::Lost(Loss::Released);
            }
            held
        });
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end();
    }
}

/// Renews until the term ends. The first renewal is due one retry period after `sent`.
async fn renew(mut contender: Contender, state: Arc<watch::Sender<State>>, mut until: Instant, sent: Instant) {
    let Timings { renew_deadline, retry_period, .. } = contender.timings;
    let mut why = "the process did not run".to_owned();
    let mut next = sent + retry_period;
    let loss = loop {
        sleep_until(next.min(until)).await;
        let started = Instant::now();
        if started >= until {
            break Loss::Deadline { deadline: renew_deadline, why };
        }
        next = started + retry_period;
        match timeout_at(until, contender.contend()).await {
            Ok(Ok(Standing::Holding { until: later })) => {
                until = later;
                state.send_replace(State::Held { until });
            }
            Ok(Ok(Standing::Waiting { holder, .. })) if !holder.is_empty() => break Loss::TakenBy(holder),
            Ok(Err(error)) => {
                why = error.to_string();
                let left = until.saturating_duration_since(Instant::now());
                tracing::warn!(lease = %contender.requests.name, why, ?left, "the lease was not renewed; retrying");
            }
            // The term ended during the round.
            Ok(Ok(Standing::Waiting { .. })) | Err(_) => {}
        }
    };
    tracing::error!(lease = %contender.requests.name, %loss, "the lease is lost");
    state.send_replace(State::Lost(loss));
}

/// The result of a round of requests.
#[derive(Debug)]
enum Standing {
    Holding { until: Instant },
    Waiting { holder: String, until: Instant },
}

/// A candidate with its requests.
#[derive(Debug)]
struct Contender {
    requests: Requests,
    timings: Timings,
    candidate: Candidate,
    /// The Lease as we wrote it last, which saves the read. Taken out before each round: after an error or an aborted round
    /// it is not known what the server has.
    ours: Option<LeaseObject>,
}

impl Contender {
    fn new(requests: Requests, timings: Timings) -> Self {
        let candidate = Candidate::new(requests.identity.clone(), timings);
        Self { requests, timings, candidate, ours: None }
    }

    /// One round, and a second one at once when the record was not the one we expected.
    async fn contend(&mut self) -> Result<Standing, LeaseError> {
        match self.attempt().await {
            Err(error) if is_outdated(&error) => self.attempt().await,
            standing => standing,
        }
    }

    async fn attempt(&mut self) -> Result<Standing, LeaseError> {
        let current = match self.ours.take() {
            Some(ours) => Some(ours),
            None => self.requests.read().await?,
        };
        let record = current.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        let now = Now { monotonic: Instant::now(), wall: Timestamp::now() };
        match self.candidate.decide(record.as_ref(), now) {
            Action::Wait { holder, until } => Ok(Standing::Waiting { holder, until }),
            Action::Write(record) => {
                let sent = Instant::now();
                let written = self.requests.write(current, record).await?;
                let until = self.candidate.accepted(written.spec.as_ref(), sent);
                self.ours = Some(written);
                Ok(Standing::Holding { until })
            }
        }
    }
}

/// Whether a write failed because the record had changed (409) or was deleted (404).
fn is_outdated(error: &LeaseError) -> bool {
    matches!(error, LeaseError::Request(kube::Error::Api(status)) if matches!(status.code, 404 | 409))
}

/// The requests about one Lease, each with a time limit.
#[derive(Clone, Debug)]
struct Requests {
    api: Api<LeaseObject>,
    name: String,
    identity: String,
    limit: Duration,
}

impl Requests {
    async fn read(&self) -> Result<Option<LeaseObject>, LeaseError> {
        self.limited(self.api.get_opt(&self.name)).await
    }

    /// Creates the Lease, or replaces it if its version is still that of `current`.
    async fn write(&self, current: Option<LeaseObject>, record: LeaseSpec) -> Result<LeaseObject, LeaseError> {
        let params = PostParams::default();
        let Some(mut lease) = current else {
            let mut lease = LeaseObject { spec: Some(record), ..LeaseObject::default() };
            lease.metadata.name = Some(self.name.clone());
            return self.limited(self.api.create(&params, &lease)).await;
        };
        lease.spec = Some(record);
        self.limited(self.api.replace(&self.name, &params, &lease)).await
    }

    async fn release(&self) -> Result<(), LeaseError> {
        loop {
            let Some(lease) = self.read().await? else { return Ok(()) };
            let Some(record) = lease.spec.clone() else { return Ok(()) };
            if holder(Some(&record)) != self.identity {
                return Ok(());
            }
            match self.write(Some(lease), released(&record, Timestamp::now())).await {
                Err(error) if is_outdated(&error) => {}
                written => return written.map(drop),
            }
        }
    }

    async fn limited<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
        match timeout(self.limit, call).await {
            Ok(answer) => answer.map_err(LeaseError::Request),
            Err(_) => Err(LeaseError::NoAnswer(self.limit)),
        }
    }
}

/// Reports a text once, until it changes.
#[derive(Debug, Default)]
struct OnChange(Option<String>);

impl OnChange {
    fn report(&mut self, what: &str, report: impl FnOnce(&str)) {
        if self.0.as_deref() != Some(what) {
            report(what);
            self.0 = Some(what.to_owned());
        }
    }
}
