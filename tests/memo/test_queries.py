"""The names in a query's text are read where it is asked, and count like any other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dataflow.memo.fingerprint import fingerprint

Of = Callable[..., bytes]

# A program, and an edit that changes what `f` gives.
ASKED: dict[str, tuple[str, tuple[str, str]]] = {
    "a global": ("LIMIT = 3\ndef f(x):\n    return x.query('n > @LIMIT')\n", ("= 3", "= 4")),
    "an attribute": (
        "class C:\n    low = 3\nc = C()\ndef f(x):\n    return x.query('n > @c.low')\n",
        ("low = 3", "low = 4"),
    ),
    "a function": (
        "def double(x):\n    return 2 * x\ndef f(x):\n    return x.eval('@double(n)')\n",
        ("2 * x", "3 * x"),
    ),
    "of a text that is a global": (
        "LIMIT = 3\nTEXT = 'n > @LIMIT'\ndef f(x):\n    return x.query(TEXT)\n",
        ("= 3", "= 4"),
    ),
    "of a text that is held": (
        "LIMIT = 3\nTEXTS = {'long': ['n > @LIMIT']}\ndef f(x):\n    return x.query(TEXTS['long'][0])\n",
        ("= 3", "= 4"),
    ),
    "of one text of several": (
        "LIMIT = 3\ndef f(x):\n    return [x.query(text) for text in ('n > 1', 'n > @LIMIT')]\n",
        ("= 3", "= 4"),
    ),
    "in a function inside": (
        "LIMIT = 3\ndef f(x):\n    return [(lambda y: y.query('n > @LIMIT'))(y) for y in x]\n",
        ("= 3", "= 4"),
    ),
    "pandas": (
        "import pandas as pd\nTAB = [1, 2]\ndef f(x):\n    return pd.eval('TAB + 1')\n",
        ("[1, 2]", "[1, 3]"),
    ),
    "pandas by a name of ones own": (
        "from pandas import eval as ask\nTAB = [1, 2]\ndef f(x):\n    return ask('TAB + 1')\n",
        ("[1, 2]", "[1, 3]"),
    ),
    "duckdb's function by another name": (
        "from duckdb import sql as ask\nCODES = ['a']\ndef f(x):\n    return ask('from CODES').fetchall()\n",
        ("['a']", "['b']"),
    ),
    "a table": (
        "import duckdb\nCODES = ['a']\ndef f(x):\n    return duckdb.table('CODES').fetchall()\n",
        ("['a']", "['b']"),
    ),
    "of a text that a class holds": (
        "import duckdb\nCODES = ['a']\nclass Sql:\n    ALL = 'from CODES'\ndef f(x):\n    return duckdb.sql(Sql.ALL)\n",
        ("['a']", "['b']"),
    ),
    "of a text of the method's own class": (
        "import duckdb\nCODES = ['a']\nclass Sql:\n    all = 'from CODES'\n    def run(self):\n"
        "        return duckdb.sql(self.all)\ndef f(x):\n    return Sql().run()\n",
        ("['a']", "['b']"),
    ),
    "of a text that an object holds": (
        "import dataclasses\nLIMIT = 3\n@dataclasses.dataclass\nclass C:\n    text: str = 'n > @LIMIT'\nC = C()\n"
        "def f(x):\n    return x.query(C.text)\n",
        ("= 3", "= 4"),
    ),
    "of a member of an enumeration": (
        "import enum\nLIMIT = 3\nclass E(enum.StrEnum):\n    LONG = 'n > @LIMIT'\n"
        "def f(x):\n    return x.query(E.LONG)\n",
        ("= 3", "= 4"),
    ),
    "of a text that is a default": (
        "LIMIT = 3\ndef f(x, text='n > @LIMIT'):\n    return x.query(text)\n",
        ("= 3", "= 4"),
    ),
    "of a text in a closure": (
        "LIMIT = 3\ndef made(text):\n    def ask(x):\n        return x.query(text)\n    return ask\n"
        "f = made('n > @LIMIT')\n",
        ("= 3", "= 4"),
    ),
    "duckdb": (
        "import duckdb\nCODES = ['a']\ndef f(x):\n    return duckdb.sql('select * from CODES').fetchall()\n",
        ("['a']", "['b']"),
    ),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_a_query_names_counts(case: str, of_files: Of) -> None:
    program, (old, new) = ASKED[case]
    assert of_files(program) == of_files(program)
    assert of_files(program) != of_files(program.replace(old, new))


def test_a_query_of_a_module_beside_it_names_what_is_here(of_files: Of) -> None:
    files = {
        "texts.py": "ALL = 'n > @LIMIT'\n",
        "work.py": "import texts\nLIMIT = 3\ndef f(x):\n    return x.query(texts.ALL)\n",
    }
    other = {**files, "work.py": files["work.py"].replace("= 3", "= 4")}
    assert of_files(files) == of_files(files)
    assert of_files(files) != of_files(other)


def test_words_of_a_function_that_asks_nothing_are_no_names(of_files: Of) -> None:
    program = "LIMIT = 3\ndef f(x):\n    return 'n > @LIMIT'\n"
    assert of_files(program) == of_files(program.replace("= 3", "= 4"))


def test_a_docstring_is_no_query(of_files: Of) -> None:
    program = "LIMIT = 3\ndef f(x):\n    'Up to LIMIT.'\n    return x.query('n > 1')\n"
    assert of_files(program) == of_files(program.replace("= 3", "= 4"))


def test_a_text_that_holds_itself_ends() -> None:
    texts: list[object] = []
    texts.append(texts)
    space: dict[str, object] = {"TEXTS": texts, "__name__": "work"}
    exec("def f(x):\n    return x.query(TEXTS[0])\n", space)
    assert fingerprint(space["f"])  # type: ignore[arg-type]


def test_a_word_that_may_be_a_name_refuses_nothing(of_files: Of) -> None:
    """Every model that is put to work by ``model.eval()`` asks something, it seems."""
    assert of_files(
        "client = open('/dev/null')\ndef f(model, x):\n    model.eval()\n    return {'client': model(x)}\n"
    )


def test_a_text_counts_whatever_else_the_function_reads(of_files: Of) -> None:
    program = (
        "WORDS = [f'w{n}' for n in range(3000)]\nLIMIT = 3\nTEXT = ['n > @LIMIT']\n"
        "def f(x):\n    return [w for w in WORDS if w in x.query(TEXT[0])]\n"
    )
    assert of_files(program) != of_files(program.replace("= 3\n", "= 4\n"))
