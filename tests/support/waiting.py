"""Waiting for what other processes do, which nobody tells a test of."""

import time

__all__ = ["wait_until"]


def wait_until(holds, seconds=60):
    """Wait until something is so; a test that waits in vain has failed."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)
