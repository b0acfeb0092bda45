"""A script and a workload's own file are in worker processes what they are in a loop."""

import pickle
import subprocess
import sys
from contextvars import copy_context

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
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import jinja2
import pydantic
from dataflow import Pipeline, stage

decimal.getcontext().prec = 5
warnings.simplefilter("error")

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
import sys
from dataflow import Pipeline, run, stage
{before}
@stage{options}
def said(data: bytes) -> str:
    return "by name" if __name__ != "__main__" else "by value"
@stage
def more(text: str) -> str:
    return f"{{text}}: {what}"
if __name__ == "__main__":
    {change}
    for cluster in sys.argv[2:]:
        values = {{outcome.value for outcome in run(Pipeline(said, more), sys.argv[1], cluster=cluster)}}
        print(cluster, *sorted(map(str, values)), sep=": ")
"""


def of(script, tmp_path, *arguments, name="own_script.py"):
    """What a script prints."""
    path = tmp_path / name
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, str(path), *arguments], stdout=subprocess.PIPE, text=True, check=True, timeout=120
    )
    return done.stdout.splitlines()


def said_by(tmp_path, write_corpus, *, before="", options="", what="1", change="pass", clusters=CLUSTERS):
    script = SAYS_HOW.format(before=before, options=options, what=what, change=change)
    lines = of(script, tmp_path, str(write_corpus("one", "two")), *clusters)
    assert [line.partition(": ")[0] for line in lines] == list(clusters)
    (found,) = {line.partition(": ")[2] for line in lines}
    return found


@pytest.mark.parametrize("cluster", ["inline", *CLUSTERS])
def test_a_workloads_own_file_is_imported_by_processes_that_reach_it(tmp_path, write_corpus, cluster):
    path = tmp_path / "needs_its_module.py"
    path.write_text(NEEDS_ITS_MODULE)
    pipeline = load_workload(str(path)).pipeline
    (outcome,) = run(pipeline, write_corpus("one"), cluster=cluster)
    assert outcome.value == pipeline(b"one")
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


def test_a_script_that_has_set_nothing_since_is_known_by_name(tmp_path, write_corpus):
    assert said_by(tmp_path, write_corpus) == "by name: 1"


@pytest.mark.parametrize(
    ("before", "what", "change", "says"),
    [
        ("LIMIT = 1", "LIMIT", "LIMIT = 7", "7"),
        ("LIMITS = {1}", "sorted(LIMITS)", "LIMITS.add(7)", "[1, 7]"),
        ("class Limits: size = 1", "Limits.size", "Limits.size = 7", "7"),
        ("import helper_of_mine", "helper_of_mine.size", "helper_of_mine.size = 7", "1"),
        ("", "size", "size = 7", "7"),
    ],
)
def test_what_a_script_sets_before_the_call_counts(tmp_path, write_corpus, before, what, change, says):
    (tmp_path / "helper_of_mine.py").write_text("size = 1\n")
    said = said_by(tmp_path, write_corpus, before=before, what=f"{{{what}}}", change=change)
    assert said == f"by value: {says}"


@pytest.mark.parametrize(("change", "said"), [("pass", "by name: 1"), ("LIMIT = 7", "by value: 7")])
def test_what_fingerprints_ignore_counts_too(tmp_path, write_corpus, change, said):
    ignoring = {"before": "LIMIT = 1", "options": "(ignore=['LIMIT'])", "what": "{LIMIT}"}
    assert said_by(tmp_path, write_corpus, **ignoring, change=change) == said


def test_a_name_that_no_function_asks_for_is_the_scripts_own(tmp_path, write_corpus):
    options = "(ignore=['LIMIT'])"
    assert said_by(tmp_path, write_corpus, options=options, change="unasked = 7") == "by name: 1"


def test_what_each_import_makes_anew_is_the_drivers(tmp_path, write_corpus):
    before = "import random\nNUMBER = random.SystemRandom().random()"
    said = said_by(tmp_path, write_corpus, before=before, what="{NUMBER > 0}")
    assert said == "by value: True"


def test_a_script_that_would_begin_again_is_not_imported(tmp_path, write_corpus):
    script = SAYS_HOW.format(before="print('begun')", options="", what="1", change="pass")
    script = script.replace('if __name__ == "__main__":', "if True:")
    assert of(script, tmp_path, str(write_corpus("one")), "auto") == ["begun", "auto: by value: 1"]


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
import enum, sys
from dataclasses import dataclass
from dataflow import Pipeline, run
from dataflow.memo.fingerprint import fingerprint
from dataflow.memo.keys import digest, encode
class Kind(enum.Enum):
    TEXT = 1
@dataclass(frozen=True)
class Chunk:
    kind: Kind = Kind.TEXT
CHUNK = Chunk()
def helper(value):
    return CHUNK, Kind(1), isinstance(value, Chunk)
def prints(data: bytes) -> str:
    return fingerprint(helper).hex() + digest(encode(CHUNK)).hex()
if __name__ == "__main__":
    print(prints(b""))
    for cluster in sys.argv[2:]:
        print(*(outcome.value for outcome in run(Pipeline(prints), sys.argv[1], cluster=cluster)))
"""
    assert len(set(of(script, tmp_path, str(write_corpus("one")), *CLUSTERS))) == 1


def test_what_stands_in_the_way_is_named(tmp_path, monkeypatch):
    path = tmp_path / "with_a_lock.py"
    path.write_text(
        "import threading\nfrom dataflow import Pipeline, stage\nLIMIT = 1\nLOCK = threading.Lock()\n"
        "@stage\ndef extract(data: bytes) -> str:\n    with LOCK:\n        return str(LIMIT)\n"
        "pipeline = Pipeline(extract)\n"
    )
    pipeline = load_workload(str(path)).pipeline
    assert unpacked_pipeline(packed_pipeline(pipeline)) is pipeline  # it is at home here
    sent = packed_pipeline(pipeline)
    monkeypatch.setitem(pipeline.stages[0].function.__globals__, "LIMIT", 7)
    monkeypatch.setattr("dataflow.graph.shipping.own_fingerprint", lambda stage: b"another")
    with pytest.raises(WorkloadError, match=r"LOCK of with_a_lock\.py: cannot pickle .*: LIMIT is something"):
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
        distributed.LocalCluster(n_workers=1, dashboard_address=None) as cluster,
        cluster.get_client() as client,
    ):
        for said in ("first ", "second"):
            path.write_text(EDITED.format(said=said))
            assert {o.value for o in values_of(client, path, corpus)} == {f"{said}dataflow_workload_edited"}


def test_two_files_of_one_name_can_be_at_work_at_once(tmp_path, write_corpus):
    corpus = write_corpus(*map(str, range(20)))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [tmp_path / "a" / "same.py", tmp_path / "b" / "same.py"]
    for path in paths:
        path.write_text(EDITED.format(said=path.parent.name))
    with (
        distributed.LocalCluster(n_workers=1, dashboard_address=None) as cluster,
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
        distributed.LocalCluster(n_workers=1, dashboard_address=None) as cluster,
        cluster.get_client() as client,
    ):
        found = []

        def fetch():  # what the file sets when it is loaded here is for this alone
            for path in (*paths, paths[0]):
                (outcome,) = values_of(client, path, corpus)
                found.append(outcome.value)

        copy_context().run(fetch)
    assert found == ["0.33", "0.3333333333333333333333333333", "0.33"]


def test_a_process_hands_a_pipeline_on_as_it_got_it(tmp_path):
    path = tmp_path / "handed_on.py"
    path.write_text(EDITED.format(said=""))
    sent = packed_pipeline(load_workload(str(path)).pipeline)
    code = (
        "import sys; from dataflow.graph.shipping import packed_pipeline, unpacked_pipeline\n"
        "pipeline = unpacked_pipeline(sys.stdin.buffer.read())\n"
        "assert pipeline.stages[0].function.__module__ in sys.modules\n"
        "sys.stdout.buffer.write(packed_pipeline(pipeline))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=sent, stdout=subprocess.PIPE, check=True, timeout=60
    )
    assert pickle.loads(done.stdout).by_value == pickle.loads(sent).by_value
