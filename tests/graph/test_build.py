from dask import get

from dataflow import Document, Pipeline, Strategy
from dataflow.graph.build import build
from dataflow.graph.nodes import in_order, run_nodes
from dataflow.graph.plan import Batch, Plan, forget_plan, register_plan
from dataflow.memo.spec import MemoSpec


def first(data: bytes) -> str:
    return data.decode()


def second(text: str) -> str:
    return text + "!"


def plan(**changes):
    memoized = 2 if changes.pop("memo", False) else 0
    spec = MemoSpec("dict" if memoized else "none", secret=b"s" * 32)
    return Plan("cafe", Pipeline(first, second), Strategy(**changes), spec, memoized, (b"x",) * memoized)


BATCH = Batch(5, (Document("a", None, "text/plain"),), (0,), (0,), (b"hi",))


def names(chosen):
    return [name for name, _, _ in in_order(chosen)]


def test_the_nodes_are_probe_lookup_stages_store_write():
    assert names(plan(memo=True)) == ["probe", "lookup", "first", "second", "store", "write"]
    assert names(plan()) == ["probe", "first", "second", "write"]


def test_fused_a_batch_is_one_task():
    key, graph = build(plan(memo=True), BATCH)
    assert key == ("batch-cafe", 5)
    assert list(graph) == [key]


def test_unfused_every_node_is_a_task_that_the_dashboard_names():
    key, graph = build(plan(memo=True, fuse=False), BATCH)
    assert [k[0] for k in graph] == [f"{n}-cafe" for n in names(plan(memo=True))]
    assert key == ("write-cafe", 5)


def test_fused_and_unfused_graphs_give_the_same_and_so_do_the_nodes_without_any():
    results = []
    for fuse in (True, False):
        chosen = plan(memo=True, fuse=fuse)
        register_plan(chosen)
        key, graph = build(chosen, BATCH)
        results.append(get(graph, key).take()[0].value)
        results.append(run_nodes("cafe", BATCH.pack()).take()[0].value)
        forget_plan("cafe")
    assert results == ["hi!"] * 4


def test_an_isolated_batch_is_one_task_whatever_the_strategy():
    key, graph = build(plan(fuse=False), BATCH.part(6, [0], isolated=True))
    assert key == ("isolate-cafe", 6)
    assert len(graph) == 1
