import pytest

from dataflow.errors import WorkloadError
from dataflow.workload import load_workload, workload_names

GOOD = '''"""Count bytes.

More words."""
from dataflow import Pipeline
from helper_of_mine import length
pipeline = Pipeline(length)
corpus = "docs/*.txt"
'''


def test_the_workloads_of_this_project_are_listed_and_their_helpers_are_not():
    assert workload_names() == ["batch", "mixed", "single"]


def test_a_workload_of_ones_own_is_one_file_and_may_have_helpers_beside_it(tmp_path):
    (tmp_path / "helper_of_mine.py").write_text("def length(data: bytes) -> int:\n    return len(data)\n")
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    loaded = load_workload(str(path))
    assert loaded.name == "mine"
    assert loaded.pipeline(b"abc") == 3
    assert loaded.corpus == "docs/*.txt"
    assert loaded.description == "Count bytes."
    assert loaded.search_path == (str(tmp_path),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f(:\n", r"mine\.py:1: SyntaxError: "),
        ("x = 1\nimport no_such_module\n", r"mine\.py:2: ModuleNotFoundError: "),
        ("\n\nraise SystemExit(1)\n", r"mine\.py:3: SystemExit: "),
        ("x = 1\n", "has no pipeline: add"),
        ("from dataflow import Pipeline\npipeline = Pipeline(len)\ncorpus = 3\n", "corpus must be"),
        (
            "from dataflow import Pipeline\npipeline = Pipeline(len)\nvariants = [pipeline]\n",
            "variants must be",
        ),
        (
            "from dataflow import Pipeline\npipeline = Pipeline(len)\nvariants = {1: pipeline}\n",
            "variants must be",
        ),
        (
            "from dataflow import Pipeline\npipeline = Pipeline(len)\nvariants = {'a': len}\n",
            "variants must be",
        ),
    ],
)
def test_a_file_that_is_no_workload_says_where_and_why(tmp_path, text, says):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(WorkloadError, match=says) as caught:
        load_workload(str(path))
    assert "\n" not in str(caught.value)


def test_the_workloads_of_this_project_have_a_variant_that_reads_page_by_page():
    for name in workload_names():
        loaded = load_workload(name)
        assert list(loaded.variants) == ["pages"]
        assert loaded.variants["pages"].takes_file
        assert not loaded.pipeline.takes_file


def test_other_pipelines_with_the_same_results_are_variants_and_need_not_be_there(tmp_path):
    path = tmp_path / "mine.py"
    plain = "from dataflow import Pipeline\npipeline = Pipeline(len)\n"
    path.write_text(plain)
    assert load_workload(str(path)).variants == {}
    path.write_text(plain + "variants = {'pages': Pipeline(len)}\n")
    assert load_workload(str(path)).variants["pages"](b"abc") == 3


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(WorkloadError, match="batch, mixed, single"):
        load_workload("nonsense")


def test_a_workload_without_a_generator_says_so(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from dataflow import Pipeline\npipeline = Pipeline(len)\n")
    with pytest.raises(WorkloadError, match="generates no corpus"):
        load_workload(str(path)).generate(tmp_path)


def test_a_generator_that_writes_nothing_is_told(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataflow import Pipeline\npipeline = Pipeline(len)\ndef corpus(folder, **options):\n    pass\n"
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkloadError, match="wrote no file"):
        load_workload(str(path)).generate(tmp_path / "empty")


def test_a_generator_that_fails_is_the_workloads_fault(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataflow import Pipeline\npipeline = Pipeline(len)\ndef corpus(folder, **options):\n    1 / 0\n"
    )
    with pytest.raises(WorkloadError, match="ZeroDivisionError"):
        load_workload(str(path)).generate(tmp_path)
