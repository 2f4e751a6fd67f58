"""Fills a queue of RabbitMQ, and works it off: bad messages are rejected and become dead letters."""

import argparse
import logging

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties
from prometheus_client import start_http_server

from live_workers.pace import ticks

BAD = b"bad"
DEAD_LETTERS = "-dead"
CONNECTION_ATTEMPTS = 120  # one per second: the broker may still be starting


def publish(arguments: argparse.Namespace) -> None:
    channel = connect(arguments)
    channel.confirm_delivery()
    for _ in ticks(arguments.count, arguments.per_second):
        channel.basic_publish("", arguments.queue, BAD if arguments.bad else b"good")
    channel.connection.close()
    logging.info("%d messages", arguments.count)


def process(arguments: argparse.Namespace) -> None:
    channel = connect(arguments)
    start_http_server(arguments.port)

    def received(channel: BlockingChannel, method: Basic.Deliver, _: BasicProperties, body: bytes) -> None:
        if body == BAD:
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(arguments.queue, received)
    channel.start_consuming()


def connect(arguments: argparse.Namespace) -> BlockingChannel:
    """A channel, with the queue and that of its dead letters."""
    parameters = pika.ConnectionParameters(
        arguments.broker, connection_attempts=CONNECTION_ATTEMPTS, retry_delay=1.0
    )
    channel = pika.BlockingConnection(parameters).channel()
    dead_letters = arguments.queue + DEAD_LETTERS
    channel.queue_declare(dead_letters, durable=True)
    to_dead_letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead_letters}
    channel.queue_declare(arguments.queue, durable=True, arguments=to_dead_letters)
    return channel
