"""What a task reaches: each way to another answer is found out, and what is pure isn't refused."""

from __future__ import annotations

import collections
import datetime
import decimal
import functools
import heapq
import importlib
import io
import json
import math
import operator
import os
import re
import sys
import textwrap
import types
import uuid
from contextvars import ContextVar
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dask.delayed import delayed

from dataflow import stage
from dataflow.graph.memoize import memoize, uncacheable
from dataflow.graph.memoize.purity import Purity
from dataflow.memo.spec import MemoSpec

HEAD = """
import bz2, codecs, collections, copy, datetime, decimal, email.utils, fileinput, functools, glob, gzip, heapq, io
import json, logging, lzma, math, mmap, operator, os, os.path, re, shutil, socket, sqlite3, statistics
import subprocess, tarfile, tempfile, time, urllib.parse, urllib.request, uuid, zipfile
import xml.etree.ElementTree as ElementTree
import numpy as np, pandas as pd, pyarrow as pa, pyarrow.csv, pyarrow.feather, pyarrow.parquet
from collections import deque
from contextvars import ContextVar
from decimal import Decimal
from pathlib import Path

N = {"n": 0, "rows": [1]}
L, S, D, A = [1], {1}, deque([1]), np.zeros(3)
FRAME = pd.DataFrame({"a": [1, 2]})
V = ContextVar("V", default=1)
class Held:
    n = 0
    def __init__(self): self.rows = []
    def add(self, x): self.rows.append(x)
    def total(self): return len(self.rows)
    @classmethod
    def count(cls): cls.n += 1
G = Held()
NOW = datetime.datetime.now
DT = datetime.datetime
BORN = datetime.datetime(2020, 1, 1)
KIND = "now"
COUNT = iter([1, 2])
def into(rows, x): rows.append(x); return rows
def of(module): return module.random.rand()
"""


def made(source):
    """The function ``f`` of a module's source."""
    module = types.ModuleType("a_users_module")
    exec(HEAD + textwrap.dedent(source), module.__dict__)
    return module.f


def body(text):
    lines = text.split("; ")
    return "def f(x):\n" + "".join(f"    {line}\n" for line in lines)


IMPORTED = [
    "from datetime import datetime; return datetime.now().isoformat()",
    "import datetime; return datetime.datetime.now()",
    "import datetime as d; return d.date.today()",
    "import numpy as np; return np.random.rand()",
    "import numpy; r = numpy.random; return r.rand()",
    "from numpy import random; return random.rand()",
    "import uuid; return uuid.uuid4()",
    "import pandas as pd; return pd.read_csv(x)",
    "from pandas import read_csv as r; return r(x)",
    "import os.path as p; return p.getsize(x)",
    "from os import path; return path.getmtime(x)",
    "import io; return io.open(x).read()",
    "import builtins; return builtins.open(x).read()",
    "import pyarrow.feather as q; return q.read_table(x)",
    "import email.utils; return email.utils.make_msgid()",
    "import time as t; return t.time()",
    "import numpy; return of(numpy)",
    "import xml.etree.ElementTree as E; return E.parse(x)",
]  # fmt: skip
ALIASED = [
    "return NOW()", "d = DT; return d.now()", "return DT.today()", "return BORN.now()",
    "return getattr(datetime.datetime, 'now')()", "return getattr(datetime.datetime, x)()",
    "n = 'now'; return getattr(DT, n)()", "t = time; return t.time()", "return operator.attrgetter('now')(DT)()",
    "d = DT if x else None; return d.now()", "return [d.now() for d in [DT]]", "return (lambda d: d.now())(DT)",
    "return time.strftime('%Y')", "return time.gmtime()", "return time.localtime()",
    "return os.path.getsize(x)", "return os.path.getmtime(x)", "return os.path.exists(x)",
    "return os.path.abspath(x)", "return os.path.expandvars(x)", "return os.path.realpath(x)",
]  # fmt: skip
METHODS = [
    "return Path(x).open().read()", "return Path(x).stat().st_size", "return Path(x).exists()",
    "return list(Path(x).glob('*'))", "return list(Path(x).rglob('*'))", "return Path(x).resolve()",
    "return FRAME.sample(1)", "return x.read_text()", "return Path.read_text(x)",
    "return list(map(Path.read_text, x))", "return getattr(x, 'read_bytes')()",
    "FRAME.to_json(x)", "FRAME.to_html(buf=x)", "x.save('out.png'); return x", "x.save(fp=f'{x}.png')",
    "b = io.BytesIO() if x else 'out.png'; x.save(b)", "p = Path('out'); FRAME.to_xml(p)", "x.to_string(*x)",
    "x.write_parquet('out')",
]  # fmt: skip
READERS = [
    "return gzip.open(x)", "return bz2.open(x)", "return lzma.open(x)", "return codecs.open(x)",
    "return zipfile.ZipFile(x)", "return tarfile.open(x)", "return pa.memory_map(x)", "return pa.OSFile(x)",
    "return pa.feather.read_table(x)", "return pa.parquet.read_table(x)", "return pa.csv.read_csv(x)",
    "return pd.read_fwf(x)", "return pd.read_xml(x)", "return pd.read_orc(x)", "return pd.read_clipboard()",
    "return ElementTree.parse(x)", "return np.lib.format.open_memmap(x)", "return np.load(x)",
    "return np.loadtxt(x)", "return np.fromfile(x)", "return np.memmap(x)", "return sqlite3.connect(x)",
    "return socket.socket()", "return urllib.request.urlopen(x)", "return subprocess.run(x)",
    "return shutil.copy(x, x)", "return tempfile.mkdtemp()", "return glob.glob(x)", "return fileinput.input(x)",
    "return mmap.mmap(x, 0)", "import requests; return requests.get(x)", "import httpx; return httpx.get(x)",
    "import pyarrow.json as j; return j.read_json(x)", "import pyarrow.orc as o; return o.read_table(x)",
    "import configparser as c; p = c.ConfigParser(); p.read(x); return p", "return ElementTree.ElementTree(file=x)",
    "t = ElementTree.ElementTree(); t.parse(x); return t", "from xml.dom import expatbuilder as e; return e.parse(x)",
    "from lxml import etree; return etree.XMLSchema(file='a.xsd')", "from lxml import etree; return etree.DTD(file=x)",
    "return pa.ipc.open_file(x).read_all()", "return pa.ipc.open_stream(x)", "return x.select(x.a.shuffle(seed=1))",
    "from lxml import etree; return etree.ElementTree(file=x)", "from lxml import objectify; return objectify.parse(x)",
    "import tokenize; return tokenize.open(x)", "import mailbox; return mailbox.mbox(x)",
    "import pypdfium2; return pypdfium2.PdfDocument(x)", "from pypdfium2 import PdfDocument; return PdfDocument(x)",
    "import docx; return docx.Document(x)", "import blake3; h = blake3.blake3(); h.update_mmap(x); return h",
    "import jinja2; return jinja2.Environment(loader=jinja2.FileSystemLoader(x))",
    "return logging.FileHandler(x)", "import mimetypes; return mimetypes.guess_type(x)",
    "from openai import OpenAI; return OpenAI().embeddings.create(input=x)", "import qdrant_client as q; return q.Q(x)",
    "import snowflake.connector as c; return c.connect(x)", "import charset_normalizer as c; return c.from_path(x)",
    "from google.cloud import storage; return storage.Client()", "from kafka import KafkaConsumer as K; return K(x)",
]  # fmt: skip
CLOCKS = [
    "return np.datetime64('now')", "return np.datetime64('today')", "return pd.Timestamp('now')",
    "return pd.Timestamp.now()", "return pd.Timestamp.today()", "return pd.Timestamp.utcnow()",
    "return pd.to_datetime('now')", "return pd.to_datetime(['today'])", "return np.datetime64(KIND)",
    "return logging.makeLogRecord({}).created", "return email.utils.make_msgid()",
    "from email.mime.multipart import MIMEMultipart as M; return M([x]).as_string()",
    "import email.message as e; m = e.EmailMessage(); e.EmailMessage.add_attachment(m, x); return m.as_bytes()",
    "import statistics as s; return s.NormalDist.samples(x, 3)", "import faker; return faker.Faker().name()",
    "return email.utils.formatdate()", "return decimal.getcontext().prec", "return V.get()", "return next(COUNT)",
]  # fmt: skip
WRITES = [
    "N['n'] += 1; return N['n']", "N['n'] = x", "del N['n']", "G.n += 1; return G.n", "G.n = x", "f.n = x",
    "f.n = getattr(f, 'n', 0) + 1; return f.n", "L.append(x)", "L.extend(x)", "S.add(x)", "N.update(x)",
    "return L.pop()", "return N.setdefault(x, 1)", "D.appendleft(x)", "rows = L; rows.append(x)",
    "N['rows'].append(x)", "N.get('rows').append(x)", "rows = L if x else []; rows.append(x)", "L[:] = x",
    "A[0] = x", "A.sort()", "a = A; a += 1; return a", "L.sort()", "list.append(L, x)",
    "operator.setitem(N, 'n', x)", "setattr(G, 'n', x)", "heapq.heappush(L, x)", "return [L.append(y) for y in x]",
    "for row in N.values(): row.append(x)", "np.add(A, x, out=A)", "FRAME['b'] = x",
    "FRAME.drop(columns='a', inplace=True)", "return into(L, x)", "return into(rows=L, x=x)", "G.add(x)",
    "Held.count()", "G.rows.append(x)", "Held.n += 1", "global L; L = x", "add = L.append; add(x)",
    "import json; json.x = x",
    "return list(map(L.append, x))", "return into(N['rows'], x)",
    "g = lambda: L.append(x); return g()", "G.__dict__['n'] = x",
]  # fmt: skip


@pytest.mark.parametrize("text", IMPORTED + ALIASED + METHODS + READERS + CLOCKS + WRITES)
def test_what_looks_outside_or_writes_is_refused(text):
    assert Purity().why_not(made(body(text)))


PURE = [
    "return json.dumps(x)", "return re.sub('a', 'b', x)", "return math.sqrt(x)", "return np.sum(x)",
    "return x.strip().upper().split(',')", "rows = []; rows.append(x); return rows", "return N.get('n')",
    "return os.path.join(x, os.path.basename(x))", "import os.path as p; return p.splitext(x)",
    "return BORN + datetime.timedelta(days=x)", "return BORN.isoformat()", "return DT(2020, 1, x)",
    "return Decimal(x) / Decimal(3)", "return FRAME.assign(b=x).groupby('a').sum()", "return FRAME.add(x)",
    "return x.update", "return pd.Timestamp(x)", "return pd.to_datetime(x)", "return np.datetime64(x)",
    "return isinstance(x, (datetime.datetime, pd.Timestamp, Path))", "return copy.deepcopy(N)",
    "d = dict(N); d['n'] = x; return d", "d = {**N}; d.update(x); return d", "rows = list(L); rows.sort()",
    "a = A.copy(); a += 1; a[0] = x; return a", "h = Held(); h.add(x); return h.total()", "return G.total()",
    "from lxml import etree; return etree.XMLSchema(etree.fromstring(x))", "print(x, file=io.StringIO()); return x",
    "from lxml import etree; b = io.BytesIO(x); return etree.DTD(file=b)",
    "import types; return dict(file=x), types.SimpleNamespace(file=x)",
    "import typing; return typing.NamedTuple('R', [('file', str)])(file=x)",
    "import dataclasses; return dataclasses.make_dataclass('R', ['file'])(file=x)",
    "return FRAME.to_json()", "return FRAME.to_html(index=False)", "return FRAME.to_string(None)",
    "b = io.BytesIO(); x.save(b, 'PNG'); return b.getvalue()", "b = io.StringIO(); FRAME.to_json(path_or_buf=b)",
    "return urllib.parse.quote(x)", "return io.BytesIO(x).getvalue()", "return uuid.uuid5(uuid.NAMESPACE_DNS, x)",
    "return pd.json_normalize(x)", "x.sort(); return x", "return sorted(L)", "time.sleep(0); return x",
    "return into([], x)", "return getattr(x, 'upper')()", "import json; return json.loads(x)",
    "from collections import Counter; c = Counter(); c.update(x); return c", "return Path(x).name",
    "import no_such_package_at_all; return no_such_package_at_all.f(x)", "seen = set(); seen.add(x); return seen",
    "return {k: v for k, v in x.items() if k in S}", "total = 0; total += N['n']; return total",
    "return np.add(x, 1)", "return np.linalg.norm(x)", "return statistics.mean(x)", "return functools.reduce(max, x)",
    "g = lambda y: y + x; return g(1)", "out = []; [out.append(y) for y in x]; return out",
]  # fmt: skip


@pytest.mark.parametrize("text", PURE)
def test_what_is_pure_is_not_refused(text):
    assert Purity().why_not(made(body(text))) is None


REGISTRY = """
class Plugin:
    registry = {}
    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        Plugin.registry[cls.__name__] = cls
class First(Plugin):
    def run(self, x): return x
"""


@pytest.mark.parametrize(
    ("text", "is_pure"),
    [
        ("return Plugin.registry['First']().run(x)", True),
        ("return First().run(x)", True),
        ("class Second(Plugin): pass; return x", False),
        ("return type('Second', (Plugin,), {})", False),
        ("g = lambda: type('Second', (First,), {}); return g()", False),
    ],
)
def test_a_registry_of_subclasses_may_be_read_by_whoever_makes_none(text, is_pure):
    assert (Purity().why_not(made(REGISTRY + body(text))) is None) is is_pure


@stage
def stripped(data: bytes) -> str:
    return data.decode().strip()


@stage(pure=False)
def numbered(data: bytes) -> str:
    return data.decode()


@stage
def from_a_file(data: bytes) -> str:
    return reads_a_file(data.decode())


def test_a_stage_is_what_its_function_is_as_a_task_and_where_one_calls_it():
    def shouted(data):
        return stripped(data).upper()

    def read(data):
        return from_a_file(data).upper()

    assert Purity().why_not(stripped) is None
    assert Purity().why_not(shouted) is None
    assert Purity().why_not(from_a_file)
    assert Purity().why_not(read)
    assert Purity().why_not(numbered) == "stage numbered says pure=False"
    assert memoize(delayed(shouted)(b" a "), MemoSpec("dict")).compute(scheduler="sync") == "A"
    assert uncacheable(memoize(delayed(stripped)(b" a "), MemoSpec("dict"))) == {}


def reads_a_file(path):
    with open(path) as file:
        return file.read()


class Holder:
    def __init__(self, held=None):
        self.held = held


class Bound:
    def __init__(self):
        self.n = 0

    def __call__(self, x):
        self.n += 1
        return x

    def step(self, x):
        self.bump()
        return x

    def bump(self):
        self.n += 1


class Meta(type):
    def __call__(cls, *arguments):
        return super().__call__(reads_a_file("x"))


class Listed(list):
    pass


def listed():
    value = Listed()
    value.reads = reads_a_file
    return value


def dict_of():
    value = collections.OrderedDict()
    value.reads = reads_a_file
    return value


def collects(x, rows):
    rows.append(x)
    return x


VALUES = {
    "an unbound method": lambda: Path.read_text,
    "another": lambda: Path.exists,
    "a bound one": lambda: Path("x").read_text,
    "methodcaller": lambda: operator.methodcaller("read_text"),
    "methodcaller with a keyword": lambda: operator.methodcaller("read_text", encoding="utf-8"),
    "today": lambda: date.today,
    "now": lambda: datetime.datetime.now,
    "now of pandas": lambda: pd.Timestamp.now,
    "the text of now": lambda: np.datetime64,
    "its stamp": lambda: pd.Timestamp,
    "its partial": lambda: functools.partial(pd.to_datetime, "now"),
    "a reader": lambda: np.load,
    "a compiled reader": lambda: importlib.import_module("pyarrow").memory_map,
    "a context": lambda: decimal.getcontext,
    "a context's get": lambda: ContextVar("v").get,
    "a heap in a partial": lambda: functools.partial(collects, rows=[object()]),
    "a callable that counts": Bound,
    "a method that counts by another": lambda: Bound().step,
    "a deque": lambda: Holder(collections.deque([reads_a_file])),
    "a mapping proxy": lambda: Holder(types.MappingProxyType({"a": reads_a_file})),
    "an array of objects": lambda: Holder(np.array([reads_a_file, None], dtype=object)),
    "an attribute of a list": lambda: Holder(listed()),
    "an attribute of a dict": lambda: Holder(dict_of()),
    "a default factory": lambda: Holder(collections.defaultdict(functools.partial(reads_a_file, "x"))),
    "a metaclass": lambda: Meta("Made", (), {}),
    "an iterator": lambda: functools.partial(next, iter([1, 2])),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_leads_outside_is_refused(name):
    assert Purity().why_not(VALUES[name]())


@pytest.mark.parametrize(
    "value",
    [
        json.dumps, re.compile("a").sub, str.upper, "a".join, math.sqrt, np.sum, os.path.join, pd.to_datetime,
        operator.methodcaller("upper"), operator.itemgetter(1), functools.partial(json.dumps, indent=1),
        pd.DataFrame.sum, datetime.timedelta, decimal.Decimal, Path, Holder, Holder([1]), io.BytesIO,
        heapq.nlargest, collections.Counter, functools.partial(collects, rows=None), sorted,
    ],
)  # fmt: skip
def test_a_value_that_is_pure_is_not_refused(value):
    assert Purity().why_not(value) is None


@pytest.mark.parametrize(
    "text", ["raise ImportError('no')", "raise OSError('no')", "raise SystemExit(3)", "1 / 0"]
)
def test_an_optional_import_that_fails_breaks_nothing(text, tmp_path, monkeypatch):
    (tmp_path / "an_optional_module.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "try: import an_optional_module as m\n    except BaseException: m = None"
    function = made(f"def f(x):\n    {source}\n    return x if m is None else m.f(x)")

    memoized = memoize(delayed(function)(1), MemoSpec("dict", namespace=uuid.uuid4().hex))

    assert memoized.compute(scheduler="sync") == 1


def test_a_submodule_that_is_not_loaded_is_imported_to_be_looked_at(tmp_path, monkeypatch):
    package = tmp_path / "a_package_to_see"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sub.py").write_text("def go(x): return open(x).read()")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert Purity().why_not(made(body("from a_package_to_see import sub; return sub.go(x)")))


def test_a_name_that_is_trusted_is_not_looked_at():
    assert Purity(["f"]).why_not(made(body("return NOW()"))) is None
    assert Purity(["into"]).why_not(made(body("return into(L, x)"))) is None


SHAPES_IMPURE = {
    "try": """
        def f(x):
            try:
                d = DT
            except ValueError:
                d = None
            return d.now()
    """,
    "with": """
        def f(x):
            with open(x) as q:
                return q.read()
    """,
    "exc": """
        def f(x):
            try:
                return int(x)
            except ValueError as e:
                L.append(e)
                return 0
    """,
    "nested": """
        def f(x):
            rows = L
            def g(y):
                rows.append(y)
                return y
            return [g(y) for y in x]
    """,
    "gen": """
        def f(x):
            def g():
                yield time.time()
            return list(g())
    """,
    "class in f": """
        def f(x):
            class A:
                t = time.time()
            return A.t
    """,
    "default": """
        def f(x, t=[]):
            if x:
                t += [x]
            return t
    """,
    "kwonly": """
        def f(x, *, t={}):
            t[x] = 1
            return t
    """,
    "star": """
        def f(*x):
            L.append(*x)
            return x
    """,
    "match": """
        def f(x):
            match x:
                case [a, *b]:
                    N['n'] = a
            return x
    """,
    "while": """
        def f(x):
            r = []
            while x:
                r = L
                x -= 1
            r.append(1)
            return 1
    """,
    "unpack": """
        def f(x):
            a, b = L, S
            a.append(x)
            return 1
    """,
    "walrus": """
        def f(x):
            if (d := DT): return d.now()
    """,
    "tuple alias": """
        def f(x):
            d, = (DT,)
            return d.now()
    """,
    "nonlocal deco": """
        def deco(g):
            def w(x):
                L.append(1)
                return g(x)
            return w
        @deco
        def f(x): return x
    """,
    "lru": """
        @functools.lru_cache
        def f(x): return time.time()
    """,
    "super": """
        class Z(Held):
            def go(self): return super().total() + time.time()
        def f(x): return Z().go()
    """,
    "prop": """
        class Z:
            @property
            def t(self): return time.time()
        def f(x): return Z().t
    """,
    "async": """
        async def f(x):
            return time.time()
    """,
    "lambda default": """
        f = lambda x, t=L: t.append(x)
    """,
    "map": """
        def f(x): return list(map(L.append, x))
    """,
    "env": """
        def f(x): return os.environ['A']
    """,
    "env2": """
        def f(x):
            from os import environ as e
            return e.get('A')
    """,
    "print file": """
        def f(x): print(x, file=open(x))
    """,
    "star import path": """
        def f(x):
            from os.path import getsize as g
            return g(x)
    """,
    "what an object's installed method calls": """
        import jinja2
        ENVIRONMENT = jinja2.Environment()
        ENVIRONMENT.globals["now"] = time.time_ns
        PAGE = ENVIRONMENT.from_string("{{ now() }}")
        def f(x): return PAGE.render()
    """,
    "what an encoder falls back on": """
        import uuid
        ENCODER = json.JSONEncoder(default=lambda value: uuid.uuid4().hex)
        def f(x): return ENCODER.encode({"a": x})
    """,
    "object hash": """
        def f(x): return hash(x)
    """,
    "id": """
        def f(x):
            i = id
            return i(x)
    """,
    "partial in": """
        def f(x): return functools.partial(time.time)()
    """,
    "ops": """
        def f(x): return [DT.now][0]()
    """,
    "dictdispatch": """
        def f(x): return {'a': time.time}['a']()
    """,
    "globaldispatch": """
        T = {'a': time.time}
        def f(x): return T['a']()
    """,
    "cond": """
        def f(x): return (DT or x).now()
    """,
    "two": """
        def f(x):
            return DT.now() if x else DT.now().year
    """,
    "zip": """
        def f(x):
            for a, b in zip(N.values(), x): a.append(b)
    """,
    "enumerate": """
        def f(x):
            for i, row in enumerate(N['rows']): row.append(i)
    """,
    "passed by key": """
        def f(x): return into(x=x, rows=N['rows'])
    """,
    "item method": """
        HS = [Held()]
        def f(x): HS[0].add(x)
    """,
    "iadd attr": """
        def f(x): G.rows += [x]
    """,
    "inherit": """
        class DD(datetime.datetime): pass
        def f(x): return DD.now()
    """,
    "np ns": """
        def f(x): return np.random.default_rng(1)
    """,
    "import dotted": """
        def f(x):
            import xml.etree.ElementTree
            return xml.etree.ElementTree.parse(x)
    """,
    "import as in nested": """
        def f(x):
            import time as t
            return [t.time() for _ in x]
    """,
    "import as in lambda": """
        def f(x):
            from datetime import datetime as t
            return (lambda: t.now())()
    """,
    "copy alias": """
        import copy
        def f(x):
            n = copy.copy(N)
            n['rows'].append(x)
    """,
    "own dict of": """
        def f(x):
            d = {'a': L}
            d['a'].append(x)
    """,
    "yield from": """
        def f(x):
            yield from (time.time() for _ in x)
    """,
    "del": """
        def f(x):
            del N['n']
    """,
    "module held by object": """
        class H: m = time
        def f(x): return H.m.time()
    """,
    "class attr": """
        class H: now = datetime.datetime.now
        def f(x): return H.now()
    """,
    "setattr dyn": """
        def f(x): setattr(f, x, 1)
    """,
    "vars": """
        def f(x): G.__dict__.update(n=x)
    """,
}
SHAPES_PURE = {
    "class": """
        class C:
            def __init__(self, x): self.x = x; self.l = []
            def add(self): self.l.append(self.x); return self
        def f(x): return C(x).add().l
    """,
    "opt": """
        def f(x, out=None):
            if out is None: out = []
            out.append(x)
            return out
    """,
    "dataclass": """
        import dataclasses
        @dataclasses.dataclass
        class P:
            a: int = 0
            rows: list = dataclasses.field(default_factory=list)
        def f(x):
            p = P(x)
            p.a += 1
            p.rows.append(1)
            return dataclasses.asdict(p)
    """,
    "gen": """
        def f(x):
            yield from (y for y in x)
    """,
    "try": """
        def f(x):
            try: return int(x)
            except ValueError: return None
    """,
    "with dec": """
        def f(x):
            with decimal.localcontext() as c:
                c.prec = 5
                return Decimal(x)/3
    """,
    "enum": """
        import enum
        class E(enum.Enum):
            A = 1
        def f(x): return E.A.value + E['A'].value + E(1).value
    """,
    "re": """
        P = re.compile('a')
        def f(x): return P.sub('', x)
    """,
    "np": """
        W = np.ones(3)
        def f(x): return (W * x).sum() + np.mean(x)
    """,
    "pd": """
        def f(x):
            y = x.copy()
            y['a'] = y['b'].dt.year
            return y.drop(columns='b').sort_values('a').reset_index()
    """,
    "deco": """
        def deco(g):
            @functools.wraps(g)
            def w(*a, **k):
                return g(*a, **k)
            return w
        @deco
        def f(x): return x
    """,
    "rec": """
        def f(x): return 1 if x < 2 else x * f(x - 1)
    """,
    "mutual": """
        def g(x): return f(x-1)
        def f(x): return 1 if x < 2 else g(x)
    """,
    "nonlocal own": """
        def f(x):
            n = 0
            def g():
                nonlocal n
                n += 1
            g()
            return n
    """,
    "defaultdict": """
        def f(x):
            d = collections.defaultdict(list)
            for a in x: d[a].append(1)
            return dict(d)
    """,
    "logging": """
        LOG = logging.getLogger('a')
        def f(x):
            LOG.info('x')
            return x
    """,
    "namedtuple": """
        P = collections.namedtuple('P', 'a b')
        def f(x): return P(1, x)._replace(a=2)
    """,
    "typing": """
        from typing import NamedTuple
        class P(NamedTuple):
            a: int
        def f(x): return P(x)
    """,
    "super": """
        class A:
            def __init__(self): self.a = 1
        class B(A):
            def __init__(self): super().__init__(); self.b = 2
        def f(x): return B().b
    """,
    "string const today": """
        def f(x): return x['today'] + np.sum(x['a'])
    """,
    "io": """
        def f(x): return json.load(io.StringIO(x))
    """,
    "json col": """
        def f(x): return x.to_json()
    """,
    "path": """
        def f(x): return str(Path(x).with_suffix('.txt').parent / 'a')
    """,
    "an object's installed method": """
        import jinja2, logging
        PAGE = jinja2.Environment().from_string("{{ x }}")
        ENCODER = json.JSONEncoder(default=str)
        LOG = logging.getLogger("mine")
        def f(x):
            LOG.info("one")
            return PAGE.render(x=x), ENCODER.encode(x)
    """,
    "a view": """
        KEYS = {"a": 1}.keys()
        def f(x): return x in KEYS
    """,
    "frozen": """
        import dataclasses
        @dataclasses.dataclass(frozen=True)
        class Settings:
            size: int = 5
            def cut(self, text): return text[:self.size]
        class Named:
            def __hash__(self): return hash(self.__class__)
        def f(x): return Settings().cut(x), {Named(): x}
    """,
    "hashlib": """
        import hashlib
        def f(x):
            h = hashlib.sha256()
            h.update(x)
            return h.hexdigest()
    """,
    "warn": """
        import warnings
        def f(x): warnings.warn('a'); return x
    """,
    "rebind": """
        def f(x, rows=[]):
            rows = list(rows)
            rows.append(x)
            return rows
    """,
    "ufunc": """
        def f(x): return np.add.reduce(np.multiply(x, 2))
    """,
    "lxml": """
        import lxml.html
        def f(x): return lxml.html.fromstring(x).text_content()
    """,
    "pa": """
        def f(x): return pa.table({'a': x}).to_pandas()
    """,
    "lock": """
        import threading
        LOCK = threading.Lock()
        def f(x):
            with LOCK: return x
    """,
    "counter": """
        def f(x): return collections.Counter(x).most_common(1)
    """,
    "accum": """
        import itertools
        def f(x): return list(itertools.accumulate(x))
    """,
    "date": """
        def f(x): return datetime.date.fromisoformat(x) - datetime.date(2020,1,1)
    """,
    "df add": """
        def f(x): return x.add(1).append(2)
    """,
    "cached": """
        class Z:
            @functools.cached_property
            def t(self): return 1
        def f(x): return Z().t
    """,
    "abc": """
        import abc
        class B(abc.ABC):
            @abc.abstractmethod
            def g(self): ...
        class C(B):
            def g(self): return 1
        def f(x): return C().g()
    """,
    "singledispatch": """
        @functools.singledispatch
        def f(x): return x
        @f.register
        def _(x: int): return x + 1
    """,
    "typing.cast": """
        import typing
        def f(x): return typing.cast(int, x)
    """,
    "pickle": """
        import pickle
        def f(x): return pickle.dumps(x)
    """,
    "enumdict": """
        def f(x):
            seen = {}
            for i, y in enumerate(x): seen.setdefault(y, []).append(i)
            return seen
    """,
    "statistics": """
        def f(x): return statistics.median(x)
    """,
    "csv": """
        import csv
        def f(x): return list(csv.reader(x.splitlines()))
    """,
    "textwrap": """
        import textwrap
        def f(x): return textwrap.dedent(x)
    """,
    "string": """
        import string
        def f(x): return x.translate(str.maketrans('', '', string.punctuation))
    """,
    "base64": """
        import base64
        def f(x): return base64.b64encode(x)
    """,
    "unicodedata": """
        import unicodedata
        def f(x): return unicodedata.normalize('NFC', x)
    """,
    "zlib": """
        import zlib
        def f(x): return zlib.compress(x)
    """,
}


@pytest.fixture
def importable(monkeypatch):
    # Dataclasses look their module up.
    monkeypatch.setitem(sys.modules, "a_users_module", types.ModuleType("a_users_module"))


@pytest.mark.parametrize("name", SHAPES_IMPURE)
def test_it_is_found_in_whatever_shape_of_code(name, importable):
    assert Purity().why_not(made(SHAPES_IMPURE[name]))


@pytest.mark.parametrize("name", SHAPES_PURE)
def test_pure_code_of_any_shape_is_not_refused(name, importable):
    assert Purity().why_not(made(SHAPES_PURE[name])) is None


ZONES = [
    "return DT.fromtimestamp(x)", "return datetime.date.fromtimestamp(x)", "return DT.fromtimestamp(x, None)",
    "return DT.fromtimestamp(x, tz=None)", "return pd.Timestamp.fromtimestamp(x)", "return BORN.astimezone()",
    "return BORN.astimezone(None)", "return x.astimezone()", "return [d.astimezone(tz=None) for d in x]",
    "return DT.astimezone(x)", "return list(map(DT.fromtimestamp, x))", "from_ = DT.fromtimestamp; return from_(x)",
    "import dateutil.tz; return dateutil.tz.tzlocal()", "return email.utils.mktime_tz(x)",
    "return time.localtime(x)", "return time.mktime(x)", "return time.ctime(x)", "return time.tzname",
]  # fmt: skip
ZONED = [
    "return DT.fromtimestamp(x, datetime.timezone.utc)", "return DT.fromtimestamp(x, tz=datetime.timezone.utc)",
    "return x.astimezone(datetime.timezone.utc)", "return BORN.astimezone(tz=datetime.timezone.utc)",
    "z = datetime.timezone.utc if x else None; return DT.fromtimestamp(x, z)", "return DT.strptime(x, '%Y')",
    "return pd.Timestamp(x, tz='UTC')", "return x.tz_localize('UTC').tz_convert('Europe/Berlin')",
    "return DT.utcfromtimestamp(x)", "return DT.astimezone(x, datetime.timezone.utc)",
    "import zoneinfo; return BORN.replace(tzinfo=zoneinfo.ZoneInfo('Europe/Berlin'))",
]  # fmt: skip


@pytest.mark.parametrize("text", ZONES)
def test_what_reads_the_machines_time_zone_is_refused(text):
    assert Purity().why_not(made(body(text)))


@pytest.mark.parametrize("text", ZONED)
def test_a_time_whose_zone_is_given_is_not_refused(text):
    assert Purity().why_not(made(body(text))) is None


def to_times(x):
    return pd.to_datetime(x)


def to_stamp_by_a_helper(x):
    return to_times(x)


def to_times_of_a_type(x):
    return np.array(x).astype("datetime64[s]")


def to_times_of_a_column(frame):
    return frame.assign(t=to_times(frame.s))


def holds_the_text(x):
    return to_times("today" if x else "2020")


def counts_words(x, words=("now", "today")):
    return [x.count(word) for word in words]


def keyed(value):
    memoized = memoize(value, MemoSpec("dict", namespace=uuid.uuid4().hex, admission=False))
    return not uncacheable(memoized)


NOW_AS_DATA = {
    "its own function": lambda: delayed(pd.to_datetime)("now"),
    "a keyword": lambda: delayed(pd.to_datetime)(arg="Today"),
    "a list": lambda: delayed(pd.to_datetime)([["2020-01-01", "now"]][0]),
    "a user's function": lambda: delayed(to_times)("now"),
    "a helper's": lambda: delayed(to_stamp_by_a_helper)({"a": ["today"]}),
    "a type": lambda: delayed(to_times_of_a_type)(["now"]),
    "an array": lambda: delayed(to_times)(np.array(["now"])),
    "a frame": lambda: delayed(to_times_of_a_column)(pd.DataFrame({"n": [1], "s": ["now"]})),
    "an index": lambda: delayed(to_times)(pd.Index(["now"], dtype=object)),
    "a partial": lambda: delayed(functools.partial(to_times, "now"))(),
    "another function's text": lambda: delayed(holds_the_text)(1),
}
NO_CLOCK = {
    "another text": lambda: delayed(to_times)("2020-01-01"),
    "another list": lambda: delayed(to_times)(["2020-01-01", "tomorrow", None, 5]),
    "a frame": lambda: delayed(to_times_of_a_column)(pd.DataFrame({"n": [1], "s": ["2020-01-01"]})),
    "numbers": lambda: delayed(to_times_of_a_type)(np.arange(3)),
    "a text that is none": lambda: delayed(len)("now"),
    "a function that makes no times": lambda: delayed(counts_words)("now or today"),
    "a name of arguments": lambda: delayed(np.asarray)([1, 2]),
}


@pytest.mark.parametrize("name", NOW_AS_DATA)
def test_a_text_that_says_now_is_a_clock_to_what_makes_times_of_texts(name):
    assert not keyed(NOW_AS_DATA[name]())


@pytest.mark.parametrize("name", NO_CLOCK)
def test_other_texts_and_other_functions_are_no_clock(name):
    assert keyed(NO_CLOCK[name]())


HANDED_OUT_IMPURE = {
    "by a helper": """
        def get(): return L
        def f(x): get().append(x); return len(L)
    """,
    "by a helper of a helper": """
        def inner(): return N
        def get(): return inner()
        def f(x):
            n = get()
            n['n'] = x
    """,
    "a member": """
        def get(): return N['rows']
        def f(x): get().append(x)
    """,
    "what was passed": """
        def same(rows): return rows
        def f(x): same(L).append(x)
    """,
    "on one way": """
        def get(x):
            if x: return L
            return []
        def f(x): get(x).append(x)
    """,
    "a default": """
        def get(rows=[]): return rows
        def f(x): get().append(x)
    """,
    "what is cached": """
        @functools.cache
        def get(): return []
        def f(x): get().append(x)
    """,
    "by a lambda": """
        get = lambda: L
        def f(x): into(get(), x)
    """,
    "by a function inside": """
        def f(x):
            def get(): return L
            get().append(x)
    """,
    "by a generator": """
        def get(): yield L
        def f(x):
            for rows in get(): rows.append(x)
    """,
    "by a method": """
        class H:
            def __init__(self): self._rows = []
            def rows(self): return self._rows
        h = H()
        def f(x): h.rows().append(x)
    """,
    "by a decorated helper": """
        def deco(g):
            def w(*a, **k): return g(*a, **k)
            return w
        @deco
        def get(): return L
        def f(x): get().append(x)
    """,
    "a class": """
        def get(): return datetime.datetime
        def f(x): return get().now()
    """,
    "a view": """
        def get(): return A[1:]
        def f(x): get()[0] = x
    """,
    "a member of a copy": """
        ROWS = [[1], [2]]
        def get(): return ROWS[:]
        def f(x): get()[0].append(x)
    """,
}
HANDED_OUT_PURE = {
    "fresh": """
        def get(): return []
        def f(x): get().append(x)
    """,
    "a copy": """
        def get(): return list(L)
        def f(x): get().append(x)
    """,
    "a copy by a slice": """
        ROWS = [[1], [2]]
        def get(): return ROWS[:]
        def f(x):
            rows = get()
            rows.append(x)
            return rows
    """,
    "only read": """
        def get(): return N
        def f(x): return get()['n'] + x
    """,
    "what was passed, the caller's own": """
        def put(rows, x):
            rows.append(x)
            return rows
        def f(x): return put(put([], x), x).pop()
    """,
    "something else than what was passed": """
        def doubled(rows): return [row * 2 for row in rows]
        def f(x): return doubled(L).pop()
    """,
    "a frame": """
        def get(): return FRAME.assign(b=1)
        def f(x):
            frame = get()
            frame['c'] = x
            return frame
    """,
    "a generator of its own": """
        def get():
            rows = [1]
            yield rows
        def f(x):
            for rows in get(): rows.append(x)
    """,
    "recursion": """
        def get(n): return get(n - 1) if n else []
        def f(x): get(x).append(x)
    """,
    "cached and only read": """
        @functools.cache
        def get(): return {'a': 1}
        def f(x): return get()['a'] + x
    """,
}
STORED_IMPURE = {
    "as an attribute": """
        class B: pass
        def f(x):
            b = B()
            b.rows = L
            b.rows.append(x)
    """,
    "under a key": """
        def f(x):
            d = {}
            d['a'] = L
            d['a'].append(x)
    """,
    "under any key": """
        def f(x):
            d = dict()
            d[x] = L
            d['a'].append(x)
    """,
    "in a list": """
        def f(x):
            rows = []
            rows.append(L)
            for row in rows: row.append(x)
    """,
    "by extend": """
        def f(x):
            rows = [[]]
            rows.extend([L])
            rows[0].append(x)
    """,
    "by the class": """
        class B:
            def __init__(self, rows): self.rows = rows
        def f(x):
            b = B(L)
            b.rows.append(x)
    """,
    "and changed by a method": """
        class B:
            def __init__(self, rows): self.rows = rows
            def add(self, x): self.rows.append(x)
        def f(x): B(rows=L).add(x)
    """,
    "and changed by a helper": """
        class B:
            def __init__(self, rows): self.rows = rows
        def put(b, x): b.rows.append(x)
        def f(x): put(B(L), x)
    """,
    "by a dataclass": """
        import dataclasses
        @dataclasses.dataclass
        class B:
            rows: list
        def f(x):
            b = B(L)
            b.rows.append(x)
    """,
    "by a class that changes it": """
        class B:
            def __init__(self, rows): rows.append(1)
        def f(x): B(L)
    """,
    "in a display": """
        def f(x):
            for rows in [L]: rows.append(x)
    """,
}
STORED_PURE = {
    "beside what is its own": """
        class B: pass
        def f(x):
            b = B()
            b.kinds, b.rows = L, []
            b.rows.append(x)
    """,
    "under another key": """
        def f(x):
            d = {}
            d['kinds'] = N
            d['rows'] = []
            d['rows'].append(x)
            return d
    """,
    "in another dict": """
        def f(x):
            d, e = {}, {}
            d[x] = N
            e[x] = []
            e[x].append(x)
    """,
    "in an object with a state of its own": """
        class B:
            def __init__(self, table): self.table, self.seen, self.n = table, [], 0
            def add(self, x):
                self.n += 1
                self.seen.append(self.table['n'] + x)
                self.last = x
                return self
        def f(x): return B(N).add(x).seen
    """,
    "plain data": """
        def f(x):
            d = {}
            d['a'] = KIND
            d['b'] = [1]
            d['b'].append(x)
    """,
}
STARRED_IMPURE = {
    "by its place": """
        def add(*a): a[0].append(a[1])
        def f(x): add(L, x)
    """,
    "in a loop": """
        def add(*a):
            for rows in a: rows.append(1)
        def f(x): add([], L)
    """,
    "by its name": """
        def add(**k): k['rows'].append(k['x'])
        def f(x): add(rows=L, x=x)
    """,
    "handed on": """
        def add(*a, **k): into(*a, **k)
        def f(x): add(L, x=x)
    """,
    "unpacked": """
        def f(x): into(*[L, x])
    """,
    "unpacked of a name": """
        def f(x):
            a = (L, x)
            into(*a)
    """,
    "unpacked of a global": """
        ARGS = (L, 1)
        def f(x): into(*ARGS)
    """,
    "unpacked with names": """
        def f(x): into(**{'rows': L, 'x': x})
    """,
    "to a built-in function": """
        def f(x): list.append(*(L, x))
    """,
    "after others": """
        def add(x, *rows): rows[0].append(x)
        def f(x): add(x, L)
    """,
    "inside": """
        def f(x):
            def add(*a): a[0].append(1)
            add(L)
    """,
    "inside, by its name": """
        def f(x):
            def add(x, rows): rows.append(x)
            add(rows=L, x=x)
    """,
    "by a partial": """
        def f(x): return functools.partial(into, L)(x)
    """,
    "by a partial that is mapped": """
        def f(x): return list(map(functools.partial(into, L), x))
    """,
}
STARRED_PURE = {
    "only read": """
        def total(*a): return sum(map(len, a))
        def f(x): return total(L, [x])
    """,
    "the tuple is its own": """
        def add(*a, **k):
            k['x'] = 1
            k.pop('rows')
            a = list(a)
            a.append(k)
            return a
        def f(x): return add(N, rows=L)
    """,
    "another one is changed": """
        def merged(*tables):
            out = {}
            for table in tables: out.update(table)
            return out
        def f(x): return merged(N, x)
    """,
    "in its place, by a wrapper": """
        def deco(g):
            @functools.wraps(g)
            def w(*a, **k): return g(*a, **k)
            return w
        @deco
        def put(out, table): out.update(table)
        def f(x):
            out = {}
            put(out, N)
            return out
    """,
    "recursion": """
        def add(*a): return add(*a) if a[0] else L
        def f(x): return add(N, x)
    """,
    "a partial of a function that only reads": """
        def total(rows, x): return len(rows) + x
        def f(x): return functools.partial(total, L)(x)
    """,
}


@pytest.mark.parametrize(
    "source", [*HANDED_OUT_IMPURE.values(), *STORED_IMPURE.values(), *STARRED_IMPURE.values()]
)
def test_a_shared_object_is_followed_through_results_attributes_and_stars(source, importable):
    assert Purity().why_not(made(source))


@pytest.mark.parametrize("source", [*HANDED_OUT_PURE.values(), *STORED_PURE.values(), *STARRED_PURE.values()])
def test_what_changes_only_its_own_objects_is_not_refused(source, importable):
    assert Purity().why_not(made(source)) is None


def test_a_task_that_changes_what_a_helper_hands_out_runs_each_time():
    source = "def get(): return L\ndef f(x):\n    get().append(x)\n    return len(L)"
    memoized = memoize(delayed(made(source))(1), MemoSpec("dict", namespace=uuid.uuid4().hex))

    assert [memoized.compute(scheduler="sync") for _ in range(3)] == [2, 3, 4]


def test_objects_that_hold_each_other_without_end_are_looked_through(importable):
    source = """
        class Node:
            def __init__(self, rows, after=None): self.rows, self.after = rows, after
            def grown(self, n): return Node(self.rows, self).grown(n - 1) if n else self
        def again(g): return again(functools.partial(g, L))
        def f(x): return Node(L).grown(x), again(into)
    """
    Purity().why_not(made(source))


def test_what_is_called_in_too_many_ways_is_refused_and_not_looked_at_for_ever():
    names = [f"g{n}" for n in range(20)]
    tables = [f"T{n} = {{'n': [{n}]}}" for n in range(20)]
    calls = "; ".join(f"{name}(b, T{n}, a)" for n, name in enumerate(names))
    functions = [f"def {name}(a, b, c): {calls}" for name in names]
    source = "\n".join([*tables, *functions, "def f(x): g0(T0, T1, T2)"])

    assert "too much" in Purity().why_not(made(source))


GOTTEN = """
    import functools, random
    class Meta(type):
        @property
        def chance(cls): return random.random()
        def __getattr__(cls, name): return random.random()
    class Given:
        def __get__(self, owner, kind): return random.random()
    class Settings(metaclass=Meta):
        given, name = Given(), "settings"
        n = 0
        @property
        def jitter(self): return random.random()
        @functools.cached_property
        def kept(self): return random.random()
        @property
        def counted(self):
            self.n += 1
            return self.n
        @property
        def title(self): return self.name.title()
    class Any:
        def __getattr__(self, name): return open(name).read()
    class All:
        k = 1
        def __getattribute__(self, name): return open(name).read()
    class Table:
        def __getattr__(self, name): return {"a": 1}.get(name)
    class App:
        def __init__(self): self.settings = Settings()
        def jitter(self): return self.settings.jitter
    S, ANY, ALL, TABLE, APP = Settings(), Any(), All(), Table(), App()
"""


@pytest.mark.parametrize(
    "text",
    [
        "S.jitter", "S.kept", "S.counted", "S.given", "Settings.given", "Settings.chance", "Settings.other",
        "ANY.words", "ALL.k", "APP.settings.jitter", "APP.jitter()", "[S.jitter for _ in x]",
    ],
)  # fmt: skip
def test_what_runs_where_an_attribute_is_taken_is_looked_at(text):
    assert Purity().why_not(made(f"{GOTTEN}    def f(x): return {text}\n"))


@pytest.mark.parametrize("text", ["S.title", "S.name", "Settings.name", "TABLE.a", "APP.settings.title"])
def test_what_runs_there_and_is_pure_is_not_refused(text):
    assert Purity().why_not(made(f"{GOTTEN}    def f(x): return {text}\n")) is None
