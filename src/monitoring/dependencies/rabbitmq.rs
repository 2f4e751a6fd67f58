//! RabbitMQ's own Prometheus plugin; names as in the plugin of RabbitMQ 4, not tested against a running RabbitMQ.
//!
//! - The plain /metrics aggregates over all queues, and its `rabbitmq_queue_messages` has no label `queue`: nothing matches.
//! - /metrics/detailed has only the metric families in its query: `queue_coarse_metrics` for the lag and
//!   `queue_delivery_metrics` for the consumption. RabbitMQ before 4.0 does not have the latter, so there is no consumption.
//! - A queue that does not exist has no series. A queue without messages has a series of value 0.
//! - Messages that are delivered but not yet acknowledged count as waiting, because their consumer may die.
//! - Consumers that do not acknowledge messages are counted by separate counters.
//! - Dead-lettered messages that arrive are not counted as published. Arrivals are therefore computed as the consumption plus
//!   the growth of the lag.

use super::{Exporter, Parts, Sum, Window, any_name, count, quote, template::Values};
use crate::api::{RabbitMq, RabbitMqEndpoint};

pub const fn exporter(endpoint: RabbitMqEndpoint) -> Exporter {
    match endpoint {
        RabbitMqEndpoint::Detailed => DETAILED,
        RabbitMqEndpoint::PerObject => PER_OBJECT,
    }
}

pub fn values(rabbitmq: &RabbitMq) -> Values {
    vec![("vhost", quote(&rabbitmq.vhost)), ("queues", any_name(&rabbitmq.queues)), ("count", count(&rabbitmq.queues))]
}

/// The exporter for /metrics/detailed.
const DETAILED: Exporter = Exporter {
    terms: &[
        ("ours", "vhost=@vhost,queue=~@queues@labels"),
        ("waiting", "rabbitmq_detailed_queue_messages{@ours}"),
        ("acked", "rabbitmq_detailed_queue_messages_acked_total{@ours}"),
        ("pushed", "rabbitmq_detailed_queue_messages_delivered_total{@ours}"),
        ("pulled", "rabbitmq_detailed_queue_get_total{@ours}"),
    ],
    ..PER_OBJECT
};

/// The exporter for /metrics/per-object.
const PER_OBJECT: Exporter = Exporter {
    terms: &[
        ("ours", "vhost=@vhost,queue=~@queues@labels"),
        ("waiting", "rabbitmq_queue_messages{@ours}"),
        ("acked", "rabbitmq_queue_messages_acked_total{@ours}"),
        ("pushed", "rabbitmq_queue_messages_delivered_total{@ours}"),
        ("pulled", "rabbitmq_queue_get_total{@ours}"),
    ],
    parts: Parts::Named,
    lag: Sum::Parts("max by (queue) (@waiting)"),
    // Rates have no metric name. The label `how` makes them distinct: `or` would keep only the first.
    consumed: Some(Sum::Total(
        "sum(label_replace(rate(@acked[@window]) and @acked, \"how\", \"acked\", \"\", \"\") \
         or label_replace(rate(@pushed[@window]) and @pushed, \"how\", \"pushed\", \"\", \"\") \
         or label_replace(rate(@pulled[@window]) and @pulled, \"how\", \"pulled\", \"\", \"\"))",
    )),
    arrivals: None,
    window: Window::AsItIs,
};
