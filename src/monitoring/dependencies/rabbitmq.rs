//! RabbitMQ's own Prometheus plugin; names read off the plugin of RabbitMQ 4, not tried against a running one.
//!
//! - The plain /metrics adds all queues up, and its `rabbitmq_queue_messages` has no label `queue`: nothing matches.
//! - /metrics/detailed has only the families that are asked for: `queue_coarse_metrics` for the lag and
//!   `queue_delivery_metrics` for the consumption. Before 4.0 there is no such family, and no consumption.
//! - A queue that does not exist has no series. A queue without messages has one, of 0.
//! - Messages taken and not yet acknowledged still wait: who takes them may die.
//! - Whoever takes messages without acknowledging them is in counters of its own.
//! - What comes in by dead-lettering is not among the published messages: arrivals are what is consumed and what the lag
//!   grows by.

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
    // Rates have no name: the label keeps `or` from dropping all but the first.
    consumed: Some(Sum::Total(
        "sum(label_replace(rate(@acked[@window]) and @acked, \"how\", \"acked\", \"\", \"\") \
         or label_replace(rate(@pushed[@window]) and @pushed, \"how\", \"pushed\", \"\", \"\") \
         or label_replace(rate(@pulled[@window]) and @pulled, \"how\", \"pulled\", \"\", \"\"))",
    )),
    arrivals: None,
    window: Window::AsItIs,
};
