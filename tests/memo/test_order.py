"""What follows a set's order is one thing for every hash seed; what has an order of its own keeps it."""

from __future__ import annotations

import importlib
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from dataflow.memo import order
from dataflow.memo.fingerprint import SetOrderWarning, fingerprint

SEEDS = ("0", "1", "2", "77")
DATA = "from dataclasses import dataclass, field\n@dataclass\n"
USED = "c = C()\ndef f(x):\n    return c.L\n"
FOLLOWING = {
    "listed": "L = list(S)\ndef f(x):\n    return L\n",
    "tupled": "L = tuple(S | {'z'})\ndef f(x):\n    return L\n",
    "joined": "L = '|'.join(S)\ndef f(x):\n    return L\n",
    "pattern": "import re\nL = re.compile('|'.join(S), re.I)\ndef f(x):\n    return L\n",
    "comprehended": "L = [w.upper() for w in S if len(w) < 9]\ndef f(x):\n    return L\n",
    "own": "class Own(set):\n    pass\nL = Own(S)\ndef f(x):\n    return L\n",
    "nested": "L = {'inner': dict.fromkeys(S), 'n': [list(S)]}\ndef f(x):\n    return L\n",
    "numbered": "L = {w: i for i, w in enumerate(S)}\ndef f(x):\n    return L\n",
    "views": "A = {'a': 1, 'b': 2, 'c': 3}\nL = list(A.keys() & {'a': 1, 'b': 1}.keys())\ndef f(x):\n    return L\n",
    "counted": "import collections\nL = collections.Counter(S)\ndef f(x):\n    return L\n",
    "ordered": "from collections import OrderedDict\nL = OrderedDict.fromkeys(S, 1)\ndef f(x):\n    return L\n",
    "queued": "from collections import deque\nL = deque(S, maxlen=99)\ndef f(x):\n    return L\n",
    "array_of_sorted": "import numpy\nL = numpy.array(sorted(S))\ndef f(x):\n    return L\n",
    "twice": "L = list(S)\nM = tuple(reversed(L))\ndef f(x):\n    return M\n",
    "filled": "L = {}\nfor w in S:\n    L[w] = 1\ndef f(x):\n    return L\n",
    "appended": "L = []\nfor w in S:\n    L.append(w)\nL.extend(S)\ndef f(x):\n    return L\n",
    "in_class": "class C:\n    W = {'p', 'q', 'r'}\n    L = dict.fromkeys(W)\n    M = list(S)\ndef f(x): return C\n",
    "in_closure": (
        "def make():\n    words = {'p', 'q', 'r'}\n    L = dict.fromkeys(words)\n"
        "    def f(x):\n        return L\n    return f\nf = make()\n"
    ),
    "in_object": (
        "class C:\n    def __init__(self):\n        words = set('pqrs')\n        self.L = dict.fromkeys(words)\n"
        "        self.M = list(self.L)\nc = C()\ndef f(x):\n    return c.L\n"
    ),
    "by_default": "def f(x, L=list(S), *, M=tuple(S)):\n    return L, M\n",
    "by_a_helpers_default": "def g(x, S=list(S)):\n    return S\ndef f(x):\n    return g(x)\n",
    "by_a_methods_default": "class C:\n    def m(self, L=list(S)): return L\nc = C()\ndef f(x):\n    return c.m()\n",
    "put_on_a_function": "def f(x):\n    return f.L\nf.L = list(S)\n",
    "put_on_a_class": "class C:\n    pass\nC.L = list(S)\ndef f(x):\n    return C.L\n",
    "in_an_enum": "import enum\nclass C(enum.Enum):\n    L = tuple(S)\ndef f(x):\n    return C.L.value\n",
    "after_init": DATA + "class C:\n    n: int = 1\n    def __post_init__(self):\n        self.L = list(S)\n" + USED,
    "by_a_field": DATA + "class C:\n    L: tuple = tuple(S)\n    M: str = '|'.join(S)\n" + USED,
    "by_a_factory": DATA + "class C:\n    L: list = field(default_factory=lambda: list(S))\n" + USED,
    "by_a_bases_init": "class B:\n    def __init__(self):\n        self.L = list(S)\nclass C(B):\n    pass\n" + USED,
    "by_a_method": (
        "class C:\n    def __init__(self):\n        self.load()\n    def load(self):\n        self.L = list(S)\n" + USED
    ),
    "given_to_an_object": (
        "class C:\n    def __init__(self, words):\n        self.words = list(words)\nc = C(S)\ndef f(x): return c\n"
    ),
    "given_in_order": (
        "import re\nclass C:\n    def __init__(self, words):\n"
        "        self.L = re.compile('(?:%s)' % '|'.join(map(re.escape, sorted(words, key=len))), re.I)\n"
        "c = C({'a.b', 'ab', 'c', 'abc', 'd+'})\ndef f(x): return c\n"
    ),
    "given_as_a_global": (
        "class C:\n    def __init__(self, words):\n        self.L = sorted(words, key=len)\nc = C(S)\n"
        "def f(x): return c\n"
    ),
    "of_a_class": (
        "class C:\n    W = {'p', 'q', 'r'}\n    def __init__(self):\n        self.L = sorted(self.W, key=len)\n" + USED
    ),
    "given_to_a_field": DATA + "class C:\n    L: list\nc = C(L=sorted(S, key=len))\ndef f(x): return c\n",
    "given_to_a_closure": "def make(words):\n    def f(x):\n        return words\n    return f\nf = make(list(S))\n",
    "listed_in_a_closure": (
        "def make(words):\n    words = list(words)\n    def f(x):\n        return words\n    return f\nf = make(S)\n"
    ),
    "given_to_a_decorator": (
        "def given(words):\n    def around(inner):\n        def f(x):\n            return words\n        return f\n"
        "    return around\n@given(list(S))\ndef f(x):\n    return x\n"
    ),
    "in_a_partial": "import functools\ndef g(x, words):\n    return words\nf = functools.partial(g, words=list(S))\n",
    "by_a_lambdas_default": "f = lambda x, words=list(S): words\n",
    "elsewhere": "from made_there import THERE\nimport made_there\ndef f(x):\n    return THERE, made_there.THERE\n",
    "sets_of_another": "import made_there\nL = list(made_there.WORDS)\ndef f(x):\n    return L\n",
}  # fmt: skip
HEAD = "S = frozenset('abcdefgh')\n"
THERE = "WORDS = frozenset('stuvw')\nTHERE = list(WORDS)\n"
PROGRAM = """
import importlib, sys, warnings
warnings.simplefilter("error")
from dataflow.memo.fingerprint import fingerprint
for name in sys.argv[1:]:
    print(name, fingerprint(importlib.import_module(name).f).hex())
"""


def printed(folder: Path, seed: str, names: list[str], program: str = PROGRAM) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *names], stdout=subprocess.PIPE, check=True, text=True,
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join([str(folder), *sys.path])},
    )  # fmt: skip
    return dict(line.split() for line in done.stdout.splitlines())


def test_what_follows_a_set_is_one_thing_for_every_hash_seed(tmp_path: Path) -> None:
    (tmp_path / "made_there.py").write_text(THERE)
    for name, text in FOLLOWING.items():
        (tmp_path / f"{name}.py").write_text(HEAD + text)
    found = [printed(tmp_path, seed, list(FOLLOWING)) for seed in SEEDS]
    for name in FOLLOWING:
        assert len({one[name] for one in found}) == 1, name


@pytest.fixture
def of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The fingerprint of ``f`` in a module that is written and imported afresh."""
    count = iter(range(1000))

    def fresh(text: str) -> bytes:
        folder = tmp_path / str(next(count))
        folder.mkdir()
        (folder / "ordered.py").write_text(text)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            patch.delitem(sys.modules, "ordered", raising=False)
            importlib.invalidate_caches()
            fresh.module = importlib.import_module("ordered")  # type: ignore[attr-defined]
            return fingerprint(fresh.module.f)  # type: ignore[attr-defined]

    return fresh


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("list(S)", "list(S)[1:]"),
        ("list(S)", "sorted(S)"),
        ("list(S)", "list(T)"),
        ("'abc'", "'abd'"),
        ("'xyz'", "'xyw'"),
    ],
)
def test_an_edit_of_how_it_is_made_or_of_what_it_is_made_of_counts(of: Any, old: str, new: str) -> None:
    text = "S = set('abc')\nT = set('xyz')\nL = list(S) + sorted(T)\ndef f(x):\n    return L\n"
    assert old in text
    assert of(text) == of(text)
    assert of(text) != of(text.replace(old, new))


@pytest.mark.parametrize(
    "text",
    [
        "L = ['a', 'b']\ndef f(x):\n    return L\n",
        "L = dict(a=1, b=2)\ndef f(x):\n    return L\n",
        "def make():\n    return ['a', 'b']\nL = make()\ndef f(x):\n    return L\n",
        "L = {}\ndef put(k):\n    L[k] = k\nput('a')\nput('b')\ndef f(x):\n    return L\n",
    ],
)
def test_an_order_of_its_own_counts(of: Any, text: str) -> None:
    turned = text.replace("'a', 'b'", "'b', 'a'").replace("a=1, b=2", "b=2, a=1")
    turned = turned.replace("put('a')\nput('b')", "put('b')\nput('a')")
    assert of(text) != of(turned)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'ab'", "'ac'"),
        ("key=len", "key=str.lower"),
        ("'|'", "'?|'"),
        ("re.I", "re.M"),
        ("C(S)", "C(S | {'z'})"),
    ],
)
def test_an_edit_of_how_it_was_given_or_of_what_it_is_made_of_counts(of: Any, old: str, new: str) -> None:
    text = (
        "import re\nS = {'ab', 'cd', 'e'}\nclass C:\n    def __init__(self, words):\n"
        "        self.L = re.compile('|'.join(sorted(words, key=len)), re.I)\nc = C(S)\ndef f(x): return c\n"
    )
    assert old in text
    assert of(text) == of(text)
    assert of(text) != of(text.replace(old, new))


def test_what_a_function_does_with_it_then_counts(of: Any) -> None:
    text = "class C:\n    def __init__(self, words):\n        self.words = sorted(words)\nc = C({'a', 'b', 'c'})\n"
    text += "def turn():\n    c.words.reverse()\nturn()\ndef f(x): return c\n"
    assert of(text) != of(text.replace("c.words.reverse()", "c.words.append(c.words.pop(0))"))


def test_what_was_changed_after_it_was_made_is_told_by_its_content(of: Any) -> None:
    text = "S = {'a', 'b'}\nL = list(S)\ndef change(x):\n    L[:] = x\nchange(['b', 'a'])\ndef f(x):\n    return L\n"
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert of(text) != of(text.replace("(['b', 'a'])", "(['a', 'b'])"))


def test_equal_statements_over_different_sets_are_two_things(of: Any) -> None:
    text = "class A:\n    S = {1}\n    L = list(S)\nclass B:\n    S = {2}\n    L = list(S)\ndef f(x): return A.L, B.L\n"
    assert of(text) != of(text.replace("S = {2}", "S = {1}"))


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    def __init__(self):\n        self.L = list({1})\n"
        "class B:\n    def __init__(self):\n        self.L = list({2})\n"
        "a, b = A(), B()\ndef f(x): return a.L, b.L\n",
        "def make():\n    L = list({1})\n    return lambda: L\ndef made():\n    L = list({2})\n    return lambda: L\n"
        "a, b = make(), made()\ndef f(x): return a(), b()\n",
        "def a(L=list({1})): return L\ndef b(L=list({2})): return L\ndef f(x): return a(), b()\n",
        "def a(): pass\ndef b(): pass\na.L = list({1})\nb.L = list({2})\ndef f(x): return a.L, b.L\n",
    ],
)
def test_equal_names_of_one_module_are_two_things(of: Any, text: str) -> None:
    assert len({of(text), of(text.replace("{2}", "{1}")), of(text.replace("{2}", "{3}"))}) == 3


@pytest.mark.parametrize(
    "text",
    [
        "def words():\n    return list(S)\nL = words()\ndef f(x):\n    return L\n",
        "class C:\n    def __init__(self, w):\n        self.w = dict.fromkeys(w)\nc = C(S)\ndef f(x): return c\n",
    ],
)
def test_an_order_that_something_was_given_is_warned_of(of: Any, text: str) -> None:
    with pytest.warns(SetOrderWarning, match="may have the order of a set.*sort it"):
        of("S = {'a', 'b', 'c'}\n" + text)


def test_the_order_of_a_set_is_known_as_one_although_its_members_share_places() -> None:
    dice, missed = random.Random(0), 0
    for count in range(2, order.FEW):
        for _ in range(200):
            members = {f"word {dice.random()}" for _ in range(count)}
            missed += not order.in_order_of_a_set(list(members), 2)
    assert missed < 0.005 * 200 * (order.FEW - 2)  # 18 in 100 were, when none was thought to share one


def test_many_texts_in_the_order_of_a_set_are_warned_of_wherever_they_stand(of: Any) -> None:
    text = "W = []\ndef fill():\n    W[:] = set('abcdefghijklmnopqrstuvwxyz0123456789')\nfill()\ndef f(x): return W\n"
    with pytest.warns(SetOrderWarning, match="f -> W may have the order of a set"):
        of(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of(text.replace("= set(", "= sorted("))


def test_an_order_that_can_not_be_told_is_warned_of(of: Any) -> None:
    text = "def words():\n    return list({'a', 'b', 'c'})\nL = words()\ndef f(x):\n    return L\n"
    with pytest.warns(SetOrderWarning, match="L may have the order of a set.*sort it"):
        of(text)


@pytest.mark.parametrize(
    "text",
    [
        "class M:\n    def __init__(self, w):\n        self.w = w\nL = M(list(S))\ndef f(x):\n    return L\n",
        "import types\nL = types.MappingProxyType({w: 1 for w in S})\ndef f(x):\n    return L\n",
        "import functools\nL = functools.partial(print, tuple(S))\ndef f(x):\n    return L\n",
        "import numpy\nL = numpy.array(list(S))\ndef f(x):\n    return L\n",
    ],
)
def test_an_order_that_an_object_may_hold_is_warned_of(of: Any, text: str) -> None:
    with pytest.warns(SetOrderWarning, match="L may have the order of a set.*sort it"):
        of("S = {'a', 'b', 'c'}\n" + text)


@pytest.mark.parametrize(
    "made",
    [
        "M(['a', 'b'], S)",
        "M({'keep': ['x', 'y', 'z']}, S)",
        "functools.partial(M, ['a', 'b'], S)",
        "N(langs=('a', 'b'), stop=S)",
        "{'point': P, 'skip': S}",
    ],
)
def test_a_list_that_is_written_out_beside_a_set_has_an_order_of_its_own(of: Any, made: str) -> None:
    classes = (
        "import functools\nfrom dataclasses import dataclass\nfrom typing import NamedTuple\n"
        "class M:\n    def __init__(self, *given):\n        self.one, self.two = given\n"
        "@dataclass(frozen=True)\nclass N:\n    langs: tuple\n    stop: frozenset\n"
        "class P(NamedTuple):\n    x: int\n    y: int\n"
    )
    for words in ("'a', 'b'", "'c', 'd'", "'e', 'f'"):  # in one order or the other they are a set's
        for turned in (words, ", ".join(reversed(words.split(", ")))):
            text = classes + f"S = frozenset([{words}])\nL = {made}\ndef f(x):\n    return L\n"
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                of(text.replace("'a', 'b'", turned))


def test_a_set_that_an_object_holds_is_not(of: Any) -> None:
    made = "class M:\n    def __init__(self, w):\n        self.w = w\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of(
            "S = {'a', 'b', 'c'}\n"
            + made
            + "L = M(S)\nK = M(sorted(S))\nN = M(len(S))\ndef f(x):\n    return L, K, N\n"
        )


def test_looking_at_how_a_value_is_made_runs_nothing_that_does_more_than_build(of: Any) -> None:
    text = (
        "RUNS = []\nS = {'a'}\nOTHER = []\nclass Odd:\n    def get(self, x):\n        RUNS.append(x)\nodd = Odd()\n"
        "A = [odd.get(w) for w in S]\n"
        "B = list(map(OTHER.append, S))\n"
        "C = OTHER\nC.extend(S)\n"
        "D = [RUNS.append(w) for w in S]\n"
        "E = {}\nE.setdefault('k', OTHER).extend(S)\n"
        "F = [0 for OTHER[0] in S]\n"
        "def f(x):\n    return A, B, C, D, E, F\n"
        "def state():\n    return len(RUNS), len(OTHER)\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        of(text + "BEFORE = state()\n_f = f\ndef f(x):\n    return _f(x)\n")
    module = of.module
    assert module.state() == module.BEFORE


@pytest.mark.parametrize(
    "rest",
    [
        "if L:\n    print(L, 'the' in S)\n",
        "for w in L:\n    if w in {'title', 'author'}:\n        M.append(w)\n",
        "for n, w in enumerate(L):\n    M.extend(S) if w == 'all' else None\n",
        "with open(__file__) as file:\n    T = len([w for w in L if w in S])\n",
        "show(K, S)\n",
    ],
)  # fmt: skip
def test_statements_that_only_read_a_value_have_not_made_it(of: Any, rest: str) -> None:
    text = f"{HEAD}L, M, K = ['title', 'author'], [], 'pages'\nshow = lambda *a: None\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error", SetOrderWarning)
        of(f"{text}{rest}def f(x):\n    return L, K\n")


def test_a_table_that_makes_a_set_for_each_key_that_is_missing_has_its_own_order(of: Any) -> None:
    made = "from collections import defaultdict\nT = defaultdict(set)\nfor w in {}:\n    T[w[0]].add(w)\n"
    text = made + "def f(x):\n    return T\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error", SetOrderWarning)
        of(text.format("('ab', 'ac', 'b')"))
    with pytest.warns(SetOrderWarning, match="T may have the order of a set"):
        of(text.format("{'ab', 'ac', 'b'}"))


def test_a_block_of_many_names_that_lead_to_each_other_is_looked_through_once(of: Any) -> None:
    names = [f"L{n}" for n in range(60)]
    made = "".join(f"    {name} = ['{name}']\n" for name in names)
    text = f"{HEAD}show = lambda *a: None\nif True:\n{made}    show({', '.join(names)})\ndef f(x):\n    return L0\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error", SetOrderWarning)
        of(text)
    with pytest.warns(SetOrderWarning, match="L0 may have the order of a set"):
        of(text.replace("['L0']", "dict.fromkeys(S)"))


def test_statements_that_make_many_objects_are_looked_through_for_sets_once(
    of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    look = order._sets_in_reach
    monkeypatch.setattr(order, "_sets_in_reach", lambda made: looked.append(made.name) or look(made))
    text = (
        "S = {str(n) for n in range(300)}\nclass C:\n    def __init__(self, w):\n        self.w = w\n"
        "MADE = [C(w) for w in S]\ndef f(x):\n    return MADE\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SetOrderWarning)
        of(text)
    assert 0 < len(looked) < 5
