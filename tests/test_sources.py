import subprocess
import sys

import pytest

from dataflow.sources import (
    Source,
    globals_asked_for,
    home_of,
    import_source,
    settings_made,
    source_modules,
    source_of,
    why_unreached,
)

NAME = "module_of_one_file"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes the module's file."""
    monkeypatch.setattr("dataflow.sources._imported", {})
    monkeypatch.delitem(sys.modules, NAME, raising=False)

    def write(text):
        path = tmp_path / "one_file.py"
        path.write_text(text)
        return path

    yield write
    sys.modules.pop(NAME, None)


def test_a_file_is_a_module_under_the_name_it_is_given(written):
    path = written("x = __name__\n")
    module = import_source(NAME, path)
    assert sys.modules[NAME] is module
    assert (module.x, module.__file__) == (NAME, str(path))
    assert NAME in source_modules()
    assert source_of(NAME).path == str(path)
    assert source_of("json") is None


def test_it_is_reached_by_whoever_finds_the_same_content(written):
    path = written("x = 1\n")
    import_source(NAME, path)
    source = source_of(NAME)
    assert why_unreached(source, None, replace=False) == ""
    del sys.modules[NAME]
    assert why_unreached(source, None, replace=False) == ""
    del sys.modules[NAME]
    path.write_text("x = 2\n")
    assert why_unreached(source, None, replace=False).endswith("one_file.py has changed")
    path.unlink()
    assert "No such file" in why_unreached(source, None, replace=False)
    assert NAME not in sys.modules


def test_what_the_file_raises_is_said_and_leaves_the_module_that_was_there(written):
    path = written("x = 1\n")
    before = import_source(NAME, path)
    path.write_text("raise SystemExit('no arguments')\n")
    with pytest.raises(SystemExit):
        import_source(NAME, path)
    assert sys.modules[NAME] is before
    assert source_of(NAME).path == str(path)


def test_another_module_of_the_name_gives_way_only_where_it_may(written):
    import_source(NAME, written("x = 1\n"))
    first = source_of(NAME)
    import_source(NAME, written("x = 2\n"))
    second = source_of(NAME)
    written("x = 1\n")
    assert why_unreached(first, None, replace=False) == "another of its name is at work there"
    assert source_of(NAME) == second
    assert why_unreached(first, None, replace=True) == ""
    assert sys.modules[NAME].x == 1


def test_the_globals_that_functions_ask_for_are_known_without_running_the_file(written):
    path = written(
        "a, b, c, d, e = range(5)\n"
        "def f(x=b):\n    return a + [c for _ in range(x)][0]\n"
        "class K:\n    y = d\n    g = lambda self: self.h\n"
        "if __name__ == '__main__':\n    print(e)\n"
    )
    asked = globals_asked_for(Source(NAME, str(path), b""))
    assert {"a", "c", "d"} <= asked
    assert not {"b", "e"} & asked


def test_what_it_sets_for_its_thread_is_kept(written):
    import_source(NAME, written("import decimal\ndecimal.getcontext().prec = 9\n"))
    assert [value.prec for value in settings_made(source_of(NAME)).values()] == [9]
    import_source(NAME, written("import decimal\n"))
    assert settings_made(source_of(NAME)) == {}


def test_the_script_is_called_main_wherever_it_is_imported():
    kind = type("Chunk", (), {"__module__": "__mp_main__"})
    assert home_of(kind) == "__main__"
    assert home_of(dict) == "builtins"


SCRIPT = """
import sys
from dataflow.sources import script_start, source_of
def begin():
    source = source_of("__main__")
    print(bool(source), bool(script_start()))
if __name__ == "__main__":
    begin()
{rest}
"""


@pytest.mark.parametrize("as_module", [False, True])
@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ("", ["True True"]),
        ("begin()", ["True True", "True False"]),
        ("if __name__ != '__main__' or True:\n    begin()", ["True True", "True False"]),
        ("if '__main__' == __name__: begin()", ["True True", "True True"]),
        ("open(__file__, 'a').write('x = 1'); begin()", ["True True", "False False"]),
    ],
)
def test_only_the_script_that_is_what_was_started_and_makes_the_call_under_its_guard_may_be_imported(
    tmp_path, rest, says, as_module
):
    path = tmp_path / "the_script.py"
    path.write_text(SCRIPT.format(rest=rest))
    command = ["-m", "the_script"] if as_module else [str(path)]
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == says


def test_a_script_that_comes_by_standard_input_has_no_file(tmp_path):
    done = subprocess.run(
        [sys.executable],
        input=SCRIPT.format(rest=""),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["False", "False"]


def test_a_script_is_imported_with_its_arguments_and_begins_nothing(tmp_path):
    path = tmp_path / "the_script.py"
    path.write_text("import sys\nfrom dataflow import Pipeline, run\nARGUMENT = sys.argv[1]\n{}")
    code = (
        "import sys; from dataflow.sources import *; from dataflow.sources import _digest\n"
        f"path = {str(path)!r}\n"
        "source = Source('__main__', path, _digest(open(path, 'rb').read()))\n"
        "start = ScriptStart(('init_main_from_path', path), ('the_script.py', 'given'))\n"
        "print(why_unreached(source, start, replace=False) or sys.modules['__main__'].ARGUMENT)"
    )

    def said():
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, timeout=60
        )
        return done.stdout.strip()

    assert said() == "given"
    path.write_text(
        "from dataflow import Pipeline, run\nlist(run(Pipeline(len), '*.txt', cluster='threads'))\n"
    )
    assert "has to stand under" in said()
