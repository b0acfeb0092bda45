"""What the cache costs and is worth, in one process: warm batches, other libraries, stages too cheap to keep.

Each function measures arms in turn and returns seconds by arm, one number a repeat; benchmarks.py calls it in a
process of its own through `python caching.py NAME ARGUMENTS-AS-JSON`, and what it returns is printed as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from commands import timed

from dataflow import Pipeline, Strategy, run
from dataflow.corpus import list_corpus
from dataflow.document import Document
from dataflow.engine.clusters import open_cluster
from dataflow.graph import nodes
from dataflow.graph.plan import Batch, Plan, forget_plan, register_plan
from dataflow.memo.base import Entry, Found
from dataflow.memo.chain import chain_of
from dataflow.memo.lru import LruMemo
from dataflow.memo.redis import RedisMemo
from dataflow.memo.sealing import Sealing
from dataflow.memo.server import EmbeddedServer
from dataflow.memo.spec import MemoSpec, close_memos, open_memo
from dataflow.memo.states import RACY_SECONDS, state_of
from workloads.chunking import chunk
from workloads.extraction import extract

Samples = dict[str, list[float]]
PREFIX = b"dataflow:"
HERE = Path(__file__).resolve().parent


def warm(corpus: str, batch: int, repeats: int) -> dict[str, Any]:
    """Batches of a warm run through the graph's nodes, against a bare MGET of the same keys.

    Returns:
        ``seconds`` by arm: ``mget`` bare; ``near`` (all in the worker, and asked for before), ``far`` (the near tier
        emptied before each repeat), ``cold`` (everything read, computed and stored; three repeats at most, on a
        flushed server).
        ``value_bytes``: the mean on the server. ``mgets``: those that the server counted in a far run, a batch;
        one for each megabyte that is expected, all in one round trip.
    """
    documents = list(list_corpus(corpus))
    # What was written a moment ago may be written again within its time stamp's grain, so it is read each time.
    time.sleep(max(0.0, RACY_SECONDS + max(d.modified or 0.0 for d in documents) - time.time()))
    with EmbeddedServer(max_bytes=2**30) as server:
        client = server_client(server.url)
        pipeline = Pipeline(extract, chunk)
        spec = MemoSpec("tiered", url=server.url, secret=b"s" * 32, admission=False)
        with _planned(pipeline, spec) as stages:
            batches = _packed(documents, batch)
            seconds: Samples = {"cold": []}
            for _ in range(min(3, repeats)):
                client.flushall()
                close_memos()
                seconds["cold"].append(_timed(lambda: _through(batches, stages)))
            chain, _ = chain_of(pipeline)
            keys = [PREFIX + chain.by_state(d, state_of(d)[0]) for d in documents]
            sizes = [len(value) for value in client.mget(keys) if value is not None]
            arms = {
                "mget": lambda: _bare(client, keys, batch),
                "near": lambda: _through(batches, stages),
                "far": lambda: _through(batches, stages),
            }
            before = {"near": lambda: _through(batches, stages), "far": lambda: _empty_near(spec)}
            seconds |= _interleaved(arms, repeats, before=before)
            client.config_resetstat()
            _empty_near(spec)
            _through(batches, stages)
            calls = client.info("commandstats").get("cmdstat_mget", {}).get("calls", 0)
    kept = {"kept": len(sizes), "value_bytes": sum(sizes) / max(1, len(sizes))}
    return {"documents": len(documents), "seconds": seconds, "mgets": calls / len(batches), **kept}


def libraries(values: int, value_bytes: int, batch: int, repeats: int) -> dict[str, Any]:
    """Look-ups of the same values in other libraries, each as fast as its own interface allows.

    cashews is asked for a whole batch (``get_many``), in memory and on the same server as ours; diskcache within one
    transaction a batch; joblib.Memory by calling its function. What isn't installed is left out.

    Returns:
        ``seconds`` by arm, for all values.
    """
    names = [f"value-{number:06}" for number in range(values)]
    texts = {name: (name * (value_bytes // len(name) + 1))[:value_bytes] for name in names}
    cuts = [names[i : i + batch] for i in range(0, values, batch)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer(max_bytes=2**30, tcp=True))
        arms = {
            "dataflow lru": _ours(LruMemo(2**30), texts, cuts),
            "dataflow redis": _ours(RedisMemo(server.url, Sealing(secret=b"s" * 32)), texts, cuts),
        }
        if importlib.util.find_spec("cashews"):
            arms["cashews memory"] = _cashews("mem://?size=1000000", texts, cuts, stack)
            arms["cashews redis"] = _cashews(server.url, texts, cuts, stack)
        if importlib.util.find_spec("diskcache"):
            arms["diskcache"] = _diskcache(folder, texts, cuts)
        if importlib.util.find_spec("joblib"):
            arms["joblib.Memory"] = _joblib(folder, texts)
        return {"values": values, "seconds": _interleaved(arms, repeats)}


def cheap(documents: int, workers: int, repeats: int) -> dict[str, Any]:
    """A stage that costs microseconds, cold, with each cache and with none, on a warm `processes` cluster.

    Returns:
        ``seconds`` by kind of cache; ``none again`` says how far two equal arms are apart.
    """
    from cheapest import count_words

    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer() as server,
        open_cluster("processes", workers) as cluster,
    ):
        files = _texts(Path(folder), documents)
        runs = iter(range(10**6))

        def arm(kind: str) -> Callable[[], None]:
            def measured() -> None:
                # A new namespace each time: always cold. The worker's own memory is new with it.
                options = {
                    "cache": kind.split()[0].rstrip(","),
                    "namespace": f"run{next(runs)}",
                    "cluster": cluster.client,
                }
                given = {"redis_url": server.url} if kind in ("redis", "tiered") else {}
                # Else a run that needs a server has one of its own.
                for outcome in run(Pipeline(count_words), files, **options, **given):
                    assert outcome.status == "ok", outcome

            return measured

        arms = {kind: arm(kind) for kind in ("none", "none again", "lru", "redis", "tiered", "tiered, own")}
        arms["none"]()
        return {"documents": documents, "seconds": _interleaved(arms, repeats)}


def cheap_commands(documents: int, repeats: int) -> dict[str, Any]:
    """The same by whole commands, cold: `dataflow run` with a server of its own, and with one that runs already.

    Returns:
        ``seconds`` by kind of cache.
    """
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer() as server:
        client, corpus = server_client(server.url), Path(folder) / "corpus"
        corpus.mkdir()
        _texts(corpus, documents)
        command = ["-m", "dataflow", "run", "--workload", str(HERE / "cheapest.py"), "--corpus", str(corpus)]
        outputs = iter(range(10**6))

        def arm(*options: str) -> Callable[[], None]:
            def measured() -> None:
                timed([*command, "--output", f"{folder}/{next(outputs)}", *options])

            return measured

        arms = {name: arm("--cache", name.split()[0]) for name in ("none", "none again", "lru", "tiered")}
        arms["tiered, a server's"] = arm("--cache", "tiered", "--redis-url", server.url)
        arms["none"]()
        before = {"tiered, a server's": client.flushall}
        return {"documents": documents, "seconds": _interleaved(arms, repeats, before=before)}


def server_client(url: str) -> Any:
    """A bare client of redis-py."""
    import redis

    return redis.Redis.from_url(url)


def _interleaved(
    arms: dict[str, Callable[[], object]], repeats: int, before: dict[str, Callable[[], object]] | None = None
) -> Samples:
    seconds: Samples = {name: [] for name in arms}
    for _ in range(repeats):
        for name, arm in arms.items():
            (before or {}).get(name, int)()
            seconds[name].append(_timed(arm))
    return seconds


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextlib.contextmanager
def _planned(pipeline: Pipeline, spec: MemoSpec) -> Iterator[int]:
    """A plan that this process knows, and how many stages its chain has."""
    chain, _ = chain_of(pipeline)
    plan = Plan("benchmark", pipeline, Strategy(freshness="stat"), spec, len(chain), chain.ids)
    register_plan(plan)
    try:
        yield len(chain)
    finally:
        forget_plan(plan.run)
        close_memos()


def _packed(documents: Sequence[Document], size: int) -> list[bytes]:
    """Batches as they come to a worker: what it asks for is ready, as the bare client's keys are."""
    batches = []
    for start in range(0, len(documents), size):
        part = tuple(documents[start : start + size])
        places = tuple(range(start, start + len(part)))
        batches.append(Batch(start // size, part, places, (0,) * len(part)).pack())
    return batches


def _through(batches: Sequence[bytes], stages: int) -> None:
    for batch in batches:
        work = nodes.lookup("benchmark", nodes.probe("benchmark", batch))
        for index in range(stages):
            work = nodes.compute("benchmark", index, work)
        nodes.store("benchmark", work)


def _bare(client: Any, keys: Sequence[bytes], size: int) -> None:
    for start in range(0, len(keys), size):
        pipe = client.pipeline(transaction=False)
        pipe.execute_command("MGET", *keys[start : start + size])
        pipe.execute()


def _empty_near(spec: MemoSpec) -> None:
    near = getattr(open_memo(spec), "_near", None)
    assert near is not None, "a tiered memo without a near tier"
    near.clear()


def _ours(memo: Any, texts: dict[str, str], cuts: Sequence[Sequence[str]]) -> Callable[[], None]:
    import hashlib

    keys = {name: hashlib.blake2b(name.encode(), digest_size=20).digest() for name in texts}
    memo.store([Entry(keys[name], text, 1.0) for name, text in texts.items()])

    def look_up() -> None:
        for names in cuts:
            found = memo.lookup([keys[name] for name in names])
            assert all(type(answer) is Found for answer in found)

    return look_up


def _cashews(
    url: str, texts: dict[str, str], cuts: Sequence[Sequence[str]], stack: contextlib.ExitStack
) -> Callable[[], None]:
    from cashews import Cache

    loop = asyncio.new_event_loop()
    cache = Cache()
    cache.setup(url)

    async def fill() -> None:
        await cache.init()
        await cache.set_many(texts)

    async def look_up() -> None:
        for names in cuts:
            assert None not in await cache.get_many(*names)

    def close() -> None:
        loop.run_until_complete(cache.close())
        loop.close()

    stack.callback(close)
    loop.run_until_complete(fill())
    return lambda: loop.run_until_complete(look_up())


def _diskcache(folder: str, texts: dict[str, str], cuts: Sequence[Sequence[str]]) -> Callable[[], None]:
    from diskcache import Cache

    cache = Cache(f"{folder}/diskcache", size_limit=2**31)
    with cache.transact():
        for name, text in texts.items():
            cache[name] = text

    def look_up() -> None:
        for names in cuts:
            with cache.transact():
                assert None not in [cache.get(name) for name in names]

    return look_up


def _joblib(folder: str, texts: dict[str, str]) -> Callable[[], None]:
    import joblib

    texts_by_name.update(texts)
    kept = joblib.Memory(f"{folder}/joblib", verbose=0).cache(text_of)

    def look_up() -> None:
        for name in texts:
            kept(name)

    look_up()
    return look_up


texts_by_name: dict[str, str] = {}


def text_of(name: str) -> str:
    """What joblib.Memory keeps: a function of its argument."""
    return texts_by_name[name]


def _texts(folder: Path, documents: int) -> list[str]:
    paths = []
    for number in range(documents):
        path = folder / f"{number:06}.txt"
        path.write_text(f"{number} " + "a few words " * (number % 20))
        paths.append(str(path))
    return paths


if __name__ == "__main__":
    # Functions travel to other processes by name, so they must not stand in `__main__`.
    import caching

    print(json.dumps(getattr(caching, sys.argv[1])(**json.loads(sys.argv[2]))))
