"""A server of a run's own that is started when somebody writes to it, and not before.

Of cheap documents a memo is asked for a few and keeps none, and starting a server would be the dearest part of their
run. So the process that would start it listens at the server's address itself. Who connects there has it started, is
sent away when it is there, and then connects to that. What clients do as long as it isn't is told by
:mod:`dataflow.memo.unstarted`.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import threading
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dataflow.errors import CacheError, one_line
from dataflow.memo import unstarted
from dataflow.memo.server import EmbeddedServer

__all__ = ["ServerOnDemand"]


class ServerOnDemand:
    """An embedded server to be started by the first who writes, or by :meth:`begin`. For processes of this machine.

    Args:
        **options: of :class:`EmbeddedServer`, but ``tcp``.

    Attributes:
        url: what clients are told.
        folder: where it is; mode 700.
        failure: why it couldn't be started, a line that names the mend; empty where it could, or needn't be.

    Raises:
        CacheError: there is no server program, or no place for its socket.
    """

    def __init__(self, **options: Any) -> None:
        self._server = EmbeddedServer(**options)
        self.folder = self._server.prepare()
        self.url = f"unix://{quote(str(unstarted.place(self.folder)))}"
        self.failure = ""
        self._process, self._stopping = os.getpid(), False
        self._open: list[socket.socket] = []
        try:
            self._listen()
        except BaseException as error:
            self._close()
            self._server.stop()
            if not isinstance(error, OSError):
                raise
            why = one_line(error).rstrip(".")
            raise CacheError(
                f"no server can be made for the cache ({why}): mend that, or set REDIS_URL."
            ) from None
        # Where a process ends without stopping it, it isn't started, and so nobody watches over it.
        weakref.finalize(self, _remove, self.folder, self._process)

    @property
    def pid(self) -> int:
        """The server's process; 0 as long as there is none."""
        return self._server.pid

    def begin(self) -> None:
        """Have it started, and don't wait for it."""
        if os.getpid() == self._process:  # it is no fork's
            with contextlib.suppress(OSError):  # it was, and nobody listens any more
                self._mouth.send(b"!")

    def stop(self) -> None:
        """Stop it, if it was started, and remove its folder."""
        if os.getpid() != self._process:
            return
        self._stopping = True
        self.begin()
        try:
            self._thread.join()
        finally:
            self._server.stop()

    def _listen(self) -> None:
        self._ear, self._mouth = socket.socketpair()
        self._open += [self._ear, self._mouth]
        self._listener = socket.socket(socket.AF_UNIX)
        self._open.append(self._listener)
        unstarted.begin(self.folder)
        self._listener.bind(str(unstarted.place(self.folder)))
        self._listener.listen(socket.SOMAXCONN)
        self._listener.setblocking(False)
        self._thread = threading.Thread(target=self._wait, name="dataflow-server-on-demand", daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        """What the thread does: wait until somebody wants the server, and start it."""
        try:
            wanted = select.poll()
            for one in (self._listener, self._ear):
                wanted.register(one, select.POLLIN)
            wanted.poll()
            if not self._stopping:
                self._start()
        except Exception as error:  # who waits has to be sent away, whatever happened
            self.failure = one_line(error)
            self._server.stop()  # with its folder: nobody waits there any more
        finally:
            self._send_away()
            self._close()

    def _start(self) -> None:
        self._server.start()
        aside = self.folder / "aside"
        aside.symlink_to("s")  # the server's own socket
        aside.replace(unstarted.place(self.folder))
        unstarted.end(self.folder)

    def _send_away(self) -> None:
        # One by one: where a fork holds the listener too, its end sends nobody away.
        with contextlib.suppress(OSError):
            while True:
                self._listener.accept()[0].close()

    def _close(self) -> None:
        for one in self._open:
            one.close()


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
