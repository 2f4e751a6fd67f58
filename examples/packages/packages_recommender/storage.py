"""Where artifacts live: `file:///path` (a mounted volume) or `s3://bucket/key`.

Both writes are atomic: a reader sees the whole new artifact or none.
"""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .errors import InputError


def write(uri: str, data: bytes) -> None:
    """Stores `data` under `uri`, replacing what is there."""
    scheme, bucket, path = split(uri)
    if scheme == "file":
        write_file(Path(path), data)
    else:
        # One PUT is atomic; a multipart upload would only pay off for artifacts of a hundred megabytes and more.
        client = s3_client()
        with refusals(f"write {uri}"):
            client.put_object(Bucket=bucket, Key=path, Body=data, ContentType="application/octet-stream")


def read(uri: str) -> bytes:
    """The bytes stored under `uri`; an `InputError` when there is nothing."""
    scheme, bucket, path = split(uri)
    if scheme == "file":
        try:
            return Path(path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise InputError(f"there is no artifact at {uri}: {error.strerror}") from error
    client = s3_client()
    try:
        with refusals(f"read {uri}"):
            return client.get_object(Bucket=bucket, Key=path)["Body"].read()
    except client.exceptions.NoSuchKey as error:
        raise InputError(f"there is no artifact at {uri}: {error}") from error


def delete_below(uri: str) -> int:
    """Deletes all that is stored below `uri`, and returns how many objects there were. That there is nothing is no error."""
    scheme, bucket, path = split(uri)
    if scheme == "file":
        return delete_directory(Path(path), uri)
    client = s3_client()
    deleted = 0
    with refusals(f"delete {uri}"):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{path.rstrip('/')}/")
        for key in [found["Key"] for page in pages for found in page.get("Contents", [])]:
            # One by one: a request that deletes several needs a checksum that some stores do not know.
            client.delete_object(Bucket=bucket, Key=key)
            deleted += 1
    return deleted


def delete_directory(directory: Path, uri: str) -> int:
    if not directory.parent.is_dir():
        # The other versions are there: without it, the volume is not the one of the versions.
        raise InputError(f"cannot delete {uri}: there is no directory {directory.parent}; check the volume and its mount path")
    if directory.is_symlink():
        raise InputError(f"cannot delete {uri}: it is a symbolic link, and what it points to may belong to others")
    if not directory.exists():
        return 0
    files = sum(1 for path in directory.rglob("*") if not path.is_dir())
    shutil.rmtree(directory)
    return files


def split(uri: str) -> tuple[str, str, str]:
    """`(scheme, bucket, path or key)` of an artifact's URI; the bucket is empty for files."""
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return "file", "", unquote(parts.path)
    if parts.scheme == "s3" and parts.netloc and parts.path.strip("/"):
        return "s3", parts.netloc, unquote(parts.path.lstrip("/"))
    raise InputError(f"cannot use the artifact URI {uri!r}: write file:///absolute/path or s3://bucket/path")


def write_file(path: Path, data: bytes) -> None:
    """Writes beside the target, syncs, then renames: a crash or a full disk leaves no half-written artifact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)  # the server may run as another user than the trainer
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def refusals(what: str):
    """Tells in words what the store refuses for good: wrong credentials, a permission or a bucket that is missing."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        answer, status = error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status in (401, 403):
            hint = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they permit"
        elif answer["Code"] == "NoSuchBucket":
            hint = "create the bucket, or correct the URI"
        else:
            raise
        # The code comes first: whoever shows the message may cut it, and URIs are long.
        told = f"{status} {answer['Code']} from the store: {hint}; cannot {what}: {answer['Message']}"
        raise InputError(told) from error


def s3_client():
    """A client that takes credentials, endpoint and region from the standard AWS_* variables.

    Imported only here: boto3 costs 30 MiB, which a server that reads a volume need not pay.
    """
    import boto3
    from botocore.config import Config

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    config = Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 5},
        # Stores other than Amazon's rarely have a DNS name per bucket, and some reject the newer checksum headers.
        s3={"addressing_style": "path" if endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return boto3.client("s3", endpoint_url=endpoint, region_name=region, config=config)
