"""Process groups: what a stage has started ends with the process that ran it.

A stage may call a program (``pdftotext``, ``ffmpeg``), whose hanging is what its document overruns for. Nobody waits
for it once the process that called it was ended: it would take a core for ever. Processes that run documents for us
lead a group of their own each, which what they start is in, unless it leaves on purpose.
"""

from __future__ import annotations

import contextlib
import os
import signal

__all__ = ["end_group", "end_left_by", "end_own_group"]


def end_group(leader: int) -> None:
    """Kill a process that has not been waited for yet, and the group that it leads, if it does."""
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(leader, signal.SIGKILL)


def end_own_group() -> None:
    """Kill this process, and the group that it leads, if it does: no other one, as that of a shell."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def end_left_by(leader: int) -> None:
    """Kill what is left of a group whose leader has gone.

    As long as any is, no new process is given the leader's number; where one has it, nothing was left.
    """
    try:
        os.kill(leader, 0)
    except ProcessLookupError:
        with contextlib.suppress(OSError):
            os.killpg(leader, signal.SIGKILL)
    except OSError:
        return  # somebody else's, by now
