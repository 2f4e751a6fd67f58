"""Fills a Kafka topic, the same number of messages into each partition."""

import argparse
import logging
import sys
import time

from confluent_kafka import KafkaError, Message, Producer

from live_workers.pace import ticks

FLUSH_SECONDS = 30


def run(arguments: argparse.Namespace) -> None:
    failures: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(str(error))

    producer = Producer({"bootstrap.servers": arguments.bootstrap, "linger.ms": 20})
    partitions = partitions_of(producer, arguments.topic)
    started = time.monotonic()
    for number in ticks(arguments.count, arguments.per_second):
        while True:
            try:
                producer.produce(
                    arguments.topic, f"event {number}".encode(), partition=number % partitions, on_delivery=delivered
                )
                break
            except BufferError:
                producer.poll(0.1)  # the client's queue is full: wait until the broker has taken some
        producer.poll(0)
    left = producer.flush(FLUSH_SECONDS)
    if left or failures:
        sys.exit(f"{left} messages were not sent in time, {len(failures)} failed: {failures[:1]}")
    logging.info("%d messages in %.1f s", arguments.count, time.monotonic() - started)


def partitions_of(producer: Producer, topic: str) -> int:
    """How many partitions the topic has; asking makes it when it is not there yet, which takes a moment."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = producer.list_topics(topic, timeout=10).topics[topic]
        if found.error is None and found.partitions:
            return len(found.partitions)
        time.sleep(0.2)
    sys.exit(f"the topic {topic} does not appear: {found.error}")
