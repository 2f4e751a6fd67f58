"""Works off a Kafka topic, one message after the other, and exports how far behind it is.

The lag is the client's own: librdkafka's statistics have, for each partition, the end of the log as of the last fetch and the
offset that the group has committed. Only partitions that this consumer is assigned are exported, each by one
consumer, and none whose lag is not known (librdkafka says -1).
"""

import argparse
import json
import logging
import signal
import time
from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, TopicPartition
from prometheus_client import REGISTRY, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

LABELS = ["consumergroup", "topic", "partition"]
# Metric, what it is, and its field in librdkafka's statistics of a partition.
OFFSETS = [
    ("recommender_kafka_consumer_lag", "Messages in the partition that the group has not committed.", "consumer_lag"),
    ("recommender_kafka_end_offset", "Offset of the next message that will be written.", "hi_offset"),
    ("recommender_kafka_position", "Offset after the last message that was worked off.", "stored_offset"),
]


class Lag(Collector):
    """What the statistics say of the partitions that are assigned now. Read by another thread: replaced, never changed."""

    def __init__(self, group: str, topic: str) -> None:
        self.group = group
        self.topic = topic
        self.assigned: frozenset[int] = frozenset()
        self.partitions: dict[int, dict[str, int]] = {}

    def assign(self, _: Consumer, added: list[TopicPartition]) -> None:
        self.assigned |= {partition.partition for partition in added}
        logging.info("assigned %s", sorted(self.assigned))

    def revoke(self, _: Consumer, gone: list[TopicPartition]) -> None:
        self.assigned -= {partition.partition for partition in gone}
        logging.info("left with %s", sorted(self.assigned))

    def statistics(self, text: str) -> None:
        partitions = json.loads(text)["topics"].get(self.topic, {}).get("partitions", {})
        # -1 is the client's place for messages without a partition.
        self.partitions = {int(number): fields for number, fields in partitions.items() if number != "-1"}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        partitions, assigned = self.partitions, self.assigned
        if not partitions:
            return
        for name, meaning, field in OFFSETS:
            family = GaugeMetricFamily(name, meaning, labels=LABELS)
            for number in sorted(assigned & partitions.keys()):
                if partitions[number][field] >= 0:
                    family.add_metric([self.group, self.topic, str(number)], partitions[number][field])
            yield family
        family = GaugeMetricFamily("recommender_kafka_partitions", "Partitions of the topic.", labels=LABELS[:2])
        family.add_metric([self.group, self.topic], len(partitions))
        yield family


def run(arguments: argparse.Namespace) -> None:
    lag = Lag(arguments.group, arguments.topic)
    REGISTRY.register(lag)
    start_http_server(arguments.metrics_port)
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    consumer = Consumer(
        {
            "bootstrap.servers": arguments.bootstrap,
            "group.id": arguments.group,
            "allow.auto.create.topics": True,
            "auto.offset.reset": "earliest",
            # Those who stay keep their partitions and go on working while others come and go.
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 1_000,
            "enable.auto.offset.store": False,
            "auto.commit.interval.ms": 1_000,
            "statistics.interval.ms": 1_000,
            "stats_cb": lag.statistics,
        }
    )
    consumer.subscribe([arguments.topic], on_assign=lag.assign, on_revoke=lag.revoke, on_lost=lag.revoke)
    while not stopping:
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error() is None:
            time.sleep(arguments.work_milliseconds / 1000)
            consumer.store_offsets(message)
        elif message.error().code() != KafkaError.UNKNOWN_TOPIC_OR_PART:  # the topic is being made
            raise SystemExit(str(message.error()))
    consumer.close()  # commits and leaves the group, so that others take over at once
    logging.info("ended")
