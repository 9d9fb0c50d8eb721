"""An S3 on this machine: moto's server. Needs moto[server] and s3fs, which nothing else does."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def s3_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty store in it, which this process and those that it starts can use."""
    server = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    started.start()
    host, port = started.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # of the server of another test
    s3fs.S3FileSystem().mkdir("shop-sets")
    try:
        yield "s3://shop-sets/eu"
    finally:
        started.stop()
