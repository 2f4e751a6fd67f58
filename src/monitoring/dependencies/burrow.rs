//! Burrow's own /metrics; read off release 1.9.5.
//!
//! - A partition whose commits Burrow has not seen has `burrow_kafka_consumer_partition_lag` 0, as if nothing waited.
//!   `burrow_kafka_consumer_current_offset` appears once Burrow has seen as many commits as it keeps (`intervals`, 10):
//!   until then a lag of 0 is unknown, unless the partition never had a message.
//! - Burrow gives 0 where a committed offset is beyond the end, which it looks up now and then.
//! - `burrow_kafka_consumer_lag_total` is a gauge, and misses partitions; it is not used.
//! - A group that no longer commits stays as it was until Burrow expires it (`expire-group`, a week).

use super::{Exporter, Parts, Sum, Window};

pub const EXPORTER: Exporter = Exporter {
    terms: &[
        ("behind", "burrow_kafka_consumer_partition_lag{consumer_group=@group,topic=~@topics@labels}"),
        ("committed", "burrow_kafka_consumer_current_offset{consumer_group=@group,topic=~@topics@labels}"),
        ("newest", "burrow_kafka_topic_partition_offset{topic=~@topics@labels}"),
        ("lag", "max by (topic, partition) (@behind)"),
        ("end", "max by (topic, partition) (@newest)"),
        ("known", "@lag > 0 or max by (topic, partition) (@committed) or @end == 0"),
    ],
    parts: Parts::Told("count by (topic) (@end)"),
    lag: Sum::Parts("@lag and (@known)"),
    consumed: Some(Sum::Offsets("@committed")),
    arrivals: Some(Sum::Offsets("@newest")),
    window: Window::AsItIs,
};
