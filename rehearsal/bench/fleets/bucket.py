"""A bucket for the engine's state, by moto on loopback: it takes a fixed time for each write, and counts what it is asked for."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

WRITE_SECONDS = 0.05
"""What a write takes: a bucket in the same region answers one of some megabytes in about that."""
NAME = "state"
_REGION = "eu-central-1"
# What the engine and boto3 look for; nobody checks them.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",  # pragma: allowlist secret
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": _REGION,
}
_Answer = Iterable[bytes]


class Bucket:
    """`asked` counts methods and keys."""

    def __init__(self, port: int) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self._endpoint = f"http://127.0.0.1:{port}"
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=self._endpoint,
            region_name=_REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        self._client.create_bucket(Bucket=NAME, CreateBucketConfiguration={"LocationConstraint": _REGION})

    @property
    def url(self) -> str:
        """The engine's backend."""
        return f"s3://{NAME}?region={_REGION}&endpoint={self._endpoint}&s3ForcePathStyle=true&awssdk=v2"

    def fill(self, folder: Path) -> None:
        """Have the files below `folder` in it, and nothing else; the counts begin anew."""
        self._empty()
        for file in folder.rglob("*"):
            if file.is_file():
                self._client.put_object(Bucket=NAME, Key=str(file.relative_to(folder)), Body=file.read_bytes())
        self.asked.clear()

    def take(self, folder: Path) -> None:
        """Put what is in it below `folder`."""
        for found in self._client.list_objects_v2(Bucket=NAME).get("Contents", []):
            file = folder / found["Key"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._client.get_object(Bucket=NAME, Key=found["Key"])["Body"].read())

    def remove(self) -> None:
        """It is gone then: moto keeps a bucket for as long as the process lives, and the next fleet's has the same name."""
        self._empty()
        self._client.delete_bucket(Bucket=NAME)

    def _empty(self) -> None:
        for found in self._client.list_objects_v2(Bucket=NAME).get("Contents", []):
            self._client.delete_object(Bucket=NAME, Key=found["Key"])

    def writes(self, key: str) -> int:
        """How often an object was written."""
        return self.asked["PUT", key]


@contextmanager
def served() -> Iterator[Bucket]:
    """A bucket, on a thread of its own, while the block runs."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = DomainDispatcherApplication(create_backend_app)
    counted = _Slow(moto)
    server = make_server("127.0.0.1", 0, counted, threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="bucket")
    thread.start()
    try:
        bucket = Bucket(server.server_port)
        counted.bucket = bucket
        try:
            yield bucket
        finally:
            bucket.remove()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Slow:
    """moto's application, counted and slowed down once there is a bucket."""

    def __init__(self, application: Callable[..., _Answer]) -> None:
        self.bucket: Bucket | None = None
        self._application = application

    def __call__(self, environment: dict[str, Any], start: Callable[..., Any]) -> _Answer:
        if self.bucket is not None:
            method, key = environment["REQUEST_METHOD"], environment["PATH_INFO"].removeprefix(f"/{NAME}").lstrip("/")
            self.bucket.asked[method, key] += 1
            if method == "PUT":
                time.sleep(WRITE_SECONDS)
        return self._application(environment, start)
