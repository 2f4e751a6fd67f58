//! redis_exporter (oliver006) with `--check-single-keys=db0=NAME`; names and behaviour as in release 1.88.0.
//!
//! - Redis has no empty lists: with its last entry the key is deleted, and `redis_key_size` disappears (older releases report
//!   0). A key with a sample within the last day counts as empty while the same exporter reports `redis_up` 1. A key without
//!   one is unknown: a misspelt name and an exporter that is not configured to check the key look the same.
//! - Entries added or removed are not counted by Redis: there is neither consumption nor arrivals.
//! - Entries that a worker has taken are no longer in the list. Where that matters, name the list they are moved to as well.

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
