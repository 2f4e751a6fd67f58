//! redis_exporter (oliver006) with `--check-single-keys=db0=NAME`; read off release 1.88.0.
//!
//! - Redis has no empty lists: with its last entry the key is gone, and with it `redis_key_size` (older releases say 0). A
//!   key that was seen within a day is empty while the same exporter says `redis_up` 1. One that was never seen is unknown:
//!   that is also what a misspelt name and an exporter that was not told to check look like.
//! - Nothing counts what comes in or is taken out: there is no consumption and there are no arrivals.
//! - Entries that a worker has taken are in the list no more. Where that matters, name the list they are moved to as well.

use super::{Exporter, Parts, Sum, Window, any_name, count, quote, template::Values};
use crate::api::RedisList;

pub const EXPORTER: Exporter = Exporter {
    terms: &[
        ("size", "redis_key_size{db=@db,key=~@keys@labels}"),
        ("answers", "redis_up{instance!=\"\"@labels} == 1"),
        ("emptied", "0 * (last_over_time(@size[1d]) and on (job, instance) @answers)"),
    ],
    parts: Parts::Named,
    lag: Sum::Parts("max by (key) (@size or @emptied)"),
    consumed: None,
    arrivals: None,
    window: Window::AsItIs,
};

pub fn values(list: &RedisList) -> Values {
    let database = quote(&format!("db{}", list.database));
    vec![("db", database), ("keys", any_name(&list.keys)), ("count", count(&list.keys))]
}
