"""A server of a run's own that is started when somebody writes to it, and not before.

Of cheap documents a memo is asked for a few and keeps none, and starting a server would be the dearest part of their
run. So the process that would start it listens at the server's address itself. Who connects there has it started, and
is sent away when it is there: clients then connect once more, as they do where a connection was lost. What they do as
long as it isn't is told by :mod:`dataflow.memo.unstarted`.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import Any
from urllib.parse import quote

from dataflow.errors import one_line
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
        self.url = f"unix://{quote(str(self.folder / 'd'))}"
        self.failure = ""
        self._stopping = False
        self._ear, self._mouth = socket.socketpair()
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            unstarted.begin(self.folder)
            self._listener.bind(str(self.folder / "d"))
            self._listener.listen(socket.SOMAXCONN)
            self._listener.setblocking(False)
            self._thread = threading.Thread(target=self._wait, name="dataflow-server-on-demand", daemon=True)
            self._thread.start()
        except BaseException:
            self._close()
            self._server.stop()
            raise

    @property
    def pid(self) -> int:
        """The server's process; 0 as long as there is none."""
        return self._server.pid

    def begin(self) -> None:
        """Have it started, and don't wait for it."""
        with contextlib.suppress(OSError):  # it was, and nobody listens any more
            self._mouth.send(b"!")

    def stop(self) -> None:
        """Stop it, if it was started, and remove its folder."""
        self._stopping = True
        self.begin()
        self._thread.join()
        self._server.stop()

    def _wait(self) -> None:
        """What the thread does: wait until somebody wants the server, and start it."""
        try:
            select.select([self._listener, self._ear], [], [])
            if not self._stopping:
                self._start()
        except Exception as error:  # who waits has to be sent away, whatever happened
            self.failure = one_line(error)
        finally:
            self._close()

    def _start(self) -> None:
        self._server.start()
        aside = self.folder / "aside"
        aside.symlink_to("s")  # the server's own socket
        aside.replace(self.folder / "d")
        unstarted.end(self.folder)

    def _close(self) -> None:
        # One by one: where a fork holds the listener too, its end sends nobody away.
        with contextlib.suppress(OSError):
            while True:
                self._listener.accept()[0].close()
        for one in (self._listener, self._ear, self._mouth):
            one.close()
