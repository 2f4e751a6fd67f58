"""The command line: `consume`, `produce`, `enqueue`, `publish`, `process`, `objects`, `films` and `drift`."""

import argparse
import logging
import os

from live_workers import consumer, drift, films, jobs, mail, objects, producer


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    arguments = parser().parse_args()
    arguments.run(arguments)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="live_workers", description=__doc__)
    commands = top.add_subparsers(required=True)

    consume = commands.add_parser("consume", help="work off a topic and export how far behind the group is")
    kafka(consume)
    consume.add_argument("--group", default="ml-recommender")
    consume.add_argument(
        "--work-milliseconds",
        type=float,
        default=float(os.environ.get("WORK_MILLISECONDS", "20")),
        help="how long each message takes; the default comes from WORK_MILLISECONDS",
    )
    consume.add_argument("--metrics-port", type=int, default=9100)
    consume.set_defaults(run=consumer.run)

    produce = commands.add_parser("produce", help="fill a topic")
    kafka(produce)
    pace(produce, "messages")
    produce.set_defaults(run=producer.run)

    enqueue = commands.add_parser("enqueue", help="fill an RQ queue")
    enqueue.add_argument("--redis", default="redis://redis:6379")
    enqueue.add_argument("--queue", default="train_model")
    enqueue.add_argument("--work-milliseconds", type=float, default=500.0, help="how long each job takes")
    enqueue.add_argument("--fail", action="store_true", help="jobs that fail at once")
    pace(enqueue, "jobs")
    enqueue.set_defaults(run=jobs.run)

    publish = commands.add_parser("publish", help="fill a queue of RabbitMQ")
    rabbitmq(publish)
    publish.add_argument("--bad", action="store_true", help="messages that are rejected")
    pace(publish, "messages")
    publish.set_defaults(run=mail.publish)

    process = commands.add_parser("process", help="work off a queue of RabbitMQ")
    rabbitmq(process)
    process.add_argument("--port", type=int, default=9102, help="open once it consumes")
    process.set_defaults(run=mail.process)

    store = commands.add_parser("objects", help="write and read an object of an S3 server")
    store.add_argument("--server", default="s3:7070")
    pace(store, "times")
    store.set_defaults(run=objects.run)

    database = commands.add_parser("films", help="write and read documents of a MongoDB")
    database.add_argument("--server", default="mongodb://films:27017")
    pace(database, "times")
    database.set_defaults(run=films.run)

    monitor = commands.add_parser("drift", help="compare current data with those of the training")
    drift.options(monitor)
    monitor.set_defaults(run=drift.run)
    return top


def kafka(command: argparse.ArgumentParser) -> None:
    command.add_argument("--bootstrap", default="kafka:9092")
    command.add_argument("--topic", default="events")


def rabbitmq(command: argparse.ArgumentParser) -> None:
    command.add_argument("--broker", default="rabbitmq")
    command.add_argument("--queue", default="mail")


def pace(command: argparse.ArgumentParser, things: str) -> None:
    command.add_argument("--count", type=int, required=True, help=f"how many {things} in all")
    command.add_argument("--per-second", type=float, default=None, help="evenly at this rate; all at once by default")


if __name__ == "__main__":
    main()
