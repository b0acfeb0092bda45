"""A small workload for tests: words of a text. A document's first word may ask for a misfortune.

In pieces, the first word of any line may.
"""

import asyncio
import ctypes
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

from dataflow import DocumentError, Pipeline, stage


def misfortune(word: bytes) -> None:
    """Do what a bad document does to its parser."""
    if word == b"BAD":
        raise DocumentError("this one is bad")
    if word == b"INTERRUPT":
        raise KeyboardInterrupt
    if word == b"EXIT":
        raise SystemExit(3)
    if word == b"LEAVE":
        raise GeneratorExit
    if word == b"CANCEL":
        raise asyncio.CancelledError
    if word == b"DIE":
        os._exit(3)
    if word == b"SEGFAULT":
        ctypes.string_at(0)  # a signal sent by kill would leave this thread some time to go on
    if word == b"HANG":
        time.sleep(3600)
    if word == b"HANG_WITH_THE_LOCK":
        ctypes.PyDLL(None).sleep(3600)
    if word == b"STOP":
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # its process, before this thread goes on
    if word == b"DEAF":
        leave_deaf()
    if word == b"DEEP":
        misfortune(word)
    if word == b"EAT":
        eaten = []
        while True:
            eaten.append(bytes(2**27))


def leave_deaf() -> None:
    """Keep the worker's loop from ever sending or hearing anything again; a sandbox has none."""
    from distributed import get_worker

    try:
        loop = get_worker().loop
    except ValueError:
        return
    loop.add_callback(time.sleep, 3600)


@stage
def extract(data: bytes) -> str:
    """Decode the text."""
    misfortune(data.split(b" ", 1)[0])
    return data.decode()


@stage
def words(text: str) -> list[str]:
    """Split it."""
    return text.split()


@stage
def lines(file: BinaryIO) -> Iterator[str]:
    """Read it line by line."""
    for line in file:
        misfortune(line.split(b" ", 1)[0].strip())
        yield line.decode()


@stage
def words_of_lines(lines: Iterator[str]) -> list[str]:
    """Split them."""
    return [word for line in lines for word in line.split()]


pipeline = Pipeline(extract, words)
variants = {"pieces": Pipeline(lines, words_of_lines)}
