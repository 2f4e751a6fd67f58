"""Fills an RQ queue, and the jobs that its workers do."""

import argparse
import logging
import time

from redis import Redis
from rq import Queue

from live_workers.pace import ticks


def run(arguments: argparse.Namespace) -> None:
    queue = Queue(arguments.queue, connection=Redis.from_url(arguments.redis))
    for _ in ticks(arguments.count, arguments.per_second):
        if arguments.fail:
            queue.enqueue(fail)
        else:
            queue.enqueue(work, arguments.work_milliseconds, result_ttl=0)
    logging.info("%d jobs", arguments.count)


def fail() -> None:
    raise RuntimeError("this job always fails")


def work(milliseconds: float) -> None:
    time.sleep(milliseconds / 1000)
