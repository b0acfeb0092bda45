"""An edit that can change a result changes the fingerprint; one that can't doesn't."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import textwrap
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflow.memo.fingerprint import (
    DynamicCodeWarning,
    Uncacheable,
    fingerprint,
    stage_fingerprint,
)
from dataflow.pipeline import Stage, stage

Of = Callable[..., bytes]
MODULES = ("work", "helpers", "package", "package.inner", "package.other")


@pytest.fixture
def of(tmp_path: Path) -> Iterator[Of]:
    """Write modules, import them afresh, and give the fingerprint of ``work.f``."""
    count = iter(range(1000))

    def fresh(work: str, name: str = "f", *, options: dict[str, Any] | None = None, **others: str) -> bytes:
        folder = tmp_path / str(next(count))
        folder.mkdir()
        for module, text in {"work": work, **others}.items():
            path = folder / ((module if "/" in module else module.replace("__", "/")) + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))
        for module in MODULES:
            sys.modules.pop(module, None)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        try:
            return fingerprint(getattr(importlib.import_module("work"), name), **(options or {}))
        finally:
            sys.path.remove(str(folder))

    yield fresh
    for module in MODULES:
        sys.modules.pop(module, None)


BASE = '''
import helpers
from helpers import clean
LIMIT = 3
TABLE = {"a": [1, 2], "b": {"x", "y"}}

def inner(x):
    """What it does."""
    return clean(x)[:LIMIT]

def f(x, size=10):
    """The docstring."""
    if x in TABLE:
        return None
    return inner(x) + helpers.deep(x, size)
'''
HELPERS = """
STEP = 1
def clean(x):
    return x.strip()
def unused():
    return 1
def deep(x, n):
    return deeper(x) * n
def deeper(x):
    return x + STEP
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = 3.0"),
        ("LIMIT = 3", "LIMIT = True"),
        ('"a": [1, 2]', '"a": [1, 3]'),
        ('"a": [1, 2]', '"a": (1, 2)'),
        ('{"x", "y"}', '{"x", "z"}'),
        ("clean(x)[:LIMIT]", "clean(x)[LIMIT:]"),
        ("size=10", "size=11"),
        ("return None", "return 0"),
        ("from helpers import clean", "from helpers import unused as clean"),
    ],
)
def test_an_edit_of_what_it_reaches_is_another_function(of: Of, old: str, new: str) -> None:
    assert old in BASE
    assert of(BASE, helpers=HELPERS) != of(BASE.replace(old, new), helpers=HELPERS)


@pytest.mark.parametrize(
    ("old", "new"), [("x.strip()", "x.lstrip()"), ("x + STEP", "x - STEP"), ("STEP = 1", "STEP = 2")]
)
def test_an_edit_in_an_imported_first_party_module_is_another_function(of: Of, old: str, new: str) -> None:
    assert old in HELPERS
    assert of(BASE, helpers=HELPERS) != of(BASE, helpers=HELPERS.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def f(x", "# A comment.\n\n\ndef f(x"),
        ("    if x in", "    # A comment inside.\n    if x in"),
        ('"""The docstring."""', '"""Another,\n    longer docstring."""'),
        ('    """What it does."""\n', ""),
        ("inner(x) + helpers.deep(x, size)", "(\n        inner(x)\n        + helpers.deep(x, size)\n    )"),
        ('{"x", "y"}', '{"y", "x"}'),
        ("size=10", "size = 10"),
        ("LIMIT = 3", "UNUSED = 1\nLIMIT = 3"),
    ],
)  # fmt: skip
def test_an_edit_that_changes_nothing_is_the_same_function(of: Of, old: str, new: str) -> None:
    assert old in BASE
    assert of(BASE, helpers=HELPERS) == of(BASE.replace(old, new), helpers=HELPERS)


def test_an_edit_of_an_unused_helper_is_the_same_function(of: Of) -> None:
    assert of(BASE, helpers=HELPERS) == of(BASE, helpers=HELPERS.replace("return 1", "return 2"))


def test_a_function_moved_to_another_line_or_module_is_the_same(of: Of) -> None:
    text = "def f(x):\n    return x + 1\n"
    assert of(text) == of("A = 1\n\n\n" + text) == of("from helpers import f\n", helpers=text)


def test_an_edit_of_a_stages_options_is_the_same_function(of: Of) -> None:
    text = "from dataflow.pipeline import stage\n@stage(timeout=1)\ndef s(x):\n    return x\nf = s.function\n"
    assert of(text) == of(text.replace("timeout=1", "timeout=2"))


def test_a_closures_content_counts(of: Of) -> None:
    text = "def make(n):\n    def f(x):\n        return x + n\n    return f\nf = make(1)\n"
    assert of(text) != of(text.replace("make(1)", "make(2)"))
    assert of(text) == of(text.replace("make(1)", "make(2 - 1)"))


def test_a_keyword_default_counts(of: Of) -> None:
    text = "N = 1\ndef f(x, *, n=N):\n    return x + n\n"
    assert of(text) != of(text.replace("N = 1", "N = 2"))


def test_a_helper_found_only_in_a_nested_function_counts(of: Of) -> None:
    text = "def g(x):\n    return 1\ndef f(x):\n    return [(lambda y: [g(y) for y in x])(y) for y in x]\n"
    assert of(text) != of(text.replace("return 1", "return 2"))


def test_a_helper_imported_inside_the_function_counts(of: Of) -> None:
    for text in (
        "def f(x):\n    from helpers import clean\n    return clean(x)\n",
        "def f(x):\n    import helpers\n    return helpers.clean(x)\n",
        "def f(x):\n    import helpers as h\n    return h.clean(x)\n",
        "def f(x):\n    from package.inner import clean\n    return clean(x)\n",
        "def f(x):\n    import package.inner as p\n    return p.clean(x)\n",
        "import package.inner\ndef f(x):\n    return package.inner.clean(x)\n",
        "def f(x):\n    import package.inner\n    return package.inner.clean(x)\n",
        "def f(x):\n    import package.inner\n    return (lambda: package.inner.clean(x))()\n",
        "def f(x):\n    import package.inner as p\n    return [p.clean(y) for y in x]\n",
        "def f(x):\n    from package import inner\n    return inner.clean(x)\n",
        "def f(x):\n    from package import inner as p, other\n    return (lambda: p.clean(x))() + other.g(x)\n",
        "def f(x):\n    from package import inner\n    return getattr(inner, 'clean')(x)\n",
        "def f(x):\n    from package import inner\n    p = inner\n    return p.clean(x)\n",
        "def f(x):\n    global inner\n    from package import inner\n    return g(x)\n"
        "def g(x):\n    return inner.clean(x)\n",
        "def f(x):\n    class C:\n        from package import inner\n    return C.inner.clean(x)\n",
        "def f(x):\n    def g():\n        from package import inner\n        return inner\n    return g().clean(x)\n",
        "def f(x):\n    from package import inner\n    return x\n",
        "def f(x):\n    import package.inner\n    return getattr(package, 'inner').clean(x)\n",
        "def f(x):\n    global package\n    import package.inner\n    return package.inner.clean(x)\n",
        "def f(x):\n    import package.inner\n    return x\n",
        # Beside another name, of which something is taken that the module has too.
        "def use(m, y):\n    return m.clean(y)\ndef f(x, y):\n    import helpers as h\n    return use(h, y.unused)\n",
        "def f(x, y):\n    import helpers as h\n    return [h, y.unused]\n",
        # Run for what that does, beside another use of the package.
        "def f(x):\n    import package.inner\n    import package.other\n    return package.other.g(x)\n",
        # Bound where others read it.
        "def make():\n    impl = None\n    def load():\n        nonlocal impl\n        import helpers as impl\n"
        "        impl.unused()\n    def f(x):\n        load()\n        return impl.clean(x)\n    return f\n"
        "f = make()\n",
        "def f(x, h):\n    class C:\n        import helpers as h\n        def go(self):\n"
        "            return self.h.clean(x)\n    return C().go() + h.unused\n",
        "def f(x):\n    import helpers as h\n    return h.__dict__['clean'](x)\n",
    ):
        files = {"helpers": HELPERS, "package__inner": HELPERS, "package__other": "def g(x):\n    return x\n"}
        edited = {name: body.replace("x.strip()", "x.rstrip()") for name, body in files.items()}
        assert of(text, **files) != of(text, **edited), text
        assert of(text, **files) == of(text, **files)


def test_an_import_as_may_bind_another_thing_than_the_module_that_it_runs(of: Of) -> None:
    text = "def f(x):\n    import package.inner as p\n    return p.clean(x)\n"
    files = {
        "package/__init__": "from package.other import Thing\nimport package.inner\ninner = Thing()\n",
        "package__inner": "def unused():\n    pass\n",
        "package__other": "class Thing:\n    def clean(self, x):\n        return x.strip()\n",
    }
    edited = {**files, "package__other": files["package__other"].replace("strip", "rstrip")}
    assert of(text, **files) == of(text, **files)
    assert of(text, **files) != of(text, **edited)


def test_a_module_that_a_function_imports_is_ignored_by_its_name(of: Of) -> None:
    text = "def f(x):\n    import helpers as h\n    return h.clean(x)\n"
    edited = HELPERS.replace("x.strip()", "x.rstrip()")
    ignored = {"ignore": ["helpers"]}
    assert of(text, options=ignored, helpers=HELPERS) == of(text, options=ignored, helpers=edited)


def test_what_else_is_loaded_of_a_package_does_not_count(of: Of) -> None:
    """Workers import a stage's module alone; the driver may have imported more."""
    for text in (
        "def f(x):\n    import package.inner\n    return package.inner.clean(x)\n",
        "def f(x):\n    import package.inner\n    return (lambda: package.inner.clean(x))()\n",
        "def f(x):\n    import package.inner as p\n    return p.clean(x)\n",
        "def f(x):\n    from package import inner\n    return inner.clean(x)\n",
        "def f(x):\n    from package import inner as p\n    return [p.clean(y) for y in x]\n",
    ):
        files = {"package__inner": HELPERS, "package__other": "def g():\n    return 1\n"}
        alone = of(text, **files)
        assert of("import package.other as _other\n" + text, **files) == alone, text
        assert of(text, **{**files, "package__inner": HELPERS.replace("return 1", "return 2")}) == alone, text


def test_a_module_that_is_passed_on_counts_as_a_whole(of: Of) -> None:
    text = "import helpers\ndef f(x):\n    return getattr(helpers, x)()\n"
    assert of(text, helpers=HELPERS) != of(text, helpers=HELPERS.replace("return 1", "return 2"))


CLASS = '''
class Base:
    def shared(self, x):
        return x
class Parser(Base):
    """Parses."""
    limit = 5
    @property
    def half(self):
        return self.limit / 2
    @staticmethod
    def fixed(x):
        return 7
    @classmethod
    def made(cls):
        return cls(1)
    def __init__(self, n):
        self.n = n
    def parse(self, x):
        return super().shared(x) * self.n
parser = Parser(2)
def f(x):
    return parser.parse(x)
def g(x):
    return Parser(1).parse(x)
method = parser.parse
'''


@pytest.mark.parametrize("name", ["f", "g", "method", "Parser"])
def test_any_method_base_or_attribute_of_a_class_counts(of: Of, name: str) -> None:
    base = of(CLASS, name)
    for old, new in [
        ("limit = 5", "limit = 6"),
        ("return 7", "return 8"),
        ("self.limit / 2", "self.limit / 3"),
        ("cls(1)", "cls(3)"),
        ("        return x\n", "        return x, x\n"),
        ("* self.n", "+ self.n"),
    ]:
        assert base != of(CLASS.replace(old, new), name), old
    assert base == of(CLASS.replace("Parses.", "Parses otherwise."), name)


def test_an_objects_state_counts(of: Of) -> None:
    assert of(CLASS, "f") != of(CLASS.replace("Parser(2)", "Parser(3)"), "f")
    assert of(CLASS, "method") != of(CLASS.replace("Parser(2)", "Parser(3)"), "method")


DATA = """
import dataclasses, enum
from typing import NamedTuple
@dataclasses.dataclass(frozen=True)
class Options:
    size: int = 3
    names: list = dataclasses.field(default_factory=list)
    def twice(self):
        return self.size * 2
class Kind(enum.Enum):
    A = "a"
    def label(self):
        return self.value + "!"
class Row(NamedTuple):
    x: int = 1
    def area(self):
        return self.x * 9
OPTIONS = Options()
KIND = Kind.A
ROW = Row()
def f(x):
    return OPTIONS.twice(), KIND.label(), ROW.area()
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size: int = 3", "size: int = 4"),
        ("factory=list", "factory=tuple"),
        ("self.size * 2", "self.size * 3"),
        ('A = "a"', 'A = "b"'),
        ('"!"', '"?"'),
        ("x: int = 1", "x: int = 2"),
        ("* 9", "* 8"),
        ("frozen=True", "frozen=False"),
        ("Options()", "Options(5)"),
    ],
)
def test_data_with_methods_counts_with_its_methods(of: Of, old: str, new: str) -> None:
    assert old in DATA
    assert of(DATA) == of(DATA)
    assert of(DATA) != of(DATA.replace(old, new))


WRAPPED = """
import functools, re, logging, threading, contextlib, struct
from operator import itemgetter
log = logging.getLogger(__name__)
lock = threading.Lock()
WORD = re.compile("a+")
HEAD = struct.Struct("<I")
first = itemgetter(0)
def twice(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(function(*args))
    return wrapper
@twice
def double(x):
    return x * 2
@functools.lru_cache
def cached(x):
    return x + 3
half = functools.partial(pow, 2)
@functools.singledispatch
def kind(x):
    return 4
@kind.register
def _(x: int):
    return 5
@contextlib.contextmanager
def around():
    yield 6
def f(x):
    with lock, around() as y:
        log.info("%s", x)
        return double(x), cached(x), half(x), kind(x), WORD.match(x), first(x), HEAD, y
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x * 2", "x * 3"),
        ("function(function(*args))", "function(*args)"),
        ("x + 3", "x + 4"),
        ("(pow, 2)", "(pow, 3)"),
        ("return 4", "return 3"),
        ("return 5", "return 6"),
        ("yield 6", "yield 7"),
        ('"a+"', '"b+"'),
        ('"<I"', '">I"'),
        ("itemgetter(0)", "itemgetter(1)"),
    ],
)
def test_what_is_wrapped_counts_with_its_wrapper(of: Of, old: str, new: str) -> None:
    assert old in WRAPPED
    assert of(WRAPPED) == of(WRAPPED)
    assert of(WRAPPED) != of(WRAPPED.replace(old, new))


def test_recursion_ends(of: Of) -> None:
    text = "def f(x):\n    return g(x - 1) if x else 0\ndef g(x):\n    return f(x) + 1\n"
    assert of(text) == of(text)
    assert of(text) != of(text.replace("+ 1", "+ 2"))
    chain = (
        "".join(f"def h{i}(x):\n    return h{i + 1}(x)\n" for i in range(1100))
        + "def h1100(x):\n    return 1\n"
    )
    assert of(chain, "h0") != of(chain.replace("return 1\n", "return 2\n"), "h0")


def test_data_that_contains_itself_ends(of: Of) -> None:
    text = "loop = [1]\nloop.append(loop)\nS = set()\ndef f(x):\n    return loop, S\nS.add(f)\n"
    assert of(text) == of(text)
    assert of(text) != of(text.replace("[1]", "[2]"))


def test_what_is_freed_while_it_is_described_is_not_taken_for_what_comes_after(of: Of) -> None:
    text = """
    LEAF = 1
    def made(n):
        def g(x, next=A(n - 1) if n else LEAF):
            return next
        return g
    class A:
        def __init__(self, n):
            self.n = n
        def __reduce_ex__(self, protocol):
            return made(self.n), ()
    L = A(300)
    def f(x):
        return L
    """
    options = {
        "ignore": ["LEAF"]
    }  # seen at the end of hundreds of functions that live for as long as one looks at them
    assert of(text, options=options) == of(text, options=options)
    assert of(text, options=options) != of(text.replace("LEAF = 1", "LEAF = 2"), options=options)


@pytest.mark.parametrize("depth", [1, 20, 90])
def test_globals_that_differ_only_far_below_the_surface_are_told_apart(of: Of, depth: int) -> None:
    text = "L = LEAF\nfor i in range(DEPTH):\n    L = [i, (L, {'k': L if i < 3 else i})]\ndef f(x):\n    return L\n"
    text = text.replace("DEPTH", str(depth))
    assert of(text.replace("LEAF", "1")) != of(text.replace("LEAF", "2"))


def test_a_set_of_functions_has_no_order(of: Of) -> None:
    functions = "".join(f"def {name}(x):\n    return {n}\n" for n, name in enumerate("abcd"))
    text = functions + "S = {a, b, c, d}\ndef f(x):\n    return S\n"
    assert len({of(text) for _ in range(5)}) == 1
    assert of(text) != of(text.replace("return 3", "return 4"))


def test_a_dict_made_from_a_set_is_the_same_for_every_hash_seed_and_another_order_is_another(
    of: Of, tmp_path: Path
) -> None:
    text = "S = frozenset('abcdefgh')\nT = {**dict.fromkeys(S), 'z': 1, 'y': 2}\ndef f(x):\n    return T\n"
    (tmp_path / "made.py").write_text(text)
    program = (
        "import made; from dataflow.memo.fingerprint import fingerprint; print(fingerprint(made.f).hex())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True, text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join([str(tmp_path), *sys.path])},
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert printed == {of(text).hex()}
    assert of(text) != of(text.replace("'z': 1, 'y': 2", "'y': 2, 'z': 1"))
    pairs = "P = [('a', 1), ('b', 2)]\nT = dict(P)\ndef f(x):\n    return T\n"
    assert of(pairs) != of(pairs.replace("('a', 1), ('b', 2)", "('b', 2), ('a', 1)"))


@pytest.mark.parametrize("head", ["", "from __future__ import annotations\n"])
@pytest.mark.parametrize(
    "text",
    [
        "f = lambda t, k=1: [w for w in t.split() if len(w) > 2 and w != 'the']\n",
        "f = {'f': lambda t: {w: 1 for w in t if w and len(w) > 2}}['f']\n",
        "f = (lambda g: g)(lambda t: t or [w for w in t if w or t])\n",
    ],
)
def test_a_lambda_that_is_spread_over_lines_is_the_same_and_an_edited_one_another(
    of: Of, text: str, head: str
) -> None:
    spread = (
        text.replace(" for", "\n    for")
        .replace(" if", "\n    if")
        .replace(" and", "\n    and")
        .replace(" or", "\n or")
    )
    if "(lambda g" not in text:
        spread = spread.replace("lambda", "  # a comment\nlambda") if "{'f'" in text else spread
    assert of(head + text) == of(head + spread)
    assert of(head + text) != of(head + text.replace("> 2", "> 3").replace("w or t", "t or w"))


def test_two_different_lambdas_on_one_line_are_two_functions(of: Of) -> None:
    text = "a, b = (lambda x: x + 1), (lambda x: x + 2)\n"
    assert of(text, "a") != of(text, "b")
    assert of(text, "a") == of("\n\n# moved\n" + text, "a")


def test_a_file_that_was_edited_after_its_import_does_not_deceive(tmp_path: Path, of: Of) -> None:
    text = "def f(x):\n    return x + 1\n"
    before = of(text)
    module = sys.modules["work"]
    path = Path(str(module.__file__))
    path.write_text(text.replace("+ 1", "+ 2"))
    stale = fingerprint(module.f)
    assert stale != of(text.replace("+ 1", "+ 2"))
    path.write_text("\n" + text)
    os.utime(path, (1, 1))
    assert fingerprint(module.f) == stale or fingerprint(module.f) == before


def test_a_function_without_source_is_told_by_its_instructions() -> None:
    def made(body: str) -> Any:
        space: dict[str, Any] = {"__name__": "made_up"}
        exec(f"N = 1\ndef f(x):\n    {body}\n", space)
        return space["f"]

    assert fingerprint(made("return x + N")) == fingerprint(made("return x + N"))
    assert fingerprint(made("return x + N")) != fingerprint(made("return x - N"))
    assert fingerprint(made("return x + 1")) != fingerprint(made("return x + True"))
    assert fingerprint(made("return x in {1, 2}")) != fingerprint(made("return x in {1, 3}"))


def test_every_kind_of_instruction_can_be_told() -> None:
    """Lambdas are told by their instructions, whatever those hold."""
    functions: list[Any] = [
        lambda x: f"{x!r:>10} {x}",
        lambda x: [y for y in x if y not in {1, 2} and y is not None],
        lambda x: {**x, "a": (yield)},
        lambda *a, **k: print(*a, sep="", **k),
        lambda x: x[1:2] if x > 1 else -x @ x,
        lambda x: (..., 1j, b"", 2**70, frozenset()),
    ]
    assert len({fingerprint(function) for function in functions}) == len(functions)


def test_a_path_in_deps_is_its_content_wherever_it_lies(tmp_path: Path) -> None:
    def of_files(*names: str, text: str = "one") -> bytes:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return fingerprint(len, deps=[tmp_path / names[0].partition("/")[0]])

    assert of_files("a.txt") == of_files("b.txt") != of_files("a.txt", text="two")
    assert of_files("c/a.txt", "c/d/b.txt") == of_files("e/a.txt", "e/d/b.txt")
    assert of_files("c/a.txt", "c/d/b.txt") != of_files("c/a.txt", "c/d/b.txt", text="two")
    assert of_files("c/a.txt") != of_files("g/b.txt")
    with pytest.raises(Uncacheable, match=r"deps= names .*nothing, which can't be read"):
        fingerprint(len, deps=[tmp_path / "nothing"])


def test_files_that_deps_names_are_not_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words.txt").write_text("one")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fingerprint(lambda: Path("words.txt").read_text(), deps=[Path("words.txt")])


def test_version_and_deps_count_and_ignore_leaves_out(of: Of) -> None:
    text = "LIMIT = 1\ndef other(x):\n    return 5\ndef f(x):\n    return LIMIT\n"
    edited = text.replace("LIMIT = 1", "LIMIT = 2")
    assert of(text, options={"version": "1"}) != of(text, options={"version": "2"})
    assert of(text, options={"ignore": ["LIMIT"]}) == of(edited, options={"ignore": ["LIMIT"]})
    of(text)
    first = sys.modules["work"].other
    of(text.replace("return 5", "return 6"))
    second = sys.modules["work"].other
    assert of(text, options={"deps": [first]}) != of(text, options={"deps": [second]})


def test_what_can_not_be_keyed_is_named_with_the_mend(of: Of) -> None:
    text = "import sys\nclient = sys._getframe()\ndef helper(x):\n    return client\n"
    text += "def f(x):\n    return helper(x)\n"
    with pytest.raises(Uncacheable, match=r"client.*ignore=\['client'\].*version="):
        of(text)
    assert of(text, options={"ignore": ["client"]})


def test_code_that_runs_text_is_warned_of(of: Of) -> None:
    with pytest.warns(DynamicCodeWarning, match="eval"):
        of("def f(x):\n    return eval(x)\n")


def test_an_installed_package_counts_by_its_version(of: Of, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataflow.memo.origin as origin

    text = "import msgpack\ndef f(x):\n    return msgpack.packb(x)\n"
    before = of(text)
    assert before == of(text)
    monkeypatch.setattr(origin, "_described", lambda distribution: "msgpack 99.0")
    origin._installed.cache_clear()
    after = of(text)
    monkeypatch.undo()
    origin._installed.cache_clear()
    assert after != before
    assert of(text) == before


def test_a_stages_name_version_and_code_count() -> None:
    def one(data: bytes) -> bytes:
        return data

    def other(data: bytes) -> bytes:
        return data[1:]

    base = stage_fingerprint(Stage(one))
    assert base == stage_fingerprint(Stage(one, timeout=5, thread_safe=False))
    assert base != stage_fingerprint(Stage(other))
    assert base != stage_fingerprint(Stage(one, version="2"))
    assert len(base) == 20


def test_a_stage_that_calls_a_stage_counts_its_code() -> None:
    @stage
    def low(data: bytes) -> int:
        return 1

    @stage
    def high(data: bytes) -> int:
        return low(data)

    before = stage_fingerprint(high)
    low.function = lambda data: 2
    assert stage_fingerprint(high) != before


def test_a_stage_that_can_not_be_keyed_is_named() -> None:
    frame = sys._getframe()

    def broken(data: bytes) -> object:
        return frame

    with pytest.raises(Uncacheable, match=r"stage 'broken'.*frame"):
        stage_fingerprint(Stage(broken))


def test_a_pool_of_threads_is_one_whatever_it_has_done(of: Of) -> None:
    text = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def begin(k):\n    return k\n"
        "def double(x):\n    return x * 2\n"
        "POOL = ThreadPoolExecutor(2, initializer=begin, initargs=(1,))\n"
        "def f(x):\n    return list(POOL.map(double, x))\n"
    )
    used = text + "assert f([1, 2]) == [2, 4]\n"
    assert of(text) == of(used)
    assert len({of(text), of(text.replace("* 2", "* 3")), of(text.replace("return k", "return -k"))}) == 3
    assert of(text) != of(text.replace("(1,)", "(2,)"))


def test_locks_and_loggers_need_no_mend() -> None:
    lock = threading.RLock()

    def f(x: int) -> int:
        with lock:
            return x

    assert fingerprint(f) == fingerprint(f)


TABLES = "S = frozenset('abcdefgh')\nT = {**dict.fromkeys(S), 'z': 1}\n"
SIX = "import tables\nfrom tables import T\ndef f(x):\n    return T\ndef g(x):\n    return tables.T\n"


def test_fingerprints_are_equal_across_processes_and_hash_seeds(tmp_path: Path) -> None:
    for name, text in {
        "one": BASE,
        "two": DATA,
        "three": WRAPPED,
        "four": CLASS,
        "six": SIX,
        "tables": TABLES,
        "helpers": HELPERS,
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "five.py").write_text(
        "f = lambda x: x in {'a', 'b', 'c'}\nG = {'p', 'q', ('r', frozenset('stu'))}\ng = lambda x: G\n"
        "def a(x):\n    return 1\ndef b(x):\n    return 2\nS = {a, b, 'z'}\nh = lambda: S\n"
    )
    program = (
        "import one, two, three, four, five, six; from dataflow.memo.fingerprint import fingerprint as p;"
        "print([p(f).hex() for f in (one.f, two.f, three.f, four.f, six.f, six.g, five.f, five.g, five.h)])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True, text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join([str(tmp_path), *sys.path])},
        ).stdout
        for seed in ("0", "1", "77")
    }  # fmt: skip
    assert len(printed) == 1


def test_an_expression_that_is_too_deep_elsewhere_in_the_file_is_no_obstacle(tmp_path, monkeypatch):
    deep = " + ".join(["'a'"] * 600)
    (tmp_path / "deep_neighbour.py").write_text(f"TEXT = {deep}\n\n\ndef double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import deep_neighbour

    assert len(fingerprint(deep_neighbour.double)) == 20


def test_an_installed_package_that_a_function_imports_when_it_is_called_is_known_by_its_version_and_not_loaded(
    tmp_path,
):
    (tmp_path / "lazy.py").write_text(
        "def f(x):\n    from docx.api import Document\n    return Document(x)\n"
    )
    program = (
        "import sys; {}from dataflow.memo.fingerprint import fingerprint; import lazy;"
        "print(fingerprint(lazy.f).hex(), 'docx' in sys.modules)"
    )
    unloaded, loaded = (
        subprocess.run(
            [sys.executable, "-c", program.format(before)], capture_output=True, check=True, text=True,
            env={"PYTHONPATH": ":".join([str(tmp_path), *sys.path])},
        ).stdout.split()
        for before in ("", "import docx.api; ")
    )  # fmt: skip
    assert unloaded[1] == "False"
    assert loaded == [unloaded[0], "True"]


def test_another_version_of_a_package_that_is_not_loaded_yet_is_another_key(of, monkeypatch):
    source = "def f(x):\n    import reportlab.lib.colors\n    return reportlab\n"
    monkeypatch.delitem(sys.modules, "reportlab", raising=False)
    monkeypatch.delitem(sys.modules, "reportlab.lib.colors", raising=False)
    first = of(source)
    monkeypatch.setattr("dataflow.memo.origin._installed", lambda top, path: f"{top} 99")
    assert of(source) != first
    assert "reportlab.lib.colors" not in sys.modules


def test_pydoc_which_finds_code_by_name_is_met_with_a_warning_although_it_is_loaded_late(of):
    with pytest.warns(DynamicCodeWarning, match=r"locate\(\)"):
        of("def f(x):\n    import pydoc\n    return pydoc.locate(x)\n")


@pytest.mark.parametrize("loaded", ["", "import acme.mine\n"])
@pytest.mark.parametrize(
    "statement",
    ["from acme.mine import factor", "from acme import mine", "import acme.mine; acme.mine.factor()"],
)
def test_first_party_code_in_a_namespace_that_installed_code_shares_counts(
    tmp_path, of, monkeypatch, statement, loaded
):
    installed, own = tmp_path / "site", tmp_path / "src"
    for folder in (installed / "acme" / "core", own / "acme"):
        folder.mkdir(parents=True)
    monkeypatch.setattr("dataflow.memo.origin._site_folders", lambda: (str(installed),))
    monkeypatch.setattr("dataflow.memo.origin._distributions", lambda top: ["acme-core 1"])
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed), str(own)])  # as a `.pth` file adds it
    prints = []
    for text in ("def factor():\n    return 2\n", "def factor():\n    return 2 + 1\n"):
        (own / "acme" / "mine.py").write_text(text)
        for name in ("acme", "acme.mine"):
            sys.modules.pop(name, None)
        prints.append(of(f"{loaded}def f(x):\n    {statement}\n    return x\n"))
    for name in ("acme", "acme.mine"):
        sys.modules.pop(name, None)
    assert prints[0] != prints[1]


def test_a_package_that_a_program_has_made_itself_is_walked(of, monkeypatch):
    package, module = types.ModuleType("handmade"), types.ModuleType("handmade.part")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "handmade", package)

    class Finder:
        @staticmethod
        def find_spec(name, path, target=None):
            return importlib.util.spec_from_loader(name, Finder) if name == module.__name__ else None

        @staticmethod
        def create_module(spec):
            return module

        @staticmethod
        def exec_module(module):
            pass

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    prints = []
    for module.value in (1, 2):
        monkeypatch.delitem(sys.modules, "handmade.part", raising=False)
        prints.append(of("def f(x):\n    from handmade.part import value\n    return value\n"))
    monkeypatch.delitem(sys.modules, "handmade.part", raising=False)
    assert prints[0] != prints[1]


def test_a_long_chain_of_elifs_hinders_no_other_function_of_its_file(of):
    chain = "".join(f"    elif x == {n}:\n        return {n}\n" for n in range(1, 1200))
    of(f"def g(x):\n    if x == 0:\n        return 0\n{chain}\ndef f(x):\n    return x\n")


@pytest.mark.parametrize("failure", ["ImportError", "ModuleNotFoundError", "Exception", ""])
def test_a_function_that_lives_without_an_installed_package_is_another_one_where_that_cannot_be_imported(
    tmp_path, of, monkeypatch, failure
):
    monkeypatch.setattr("dataflow.memo.origin._site_folders", lambda: (str(tmp_path / "site"),))
    monkeypatch.setattr("dataflow.memo.origin._distributions", lambda top: ["needy 1"])
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    (tmp_path / "site").mkdir()
    source = (
        f"def f(x):\n    try:\n        import needy\n    except {failure}:\n        return 0\n    return 1\n"
    )
    prints = []
    for text in ("raise ImportError('libneedy.so.1: no such file')\n", "VERSION = 1  # now it is there\n"):
        (tmp_path / "site" / "needy.py").write_text(text)
        prints.append(of(source))
        sys.modules.pop("needy", None)
    assert prints[0] != prints[1]


def test_a_script_has_the_fingerprint_that_it_has_when_it_is_imported(tmp_path):
    (tmp_path / "work.py").write_text(
        "import logging, typing\nLOG = logging.getLogger(__name__)\nN = typing.NewType('N', str)\n"
        "class A:\n    k = 1\na = A()\n"
        "def f(x):\n    LOG.info(x)\n    logging.getLogger(__name__).info(x)\n    return N(a.k)\n"
        "if __name__ == '__main__':\n    from dataflow.memo.fingerprint import fingerprint\n"
        "    print(fingerprint(f).hex())\n"
    )
    imported = (
        "import work\nfrom dataflow.memo.fingerprint import fingerprint\nprint(fingerprint(work.f).hex())\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.getcwd()}"}
    commands = [[sys.executable, str(tmp_path / "work.py")], [sys.executable, "-c", imported]]
    script, module = (
        subprocess.run(one, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
        for one in commands
    )
    assert script == module != ""


def test_objects_that_lead_to_each_other_in_many_ways_end_soon(of):
    graph = (
        "class S: pass\nL = [S() for _ in range(12)]\nfor a in L:\n    a.to = [b for b in L if b is not a]\n"
    )
    lists = "M = [[] for _ in range(12)]\nfor a in M:\n    a.extend(b for b in M if b is not a)\n"
    twice = "A = []\nfor n in range(40):\n    A = [A, A]\n"
    chain = f"{twice}C = None\nfor n in range(1500):\n    D = S()\n    D.next, C = C, D\n"
    text = f"{graph}{lists}{chain}K = 1\ndef f(x):\n    return L, M, A, C, K\n"
    assert of(text) == of(text)
    assert of(text) != of(text.replace("K = 1", "K = 2"))


def test_sets_that_lead_to_each_other_in_many_ways_are_refused_with_the_way(of):
    graph = (
        "class S: pass\nL = [S() for _ in range(9)]\nfor a in L:\n    a.to = {b for b in L if b is not a}\n"
    )
    text = f"{graph}def f(x):\n    return L\n"
    with pytest.raises(Uncacheable, match=r"f -> L -> to -> to.*in too many ways"):
        of(text)


def test_a_project_of_more_modules_than_are_usual_has_each_file_parsed_once(tmp_path, monkeypatch):
    names = [f"many{n}" for n in range(100)]
    for name in names:
        (tmp_path / f"{name}.py").write_text("".join(f"def h{n}(x):\n    return x + {n}\n" for n in range(3)))
    calls = "\n".join(f"import {name}" for name in names)
    body = " + ".join(f"{name}.h{n}(x)" for n in range(3) for name in names)
    (tmp_path / "all_of_many.py").write_text(f"{calls}\ndef f(x):\n    return {body}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from dataflow.memo import code

    code._definitions.cache_clear()
    fingerprint(__import__("all_of_many").f)
    assert code._definitions.cache_info().misses == 101
