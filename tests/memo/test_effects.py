"""What a first-party module does to installed ones when it is imported is part of the code that uses those."""

# ruff: noqa: E501 - programs read better line by line
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dataflow.memo.fingerprint import DynamicCodeWarning

SEEN = {
    "an installed function that was replaced": (
        "import json\ndef h(x):\n    return x + 1\njson.dumps = h\ndef f(x):\n    return json.dumps(x)\n", "+ 1", "+ 2",
    ),
    "one that was replaced by a function that was called": (
        "import json\ndef h(x):\n    return x + 1\ndef patch():\n    json.loads = h\npatch()\ndef f(x):\n    return json.loads(x)\n", "+ 1", "+ 2",
    ),
    "one that setattr replaced": (
        "import json\ndef h(x):\n    return x + 1\nsetattr(json, 'mine', h)\ndef f(x):\n    return getattr(json, 'mine')(x)\n", "+ 1", "+ 2",
    ),
    "a method that an installed class was given": (
        "import pathlib\ndef h(self):\n    return 1\npathlib.PurePosixPath.h = h\ndef f(x):\n    return pathlib.PurePosixPath('a').h()\n", "return 1", "return 2",
    ),
    "how pandas shows a frame that is given": (
        "import pandas\npandas.set_option('display.precision', 2)\ndef f(x):\n    return x.to_string()\n", ", 2)", ", 5)",
    ),
    "the same by the option's own name": (
        "import pandas\npandas.options.display.width = 70\ndef f(x):\n    return x.to_string()\n", "= 70", "= 80",
    ),
    "the same by a function that was imported": (
        "from pandas import set_option\nset_option('display.width', 70)\ndef f(x):\n    return x.to_string()\n", "70", "80",
    ),
    "how numpy shows an array that is given": (
        "import numpy\nnumpy.set_printoptions(precision=3)\ndef f(x):\n    return str(x)\n", "=3", "=4",
    ),
    "the precision of decimals": (
        "import decimal\ndecimal.getcontext().prec = 5\ndef f(x):\n    return x / 3\n", "= 5", "= 9",
    ),
    "a handler of coding errors": (
        "import codecs\ndef h(e):\n    return '?', e.end\ncodecs.register_error('mine', h)\ndef f(x):\n    return x.decode('utf8', 'mine')\n", "'?'", "'!'",
    ),
    "how objects are copied": (
        "import copy, copyreg\nclass A:\n    pass\ndef r(a):\n    return int, (1,)\ncopyreg.pickle(A, r)\ndef f(x):\n    return copy.copy(A())\n", "(1,)", "(2,)",
    ),
    "a table of an installed module": (
        "import mimetypes\nmimetypes.add_type('a/b', '.zz')\ndef f(x):\n    return mimetypes.guess_type(x)\n", "a/b", "a/c",
    ),
    "an option": ("import pandas as pd\npd.set_option('display.precision', 3)\ndef f(x):\n    return str(pd.Series(x))\n", "3)", "5)"),
    "an option that is set by its own name": (
        "from numpy import array, set_printoptions\nset_printoptions(precision=3)\ndef f(x):\n    return str(array(x))\n", "=3", "=5",
    ),
    "an option that is set where it can be": (
        "import numpy as np\ntry:\n    np.set_printoptions(precision=3)\nexcept TypeError:\n    pass\ndef f(x):\n    return str(np.array(x))\n", "=3", "=5",
    ),
    "an accessor that is registered": (
        "import pandas as pd\n@pd.api.extensions.register_dataframe_accessor('mine')\nclass Mine:\n    def __init__(self, frame):\n        pass\n"
        "    def go(self):\n        return 1\ndef f(x):\n    return pd.DataFrame(x).mine.go()\n", "return 1", "return 2",
    ),
    "the environment": ("import os\nos.environ['MINE'] = '1'\ndef f(x):\n    return x\n", "'1'", "'2'"),
    "the environment, by a method": ("from os import environ\nenviron.setdefault('MINE', '1')\ndef f(x):\n    return x\n", "'1'", "'2'"),
    "an attribute of an installed module": ("import sys\nsys.mine = 1\ndef f(x):\n    return sys.mine\n", "= 1", "= 2"),
    "a context variable": (
        "import contextvars\nV = contextvars.ContextVar('v', default=0)\nV.set(1)\ndef f(x):\n    return V.get()\n", "set(1)", "set(2)",
    ),
    "a number that comes from elsewhere": (
        "import random\nSEED = 1\nrandom.seed(SEED)\ndef f(x):\n    return random.random()\n", "SEED = 1", "SEED = 2",
    ),
    "a logger's attribute": ("import logging\nL = logging.getLogger('zz')\nL.k = 1\ndef f(x):\n    return L.k\n", "k = 1", "k = 2"),
}  # fmt: skip
SEEN |= {
    "one of several options that a loop sets": (
        "import pandas as pd\nOPTIONS = {'display.precision': 3, 'display.width': 80}\nfor k, v in OPTIONS.items():\n    pd.set_option(k, v)\n"
        "def f(x):\n    return str(pd.Series(x))\n", "': 3", "': 5",
    ),
    "a handler that a loop registers": (
        "import json\ndef a(x):\n    return 1\ndef b(x):\n    return 2\nfor k, g in [('a', a), ('b', b)]:\n    setattr(json, k, g)\n"
        "def f(x):\n    return json.a(x)\n", "return 1", "return 3",
    ),
    "a condition": (
        "import pandas as pd\nCOMPACT = True\nif COMPACT:\n    pd.set_option('display.precision', 3)\ndef f(x):\n    return str(pd.Series(x))\n",
        "= True", "= False",
    ),
    "options that are set by a function that is called": (
        "import decimal\ndef set_up():\n    decimal.getcontext().prec = 5\nset_up()\ndef f(x):\n    return x / 3\n", "= 5", "= 9",
    ),
    "by one that that calls": (
        "import os\ndef inner():\n    os.environ['MINE'] = '1'\ndef set_up():\n    inner()\nset_up()\ndef f(x):\n    return x\n", "'1'", "'2'",
    ),
    "by a decorator of its own": (
        "import json\ndef tagging(name):\n    def deco(g):\n        setattr(json, name, g)\n        return g\n    return deco\n"
        "@tagging('mine')\ndef g(x):\n    return x + 1\ndef f(x):\n    return json.mine(x)\n", "+ 1", "+ 2",
    ),
    "an option whose last value is kept": (
        "import numpy as np\nOLD = np.set_printoptions(precision=3)\ndef f(x):\n    return str(np.array(x))\n", "=3", "=5",
    ),
    "options in a list": (
        "import pandas as pd\n[pd.set_option(*one) for one in [('display.precision', 3)]]\ndef f(x):\n    return str(pd.Series(x))\n", "3)", "5)",
    ),
    "a function that reads what has no description": (
        "import json, socket\nOUT = socket.socket()\nOUT.close()\ndef d(self, x):\n    OUT.family\n    return 1\njson.JSONEncoder.default = d\n"
        "def f(x):\n    return json.dumps(x)\n", "return 1", "return 2",
    ),
    "an option of what is compiled": (
        "from lxml.etree import fromstring, set_default_parser, XMLParser\nimport lxml.etree as e\ne.set_default_parser(XMLParser(recover=True))\n"
        "def f(x):\n    return fromstring(x)\n", "=True", "=False",
    ),
    "an option of what pandas is made of": (
        "import numpy as np\nimport pandas as pd\nnp.set_printoptions(precision=3)\ndef f(x):\n    return str(pd.Series(x).values)\n", "=3", "=5",
    ),
    "a class that its metaclass registers": (
        "import yaml\nclass Mine(yaml.YAMLObject):\n    yaml_tag = '!mine'\n    def go(self):\n        return 1\n"
        "def f(x):\n    return yaml.load(x, yaml.Loader).go()\n", "return 1", "return 2",
    ),
    "a class that its base registers": (
        "import bokeh.model\nclass Mine(bokeh.model.Model):\n    def go(self):\n        return 1\n"
        "def f(x):\n    return bokeh.model.Model.model_class_reverse_map[x]\n", "return 1", "return 2",
    ),
    "a function that a compiled object registers": (
        "from lxml import etree\nns = etree.FunctionNamespace('mine')\n@ns('g')\ndef g(context):\n    return 1\n"
        "def f(x):\n    return etree.fromstring(x).xpath('m:g()', namespaces={'m': 'mine'})\n", "return 1", "return 2",
    ),
    "a table that grows in place": (
        "from mimetypes import types_map\ntypes_map |= {'.zz': 'a/b'}\ndef f(x):\n    import mimetypes\n    return mimetypes.guess_type(x)\n", "a/b", "a/c",
    ),
    "a table that a method of its class changes": (
        "from mimetypes import types_map\ndict.update(types_map, {'.zz': 'a/b'})\ndef f(x):\n    import mimetypes\n    return mimetypes.guess_type(x)\n", "a/b", "a/c",
    ),
    "a table that an operator's function changes": (
        "import operator\nfrom mimetypes import types_map\noperator.setitem(types_map, '.zz', 'a/b')\ndef f(x):\n    import mimetypes\n    return mimetypes.guess_type(x)\n", "a/b", "a/c",
    ),
    "an attribute that the class of all sets": (
        "import json\ntype.__setattr__(json.JSONEncoder, 'mine', 1)\ndef f(x):\n    return json.JSONEncoder.mine\n", "'mine', 1", "'mine', 2",
    ),
    "an option that a part of a call sets": (
        "import functools, pandas\nset_it = functools.partial(pandas.set_option, 'display.width')\nset_it(70)\ndef f(x):\n    return x.to_string()\n", "(70)", "(80)",
    ),
    "an option whose setter is in a dict": (
        "import pandas\nSETTERS = {'frames': pandas.set_option}\nSETTERS['frames']('display.width', 70)\ndef f(x):\n    return x.to_string()\n", " 70", " 80",
    ),
    "what an attribute does to its class when it is named": (
        "import json\nclass Named:\n    def __init__(self, value):\n        self.value = value\n    def __set_name__(self, owner, name):\n        json.mine = self.value\n"
        "class A:\n    one = Named(1)\ndef f(x):\n    return json.mine\n", "Named(1)", "Named(2)",
    ),
    "what is set on an object that a cache of cachetools gives": (
        "import cachetools, types\n@cachetools.cached({})\ndef settings():\n    return types.SimpleNamespace(n=0)\nsettings().n = 1\ndef f(x):\n    return x * settings().n\n", "n = 1", "n = 2",
    ),
    "what a function with a cache sets": (
        "import csv\nimport functools\n@functools.cache\ndef setup():\n    csv.register_dialect('mine', delimiter=';')\nsetup()\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what an object that is called sets": (
        "import csv\nclass Setup:\n    def __init__(self, d):\n        self.d = d\n    def __call__(self):\n        csv.register_dialect('mine', delimiter=self.d)\nsetup = Setup(';')\nsetup()\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what a class that decorates sets": (
        "import csv\nclass dialect:\n    def __init__(self, name):\n        self.name = name\n    def __call__(self, g):\n        csv.register_dialect(self.name, delimiter=';')\n        return g\n@dialect('mine')\ndef g():\n    pass\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what a condition sets": (
        "import csv\ndef setup():\n    csv.register_dialect('mine', delimiter=';')\n    return True\nif not setup():\n    raise SystemExit\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what an assertion sets": (
        "import csv\ndef setup():\n    csv.register_dialect('mine', delimiter=';')\n    return True\nassert setup()\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what the last of a chain of methods sets": (
        "import csv\nclass Setup:\n    def named(self, name):\n        return self\n    def apply(self):\n        csv.register_dialect('mine', delimiter=';')\nSetup().named('mine').apply()\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what a method of the base sets": (
        "import csv\nclass Base:\n    def install(self):\n        csv.register_dialect('mine', delimiter=';')\nclass Csv(Base):\n    def install(self):\n        super().install()\nCsv().install()\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what a class of classes sets": (
        "import csv\nclass Meta(type):\n    def __init__(cls, name, bases, names):\n        csv.register_dialect('mine', delimiter=';')\nclass A(metaclass=Meta):\n    pass\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what a property sets": (
        "import csv\nclass App:\n    @property\n    def d(self):\n        return 1\n    @d.setter\n    def d(self, value):\n        csv.register_dialect('mine', delimiter=value)\nAPP = App()\nAPP.d = ';'\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what a model sets when it is made": (
        "import csv\nfrom pydantic import BaseModel\nclass D(BaseModel):\n    n: int = 1\n    def model_post_init(self, context):\n        csv.register_dialect('mine', delimiter=';')\nD()\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what a thread sets": (
        "import csv\nimport threading\ndef setup():\n    csv.register_dialect('mine', delimiter=';')\nthread = threading.Thread(target=setup)\nthread.start()\nthread.join()\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what is reduced": (
        "import csv\nimport functools\ndef put(count, one):\n    csv.register_dialect(one[0], delimiter=one[1])\n    return count + 1\nfunctools.reduce(put, {'mine': ';'}.items(), 0)\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what a context sets that a stack enters": (
        "import csv\nimport contextlib\n@contextlib.contextmanager\ndef dialect(d):\n    csv.register_dialect('mine', delimiter=d)\n    yield\nSTACK = contextlib.ExitStack()\nSTACK.enter_context(dialect(';'))\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what a function of one type sets": (
        "import csv\nimport functools\n@functools.singledispatch\ndef setup(d):\n    pass\n@setup.register\ndef _(d: str):\n    csv.register_dialect('mine', delimiter=d)\nsetup(';')\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what an object sets when an item of it is": (
        "import csv\nclass R:\n    def __setitem__(self, name, d):\n        csv.register_dialect(name, delimiter=d)\nr = R()\nr['mine'] = ';'\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "what a lambda sets": (
        "import csv\nsetup = lambda: csv.register_dialect('mine', delimiter=';')\nsetup()\ndef f(x):\n    return list(csv.reader(['a;b|c'], 'mine'))\n", "';'", "'|'",
    ),
    "a function that is made for queries": (
        "import duckdb\ndef clip(s: str) -> str:\n    return s[:3]\nduckdb.create_function('clip_it', clip)\n"
        "def f(x):\n    return duckdb.sql(x).fetchall()\n", "[:3]", "[:4]",
    ),
    "an accessor that is registered where no code names the package": (
        "import pandas as pd\n@pd.api.extensions.register_dataframe_accessor('mine')\nclass Mine:\n    def __init__(self, frame):\n        pass\n"
        "    def go(self):\n        return 1\ndef f(x):\n    return x.mine.go()\n", "return 1", "return 2",
    ),
    "a method that a class is given where no code names it": (
        "import pathlib\ndef h(self):\n    return 1\npathlib.PurePath.words_of_it = h\ndef f(x):\n    return x.words_of_it()\n", "return 1", "return 2",
    ),
    "one that setattr gives it": (
        "import pathlib\ndef h(self):\n    return 1\nsetattr(pathlib.PurePath, 'words_of_it', h)\ndef f(x):\n    return x.words_of_it()\n", "return 1", "return 2",
    ),
    "a function that is patched by its name": (
        "import json\nfrom unittest import mock\ndef g(x):\n    return 1\nmock.patch('json.dumps', g).start()\n"
        "def f(x):\n    return json.dumps(x)\n", "return 1", "return 2",
    ),
    "one that is patched by a decorator that is given its module": (
        "import functools, json, unittest.mock\ndef g(x):\n    return x + 1\nunittest.mock.patch.object(json, 'loads', g).start()\n"
        "def f(x):\n    return json.loads(x)\n", "+ 1", "+ 2",
    ),
    "what is done to a module that is handed over": (
        "import json\ndef h(x):\n    return x + 1\ndef patch(module):\n    module.mine = h\npatch(json)\n"
        "def f(x):\n    return json.mine(x)\n", "+ 1", "+ 2",
    ),
    "which of two comes first": (
        "import pandas as pd\npd.set_option('display.precision', 3)\npd.set_option('display.precision', 5)\ndef f(x):\n    return str(pd.Series(x))\n",
        "3)\npd.set_option('display.precision', 5)", "5)\npd.set_option('display.precision', 3)",
    ),
}  # fmt: skip
CACHED = "import functools\nclass S:\n    size = 1\n@functools.cache\ndef settings():\n    return S()\n"
PROPERTY = (
    "import functools\nclass App:\n    @functools.cached_property\n    def table(self):\n        return {}\n"
    "    def put(self, k, v):\n        self.table[k] = v\n    def named(self, g):\n        self.table[g.__name__] = g\n        return g\n"
    "APP = App()\n"
)
CSV = "def f(x):\n    return list(csv.reader([x], 'mine'))\n"
URL = "def f(x):\n    return urllib.parse.urljoin('s3://a/', x)\n"
SEEN |= {
    "what is set on what a cache gives": (
        CACHED + "settings().size = 3\ndef f(x):\n    return settings().size\n", "= 3", "= 4",
    ),
    "what is done to it by another name": (
        CACHED + "s = settings()\nsetattr(s, 'size', 3)\ndef f(x):\n    return settings().size\n", "3)", "4)",
    ),
    "what it is told by a function": (
        CACHED + "def configure(n):\n    settings().size = n\nconfigure(3)\ndef f(x):\n    return settings().size\n", "(3)", "(4)",
    ),
    "what is registered with it": (
        "import functools\n@functools.lru_cache\ndef registry():\n    return {}\ndef tool(g):\n    registry()[g.__name__] = g\n    return g\n"
        "@tool\ndef clip(x):\n    return x[:3]\ndef f(x):\n    return registry()['clip'](x)\n", ":3", ":4",
    ),
    "the docstring of a tool that is registered with it": (
        "import functools\n@functools.lru_cache\ndef registry():\n    return []\ndef tool(g):\n    registry().append(g)\n    return g\n"
        "@tool\ndef clip(x):\n    'Cuts.'\ndef f(x):\n    return [g.__doc__ for g in registry()]\n", "Cuts.", "Clips.",
    ),
    "what is put in a table of a cached class": (
        "import functools\nclass R:\n    @classmethod\n    @functools.cache\n    def one(cls):\n        return R()\n    def __init__(self):\n        self.t = {}\n"
        "R.one().t['a'] = 3\ndef f(x):\n    return R.one().t[x]\n", "= 3", "= 4",
    ),
    "what a method puts in a cached property": (
        PROPERTY + "APP.put('a', 3)\ndef f(x):\n    return APP.table[x]\n", "3)", "4)",
    ),
    "what a decorator puts in a cached property": (
        PROPERTY + "@APP.named\ndef clip(x):\n    return x[:3]\ndef f(x):\n    return APP.table['clip'](x)\n", ":3", ":4",
    ),
    "how many digits a number may have": (
        "import sys\nsys.set_int_max_str_digits(6000)\ndef f(x):\n    return int(x)\n", "6000", "4300",
    ),
    "a setter by another name": (
        "import csv\nfrom csv import register_dialect as dialect\ndialect('mine', delimiter=';')\n" + CSV, "';'", "','",
    ),
    "a table that a database makes": (
        "import duckdb\nduckdb.execute('create or replace table t as select 1 a')\ndef f(x):\n    return duckdb.sql('from t').fetchall()\n",
        "select 1", "select 2",
    ),
    "a method of an object that is called": (
        "import csv\nclass Installer:\n    def go(self):\n        csv.register_dialect('mine', delimiter=';')\ni = Installer()\ni.go()\n" + CSV, "';'", "','",
    ),
    "one of an object that is made for it": (
        "import csv\nclass Installer:\n    def go(self):\n        csv.register_dialect('mine', delimiter=';')\nInstaller().go()\n" + CSV, "';'", "','",
    ),
    "what making an object does": (
        "import csv\nclass Installer:\n    def __init__(self):\n        csv.register_dialect('mine', delimiter=';')\nInstaller()\n" + CSV, "';'", "','",
    ),
    "a class method": (
        "import csv\nclass Installer:\n    @classmethod\n    def up(cls, d):\n        csv.register_dialect('mine', delimiter=d)\nInstaller.up(';')\n" + CSV, "';'", "','",
    ),
    "a function that imports what it sets": (
        "import csv\ndef up():\n    import csv as c\n    c.register_dialect('mine', delimiter=';')\nup()\n" + CSV, "';'", "','",
    ),
    "a class's body": ("import csv\nclass D:\n    csv.register_dialect('mine', delimiter=';')\n" + CSV, "';'", "','"),
    "a default argument": ("import csv\ndef z(k=csv.register_dialect('mine', delimiter=';')):\n    pass\n" + CSV, "';'", "','"),
    "a partial function": (
        "import csv, functools\ndef _up(d):\n    csv.register_dialect('mine', delimiter=d)\nup = functools.partial(_up, ';')\nup()\n" + CSV, "';'", "','",
    ),
    "what is mapped": (
        "import csv\ndef up(d):\n    csv.register_dialect('mine', delimiter=d)\nlist(map(up, [';']))\n" + CSV, "';'", "','",
    ),
    "a context that is entered": (
        "import contextlib, csv\n@contextlib.contextmanager\ndef dialect(d):\n    csv.register_dialect('mine', delimiter=d)\n    yield\n"
        "with dialect(';'):\n    pass\n" + CSV, "';'", "','",
    ),
    "a function that its decorator calls": (
        "import csv\ndef now(g):\n    g()\n    return g\n@now\ndef up():\n    csv.register_dialect('mine', delimiter=';')\n" + CSV, "';'", "','",
    ),
    "a class that its own base takes note of": (
        "import csv\nclass Base:\n    def __init_subclass__(cls):\n        csv.register_dialect('mine', delimiter=cls.D)\nclass A(Base):\n    D = ';'\n" + CSV, "';'", "','",
    ),
    "a list that is taken by its name": (
        "import urllib.parse\nfrom urllib.parse import uses_relative\nuses_relative.append('s3')\n" + URL, "'s3'", "'s4'",
    ),
    "a table by another name": (
        "import html, html.entities\nTABLE = html.entities.html5\nTABLE['foo;'] = 'A'\ndef f(x):\n    return html.unescape(x)\n", "'A'", "'B'",
    ),
    "several at once": (
        "import json\njson.JSONEncoder.item_separator, other = ';', 1\ndef f(x):\n    return json.dumps(x)\n", "';'", "', '",
    ),
    "what an attribute is asked of": (
        "import json\nsetattr(getattr(json, 'JSONEncoder'), 'item_separator', ';')\ndef f(x):\n    return json.dumps(x)\n", "';'", "','",
    ),
    "what a cached function gave, by a local name": (
        CACHED + "def configure(n):\n    s = settings()\n    s.size = n\nconfigure(3)\ndef f(x):\n    return settings().size\n", "(3)", "(4)",
    ),
    "what a cached function gave, by an attribute": (
        CACHED + "class Tuner:\n    def __init__(self, n):\n        self.s = settings()\n        self.s.size = n\n"
        "def tune(n):\n    return Tuner(n)\nMADE = [tune(3)]\ndef f(x):\n    return settings().size\n", "(3)", "(4)",
    ),
    "what a cached function gave, in a loop": (
        "import functools\n@functools.cache\ndef table():\n    return {}\nRULES = {'a': 1}\ndef install():\n    own = table()\n"
        "    for k, v in RULES.items():\n        own[k] = v\ninstall()\ndef f(x):\n    return table()\n", "'a': 1", "'a': 2",
    ),
    "what decorates in a function with what a cached one gave": (
        "import functools\nclass App:\n    def __init__(self):\n        self.filters = {}\n    def filter(self, name):\n"
        "        return lambda g: self.filters.setdefault(name, g)\n@functools.cache\ndef app():\n    return App()\n"
        "def begin():\n    own = app()\n    @own.filter('up')\n    def up(t):\n        return t + '1'\nbegin()\n"
        "def f(x):\n    return app().filters['up'](x)\n", "'1'", "'2'",
    ),
    "what is put in a cached property's place where a function makes the object": (
        "import functools\nclass Splitter:\n    def __init__(self, by=None):\n        if by:\n            self.by = by\n"
        "    @functools.cached_property\n    def by(self):\n        return ' '\nKNOWN = {}\ndef register(name, **k):\n"
        "    KNOWN[name] = Splitter(**k)\nregister('a', by='o')\ndef f(x):\n    return x.split(KNOWN['a'].by)\n", "by='o'", "by='l'",
    ),
    "the same, of what is made in the call": (
        "import functools\nclass Splitter:\n    def __init__(self, by=None):\n        if by:\n            self.by = by\n"
        "    @functools.cached_property\n    def by(self):\n        return ' '\nKNOWN = {}\ndef register(name, one):\n"
        "    KNOWN[name] = one\nregister('a', Splitter('o'))\ndef f(x):\n    return x.split(KNOWN['a'].by)\n", "'o'", "'l'",
    ),
    "a cached property's object that is handed to a function": (
        "import functools\nclass App:\n    @functools.cached_property\n    def filters(self):\n        return {}\n"
        "    def add(self, name, g):\n        self.filters[name] = g\nAPP = App()\ndef begin(app):\n"
        "    app.add('up', lambda t: t + '1')\nbegin(APP)\ndef f(x):\n    return APP.filters['up'](x)\n", "'1'", "'2'",
    ),
    "what is registered with an object of theirs": (
        "from dask.base import normalize_token, tokenize\nclass Q:\n    pass\n@normalize_token.register(Q)\ndef g(q):\n    return 1\n"
        "def f(x):\n    return tokenize(Q())\n", "return 1", "return 2",
    ),
}  # fmt: skip
UNSEEN = {
    "another object of a class with cached properties": (
        "import functools\nclass Splitter:\n    def __init__(self, n):\n        self.n = n\n    @functools.cached_property\n"
        "    def by(self):\n        return ' '\nA = Splitter(1)\nB = Splitter(2)\ndef f(x):\n    return x.split(A.by)\n", "(2)", "(3)",
    ),
    "an option of what isn't used": (
        "import numpy\nnumpy.setbufsize(8192)\ndef f(x):\n    return x + 1\n", "8192", "16384",
    ),
    "what only a script does": (
        "import json\nif __name__ == '__main__':\n    json.mine = 1\ndef f(x):\n    return json.dumps(x)\n", "mine = 1", "mine = 2",
    ),
    "a class of a base that keeps nothing": (
        "import abc, enum, typing\nclass A(abc.ABC):\n    n = 1\nclass B(typing.NamedTuple):\n    n: int = 1\nclass C(enum.Enum):\n    N = 1\n"
        "class D(typing.Protocol):\n    n: int = 1\ndef f(x):\n    return abc.get_cache_token(), enum.auto(), typing.get_type_hints(x)\n", "= 1", "= 2",
    ),
    "what is handed to a function that only reads it": (
        "import json\ndef show(module, n):\n    return module.__name__ * n\nshow(json, 1)\ndef f(x):\n    return json.dumps(x)\n", "1)", "2)",
    ),
    "what is made of a frame": (
        "import pandas as pd\npd.DataFrame([1]).to_csv()\ndef f(x):\n    return pd.Series(x)\n", "[1]", "[2]",
    ),
    "logging": (
        "import logging\nlogging.basicConfig(level=10)\nL = logging.getLogger('a')\nlogging.info('one')\ndef f(x):\n    return logging.getLogger(x)\n", "level=10", "level=20",
    ),
    "a folder that is made": ("import os\nos.makedirs('/tmp/', exist_ok=True)\ndef f(x):\n    return os.fspath(x)\n", "'/tmp/'", "'/tmp/.'"),
    "what is printed": ("import json\nprint(json.dumps(1), file=None)\ndef f(x):\n    return json.dumps(x)\n", "(1)", "(2)"),
    "a command's option": (
        "import click\n@click.command()\n@click.option('--n', default=1)\ndef go(n):\n    pass\ndef f(x):\n    return click.unstyle(x)\n", "=1", "=2",
    ),
    "a run of a pipeline": (
        "import dataflow\n@dataflow.stage\ndef one(x: str) -> str:\n    return x\ndataflow.memoize([], None)\ndef f(x):\n    return one\n",
        "None", "None, pure=True",
    ),
}  # fmt: skip
PROGRAM = """
import importlib, sys, warnings
import dataflow
from dataflow.memo.fingerprint import fingerprint
dataflow.memoize = lambda *a, **k: None
for name in sys.argv[1:]:
    print(name, fingerprint(importlib.import_module(name).f).hex())
"""


def printed(folder: Path, texts: list[str]) -> list[str]:
    """The fingerprints of programs' ``f``, in a process of its own: what they change, they change there."""
    names = [f"work{index}" for index in range(len(texts))]
    folder.mkdir()
    for name, text in zip(names, texts, strict=True):
        (folder / f"{name}.py").write_text(text)
    path = ":".join([str(folder), *sys.path])
    command = [sys.executable, "-B", "-c", PROGRAM, *names]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={"PYTHONPATH": path})
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("work")]


@pytest.mark.parametrize(("cases", "differ"), [(SEEN, True), (UNSEEN, False)], ids=["seen", "unseen"])
def test_what_an_import_does_counts_where_it_can_matter(
    cases: dict[str, tuple[str, str, str]], differ: bool, tmp_path: Path
) -> None:
    assert all(old in text for text, old, _ in cases.values())
    before = [text for text, _, _ in cases.values()]
    after = [text.replace(old, new) for text, old, new in cases.values()]
    one, again, edited = (
        printed(tmp_path / folder, texts)
        for folder, texts in {"one": before, "again": before, "edited": after}.items()
    )
    assert one == again
    assert {name: a != b for name, a, b in zip(cases, one, edited, strict=True)} == dict.fromkeys(
        cases, differ
    )


Of = Callable[..., bytes]
IMPORTED = {
    "the module that it imports": ("import settings\n", "settings.py"),
    "one under a condition": ("try:\n    import settings\nexcept ImportError:\n    pass\n", "settings.py"),
    "a second one in a line": ("import io; import settings as s\n", "settings.py"),
    "one with a comment beside it": (
        "from package import (\n    helper,  # noqa (x)\n    deep,\n)\n",
        "package/deep.py",
    ),
    "one that is told by a text": ("import importlib\nimportlib.import_module('settings')\n", "settings.py"),
    "one that that imports": ("from package import (\n    helper,\n)\n", "package/deep.py"),
    "the package that it is in": ("from package.helper import K\n", "package/__init__.py"),
    "one of a list that is imported": (
        "import importlib\nfor n in ['settings']:\n    importlib.import_module(n)\n",
        "settings.py",
    ),
    "one of a folder of plugins": (
        "import importlib, pkgutil, package\nfor one in pkgutil.iter_modules(package.__path__):\n    importlib.import_module('package.' + one.name)\n",
        "package/deep.py",
    ),
    "one of a folder of plugins that imports them itself": ("import plugins\n", "plugins/one.py"),
}
PACKAGE = {"package/__init__.py": "", "package/helper.py": "K = 1\nfrom . import deep\n", "package/deep.py": "", "settings.py": ""}  # fmt: skip
PACKAGE |= {
    "plugins/__init__.py": "import importlib, pkgutil\nfor one in pkgutil.iter_modules(__path__):\n    importlib.import_module(f'{__name__}.{one.name}')\n",
    "plugins/one.py": "",
}


@pytest.mark.parametrize("name", IMPORTED)
def test_what_an_imported_module_does_counts_too(name: str, of_files: Of) -> None:
    statement, where = IMPORTED[name]
    work = f"import colorsys\n{statement}def f(x):\n    return colorsys.MINE\n"
    files = {**PACKAGE, "work.py": work, where: PACKAGE[where] + "import colorsys\ncolorsys.MINE = 1\n"}
    edited = {**files, where: files[where].replace("= 1", "= 2")}
    assert of_files(files) == of_files(files)
    assert of_files(files) != of_files(edited)


@pytest.mark.parametrize(
    "said",
    [
        "    @functools.cached_property\n    def n(self):\n        return 1\n",
        "    n = 1\n    def __getstate__(self):\n        return {}\n",
        "    n = 1\n    def __reduce__(self):\n        return G, ()\n",
    ],
)
def test_what_another_module_sets_on_an_object_that_says_its_own_state_counts(
    said: str, of_files: Of
) -> None:
    files = {
        "reg.py": f"import functools\nclass G:\n{said}g = G()\n",
        "fill.py": "import reg\nreg.g.n = 3\n",
        "work.py": "import reg, fill\ndef f(x):\n    return x * reg.g.n\n",
    }
    assert of_files(files) == of_files(files)
    assert of_files(files) != of_files({**files, "fill.py": "import reg\nreg.g.n = 4\n"})


def test_a_statement_that_reaches_what_has_no_description_refuses_nothing(of_files: Of) -> None:
    text = "import colorsys, socket\nS = socket.socket()\nS.close()\ncolorsys.MINE = S\nK = 1\ndef f(x):\n    return colorsys, K\n"
    assert of_files(text) == of_files(text)
    assert of_files(text) != of_files(text.replace("K = 1", "K = 2"))


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("csv.register_dialect('mine', **json.load(open('w.json')))", "'w.json'"),
        ("csv.register_dialect('mine', delimiter=os.environ.get('DELIMITER', ';'))", "os.environ.get"),
        ("csv.register_dialect('mine', delimiter=os.getenv('DELIMITER', ';'))", "os.getenv"),
    ],
)
def test_what_such_a_statement_reads_is_warned_of(
    statement: str, name: str, of_files: Of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.json").write_text('{"delimiter": ";"}')
    monkeypatch.chdir(tmp_path)
    with pytest.warns(
        DynamicCodeWarning, match=f"work uses {name}: what that leads to isn't part of the key"
    ):
        of_files(f"import csv, json, os\n{statement}\ndef f(x):\n    return list(csv.reader(x, 'mine'))\n")


def test_functions_that_call_each_other_in_many_ways_are_looked_into_once(of_files: Of) -> None:
    calls = "".join(f"    h{n}()\n" for n in range(40))
    many = "".join(f"def h{n}():\n    if DONE:\n        return\n{calls}" for n in range(40))
    text = f"import colorsys\nDONE = True\n{many}h0()\ndef f(x):\n    return colorsys\n"
    assert of_files(text) == of_files(text)


def test_a_module_that_changes_itself_by_what_it_reads_ends(of_files: Of) -> None:
    text = (
        "import colorsys\ncolorsys.ONE = 1\ncolorsys.TWO = colorsys.ONE\ndef f(x):\n    return colorsys.TWO\n"
    )
    assert of_files(text) == of_files(text)


OWN = """
import ast, importlib, pkgutil, dataflow
from dataflow.memo.effects import effects_around
names = [one.name for one in pkgutil.walk_packages(dataflow.__path__, "dataflow.") if "__main__" not in one.name]
spaces = {name: vars(importlib.import_module(name)) for name in names}
used = {"json", "numpy", "pandas", "pyarrow", "dask", "distributed", "lxml", "re", "sys", "logging", "warnings"}
for one in effects_around(spaces, used, {}):
    print(one.module, ast.unparse(one.tree).splitlines()[-1].strip())
"""


def test_the_library_itself_does_nothing_of_the_kind() -> None:
    # Its modules aren't looked at for effects, which would take long.
    done = subprocess.run([sys.executable, "-c", OWN], stdout=subprocess.PIPE, text=True, check=True)
    # How a process that was begun here finds its modules is no matter of results.
    assert done.stdout.splitlines() == ["dataflow.engine.forked os.environ.pop(name, None)"]
