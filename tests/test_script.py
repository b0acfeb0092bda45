import subprocess
import sys

import pytest

from dataflow.script import why_not_script
from dataflow.sources import Source

SCRIPT = """
import sys
from dataflow.script import script_source, script_start
def begin():
    print(bool(script_source()), bool(script_start()))
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


def test_a_script_that_comes_by_standard_input_has_no_file():
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
    path.write_text("import sys\nfrom dataflow import Pipeline, run\nARGUMENT = sys.argv[1]\n")
    code = (
        "import sys; from dataflow.script import *; from dataflow.sources import Source, digest_of\n"
        f"path = {str(path)!r}\n"
        "source = Source('__main__', path, digest_of(open(path, 'rb').read()))\n"
        "start = ScriptStart(('init_main_from_path', path), ('the_script.py', 'given'))\n"
        "print(why_not_script(source, start) or sys.modules['__main__'].ARGUMENT)"
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


def test_where_a_script_may_not_be_imported_it_is_said_what_to_do():
    assert "stand under `if __name__" in why_not_script(Source("__main__", "a.py", b""), None)
