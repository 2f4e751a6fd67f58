"""Writes documents into a MongoDB and reads them back, again and again, whether it succeeds or not."""

import argparse
import logging

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from live_workers.pace import ticks

TIMEOUT_MILLISECONDS = 2_000


def run(arguments: argparse.Namespace) -> None:
    client: MongoClient[dict[str, int]] = MongoClient(
        arguments.server, serverSelectionTimeoutMS=TIMEOUT_MILLISECONDS, socketTimeoutMS=TIMEOUT_MILLISECONDS
    )
    films = client["shop"]["films"]
    for number in ticks(arguments.count, arguments.per_second):
        try:
            films.insert_one({"number": number})
            films.find_one({"number": number})
        except PyMongoError as error:
            logging.info("%s", type(error).__name__)
