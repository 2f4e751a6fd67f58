//! A reconcile always ends: with a result, at the deadline, or after a panic.

use super::super::contained;
use super::*;

#[tokio::test]
async fn a_panic_becomes_an_error_with_its_message() {
    let error = contained(async { panic!("object {} is odd", "x") as Result<(), Error> }).await.unwrap_err();
    assert_eq!((error.class(), error.to_string().as_str()), ("panic", "internal error: object x is odd"));
}

#[tokio::test(start_paused = true)]
async fn work_that_hangs_ends_at_the_deadline() {
    let error = contained(std::future::pending::<Result<(), Error>>()).await.unwrap_err();
    assert_eq!((error.class(), error.to_string().as_str()), ("deadline", "not done within 60 s"));
}

#[tokio::test]
async fn a_result_is_passed_through() {
    assert_eq!(contained(async { Ok::<_, Error>(7) }).await.unwrap(), 7);
}
