"""Objects are told by the state that they show; what they leave out counts by how they were made."""

# ruff: noqa: E501 - programs read better line by line
from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from dataflow.memo.fingerprint import DynamicCodeWarning, Uncacheable, fingerprint

Of = Callable[..., bytes]
SILENT = "class A:\n    def __init__(self, k):\n        self.k, self.cache = k, {}\n    def __getstate__(self):\n        return {}\n"
SEEN = {
    "an argument that a state leaves out": (SILENT + "a = A(1)\ndef f(x):\n    return a.k\n", "A(1)", "A(2)"),
    "one that a list of objects leaves out": (SILENT + "L = [A(1)]\ndef f(x):\n    return L[0].k\n", "A(1)", "A(2)"),
    "one that comes from another global": (SILENT + "K = 1\na = A(K)\ndef f(x):\n    return a.k\n", "K = 1", "K = 2"),
    "one that is set later": (SILENT + "a = A(1)\na.k = 2\ndef f(x):\n    return a.k\n", "k = 2", "k = 3"),
    "one that a way to be made again leaves out": (
        "class A:\n    def __init__(self, k=0):\n        self.k = k\n    def __reduce__(self):\n        return A, ()\na = A(1)\ndef f(x):\n    return a.k\n",
        "A(1)", "A(2)",
    ),
    "one in an object that an object holds": (
        SILENT + "class B:\n    def __init__(self):\n        self.a = A(1)\nb = B()\ndef f(x):\n    return b.a.k\n", "A(1)", "A(2)",
    ),
    "an attribute of an array's subclass": (
        "import numpy\nclass A(numpy.ndarray):\n    pass\na = numpy.zeros(2).view(A)\na.k = 1\ndef f(x):\n    return a.k\n", "k = 1", "k = 2",
    ),
    "a decorator's own code, behind an object that is written in C": (
        "import wrapt\n@wrapt.decorator\ndef d(g, one, a, k):\n    return g(*a) + 1\n@d\ndef g(x):\n    return x\ndef f(x):\n    return g(x)\n", "+ 1", "+ 2",
    ),
    "what that decorates": (
        "import wrapt\n@wrapt.decorator\ndef d(g, one, a, k):\n    return g(*a)\n@d\ndef g(x):\n    return x + 1\ndef f(x):\n    return g(x)\n", "+ 1", "+ 2",
    ),
    "a view of a table": (
        "from collections import OrderedDict\nT = {'a': 1}\nK, V, I = T.keys(), T.values(), OrderedDict(T).items()\ndef f(x):\n    return x in K, x in V, x in I\n",
        "'a': 1", "'a': 2",
    ),
    "a name that an object has": ("class A:\n    pass\na = A()\na.__name__ = 'a'\ndef f(x):\n    return a.__name__\n", "'a'", "'b'"),
    "a docstring that an object has": ("class A:\n    pass\na = A()\na.__doc__ = 'a'\ndef f(x):\n    return a.__doc__\n", "'a'", "'b'"),
    "a module that a class says it is of": ("class A:\n    __module__ = 'm'\ndef f(x):\n    return A.__module__\n", "'m'", "'n'"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_an_edit_that_changes_what_an_object_holds_is_seen(of_files: Of, name: str) -> None:
    text, old, new = SEEN[name]
    if "wrapt" in text:
        pytest.importorskip("wrapt")
    assert old in text
    assert of_files(text) == of_files(text)
    assert of_files(text) != of_files(text.replace(old, new))


USED = {
    "a cache that a state leaves out": SILENT + "a = A(1)\ndef use():\n    a.cache['x'] = 1\ndef f(x):\n    return a.k\n",
    "what a property keeps": (
        "import functools\nclass A:\n    @functools.cached_property\n    def k(self):\n        return 1\n"
        "a = A()\ndef use():\n    a.k\ndef f(x):\n    return a.k\n"
    ),
    "the flags of a context of decimals": (
        "import decimal\nC = decimal.Context(prec=2)\ndef use():\n    C.divide(1, 3)\ndef f(x):\n    return C.divide(x, 3)\n"
    ),
    "what a vectorized function keeps": (
        "import numpy\nV = numpy.vectorize(abs, otypes=[int])\ndef use():\n    V([1])\ndef f(x):\n    return V(x)\n"
    ),
    "what a model finds of its private attributes": (
        "from pydantic import BaseModel\nclass A(BaseModel):\n    _n: int = 1\ndef use():\n    A()\ndef f(x):\n    return A()._n\n"
    ),
    "a cache of a parser of Markdown": (
        "from markdown_it import MarkdownIt\nM = MarkdownIt()\ndef use():\n    M.render('a')\ndef f(x):\n    return M.render(x)\n"
    ),
    "what a property keeps where code goes through all attributes": (
        "import functools\nclass A:\n    def __init__(self, **kw):\n        self.__dict__.update(kw)\n    @functools.cached_property\n    def k(self):\n        return 1\n"
        "a = A(n=3)\ndef use():\n    a.k\ndef f(x):\n    return a.k, a.n\n"
    ),
    "what a property keeps beside other attributes": (
        "import functools\nclass A:\n    def __init__(self):\n        self.n = 1\n    @functools.cached_property\n    def k(self):\n        return 1\n"
        "a = A()\ndef use():\n    a.k\ndef f(x):\n    return a.k\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", USED)
def test_what_using_an_object_leaves_in_it_changes_nothing(of_files: Of, name: str) -> None:
    if "markdown_it" in USED[name]:
        pytest.importorskip("markdown_it")
    before = of_files(USED[name])
    work = sys.modules["work"]
    work.use()
    assert fingerprint(work.f) == before


def test_the_docstring_of_a_decorated_function_changes_nothing(of_files: Of) -> None:
    text = (
        "import functools\nclass Deco:\n    def __init__(self, g):\n        functools.update_wrapper(self, g)\n"
        "@Deco\ndef g(x):\n    'One.'\ndef f(x):\n    return g\n"
    )
    assert of_files(text) == of_files(text.replace("One.", "Two."))


def test_objects_that_are_made_of_each_other_and_say_their_state_end(of_files: Of) -> None:
    text = SILENT + "a = A(1)\nb = A(a)\na.other = b\ndef f(x):\n    return a.other, b.k\n"
    assert of_files(text) == of_files(text)
    assert of_files(text) != of_files(text.replace("A(1)", "A(2)"))


def test_a_long_chain_of_objects_that_say_their_state_ends_soon(of_files: Of) -> None:
    linked = "class N:\n    def __init__(self, k, n):\n        self.k, self.n = k, n\n    def __reduce__(self):\n        return N, (0, self.n)\n"
    text = f"{linked}a = None\nfor k in range(1200):\n    a = N(1, a)\ndef f(x):\n    return a.k\n"
    assert of_files(text) == of_files(text)
    assert of_files(text) != of_files(text.replace("N(1, a)", "N(2, a)"))


def test_an_object_that_says_nonsense_of_its_state_is_refused_by_name(of_files: Of) -> None:
    with pytest.raises(Uncacheable, match=r"f -> a can't be keyed: what a work\.A says of its state"):
        of_files(
            "class A:\n    def __reduce_ex__(self, version):\n        return (1,)\na = A()\ndef f(x):\n    return a\n"
        )


def test_a_stage_that_is_an_object_may_leave_out_of_its_state_what_has_no_description(of_files: Of) -> None:
    text = (
        "import socket\nclass Call:\n    def __init__(self, k):\n        self.k, self.line = k, socket.socket()\n        self.line.close()\n"
        "    def __getstate__(self):\n        return {}\n    def __call__(self, x):\n        return self.k\n"
        "def g(x, call=Call(1)):\n    return call(x)\nf = Call(1)\n"
    )
    assert of_files(text) == of_files(text)
    assert of_files(text) != of_files(text.replace("f = Call(1)", "f = Call(2)"))
    default = text.replace("f = Call(1)", "f = g")
    assert of_files(default) != of_files(default.replace("call=Call(1)", "call=Call(2)"))


def test_an_object_whose_class_is_registered_says_its_state_by_that(of_files: Of) -> None:
    """As those of ``regex`` do, which are compiled."""
    text = (
        "import copyreg\nclass P:\n    __slots__ = ('k',)\n    def __init__(self, k):\n        self.k = k\n"
        "    def __reduce_ex__(self, version):\n        raise TypeError('compiled')\n"
        "copyreg.pickle(P, lambda p: (P, (p.k,)))\np = P(1)\ndef f(x):\n    return p\n"
    )
    assert of_files(text) == of_files(text)
    assert of_files(text) != of_files(text.replace("P(1)", "P(2)"))


def test_a_client_of_a_server_is_the_same_in_every_process(of_files: Of) -> None:
    text = "import redis\nR = redis.Redis()\nR.connection_pool.pid = NUMBER\ndef f(x):\n    return R.get(x)\n"
    with pytest.warns(DynamicCodeWarning, match="R uses a Redis"):
        assert of_files(text.replace("NUMBER", "1")) == of_files(text.replace("NUMBER", "2"))


def test_a_class_that_is_derived_of_a_clients_is_told_by_its_code(of_files: Of) -> None:
    text = (
        "import redis\nclass Mine(redis.Redis):\n    def __init__(self):\n        pass\n    def look(self, x):\n        return 1\n"
        "R = Mine()\ndef f(x):\n    return R.look(x)\n"
    )
    assert of_files(text) != of_files(text.replace("return 1", "return 2"))


def test_functions_that_are_packed_in_a_librarys_object_are_not_passed_over(of_files: Of) -> None:
    """As those in an expression of Polars: an edit of one changed nothing, and a lambda's bytes differ in each process."""
    text = (
        "import pickle\nclass Expr:\n    def __init__(self, function):\n        self.function = function\n"
        "    def __getstate__(self):\n        return b'PLPYFN' + pickle.dumps(self.function)\n"
        "Expr.__module__ = 'numpy'\nE = [Expr(FUNCTION)]\ndef f(x):\n    return E\n"
    )
    with pytest.raises(Uncacheable, match=r"E can't be keyed: a numpy\.Expr holds functions as bytes"):
        of_files(text.replace("FUNCTION", "print"))
    chance = text.replace("pickle.dumps(self.function)", r"b'\x80\x05\x95' + b'\xff' * 99").replace(
        "FUNCTION", "0"
    )
    assert of_files(chance) == of_files(chance)


class Attributes(dict):  # type: ignore[type-arg]
    """Settings by attribute, as many have copied it: whatever isn't there raises a KeyError."""

    __getattr__ = dict.__getitem__


def test_an_object_that_raises_what_it_likes_for_what_it_has_not_is_keyed() -> None:
    assert fingerprint(lambda: SETTINGS) == fingerprint(lambda: SETTINGS)


SETTINGS = Attributes(limit=3)


def test_templates_that_were_rendered_are_what_they_were(of_files: Callable[..., bytes]) -> None:
    program = """
import jinja2
ENV = jinja2.Environment(loader=jinja2.DictLoader({"a": "Hi {{ x }}"}))
ONE = ENV.from_string("{% macro m() %}1{% endmacro %}")
def f(x):
    return ENV.get_template("a").render(x=x), ONE.module
"""
    rendered = program + "f(1)\n"
    assert of_files(program) == of_files(rendered)
    assert of_files(program) != of_files(rendered.replace("Hi", "Ho"))


def test_a_file_system_of_ones_own_has_one_key_in_every_process_and_after_it_was_used(of_files: Of) -> None:
    """fsspec's metaclass keeps the process's number in the class, and its instances."""
    program = """
import fsspec
class Mine(fsspec.AbstractFileSystem):
    protocol, size = "mine", 1
def f(x):
    return Mine().size
"""
    elsewhere = program + "Mine._pid = 1\nMine()\nMine._latest = 'b'\n"
    assert of_files(program) == of_files(elsewhere)
    assert of_files(program) != of_files(program.replace('"mine", 1', '"mine", 2'))
