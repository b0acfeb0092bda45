"""Edits that once went unseen, and values that once shared a fingerprint: each pair is told apart now."""

# ruff: noqa: E501 - programs read better line by line
from __future__ import annotations

import builtins
import datetime
import enum
import os
import subprocess
import sys
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dataflow.memo.fingerprint import Uncacheable, fingerprint
from dataflow.memo.keys import encode

Of = Callable[..., bytes]


WRAPPER = (
    "import functools\nclass Timed:\n    def __init__(self, fn):\n        functools.update_wrapper(self, fn)\n"
    "        self.fn = fn\n    def __call__(self, *a):\n        return self.fn(*a) + 1\n"
)
HELPER = "def h(x):\n    return x * 2\n"
WRAPPED = {
    "work.py": "from deco import Timed\nimport helper\n@Timed\ndef g(x):\n    return helper.h(x)\ndef f():\n    return g(1)\n",
    "deco.py": WRAPPER,
    "helper.py": HELPER,
}
PACKAGE = {
    "package/__init__.py": "def h(x):\n    return x + 1\n",
    "package/sub.py": "def k(x):\n    return x + 2\n",
}
CLEAN = {
    "package/__init__.py": "",
    "package/clean.py": "LIMIT = 3\ndef clean(x):\n    return x\ndef more(x):\n    return x + 4\n",
}
FILES: dict[str, tuple[dict[str, str], str, str, str]] = {
    "a helper behind a class that wraps": (WRAPPED, "helper.py", "* 2", "* 3"),
    "a class that wraps": (WRAPPED, "deco.py", "+ 1", "+ 2"),
    "a submodule that isn't loaded yet": (
        {**PACKAGE, "work.py": "def f(x):\n    from package import sub\n    return sub.k(x)\n"}, "package/sub.py", "+ 2", "+ 3",
    ),
    "a module that has a function of its name": (
        {**CLEAN, "work.py": "def f(x):\n    import package.clean as c\n    return c.more(x)\n"}, "package/clean.py", "+ 4", "+ 5",
    ),
    "the package of an imported module": (
        {**PACKAGE, "work.py": "def f(x):\n    import package.sub\n    return package.h(x)\n"}, "package/__init__.py", "+ 1", "+ 9",
    ),
    "a module named like one of the standard library": (
        {"profile.py": HELPER, "work.py": "import profile\ndef f(x):\n    return profile.h(x)\n"}, "profile.py", "* 2", "* 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_an_edit_of_another_file_is_seen(of_files: Of, name: str) -> None:
    files, edited, old, new = FILES[name]
    assert old in files[edited]
    assert of_files(files) == of_files(files)
    assert of_files(files) != of_files({**files, edited: files[edited].replace(old, new)})


HEAD = "import contextvars, dataclasses, enum, functools, logging, threading, typing\n"
TEXTS = {
    "a subclass of property": (
        "class Own(property):\n    def __get__(self, o, t):\n        return 1\nclass A:\n    x = Own(len)\ndef f():\n    return A().x\n",
        "return 1", "return 2",
    ),
    "a subclass of staticmethod": (
        "class Own(staticmethod):\n    def __get__(self, o, t):\n        return 1\nclass A:\n    x = Own(len)\ndef f():\n    return A().x\n",
        "return 1", "return 2",
    ),
    "a subclass of partial": (
        "class Own(functools.partial):\n    def __call__(self):\n        return 1\ng = Own(len)\ndef f():\n    return g()\n",
        "return 1", "return 2",
    ),
    "a subclass of a logger": (
        "class Own(logging.Logger):\n    def info(self, x):\n        return 1\nlog = Own('a')\ndef f():\n    return log.info(1)\n",
        "return 1", "return 2",
    ),
    "an attribute of a partial": ("g = functools.partial(len)\ng.k = 1\ndef f():\n    return g.k\n", "k = 1", "k = 2"),
    "an attribute of a cached function": (
        "@functools.cache\ndef g():\n    return 0\ng.k = 1\ndef f():\n    return g.k\n", "k = 1", "k = 2",
    ),
    "a context variable's default": ("V = contextvars.ContextVar('v', default=1)\ndef f():\n    return V.get()\n", "=1", "=2"),
    "an event that is set": ("E = threading.Event()\nE.set()\ndef f():\n    return E.is_set()\n", "E.set()\n", ""),
    "a value of this thread": ("L = threading.local()\nL.k = 1\ndef f():\n    return L.k\n", "k = 1", "k = 2"),
    "match arguments": (
        "class A:\n    __match_args__ = ('x', 'y')\n    x, y = 1, 2\ndef f(a):\n    match a:\n        case A(1):\n            return a\n",
        "('x', 'y')", "('y', 'x')",
    ),
    "the parameters of a base": (
        "T = typing.TypeVar('T')\nclass R(typing.Generic[T]):\n    pass\nclass A(R[int]):\n    pass\ndef f():\n    return A.__orig_bases__\n",
        "R[int]", "R[str]",
    ),
    "an enum's own way to be made": (
        "class E(enum.Enum):\n    def __new__(cls, v):\n        o = object.__new__(cls)\n        o._value_ = v\n        o.k = v + 1\n"
        "        return o\n    A = 1\ndef f():\n    return E.A.k\n",
        "v + 1", "v + 2",
    ),
    "an attribute of a member": (
        "class E(enum.Enum):\n    A = 1\nE.A.k = 1\ndef f():\n    return E.A.k\n", "k = 1", "k = 2",
    ),
    "a flag that has no name": ("class F(enum.IntFlag):\n    R = 4\nK = F(8)\ndef f():\n    return K\n", "F(8)", "F(16)"),
    "which of two states is which": (
        "class A:\n    def __getstate__(self):\n        return {'k': 1}, {}\na = A()\ndef f():\n    return a\n",
        "{'k': 1}, {}", "{}, {'k': 1}",
    ),
    "the bound of a type variable": (
        "class B:\n    k = 1\nT = typing.TypeVar('T', bound=B)\ndef f():\n    return T.__bound__.k\n", "k = 1", "k = 2",
    ),
    "what an annotation means": (
        "K = 1\ndef g(x: K):\n    pass\ndef f():\n    return g.__annotations__['x']\n", "K = 1", "K = 2",
    ),
    "what an annotation of text means": (
        "K = 1\ndef g(x: 'K'):\n    pass\ndef f():\n    return typing.get_type_hints(g)\n", "K = 1", "K = 2",
    ),
    "what a field's annotation of text means": (
        "K = 1\n@dataclasses.dataclass\nclass D:\n    x: 'K' = 0\ndef f():\n    return D\n", "K = 1", "K = 2",
    ),
    "what a text in an annotation means": (
        "class L:\n    k = 1\n@dataclasses.dataclass\nclass D:\n    x: list['L'] | None = None\ndef f():\n    return typing.get_type_hints(D)\n",
        "k = 1", "k = 2",
    ),
    "what a text in a text means": (
        "class L:\n    k = 1\nclass D:\n    x: \"dict[str, 'L']\"\ndef f():\n    return typing.get_type_hints(D)\n", "k = 1", "k = 2",
    ),
    "what each of two texts in a text means": (
        "class L:\n    k = 1\nclass M:\n    pass\nclass D:\n    x: \"typing.Union['L', 'M']\"\ndef f():\n    return typing.get_type_hints(D)\n",
        "k = 1", "k = 2",
    ),
    "what a named tuple's text means": (
        "class L:\n    k = 1\nclass D(typing.NamedTuple):\n    x: 'L'\ndef f():\n    return typing.get_type_hints(D)\n", "k = 1", "k = 2",
    ),
    "what a typed dict's text means": (
        "class L:\n    k = 1\nclass D(typing.TypedDict):\n    x: typing.Optional['L']\ndef f():\n    return typing.get_type_hints(D)\n",
        "k = 1", "k = 2",
    ),
    "what a new type is of": (
        "N = typing.NewType('N', int)\nclass D:\n    x: N\ndef f():\n    return typing.get_type_hints(D)['x'].__supertype__\n",
        "'N', int", "'N', str",
    ),
    "a literal": (
        "class D:\n    x: typing.Literal['a', 1]\ndef f():\n    return typing.get_type_hints(D)\n", "'a', 1", "'a', True",
    ),
    "what is annotated besides": (
        "class D:\n    x: typing.Annotated[int, 'a']\ndef f():\n    return typing.get_type_hints(D, include_extras=True)\n", "'a'", "'b'",
    ),
    "a global that is called like a closure's variable": (
        "n = 1\ndef make():\n    n = 5\n    class A:\n        def g(self):\n            global n\n            return n\n    def f():\n"
        "        def inner():\n            global n\n            return n\n        return n, inner()\n    return f\nf = make()\n",
        "n = 1\n", "n = 2\n",
    ),
    "a name that was given": ("def g():\n    pass\ng.__name__ = 'a'\ndef f():\n    return g.__name__\n", "'a'", "'b'"),
    "an object that goes by a global's name": (
        "class Const:\n    def __init__(self, v):\n        self.v = v\n    def __reduce__(self):\n        return 'X'\nX = Const(1)\n"
        "def f():\n    return X.v\n",
        "Const(1)", "Const(2)",
    ),
    "the order of a dict that was loaded": (
        "import json\nT = json.loads('{\"a\": 1, \"b\": 2}')\ndef f():\n    return next(iter(T))\n",
        '"a": 1, "b": 2', '"b": 2, "a": 1',
    ),
    "the order in which functions were registered": (
        "T = {}\ndef put(k):\n    def deco(g):\n        T[k] = len(k)\n        return g\n    return deco\n"
        "@put('a')\ndef g():\n    pass\n@put('bb')\ndef h():\n    pass\ndef f():\n    return list(T)\n",
        "@put('a')\ndef g():\n    pass\n@put('bb')\ndef h():", "@put('bb')\ndef h():\n    pass\n@put('a')\ndef g():",
    ),
    "a method of a dataclass": (
        "@dataclasses.dataclass\nclass D:\n    x: int = 1\n    def __repr__(self):\n        return 'one'\ndef f():\n    return repr(D())\n",
        "'one'", "'two'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_an_edit_that_changes_a_result_is_seen(of_files: Of, name: str) -> None:
    text, old, new = TEXTS[name]
    assert old in text
    assert of_files(HEAD + text) == of_files(HEAD + text)
    assert of_files(HEAD + text) != of_files(HEAD + text.replace(old, new))


@pytest.mark.parametrize("name", ["a method of a dataclass", "an enum's own way to be made"])
def test_an_edit_of_a_program_that_has_no_file_is_seen(name: str) -> None:
    text, old, new = TEXTS[name]
    say = "\nfrom dataflow.memo.fingerprint import fingerprint\nprint(fingerprint(f).hex())\n"

    def printed(source: str) -> str:
        command = [sys.executable, "-c", HEAD + source + say]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=os.getcwd()).stdout

    assert printed(text) == printed(text)
    assert printed(text) != printed(text.replace(old, new))


RAISING = {
    "a class method of a compiled type": "import pandas as pd\nn = pd.Timestamp.fromordinal\ndef f():\n    return n(700000)\n",
    "a proxy that isn't ready": "class P:\n    def __getattr__(s, n):\n        raise RuntimeError(n)\nX = P()\ndef f():\n    return X\n",
    "a state that is none": "class P:\n    def __reduce_ex__(s, p):\n        return 5\nX = P()\ndef f():\n    return X\n",
    "a class of no module": "X = type('X', (), {'__module__': None})()\ndef f():\n    return X\n",
    "attributes without names": "class A:\n    pass\na = A()\na.__dict__[1] = 2\ndef f():\n    return a\n",
}  # fmt: skip


@pytest.mark.parametrize("name", RAISING)
def test_an_object_that_can_not_be_looked_at_is_uncacheable_at_most(of_files: Of, name: str) -> None:
    def said() -> bytes | str:
        try:
            return of_files(RAISING[name])
        except Uncacheable as error:
            return str(error)

    once = said()
    assert said() == once
    assert isinstance(once, bytes) or "ignore=" in once


@pytest.mark.parametrize("bad", ["raise RuntimeError('no gpu')\n", "import sys\nsys.exit(3)\n", "x = (\n"])
def test_an_import_that_fails_is_an_absence(of_files: Of, bad: str) -> None:
    work = "def f():\n    try:\n        import bad\n    except BaseException:\n        return 1\n"
    assert of_files({"work.py": work, "bad.py": bad}) == of_files({"work.py": work})


def test_a_comment_put_above_functions_while_they_are_loaded_changes_nothing(of_files: Of) -> None:
    text = "def f(x):\n    return g(x) + 1\ndef g(x):\n    '''Says.'''\n    return x\n"
    before = of_files(text)
    module = sys.modules["work"]
    path = Path(str(module.__file__))
    path.write_text("# Said later.\n\n" + text)
    os.utime(path, (1, 1))
    assert fingerprint(module.f) == before


class Flags(enum.IntFlag):
    R = 4


class Base:
    __slots__ = ("hidden",)


@dataclass
class Slotted(Base):
    a: int


def slotted(hidden: int) -> Slotted:
    value = Slotted(1)
    value.hidden = hidden
    return value


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
HOUR = datetime.timedelta(hours=1)
NOON = datetime.datetime(2020, 1, 1, 12)
PAIRS: dict[str, tuple[Any, Any]] = {
    "flags without names": (Flags(8), Flags(16)),
    "UTC of two kinds": (NOON.replace(tzinfo=datetime.UTC), NOON.replace(tzinfo=zoneinfo.ZoneInfo("UTC"))),
    "zones of one name": (NOON.replace(tzinfo=BERLIN), NOON.replace(tzinfo=datetime.timezone(HOUR, "Europe/Berlin"))),
    "times of two zones": (
        datetime.time(1, tzinfo=datetime.timezone(HOUR, "x")), datetime.time(1, tzinfo=datetime.timezone(2 * HOUR, "x")),
    ),
    "orders in memory": (np.zeros((2, 2)), np.zeros((2, 2), order="F")),
    "writeable or not": (np.zeros(2), np.broadcast_to(np.zeros(2), (2,))),
    "metadata": (np.zeros(1, np.dtype("i4", metadata={"a": 1})), np.zeros(1, np.dtype("i4", metadata={"a": 2}))),
    "names of fields": (np.zeros(1, [("a", "i4"), ("b", "i4")]), np.zeros(1, [("b", "i4"), ("a", "i4")])),
    "offsets of fields": (
        np.zeros(1, np.dtype({"names": ["a"], "formats": ["i4"], "offsets": [0], "itemsize": 8})),
        np.zeros(1, np.dtype({"names": ["a"], "formats": ["i4"], "offsets": [4], "itemsize": 8})),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_values_that_differ_in_little_differ(name: str) -> None:
    one, other = PAIRS[name]
    assert encode(one) == encode(one)
    assert encode(one) != encode(other)


def test_padding_is_no_part_of_an_array() -> None:
    kind = np.dtype([("a", "i1"), ("b", "i4")], align=True)
    one, other = (np.frombuffer(bytes([1, fill, fill, fill, 2, 0, 0, 0]), kind) for fill in (0, 7))
    assert encode(one) == encode(other)
    reordered = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])[["b", "a"]]
    assert encode(reordered) != encode(reordered.copy()[["a", "b"]])


def test_a_zone_that_has_no_key_is_refused() -> None:
    path = next(
        Path(folder, "Europe/Berlin") for folder in zoneinfo.TZPATH if Path(folder, "Europe/Berlin").exists()
    )
    with path.open("rb") as file:
        zone = zoneinfo.ZoneInfo.from_file(file)
    with pytest.raises(Uncacheable, match="zone"):
        encode(NOON.replace(tzinfo=zone))


def test_a_dataclass_that_holds_more_in_slots_of_a_base_is_refused() -> None:
    with pytest.raises(Uncacheable, match="hidden"):
        encode(slotted(1))


def test_a_program_without_assertions_has_keys_of_its_own() -> None:
    program = "from dataflow.memo.keys import RUNTIME; print(RUNTIME)"
    said = {
        subprocess.run(
            [sys.executable, *flags, "-c", program], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        for flags in ([], ["-O"], ["-OO"])
    }
    assert len(said) == 3


WRAPPED_CACHE = """
import functools
def plain(x):
    return 0
@functools.wraps(plain)
@functools.lru_cache
def g(x):
    return x + 1
def f():
    return g(1)
"""
WRAPPED_INIT = """
import dataclasses, functools
def shifted(made):
    @functools.wraps(made)
    def wrapper(self, x):
        made(self, x + 1)
    return wrapper
@dataclasses.dataclass
class A:
    x: int
A.__init__ = shifted(A.__init__)
def f():
    return A(1).x
"""


PLUGINS = """
class Base:
    pass
class Plugin(Base):
    def go(self):
        return 1
class Below(Plugin):
    pass
def f():
    return [one().go() for one in Base.__subclasses__()]
"""
REGISTERED = """
import abc
class Known(abc.ABC):
    pass
class A:
    pass
class B:
    pass
Known.register(A)
def f():
    return isinstance(A(), Known)
"""
IN_BUILTINS = """
import builtins
def helper(x):
    return x + 1
builtins.dataflow_test_helper = helper
builtins.dataflow_test_number = 10
def f():
    return dataflow_test_helper(dataflow_test_number)
"""
NAMED_DEFAULTS = """
import collections
P = collections.namedtuple("P", "a b")
P.__new__.__defaults__ = (1,)
def f():
    return P(0)
"""


DOCSTRING = """
def prompt():
    "Say one."
def f():
    return prompt.__doc__
"""


@pytest.fixture
def clean_builtins() -> Iterator[None]:
    yield
    for name in [name for name in vars(builtins) if name.startswith("dataflow_test")]:
        delattr(builtins, name)


@pytest.mark.usefixtures("clean_builtins")
@pytest.mark.parametrize(
    ("program", "old", "new"),
    [
        (PLUGINS, "return 1", "return 2"),
        (PLUGINS, "class Below(Plugin):\n    pass", "class Below(Plugin):\n    x = 1"),
        (REGISTERED, "register(A)", "register(B)"),
        (IN_BUILTINS, "x + 1", "x + 2"),
        (IN_BUILTINS, "number = 10", "number = 11"),
        (NAMED_DEFAULTS, "(1,)", "(2,)"),
        (DOCSTRING, "Say one.", "Say two."),
    ],
)
def test_what_python_finds_without_its_name_in_the_code_is_followed(
    of_files: Of, program: str, old: str, new: str
) -> None:
    assert old in program
    assert of_files(program) == of_files(program)
    assert of_files(program) != of_files(program.replace(old, new))


def test_what_a_module_that_is_used_as_a_value_makes_of_other_names_counts(of_files: Of) -> None:
    work = "import conf\ndef f(name):\n    return getattr(conf, name)\n"
    conf = "def __getattr__(name):\n    return 1\n"
    assert of_files({"work.py": work, "conf.py": conf}) == of_files({"work.py": work, "conf.py": conf})
    assert of_files({"work.py": work, "conf.py": conf}) != of_files(
        {"work.py": work, "conf.py": conf.replace("1", "2")}
    )


@pytest.mark.parametrize("program", [WRAPPED_CACHE, WRAPPED_INIT], ids=["cache", "generated method"])
def test_what_wraps_names_another_function_than_what_it_wraps_hides_nothing(
    of_files: Of, program: str
) -> None:
    assert of_files(program) == of_files(program)
    assert of_files(program) != of_files(program.replace("x + 1", "x + 2"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["a"].__contains__, ["b"].__contains__),
        ((2).__mul__, (5).__mul__),
        ("a%s".__mod__, "b%s".__mod__),
    ],
    ids=["list", "int", "str"],
)
def test_methods_of_built_in_types_are_told_apart_by_what_they_are_bound_to(one: Any, other: Any) -> None:
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one) != fingerprint(other)


COMMON = {
    "a comprehension in an object's making": (
        "class A:\n    def __init__(self, names=('b', 'a')):\n        self.m = [w for w in names]\n        self.n = (z := len(names))\n"
        "a = A()\ndef f(x):\n    return a.m, a.n\n", "('b', 'a')", "('a', 'b')",
    ),
    "a comprehension in a function around": (
        "def make(names):\n    table = {w: len(w) for w in names}\n    def f(x):\n        return table\n    return f\nf = make(('b', 'a'))\n",
        "('b', 'a')", "('a', 'b')",
    ),
    "plugins that a class method finds": (
        "class P:\n    @classmethod\n    def all(cls):\n        return [k.go for k in cls.__subclasses__()]\nclass Q(P):\n    go = 1\n"
        "class R(Q):\n    go = 2\ndef f(x):\n    return P.all()\n", "go = 1", "go = 3",
    ),
    "plugins of plugins": (
        "class P:\n    pass\nclass Q(P):\n    pass\nclass R(Q):\n    go = 2\n"
        "def below(k):\n    return [k, *(b for s in k.__subclasses__() for b in below(s))]\ndef f(x):\n    return below(P)\n", "go = 2", "go = 3",
    ),
    "members of an enum in a set": (
        "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\n    C = 3\nS = {E.A, E.B}\ndef f(x):\n    return S\n", "{E.A, E.B}", "{E.A, E.C}",
    ),
    "members of an enum that all say the same": (
        "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\n    C = 3\n    def __str__(self):\n        return 'E'\nS = {E.A, E.B}\ndef f(x):\n    return S\n",
        "{E.A, E.B}", "{E.A, E.C}",
    ),
    "flags in a set": (
        "import enum\nclass E(enum.Flag):\n    A = 1\n    B = 2\n    C = 4\nS = {E.A | E.B}\ndef f(x):\n    return S\n", "E.A | E.B", "E.A | E.C",
    ),
    "the value of a member in a set": (
        "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\nS = frozenset(E)\ndef f(x):\n    return S\n", "A = 1", "A = 3",
    ),
    "a dispatcher that calls itself": (
        "import functools\n@functools.singledispatch\ndef g(x):\n    return x\n@g.register\ndef _(x: list):\n    return [g(y) for y in x]\n"
        "@g.register\ndef _(x: dict):\n    return {k: g(y) for k, y in x.items()}\ndef f(x):\n    return g(x)\n", "[g(y) for", "[[g(y)] for"
    ),
    "an abstract class whose members name it": (
        "import abc\nclass A(abc.ABC):\n    pass\nclass B:\n    def g(self):\n        return isinstance(self, A)\nA.register(B)\n"
        "def f(x):\n    return B().g()\n", "self, A)", "self, B)"
    ),
    "a generic with a callable": (
        "import typing\nfrom collections.abc import Callable\nT = typing.TypeVar('T')\nclass R(typing.Generic[T]):\n    k = 1\nr = R[Callable[[int], str]]()\ndef f(x):\n    return r.k\n",
        "k = 1", "k = 2",
    ),
    "a manager that decorates": (
        "import contextlib\n@contextlib.contextmanager\ndef timed(n):\n    yield n\n@timed('a')\ndef g(x):\n    return 1\ndef f(x):\n    return g(x)\n", "return 1", "return 2"
    ),
    "a weak reference": ("import weakref\nclass A:\n    k = 1\na = A()\nw = weakref.ref(a)\ndef f(x):\n    return w().k\n", "k = 1", "k = 2"),
    "weak tables": (
        "import weakref\nclass A:\n    k = 1\na = A()\nT = weakref.WeakValueDictionary(a=a)\nS = weakref.WeakSet([a])\nK = weakref.WeakKeyDictionary({a: 1})\n"
        "def f(x):\n    return T, S, K\n", "{a: 1}", "{a: 2}"
    ),
    "a decoder": ("import json\nD = json.JSONDecoder(parse_float=str)\ndef f(x):\n    return D.decode(x)\n", "=str", "=int"),
    "a salted hash": ("import hashlib\nH = hashlib.sha256(b'one')\ndef f(x):\n    return H.copy()\n", "one", "two"),
    "a salted hash of whatever length": ("import hashlib\nH = hashlib.shake_128(b'one')\ndef f(x):\n    return H.copy().digest(9)\n", "one", "two"),
    "a universal function": ("import numpy\nU = numpy.frompyfunc(lambda s: s + '1', 1, 1)\ndef f(x):\n    return U(x)\n", "'1'", "'2'"),
    "one of it in a method": ("import numpy\ndef g(a, b):\n    return a + b + 1\nU = numpy.frompyfunc(g, 2, 1).reduce\ndef f(x):\n    return U(x)\n", "+ 1", "+ 2"),
    "a cache that tells types apart": ("import functools\n@functools.lru_cache(typed=True)\ndef g(x):\n    return repr(x)\ndef f(x):\n    return g(x)\n", "typed=True", "typed=False"),
    "a context of decimals": ("import decimal\nC = decimal.Context(prec=5)\ndef f(x):\n    return C.create_decimal(x)\n", "=5", "=6"),
    "an expression that is compiled": (
        "from lxml import etree\nNS = {'a': 'one'}\nX = {'p': etree.XPath('//a:p', namespaces=NS)}\ndef f(x):\n    return X['p'](x)\n", "one", "two",
    ),
    "a maker of elements": ("from lxml.builder import ElementMaker\nE = ElementMaker(namespace='a')\ndef f(x):\n    return E.p(x)\n", "E.p", "E.b"),
    "kinds of tokens": (
        "from pygments.formatters import HtmlFormatter\nfrom pygments.token import Token\nK = {Token.Name, Token.Keyword}\n"
        "H = HtmlFormatter(style='default')\ndef f(x):\n    return K, H.format(x, x)\n", "Token.Keyword", "Token.Comment",
    ),
    "a parser of HTML": ("from lxml import etree\nP = etree.HTMLParser(encoding='utf-8')\ndef f(x):\n    return etree.fromstring(x, P)\n", "'utf-8'", "'ascii'"),
    "a stylesheet": (
        "from lxml import etree\nT = ('<s:stylesheet version=\"1.0\" xmlns:s=\"http://www.w3.org/1999/XSL/Transform\">'\n"
        "     '<s:template match=\"/\"><a/></s:template></s:stylesheet>')\nS = etree.XSLT(etree.XML(T))\ndef f(x):\n    return S(x)\n", "<a/>", "<b/>",
    ),
    "a comparison as a key": (
        "import functools\ndef c(a, b):\n    return (a > b) - 1\nK = functools.cmp_to_key(c)\ndef f(x):\n    return sorted(x, key=K)\n", "- 1", "- 2",
    ),
    "a keyed hash": ("import hmac\nM = hmac.new(b'one', digestmod='sha256')\nM.update(b'salt')\ndef f(x):\n    return M.copy()\n", "salt", "pepper"),
    "a parser of Markdown": ("from markdown_it import MarkdownIt\nM = MarkdownIt('commonmark')\ndef f(x):\n    return M.render(x)\n", "commonmark", "zero"),
    "the process's streams": ("import sys\nOUT = sys.stdout\nK = 1\ndef f(x, err=sys.stderr):\n    print(file=OUT)\n    return K\n", "K = 1", "K = 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMON)
def test_what_is_common_in_programs_is_keyed(of_files: Of, name: str) -> None:
    text, old, new = COMMON[name]
    for library in ("markdown_it", "pygments"):
        if library in text:
            pytest.importorskip(library)
    assert old in text
    assert of_files(text) == of_files(text)
    assert of_files(text) != of_files(text.replace(old, new))


DECLARED = """
from dataclasses import dataclass
@dataclass
class Info:
    fields: tuple
class Decorator:
    cls_ref = "a number that differs each time"
    def __init__(self, info):
        self.info = info
class Decorators:
    __slots__ = ("field_validators",)
class Row:
    def check(self, value):
        return value
Row.__pydantic_decorators__ = Decorators()
Row.__pydantic_decorators__.field_validators = {"check": Decorator(Info(("price",)))}
def f(x):
    return Row
"""
SCHEMA = """
import enum
class Unit(enum.Enum):
    '''A unit.'''
    ONE = 1
class Row:
    '''In euros.'''
    unit: Unit
Row.__pydantic_decorators__ = ()
def helper(x):
    '''Helps.'''
    return x
def f(x):
    return helper(Row.model_json_schema()), Unit
"""
ADAPTER = """
class TypeAdapter:
    def __init__(self, adapted):
        self._type, self._config = adapted, None
        self.core_schema = {"ref": f"{adapted}:{id(self)}"}
TypeAdapter.__module__ = "pydantic.type_adapter"
class Row:
    price = 1
ROWS = TypeAdapter(list[Row])
def f(x):
    return ROWS.validate_json(x)
"""
STRUCT = """
import sys
class Meta(type):
    __struct_defaults__ = property(lambda cls: sys.struct[0])
    __struct_config__ = property(lambda cls: sys.struct[1])
class Struct(metaclass=Meta):
    pass
def f(x):
    return Struct
"""


@pytest.mark.parametrize(
    "made",
    [
        "X = {}\ndef put(e):\n    X['p'] = etree.XPath(e)\nput('//p')\n",
        "def of(e):\n    return etree.XPath(e)\nX = {'p': of('//p')}\n",
        "X = {'p': etree.XSLT(etree.parse('a.xsl'))}\n",
        "D = etree.XML('<a/>')\nX = {'p': etree.RelaxNG(D)}\n",
    ],
)
def test_one_that_shows_nothing_and_of_which_it_is_not_seen_what_it_was_given_is_refused(
    of_files: Of, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.xsl").write_text(
        '<s:stylesheet version="1.0" xmlns:s="http://www.w3.org/1999/XSL/Transform"/>'
    )
    made = made.replace(
        "'<a/>'", '\'<element name="a" xmlns="http://relaxng.org/ns/structure/1.0"><empty/></element>\''
    )
    with pytest.raises(Uncacheable, match=r"lxml\.etree\.\w+ shows no state"):
        of_files(f"from lxml import etree\n{made}def f(x):\n    return X['p'](x)\n")


def test_a_text_of_a_literal_is_no_name(of_files: Of) -> None:
    program = """
from __future__ import annotations
import dataclasses, typing
client = open("/dev/null")
@dataclasses.dataclass
class D:
    x: typing.Literal["client"] = "client"
    y: typing.Annotated[int, "client"] = 0
def f(x):
    return D
"""
    assert of_files(program) == of_files(program)


def test_which_fields_a_validator_is_for_counts(of_files: Of) -> None:
    """As pydantic keeps it."""
    assert of_files(DECLARED) == of_files(DECLARED)
    assert of_files(DECLARED) != of_files(DECLARED.replace('("price",)', '("size",)'))


@pytest.mark.parametrize("doc", ["A unit.", "In euros."])
def test_docstrings_of_classes_count_where_a_schema_is_made_of_one(of_files: Of, doc: str) -> None:
    """As pydantic does; those of functions count for nothing there."""
    assert of_files(SCHEMA) == of_files(SCHEMA.replace("Helps.", "Is of help."))
    assert of_files(SCHEMA) != of_files(SCHEMA.replace(doc, "Another."))


@pytest.mark.parametrize(
    "text",
    [
        "import dataclasses, pydantic\n@dataclasses.dataclass\nclass A:\n    'Doc.'\n    x: int = 1\n"
        "def f(x):\n    return pydantic.TypeAdapter(list[A]).json_schema()\n",
        "from inspect import getdoc as said\ndef g():\n    'Doc.'\ndef f(x):\n    return said(g)\n",
        "import pydoc\ndef g():\n    'Doc.'\ndef f(x):\n    return pydoc.render_doc(g)\n",
        "NAME = '__doc__'\ndef g():\n    'Doc.'\ndef f(x):\n    return getattr(g, NAME)\n",
    ],
)
def test_a_docstring_counts_where_code_asks_for_it_in_whatever_way(of_files: Of, text: str) -> None:
    assert of_files(text) == of_files(text)
    assert of_files(text) != of_files(text.replace("Doc.", "Another."))


def test_what_adapts_a_type_is_told_by_the_type(of_files: Of) -> None:
    """Pydantic's own schema of it names classes by where they lie in memory."""
    assert of_files(ADAPTER) == of_files(ADAPTER)
    assert of_files(ADAPTER) != of_files(ADAPTER.replace("price = 1", "price = 2"))


@pytest.mark.parametrize(
    "made", ["scale(10)", "compose(str, scale(10))", "scale(k=10)", "curry(scale, 10)", "{'by': scale(10)}"]
)
def test_a_curried_function_that_says_its_name_alone_is_told_by_its_code(of_files: Of, made: str) -> None:
    text = (
        "from toolz import compose, curry\n@curry\ndef scale(k, x):\n    return x * k\n"
        f"g = {made}\ndef f(x):\n    return g\n"
    )
    assert of_files(text) == of_files(text)
    assert of_files(text) != of_files(text.replace("x * k", "x + k"))
    assert of_files(text) != of_files(text.replace("10", "11"))


def test_what_is_kept_of_a_class_where_no_attribute_shows_it_counts(
    of_files: Of, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As msgspec does."""

    def with_(*struct: object) -> bytes:
        monkeypatch.setattr(sys, "struct", struct, raising=False)
        return of_files(STRUCT)

    lower, upper = SimpleNamespace(rename="lower"), SimpleNamespace(rename="upper")
    assert with_((1,), lower) == with_((1,), lower)
    assert len({with_((1,), lower), with_((2,), lower), with_((1,), upper)}) == 3


def test_members_of_two_enums_of_one_name_are_told_apart_in_a_set(of_files: Of) -> None:
    text = (
        "import enum\ndef make(n):\n    class E(enum.Enum):\n        A = n\n        B = 2 * n\n    return E\n"
        "one, two = make(1), make(10)\nS = frozenset([one.A, one.B, two.A])\ndef f(x):\n    return S\n"
    )
    assert of_files(text) == of_files(text)
    assert of_files(text) != of_files(text.replace("two.A]", "two.B]"))


def test_derived_classes_that_are_asked_for_of_type_count(of_files: Of) -> None:
    text = "class B:\n    pass\nclass D(B):\n    n = 1\ndef f(x):\n    return type.__subclasses__(B)\n"
    assert of_files(text) != of_files(text.replace("n = 1", "n = 2"))


@pytest.mark.parametrize(
    "decorator",
    [
        "tenacity.retry(stop=tenacity.stop_after_attempt(3))",
        "cachetools.cached({})",
        "cachetools.cached(cachetools.TTLCache(10, 60))",
        "functools.cache",
    ],
)
def test_what_an_installed_decorator_fills_when_it_is_called_does_not_count(
    of_files: Of, decorator: str
) -> None:
    """Else whoever had called the function found nothing of what others keep."""
    text = f"import cachetools, functools, tenacity\n@{decorator}\ndef f(x):\n    return x + 1\n"
    assert of_files(text) == of_files(f"{text}f(1)\n")
    assert of_files(text) != of_files(text.replace("x + 1", "x + 2"))


def test_a_type_that_is_named_by_a_text_in_an_alias_is_told_by_it(of_files: Of) -> None:
    text = "import typing\nA = typing.Optional['B']\ndef f(x):\n    return A\n"
    assert of_files(text) == of_files(text)
    assert of_files(text) != of_files(text.replace("'B'", "'C'"))
