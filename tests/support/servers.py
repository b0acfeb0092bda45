"""Servers that are none of Redis's, and answer as they are told."""

import contextlib
import socket
import threading

__all__ = ["server_that"]


@contextlib.contextmanager
def server_that(serve):
    """A server that does something with each connection, in turn; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
