"""A script and a workload's own file are in worker processes what they are in a loop."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import distributed
import pytest

from dataflow import run
from dataflow.errors import WorkloadError
from dataflow.graph.shipping import packed_pipeline, unpacked_pipeline
from dataflow.workload import load_workload

CLUSTERS = ["auto", "threads", "processes"]
NEEDS_ITS_MODULE = '''"""What only a module is that was imported, and no copy of its code."""
from __future__ import annotations
import decimal
import pickle
import sys
import threading
import typing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import jinja2
import pydantic
from dataflow import Pipeline, stage

decimal.getcontext().prec = 5

class Reader:
    known: list[type] = []
    def __init_subclass__(cls):
        Reader.known.append(cls)

class Text(Reader): pass
class Page(Reader): pass

@dataclass
class Chunk:
    text: str
    after: Chunk | None = None

class Parent(pydantic.BaseModel):
    child: Child | None = None
class Child(pydantic.BaseModel):
    parent: Parent | None = None
Parent.model_rebuild()

@pydantic.validate_call
def half(x: int) -> float:
    return x / 2

TEMPLATE = jinja2.Environment().from_string("<{{ n }}>")
LOCK, POOL = threading.Lock(), ThreadPoolExecutor(1)

@stage
def extract(data: bytes) -> list:
    with LOCK:
        length = POOL.submit(len, data).result()
    return [
        str(decimal.Decimal(1) / 3), len(Reader.__subclasses__()), len(Reader.known),
        sorted(typing.get_type_hints(Chunk)), pickle.loads(pickle.dumps(Chunk("a"))).text,
        Parent(child={"parent": {}}).model_dump_json(), half("3"), TEMPLATE.render(n=length),
        sys.modules[__name__].LOCK is LOCK, globals()["LOCK"] is LOCK, Chunk in Chunk.__mro__,
    ]

pipeline = Pipeline(extract)
'''
SAYS_HOW = """
import sys, threading
from dataflow import Pipeline, run, stage
LOCK = {lock}
{before}
@stage{options}
def said(data: bytes) -> str:
    with LOCK or threading.Lock():
        return "by name" if __name__ != "__main__" else "by value"
@stage
def more(text: str) -> str:
    return f"{{text}}: {what}"
if __name__ == "__main__":
    {change}
    pipeline = Pipeline(said, more)
    for cluster in sys.argv[2:]:
        try:
            values = {{outcome.value for outcome in run(pipeline, sys.argv[1], cluster=cluster)}}
        except Exception as error:
            values = [error]
        print(cluster, *sorted(map(str, values)), sep=": ")
"""


def in_a_thread(work):
    """What a function gives in a thread of its own: what it sets there is for that alone."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def of(script, tmp_path, *arguments, name="own_script.py"):
    """What a script prints."""
    path = tmp_path / name
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, str(path), *arguments], stdout=subprocess.PIPE, text=True, check=True, timeout=120
    )
    return done.stdout.splitlines()


def said_by(tmp_path, write_corpus, *, lock="None", before="", options="", what="1", change="pass"):
    script = SAYS_HOW.format(lock=lock, before=before, options=options, what=what, change=change)
    lines = of(script, tmp_path, str(write_corpus("one", "two")), *CLUSTERS)
    assert [line.partition(": ")[0] for line in lines] == CLUSTERS
    (found,) = {line.partition(": ")[2] for line in lines}
    return found


@pytest.mark.parametrize("cluster", ["inline", *CLUSTERS])
def test_a_workloads_own_file_is_imported_by_processes_that_reach_it(tmp_path, write_corpus, cluster):
    path = tmp_path / "needs_its_module.py"
    path.write_text(NEEDS_ITS_MODULE)
    pipeline, looped = in_a_thread(lambda: (loaded := load_workload(str(path)).pipeline, loaded(b"one")))
    (outcome,) = run(pipeline, write_corpus("one"), cluster=cluster)
    if cluster == "inline":  # in this thread, which nothing was set for
        outcome.value[0] = looped[0]
    assert outcome.value == looped
    assert outcome.value[:3] == ["0.33333", 2, 2]


def test_so_is_a_script(tmp_path, write_corpus):
    end = """
if __name__ == "__main__":
    from dataflow import run
    for cluster in sys.argv[2:]:
        print(*(outcome.value or outcome.error for outcome in run(pipeline, sys.argv[1], cluster=cluster)))
"""
    lines = of(NEEDS_ITS_MODULE + end, tmp_path, str(write_corpus("one")), "inline", *CLUSTERS)
    assert len(lines) == 4
    assert len(set(lines)) == 1
    assert lines[0].startswith("['0.33333', 2, 2, ")


CHANGES = [
    ("LIMIT = 1", "LIMIT", "LIMIT = 7", "7"),
    ("LIMITS = {1}", "sorted(LIMITS)", "LIMITS.add(7)", "[1, 7]"),
    ("class Limits: size = 1", "Limits.size", "Limits.size = 7", "7"),
    ("class Limits: size = 1\nlimits = Limits()", "limits.size", "limits.size = 7", "7"),
    ("limit = lambda: 1", "limit()", "limit = lambda: 7", "7"),
    ("", "size", "size = 7", "7"),
]


@pytest.mark.parametrize(("before", "what", "change", "says"), CHANGES)
def test_what_a_script_sets_before_the_call_counts(tmp_path, write_corpus, before, what, change, says):
    script = {"before": before, "what": f"{{{what}}}", "change": change}
    assert said_by(tmp_path, write_corpus, **script) == f"by value: {says}"


@pytest.mark.parametrize(("before", "what", "change", "says"), CHANGES)
def test_it_is_never_left_out(tmp_path, write_corpus, before, what, change, says):
    script = {"lock": "threading.Lock()", "before": before, "what": f"{{{what}}}", "change": change}
    said = said_by(tmp_path, write_corpus, **script)
    assert "LOCK of own_script.py: cannot pickle" in said
    assert "is something else there" in said


def test_a_script_of_which_something_cannot_be_sent_is_known_by_name(tmp_path, write_corpus):
    script = {"lock": "threading.Lock()", "before": "LIMIT, ME = 1, __name__", "what": "{LIMIT} {len(ME)}"}
    assert said_by(tmp_path, write_corpus, **script, change="unasked = 7").startswith("by name: 1 ")


@pytest.mark.parametrize(
    ("change", "says"), [("pass", "by name: 1"), ("LIMIT = 7", "LIMIT is something else")]
)
def test_what_is_ignored_where_it_is_memoized_is_not_left_out(tmp_path, write_corpus, change, says):
    script = {
        "lock": "threading.Lock()",
        "before": "LIMIT = 1",
        "options": "(ignore=['LIMIT'])",
        "what": "{LIMIT}",
    }
    assert says in said_by(tmp_path, write_corpus, **script, change=change)


def test_what_each_import_makes_anew_is_the_drivers(tmp_path, write_corpus):
    path = tmp_path / "random_number.py"
    path.write_text(
        "import random\nfrom dataflow import Pipeline, stage\nNUMBER = random.SystemRandom().random()\n"
        "@stage\ndef number(data: bytes) -> float:\n    return NUMBER\npipeline = Pipeline(number)\n"
    )
    pipeline = load_workload(str(path)).pipeline
    values = {outcome.value for outcome in run(pipeline, write_corpus(*"abcdef"), cluster="processes")}
    assert values == {pipeline(b"")}


def test_a_script_that_would_begin_again_is_not_imported(tmp_path, write_corpus):
    script = SAYS_HOW.format(
        lock="threading.Lock()", before="print('begun')", options="", what="1", change="pass"
    )
    script = script.replace('if __name__ == "__main__":', "if True:")
    begun, said = of(script, tmp_path, str(write_corpus("one")), "auto")
    assert begun == "begun"
    assert "the call doesn't stand under `if __name__ == '__main__':`" in said


def test_a_pipeline_keeps_the_classes_of_its_own_file_when_another_of_the_name_is_loaded(
    tmp_path, write_corpus
):
    text = (
        "from dataclasses import dataclass\nfrom dataflow import Pipeline, stage\n@dataclass\nclass Chunk:\n"
    )
    text += "    {0}: bytes\n@stage\ndef chunk(data: bytes) -> Chunk:\n    return Chunk(data)\n"
    text += "pipeline = Pipeline(chunk)\n"
    path, corpus = tmp_path / "same.py", write_corpus("one")
    path.write_text(text.format("first"))
    before = load_workload(str(path)).pipeline
    begun = run(before, corpus, cluster="processes")
    path.write_text(text.format("second"))
    after = load_workload(str(path)).pipeline
    for pipeline, outcomes in ((before, begun), (after, run(after, corpus, cluster="processes"))):
        (outcome,) = outcomes
        assert type(outcome.value) is type(pipeline(b""))


def test_a_file_that_has_gone_since_it_was_loaded_still_has_its_code(tmp_path, write_corpus):
    path, corpus = tmp_path / "gone.py", write_corpus("one")
    path.write_text(EDITED.format(said=""))
    pipeline = load_workload(str(path)).pipeline
    path.unlink()
    for cluster in CLUSTERS:
        (outcome,) = run(pipeline, corpus, cluster=cluster)
        assert outcome.value.startswith("dataflow_workload_gone")


def test_a_file_is_imported_where_no_event_loop_is_in_the_way(tmp_path, write_corpus):
    path = tmp_path / "with_a_loop.py"
    path.write_text(
        "import asyncio, threading\nfrom dataflow import Pipeline, stage\nLOCK = threading.Lock()\n"
        "async def load():\n    return 3\nNUMBER = asyncio.run(load())\n"
        "@stage\ndef number(data: bytes) -> int:\n    with LOCK:\n        return NUMBER\npipeline = Pipeline(number)\n"
    )
    (outcome,) = run(load_workload(str(path)).pipeline, write_corpus("one"), cluster="threads")
    assert outcome.value == 3


def test_each_run_finds_the_files_globals_as_they_are_here(tmp_path, write_corpus):
    path, corpus = tmp_path / "counts.py", write_corpus(*"abc")
    path.write_text(
        "import threading\nfrom dataflow import Pipeline, stage\nSEEN, LOCK = [], threading.Lock()\n"
        "@stage\ndef count(data: bytes) -> int:\n    SEEN.append(data)\n    return len(SEEN)\n"
        "pipeline = Pipeline(count)\n"
    )
    pipeline = load_workload(str(path)).pipeline
    with (
        distributed.LocalCluster(n_workers=1, dashboard_address=":0") as cluster,
        cluster.get_client() as client,
    ):
        for _ in range(2):
            assert sorted(outcome.value for outcome in run(pipeline, corpus, cluster=client)) == [1, 2, 3]


def test_a_document_that_kills_its_worker_once_is_tried_by_the_script_too(tmp_path, write_corpus):
    script = """
import os, sys, threading
from dataflow import Pipeline, run
LOCK = threading.Lock()
def fragile(data: bytes) -> str:
    with LOCK:
        if data == b"poison" and not os.path.exists(sys.argv[3]):
            open(sys.argv[3], "w").close()
            os._exit(9)
        return data.decode()
if __name__ == "__main__":
    print(*sorted(str(outcome.value) for outcome in run(Pipeline(fragile), sys.argv[1], cluster=sys.argv[2])))
"""
    corpus = str(write_corpus("one", "poison"))
    for cluster in CLUSTERS:
        assert of(script, tmp_path, corpus, cluster, str(tmp_path / cluster)) == ["one poison"]


def test_values_come_back_as_what_they_are_here(tmp_path, write_corpus):
    script = """
import enum, sys
from dataclasses import dataclass
from dataflow import Pipeline, run
class Kind(enum.Enum):
    TEXT = 1
@dataclass
class Chunk:
    kind: Kind
def chunk(data: bytes) -> Chunk:
    return Chunk(Kind.TEXT)
if __name__ == "__main__":
    for cluster in sys.argv[2:]:
        (outcome,) = run(Pipeline(chunk), sys.argv[1], cluster=cluster)
        print(isinstance(outcome.value, Chunk), outcome.value.kind is Kind.TEXT)
"""
    assert of(script, tmp_path, str(write_corpus("one")), *CLUSTERS) == ["True True"] * 3


def test_a_scripts_code_has_one_fingerprint_wherever_it_is_asked_for(tmp_path, write_corpus):
    script = """
import decimal, enum, sys, threading
from dataclasses import dataclass
import dataflow.memo.fingerprint, dataflow.memo.keys
from dataflow import Pipeline, run
decimal.getcontext().prec = 9
LOCK = threading.Lock()
class Kind(enum.Enum):
    TEXT = 1
@dataclass(frozen=True)
class Chunk:
    kind: Kind = Kind.TEXT
CHUNK = Chunk()
def helper(value):
    return CHUNK, Kind(1), isinstance(value, Chunk), __name__
def prints(data: bytes) -> str:
    memo = sys.modules  # what the library is made of is none of the stage's
    with LOCK:
        keyed = memo["dataflow.memo.keys"].digest(memo["dataflow.memo.keys"].encode(CHUNK))
        return memo["dataflow.memo.fingerprint"].fingerprint(helper).hex() + keyed.hex()
if __name__ == "__main__":
    print(prints(b""))
    for cluster in sys.argv[2:]:
        print(*(outcome.value for outcome in run(Pipeline(prints), sys.argv[1], cluster=cluster)))
"""
    said = of(script, tmp_path, str(write_corpus("one")), *CLUSTERS)
    assert len(said) == 4
    assert len(set(said)) == 1


def test_what_stands_in_the_way_is_named(tmp_path, monkeypatch):
    path = tmp_path / "with_a_lock.py"
    path.write_text(
        "import threading\nfrom dataflow import Pipeline, stage\nLIMIT = 1\nLOCK = threading.Lock()\n"
        "@stage\ndef extract(data: bytes) -> str:\n    with LOCK:\n        return str(LIMIT)\n"
        "pipeline = Pipeline(extract)\nvariants = {'same': Pipeline(extract)}\n"
    )
    workload = load_workload(str(path))
    for pipeline in (workload.pipeline, workload.variants["same"]):
        assert unpacked_pipeline(packed_pipeline(pipeline)) is pipeline  # it is at home here
    sent = packed_pipeline(workload.pipeline)
    monkeypatch.setattr("dataflow.graph.shipping._here", lambda: ("elsewhere", 1))
    assert unpacked_pipeline(sent)(b"") == "1"
    path.write_text("LIMIT = 7\n")
    with pytest.raises(
        WorkloadError, match=r"LOCK of with_a_lock\.py: cannot pickle .*with_a_lock\.py has changed"
    ):
        unpacked_pipeline(sent)


EDITED = """from dataflow import Pipeline, stage
@stage
def extract(data: bytes) -> str:
    return "{said}" + __name__
pipeline = Pipeline(extract)
"""


def values_of(client, path, corpus):
    return run(load_workload(str(path)).pipeline, corpus, cluster=client)


def test_a_worker_that_lives_on_imports_a_file_that_was_edited_anew(tmp_path, write_corpus):
    path, corpus = tmp_path / "edited.py", write_corpus("one", "two")
    with (
        distributed.LocalCluster(n_workers=1, dashboard_address=":0") as cluster,
        cluster.get_client() as client,
    ):
        for said in ("first ", "second"):
            path.write_text(EDITED.format(said=said))
            (value,) = {outcome.value for outcome in values_of(client, path, corpus)}
            assert value.startswith(f"{said}dataflow_workload_edited")


def test_two_files_of_one_name_can_be_at_work_at_once(tmp_path, write_corpus):
    corpus = write_corpus(*map(str, range(20)))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [tmp_path / "a" / "same.py", tmp_path / "b" / "same.py"]
    for path in paths:
        path.write_text(EDITED.format(said=path.parent.name))
    with (
        distributed.LocalCluster(n_workers=1, dashboard_address=":0") as cluster,
        cluster.get_client() as client,
    ):
        runs = [values_of(client, path, corpus) for path in paths]
        first, second = ([one.value[0] for one in each] for each in runs)
    assert first == ["a"] * 20
    assert second == ["b"] * 20


def test_one_pipelines_settings_are_not_anothers(tmp_path, write_corpus):
    exact = (
        "from dataflow import Pipeline, stage\nimport decimal\n{0}\n@stage\ndef third(data: bytes) -> str:\n"
    )
    exact += "    return str(decimal.Decimal(1) / 3)\npipeline = Pipeline(third)\n"
    paths, corpus = [tmp_path / "rough.py", tmp_path / "usual.py"], write_corpus("one")
    for path, line in zip(paths, ["decimal.getcontext().prec = 2", ""], strict=True):
        path.write_text(exact.format(line))
    with (
        distributed.LocalCluster(n_workers=1, dashboard_address=":0") as cluster,
        cluster.get_client() as client,
    ):
        found = []
        for path in (*paths, paths[0]):
            pipeline = in_a_thread(lambda path=path: load_workload(str(path)).pipeline)
            (outcome,) = run(pipeline, corpus, cluster=client)
            found.append(outcome.value)
    assert found == ["0.33", "0.3333333333333333333333333333", "0.33"]


def test_a_process_hands_a_pipeline_on_as_it_got_it(tmp_path):
    path = tmp_path / "handed_on.py"
    path.write_text(
        "import threading\nLOCK = threading.Lock()\n"
        + EDITED.format(said="").replace("+", "+ str(LOCK)[:0] +")
    )
    pipeline = load_workload(str(path)).pipeline
    sent = packed_pipeline(pipeline)
    code = (
        "import sys; from dataflow.graph.shipping import packed_pipeline, unpacked_pipeline\n"
        "pipeline = unpacked_pipeline(sys.stdin.buffer.read())\n"
        "assert pipeline.stages[0].function.__module__ in sys.modules\n"
        "sys.stdout.buffer.write(packed_pipeline(pipeline))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=sent, stdout=subprocess.PIPE, check=True, timeout=60
    )
    assert unpacked_pipeline(done.stdout) is pipeline


def test_a_file_that_is_loaded_again_has_the_fingerprints_that_it_had(tmp_path):
    from dataflow.memo.fingerprint import stage_fingerprint

    path = tmp_path / "loaded_again.py"
    path.write_text(
        "import enum\nfrom dataclasses import dataclass\nfrom dataflow import Pipeline, stage\nclass Kind(enum.Enum):\n"
        "    A = 1\n@dataclass\nclass Point:\n    x: int\n    kind: Kind = Kind.A\nKINDS, NAME = {Kind.A}, __name__\n"
        "@stage\ndef point(data: bytes) -> Point:\n    return Point(len(data)), KINDS, NAME\n"
        "pipeline = Pipeline(point)\n"
    )
    first, second = (stage_fingerprint(load_workload(str(path)).pipeline.stages[0]) for _ in range(2))
    assert first == second
