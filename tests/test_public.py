"""The names that users import are a contract."""

import subprocess
import sys

import dataflow


def test_the_public_names_are_these():
    assert dataflow.__all__ == [
        "DataflowError",
        "Document",
        "DocumentError",
        "Outcome",
        "Pipeline",
        "Run",
        "Stage",
        "Strategy",
        "memoize",
        "run",
        "stage",
    ]
    for name in dataflow.__all__:
        assert getattr(dataflow, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(dataflow, "nonsense")


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"dask", "distributed", "pandas", "pyarrow", "bokeh", "redis"}
    code = f"import sys, dataflow; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
