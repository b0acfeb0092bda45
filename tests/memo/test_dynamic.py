"""What leads to code or content unseen is warned of, however it is reached: made-up names, files, the environment."""

# ruff: noqa: E501 - programs read better line by line

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from dataflow.memo.code import reads
from dataflow.memo.fingerprint import DynamicCodeWarning, fingerprint
from dataflow.memo.notices import Notices

THERE = os.__file__  # some file that is there
UNSEEN = {
    "eval": "def f(x):\n    return eval(x)\n",
    "exec": "def f(x):\n    exec(x)\n",
    "compile": "def f(x):\n    return compile(x, '', 'eval')\n",
    "locals": "def f(x):\n    return locals()[x]\n",
    "globals": "def f(x):\n    return globals()[x]()\n",
    "__import__": "def f(x):\n    return __import__(x).f\n",
    "import_module": "import importlib\ndef f(x):\n    return importlib.import_module(x).f()\n",
    "import_module by another name": "import importlib as il\ndef f(x):\n    return il.import_module(x)\n",
    "import_module by itself": "from importlib import import_module\ndef f(x):\n    return import_module(x)\n",
    "import_module within": "def f(x):\n    from importlib import import_module\n    return import_module(x)\n",
    "importlib within": "def f(x):\n    import importlib\n    return importlib.import_module(x)\n",
    "importlib as within": "def f(x):\n    import importlib as il\n    return il.import_module(x)\n",
    "importlib in a local": "import importlib\ndef f(x):\n    il = importlib\n    return il.import_module(x)\n",
    "getattr": "import importlib\ndef f(x):\n    return getattr(importlib, 'import_module')(x)\n",
    "sys.modules": "import sys\ndef f(x):\n    return sys.modules[x].f()\n",
    "sys.modules within": "def f(x):\n    import sys\n    return sys.modules[x].f()\n",
    "modules within": "def f(x):\n    from sys import modules\n    return modules[x].f()\n",
    "modules as a global": "import sys\nM = sys.modules\ndef f(x):\n    return M[x].f()\n",
    "builtins.globals": "import builtins\ndef f(x):\n    return builtins.globals()[x]\n",
    "builtins within": "def f(x):\n    import builtins\n    return builtins.eval(x)\n",
    "__builtins__": "def f(x):\n    return __builtins__['eval'](x)\n",
    "a default": "import importlib\ndef f(x, load=importlib.import_module):\n    return load(x)\n",
    "a closure": "def make(load):\n    def f(x):\n        return load(x)\n    return f\nf = make(eval)\n",
    "a table of them": "import importlib\nLOAD = {'m': importlib.import_module}\ndef f(x):\n    return LOAD['m'](x)\n",
    "a partial": "import functools\nload = functools.partial(eval)\ndef f(x):\n    return load(x)\n",
    "a class": "import importlib\nclass C:\n    def get(self, x):\n        return importlib.reload(x)\nf = C().get\n",
    "a nested function": "import sys\ndef f(x):\n    return [sys.modules[y] for y in x]\n",
    "a frame": "import sys\ndef f(x):\n    return sys._getframe().f_globals[x]\n",
    "a file": "import runpy\ndef f(x):\n    return runpy.run_path(x)\n",
    "a spec": "import importlib.util\ndef f(x):\n    return importlib.util.spec_from_file_location(x, x)\n",
    "a resolved name": "def f(x):\n    from pkgutil import resolve_name\n    return resolve_name(x)\n",
}  # fmt: skip
UNSEEN |= {
    "another's globals": "def f(x):\n    return f.__globals__[x]\n",
    "the globals of a local": "def f(x):\n    return x.__globals__['h']\n",
    "a frame's globals": "def f(x):\n    return x.tb_frame.f_globals['h']\n",
    "a module that is found": "import inspect\ndef f(x):\n    return inspect.getmodule(x).h\n",
    "a source": "import inspect\ndef f(x):\n    return inspect.getsource(x)\n",
    "classes named in data": "import logging.config\ndef f(x):\n    logging.config.dictConfig(x)\n",
    "a package's file": "import pkgutil\ndef f(x):\n    return pkgutil.get_data('p', x)\n",
    "a package's files": "import importlib.resources as r\ndef f(x):\n    return r.files(x)\n",
    "a file of its own": "def f(x):\n    return open('words.txt').read()\n",
    "a file of its own, as bytes": "import io\ndef f(x):\n    with io.open('words.txt', 'rb') as file:\n        return file.read()\n",
    "a file that a global names": "from pathlib import Path\nWORDS = Path('words.txt')\ndef f(x):\n    return open(WORDS).read()\n",
    "a path's text": "from pathlib import Path\nWORDS = Path('words.txt')\ndef f(x):\n    return WORDS.read_text()\n",
    "a file beside a path": "from pathlib import Path\nDATA = Path('data')\ndef f(x):\n    return (DATA / x).read_text()\n",
    "a file whose name has a mode's letters": "from pathlib import Path\nDATA = Path('data')\ndef f(x):\n    return open(DATA / 'words').read()\n",
    "a file that a setting names": "from types import SimpleNamespace as N\nfrom pathlib import Path\nC = N(vocab=Path('v'))\ndef f(x):\n    return open(C.vocab).read()\n",
    "a file that a table names": "from pathlib import Path\nC = {'vocab': Path('v')}\ndef f(x):\n    return open(C['vocab']).read()\n",
    "a file that is there": f"import os\nDIR = {os.path.dirname(os.__file__)!r}\ndef f(x):\n    return open(os.path.join(DIR, x)).read()\n",
    "templates": "import jinja2\nE = jinja2.Environment(loader=jinja2.FileSystemLoader('.'))\ndef f(x):\n    return E.get_template(x)\n",
    "templates of a loader made inside": "import jinja2\ndef f(x):\n    return jinja2.Environment(loader=jinja2.FileSystemLoader('prompts')).get_template(x)\n",
    "templates of a loader by its name": "from jinja2 import Environment, FileSystemLoader\ndef env():\n    return Environment(loader=FileSystemLoader('prompts'))\ndef f(x):\n    return env().get_template(x)\n",
    "templates of a loader of ones own": "import jinja2\nclass Mine(jinja2.FileSystemLoader):\n    pass\nE = jinja2.Environment(loader=Mine('prompts'))\ndef f(x):\n    return E.get_template(x)\n",
    "a file that a query names": f"import duckdb\ndef f(x):\n    return duckdb.sql(\"from '{THERE}'\")\n",
    "files that a query names": f"import duckdb\nQ = \"from read_csv('{os.path.dirname(os.__file__)}/*.py')\"\ndef f(x):\n    return duckdb.sql(Q)\n",
    "a folder of a table's files": "import pyarrow.dataset as ds\ndef f(x):\n    return ds.dataset('prompts', format='csv').to_table()\n",
    "a folder": "from pathlib import Path\nDATA = Path('data')\ndef f(x):\n    return list(DATA.iterdir())\n",
    "a table": "import pandas as pd\ndef f(x):\n    return pd.read_csv('table.csv')\n",
    "a tree": f"import xml.etree.ElementTree as ET\ndef f(x):\n    return ET.parse({THERE!r})\n",
    "settings": f"import configparser\ndef f(x):\n    c = configparser.ConfigParser()\n    c.read({THERE!r})\n    return c\n",
    "a table of fixed widths": "import pandas as pd\ndef f(x):\n    return pd.read_fwf('table.txt')\n",
    "lines": f"import fileinput\ndef f(x):\n    return list(fileinput.input({THERE!r}))\n",
    "a program": "import subprocess\ndef f(x):\n    return subprocess.run(['tool'], input=x)\n",
    "a program's output": "from subprocess import check_output\ndef f(x):\n    return check_output(['tool', x])\n",
    "a shell": "import os\ndef f(x):\n    return os.popen(x).read()\n",
    "what lies beside it": "from pathlib import Path\ndef f(x):\n    return Path(__file__).with_name('a').read_text()\n",
    "the environment": "import os\ndef f(x):\n    return os.environ['MODE']\n",
    "a variable of the environment": "from os import getenv\ndef f(x):\n    return getenv('MODE')\n",
}  # fmt: skip
READ = "from pathlib import Path\nimport dataclasses, functools\ndef read(path):\n    return Path(path).read_text()\n"
UNSEEN |= {
    f"{where}, and another function reads": READ + text
    for where, text in {
        "a global names a file": "WORDS = Path('words.txt')\ndef f(x):\n    return read(WORDS)\n",
        "a text names a file": f"def f(x):\n    return read({THERE!r})\n",
        "a default names a file": f"def load(path={THERE!r}):\n    return read(path)\ndef f(x):\n    return load()\n",
        "a closure names a file": "def made(path):\n    return lambda x: read(path)\nf = made(Path('words.txt'))\n",
        "a class names a file": f"class C:\n    words = {THERE!r}\n    def get(self):\n        return read(self.words)\ndef f(x):\n    return C().get()\n",
        "an object names a file": f"@dataclasses.dataclass\nclass C:\n    words: str\nS = C({THERE!r})\ndef f(x):\n    return read(S.words)\n",
        "a partial names a file": f"f = functools.partial(read, {THERE!r})\n",
    }.items()
}
# In a folder that has a folder ``prompts``.
UNSEEN |= {
    "a folder that is joined": "import os\ndef f(x):\n    return open(os.path.join('prompts', x)).read()\n",
    "a folder in a text": "PROMPTS = 'prompts'\ndef f(x):\n    return open(f'{PROMPTS}/{x}.txt').read()\n",
    "a folder in a sum": "PROMPTS = 'prompts'\ndef f(x):\n    return open(PROMPTS + '/' + x).read()\n",
    "a folder as a path": "from pathlib import Path\ndef f(x):\n    return (Path('prompts') / x).read_text()\n",
    "a template": "PROMPT = 'prompts/{}.txt'\ndef f(x):\n    return open(PROMPT.format(x)).read()\n",
    "an old template": "def f(x):\n    return open('prompts/%s.txt' % x).read()\n",
    "a pickle": f"import pandas as pd\ndef f(x):\n    return pd.read_pickle({THERE!r})\n",
    "a reader by another name": f"from pandas import read_csv as rc\ndef f(x):\n    return rc({THERE!r})\n",
    "open by another name": f"from io import open as op\ndef f(x):\n    return op({THERE!r})\n",
    "a path's method": "from pathlib import Path\nread = Path('words.txt').read_text\ndef f(x):\n    return read()\n",
    "a method by its name": "from pathlib import Path\nW = Path('w')\ndef f(x):\n    return getattr(W, 'read_text')()\n",
    "a file's size": f"import os\ndef f(x):\n    return os.path.getsize({THERE!r})\n",
    "a file that is read and one that is written": f"def f(x):\n    open('log', 'w').write(x)\n    return open({THERE!r}).read()\n",
    "a short text that is no mode": f"def f(x):\n    return x == 'a' and open({THERE!r}).read()\n",
    "a default that is no mode": f"def f(x, tag='x'):\n    return open({THERE!r}).read()\n",
    "a client": "import redis\nR = redis.Redis()\ndef f(x):\n    return R.get(x)\n",
    "a path with variables": "import os\ndef f(x):\n    return os.path.expandvars(x)\n",
    "the command line": "import sys\ndef f(x):\n    return sys.argv[1]\n",
    "settings of the environment": "import sys, types\nclass BaseSettings: pass\nBaseSettings.__module__ = 'pydantic_settings.main'\nclass S(BaseSettings): pass\ndef f(x):\n    return S()\n",
}  # fmt: skip
SEEN = {
    "a file of its argument's": "def f(x):\n    return open(x).read(), x.open('rb'), x.read_text()\n",
    "a file that is written": "def f(x):\n    open('log.txt', 'a').write(x)\n",
    "a file that a call names": "import tempfile\ndef f(x):\n    return open(tempfile.mkstemp()[1])\n",
    "a file in a folder of its own": "import os, tempfile\ndef f(x):\n    with tempfile.TemporaryDirectory() as d:\n        return open(os.path.join(d, 'a.pdf'), 'rb').read()\n",
    "a file in an archive": "import zipfile\ndef f(x):\n    return zipfile.ZipFile(x).open('word/document.xml').read()\n",
    "a text that is read": "import json\nURL = 'https://example.org/a'\ndef f(x):\n    return json.load(x), URL, 'utf-8', 'text/html', '1.2'\n",
    "a text that is parsed": "import xml.etree.ElementTree as ET\nimport ast\ndef f(x):\n    return ET.fromstring(x), ast.parse('a.b'), ET.parse(x)\n",
    "a text that is loaded": "import yaml\ndef f(x):\n    return yaml.load('!x 1', yaml.Loader), x.read(100)\n",
    "a path that nobody reads": "from pathlib import Path\ndef name(path, of=Path('b')):\n    return path.name, of.name\ndef f(x):\n    return name(Path('a'))\n",
    "a file that another function writes": "from pathlib import Path\nLOG = Path('log.txt')\ndef log(path, x):\n    open(path, 'a').write(x)\ndef f(x):\n    log(LOG, x)\n",
    "data that holds itself": "L = ['a']\nL.append(L)\ndef f(x):\n    return open(x).read(), L\n",
    "a word that is a folder's": "NAME = 'prompts'\ndef f(x):\n    return open(x).read(), NAME, x['prompts'], f'{x}/{NAME}'\n",
    "two files that are written": "from pathlib import Path\nLOG = Path('log')\ndef f(x):\n    LOG.open('w').write(x)\n    open(LOG, mode='ab').write(x)\n",
    "settings that were made": "class BaseSettings:\n    pass\nBaseSettings.__module__ = 'pydantic_settings.main'\nclass S(BaseSettings):\n    k = 1\nS = S()\ndef f(x):\n    return S.k\n",
    "a path's name": "from pathlib import Path\nWORDS = Path('words.txt')\ndef f(x):\n    return WORDS.name\n",
    "a pattern": "import re\nP = re.compile('a')\ndef f(x):\n    return re.compile(x), P\n",
    "sys": "import sys\ndef f(x):\n    return sys.maxsize\n",
    "an own attribute": "import sys\ndef f(x):\n    return sys.maxsize, x.modules\n",
    "a module": "import importlib.metadata\ndef f(x):\n    return importlib.metadata.version(x)\n",
}


@pytest.fixture
def function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    def made(text: str) -> object:
        (tmp_path / "loads.py").write_text(text)
        (tmp_path / "prompts").mkdir()
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "loads", raising=False)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        return __import__("loads").f

    return made


@pytest.mark.parametrize("name", UNSEEN)
def test_what_leads_to_code_unseen_is_warned_of(name: str, function: Callable[[str], object]) -> None:
    with pytest.warns(DynamicCodeWarning, match="isn't part of the key; name it with deps="):
        fingerprint(function(UNSEEN[name]))


@pytest.mark.parametrize("name", SEEN)
def test_what_leads_to_no_such_code_is_not(name: str, function: Callable[[str], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fingerprint(function(SEEN[name]))


def test_what_a_quiet_look_came_by_is_said_where_it_can_be() -> None:
    notices = Notices()
    notices.path, notices.quiet = ("f", "WORDS"), True
    notices.unseen("WORDS")
    notices.quiet = False
    notices.named(Path("words.txt"))
    notices.code(reader.__code__, reads(reader.__code__), reader.__globals__)
    with pytest.warns(DynamicCodeWarning, match="f uses WORDS"):
        notices.files()


def reader(path):  # type: ignore[no-untyped-def]
    return path.read_text()
