from __future__ import annotations

import pytest

from dataflow.errors import CacheError
from dataflow.memo.clear import clear_namespace
from dataflow.memo.connect import client_of
from dataflow.memo.server import EmbeddedServer


@pytest.fixture
def server():
    """A server and a client of it."""
    with EmbeddedServer() as started:
        client = client_of(started.url)
        yield started.url, client
        client.close()


def test_only_the_keys_of_the_namespace_go(server):
    url, client = server
    client.mset({f"mine:{i}": b"x" for i in range(1200)})
    client.mset({"mine": b"x", "mine2:a": b"x", "yours:mine:b": b"x"})
    assert clear_namespace(url, "mine") == 1200
    assert set(client.keys()) == {b"mine", b"mine2:a", b"yours:mine:b"}
    assert clear_namespace(url, "mine") == 0


def test_what_means_something_in_a_pattern_stands_for_itself(server):
    url, client = server
    client.mset({"a*[b]?:1": b"x", "axxb:1": b"x", "a*b:1": b"x"})
    assert clear_namespace(url, "a*[b]?") == 1
    assert set(client.keys()) == {b"axxb:1", b"a*b:1"}


def test_a_server_that_is_not_there_is_an_error():
    with pytest.raises(CacheError, match="can't be removed"):
        clear_namespace("redis://127.0.0.1:1", "mine")
