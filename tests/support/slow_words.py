"""Words of a text, slow enough to be interrupted; and documents that are bad until a file says otherwise."""

import os
import time

from dataflow import DocumentError, Pipeline, stage


@stage
def extract(data: bytes) -> str:
    """Decode the text."""
    time.sleep(float(os.environ.get("SLOW_SECONDS", "0.01")))
    word = data.split(b" ", 1)[0]
    mended = os.path.exists(os.environ.get("MENDED", "/nonexistent"))
    if word == b"BAD" and not mended:
        raise DocumentError("this one is bad")
    if word == b"DIE" and not mended:
        os._exit(3)
    return data.decode()


@stage
def words(text: str) -> list[str]:
    """Split it."""
    return text.split()


pipeline = Pipeline(extract, words)
