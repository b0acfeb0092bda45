import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from dataflow.sources import (
    context_made,
    free_name,
    globals_asked_for,
    home_of,
    import_source,
    imported_sources,
    usual_name,
    why_unreached,
)

NAME = "dataflow_workload_one_file"


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


def unreached(source, *, fresh=True, **options):
    return why_unreached(source, fresh=fresh, here=True, **options)


def test_a_file_is_a_module_under_the_name_it_is_given(written):
    path = written("x = __name__\n")
    module = import_source(NAME, path)
    assert sys.modules[NAME] is module
    assert (module.x, module.__file__) == (NAME, str(path))
    (source,) = imported_sources()
    assert (source.name, source.path) == (NAME, str(path))


def test_it_is_reached_by_whoever_finds_the_same_content(written):
    path = written("x = []\n")
    module = import_source(NAME, path)
    (source,) = imported_sources()
    assert unreached(source, fresh=False) == ""
    assert sys.modules[NAME] is module
    assert unreached(source) == ""
    assert sys.modules[NAME] is not module
    path.write_text("x = 2\n")
    assert unreached(source).endswith("one_file.py has changed")
    path.unlink()
    assert "No such file" in unreached(source)


def test_what_the_file_raises_is_said_and_leaves_the_module_that_was_there(written):
    path = written("x = 1\n")
    before = import_source(NAME, path)
    path.write_text("raise SystemExit('no arguments')\n")
    with pytest.raises(SystemExit):
        import_source(NAME, path)
    assert sys.modules[NAME] is before


def test_another_module_of_the_name_gives_way_only_where_it_may(written):
    import_source(NAME, written("x = 1\n"))
    (first,) = imported_sources()
    import_source(NAME, written("x = 2\n"))
    written("x = 1\n")
    assert unreached(first, fresh=False) == "another of its name is at work there"
    assert sys.modules[NAME].x == 2
    assert unreached(first) == ""
    assert sys.modules[NAME].x == 1


def test_a_file_that_is_loaded_again_has_another_name_and_is_called_the_same(written):
    assert free_name(NAME) == NAME
    import_source(NAME, written("class A: pass\n"))
    again = free_name(NAME)
    assert again != NAME
    kind = import_source(again, written("class A: pass\n")).A
    del sys.modules[again]
    assert home_of(kind) == usual_name(again) == NAME
    assert home_of(type("Chunk", (), {"__module__": "__mp_main__"})) == "__main__"
    assert home_of(dict) == "builtins"
    assert usual_name("a~1") == "a~1"


def test_the_globals_that_functions_ask_for_are_known(written):
    import_source(
        NAME,
        written(
            "a, b, c, d, e = range(5)\n"
            "def f(x=b):\n    return a + [c for _ in range(x)][0]\n"
            "class K:\n    y = d\n    g = lambda self: self.h\n"
            "if __name__ == '__main__':\n    print(e)\n"
        ),
    )
    asked = globals_asked_for(NAME)
    assert {"a", "c", "d"} <= asked
    assert not {"b", "e"} & asked


def test_the_precision_that_it_sets_for_its_thread_is_kept(written):
    path = written("import decimal\ndecimal.getcontext().prec = 9\n")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(import_source, NAME, path).result()
    assert context_made(NAME).prec == 9
    import_source(NAME, written("import decimal\n"))
    assert context_made(NAME) is None
