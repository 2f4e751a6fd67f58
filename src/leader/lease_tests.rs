//! The renewal task against a server with faults, on a clock that only advances when all tasks wait.

use std::time::Duration;

use tokio::time::{Instant, advance, sleep, timeout};

use super::{
    Held, Lease, LeaseError, Loss, Timings,
    fake_server::{FakeServer, Fault},
};

const SECOND: Duration = Duration::from_secs(1);

fn candidate(server: &FakeServer, identity: &str) -> Lease {
    Lease::with_client(server.client(), "default", "operator", identity, Timings::default()).expect("a valid candidate")
}

async fn held(server: &FakeServer) -> (Lease, Held) {
    let lease = candidate(server, "a");
    let held = timeout(SECOND, lease.acquire()).await.expect("the lease is free");
    (lease, held)
}

/// Seconds from `start` until the term ended, and why.
async fn loss(held: &Held, start: Instant) -> (f64, Loss) {
    let loss = timeout(60 * SECOND, held.lost()).await.expect("the term ends");
    ((start.elapsed().as_secs_f64() * 10.0).round() / 10.0, loss)
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_taken_at_once_and_renewed_with_one_request_each_period() {
    let server = FakeServer::default();
    let (lease, held) = held(&server).await;
    assert_eq!(server.record().holder_identity.as_deref(), Some(lease.identity()));
    assert!(lease.identity().starts_with("a_"), "{}", lease.identity());
    let before = (server.requests(), server.writes());
    sleep(20 * SECOND + SECOND / 2).await;
    assert_eq!((server.requests() - before.0, server.writes() - before.1), (10, 10));
    assert_eq!(server.record().lease_transitions, Some(0));
    assert!(held.fence().is_valid());
}

#[tokio::test(start_paused = true)]
async fn a_second_candidate_waits_for_as_long_as_the_first_renews() {
    let server = FakeServer::default();
    let (_, _held) = held(&server).await;
    assert!(timeout(600 * SECOND, candidate(&server, "b").acquire()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_dead_holder_is_acquired_after_its_term_and_not_before() {
    let server = FakeServer::default();
    let (_, held) = held(&server).await;
    let second = candidate(&server, "b");
    let start = Instant::now();
    let taking = tokio::spawn(async move { second.acquire().await });
    sleep(SECOND).await;
    drop(held);
    timeout(60 * SECOND, taking).await.expect("taken over").expect("no panic");
    // The last change was observed at 0 s, so the lease is free at 15 s.
    assert_eq!(start.elapsed().as_secs(), 15);
    assert_eq!(server.record().lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_within_one_period() {
    let server = FakeServer::default();
    let (_, held) = held(&server).await;
    let fence = held.fence();
    let second = candidate(&server, "b");
    let taking = tokio::spawn(async move { second.acquire().await });
    sleep(SECOND).await;
    let start = Instant::now();
    held.release().await.expect("released");
    assert!(!fence.is_valid());
    assert_eq!(fence.lost().await, Loss::Released);
    timeout(60 * SECOND, taking).await.expect("taken over").expect("no panic");
    assert!(start.elapsed() <= 2 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn slow_answers_lost_answers_and_refusals_do_not_end_a_term() {
    for faults in [
        vec![Fault::SlowAnswer(Duration::from_millis(4_900)); 12],
        vec![Fault::SlowAnswer(6 * SECOND)],
        vec![Fault::LostAnswer],
        vec![Fault::Status(429), Fault::Status(503), Fault::Status(500)],
        vec![Fault::Status(409), Fault::Status(409), Fault::Status(409)],
        vec![Fault::LostAnswer, Fault::Status(503)],
    ] {
        let server = FakeServer::default();
        let (lease, held) = held(&server).await;
        server.next_faults(faults.clone());
        assert!(timeout(60 * SECOND, held.lost()).await.is_err(), "{faults:?}");
        assert!(held.fence().is_valid(), "{faults:?}");
        assert_eq!(server.record().holder_identity.as_deref(), Some(lease.identity()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_ends_the_term_at_the_renew_deadline() {
    for (fault, why) in [
        (Fault::LostAnswer, "no answer from the API server within 5s"),
        (Fault::SlowAnswer(20 * SECOND), "no answer from the API server within 5s"),
        (Fault::Status(503), "ApiError: injected status 503: Injected"),
    ] {
        let server = FakeServer::default();
        let start = Instant::now();
        let (_, held) = held(&server).await;
        server.always(Some(fault));
        let (seconds, loss) = loss(&held, start).await;
        assert_eq!(seconds, 10.0, "{fault:?}");
        let Loss::Deadline { why: found, .. } = loss else { panic!("{fault:?}: {loss:?}") };
        assert!(found.starts_with(why), "{fault:?}: {found}");
        assert!(!held.fence().is_valid());
    }
}

#[tokio::test(start_paused = true)]
async fn a_term_counts_from_sending_a_renewal_not_from_its_slow_answer() {
    let server = FakeServer::default();
    server.next_faults([Fault::SlowAnswer(4 * SECOND); 2]);
    let start = Instant::now();
    // The read is answered at 4 s, the write sent then and answered at 8 s.
    let held = candidate(&server, "a").acquire().await;
    assert_eq!(start.elapsed().as_secs(), 8);
    server.always(Some(Fault::Status(503)));
    assert_eq!(loss(&held, start).await.0, 14.0);
}

#[tokio::test(start_paused = true)]
async fn the_fence_of_a_suspended_process_is_invalid_before_anything_else_runs() {
    let server = FakeServer::default();
    let (_, held) = held(&server).await;
    let fence = held.fence();
    let writes = server.writes();
    advance(40 * SECOND).await;
    assert!(!fence.is_valid());
    assert!(matches!(held.lost().await, Loss::Deadline { .. }));
    assert_eq!(server.writes(), writes, "it does not renew a lease that another replica may hold by now");
}

#[tokio::test(start_paused = true)]
async fn a_lease_given_to_another_holder_by_hand_ends_the_term_at_the_next_renewal() {
    let server = FakeServer::default();
    let start = Instant::now();
    let (_, held) = held(&server).await;
    sleep(SECOND).await;
    server.edit(|record| record.holder_identity = Some("mallory".to_owned()));
    let (seconds, loss) = loss(&held, start).await;
    assert_eq!((seconds, loss), (2.0, Loss::TakenBy("mallory".to_owned())));
    assert_eq!(server.record().holder_identity.as_deref(), Some("mallory"));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_an_emptied_and_a_shortened_lease_are_restored_by_the_holder_and_not_acquired_by_another() {
    let edits: [fn(&FakeServer); 3] = [
        FakeServer::delete,
        |server| server.edit(|record| record.holder_identity = None),
        |server| server.edit(|record| record.lease_duration_seconds = Some(1)),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let server = FakeServer::default();
        let (lease, held) = held(&server).await;
        let second = candidate(&server, "b");
        let taking = tokio::spawn(async move { second.acquire().await });
        sleep(SECOND / 2).await;
        for _ in 0..5 {
            edit(&server);
            sleep(7 * SECOND).await;
            assert!(held.fence().is_valid() && !taking.is_finished(), "edit {number}");
            let record = server.record();
            assert_eq!(record.holder_identity.as_deref(), Some(lease.identity()), "edit {number}");
            assert_eq!(record.lease_duration_seconds, Some(15), "edit {number}");
        }
        taking.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn acquiring_survives_an_unreachable_server_and_a_lost_answer() {
    let server = FakeServer::default();
    server.next_faults([Fault::Status(403), Fault::LostAnswer, Fault::Status(404), Fault::LostAnswer]);
    let lease = candidate(&server, "a");
    timeout(60 * SECOND, lease.acquire()).await.expect("acquired in the end");
    assert_eq!(server.record().holder_identity.as_deref(), Some(lease.identity()));
}

#[tokio::test(start_paused = true)]
async fn labels_and_owners_of_the_lease_stay() {
    let server = FakeServer::default();
    server.edit(|_| {});
    let (_, _held) = held(&server).await;
    let mut prepared = server.lease().expect("stored");
    prepared.metadata.labels = Some([("team".to_owned(), "search".to_owned())].into());
    server.put(prepared);
    sleep(5 * SECOND).await;
    assert_eq!(server.lease().and_then(|lease| lease.metadata.labels).map(|labels| labels.len()), Some(1));
}

#[tokio::test(start_paused = true)]
async fn releasing_does_not_change_the_lease_of_another_holder_and_gives_up_in_time() {
    let server = FakeServer::default();
    let (_, first) = held(&server).await;
    server.edit(|record| record.holder_identity = Some("mallory".to_owned()));
    let writes = server.writes();
    first.release().await.expect("nothing to release");
    assert_eq!(server.writes(), writes);

    let server = FakeServer::default();
    let (_, second) = held(&server).await;
    server.always(Some(Fault::LostAnswer));
    let start = Instant::now();
    assert!(matches!(second.release().await, Err(LeaseError::NoAnswer(_))));
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_empty_identity_is_refused() {
    let lease = Lease::with_client(FakeServer::default().client(), "default", "operator", "", Timings::default());
    assert_eq!(
        lease.map(drop).map_err(|error| error.to_string()),
        Err("the identity of this replica is empty; set --identity, or POD_NAME to the pod's name".to_owned())
    );
}
