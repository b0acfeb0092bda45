"""What a function's own code says, and which names it reads: the raw material of a fingerprint.

The code is told by its syntax tree, without docstrings and positions, where the source at hand is the source
that was loaded: it is compiled again and compared with the live function. Where it isn't (a file edited after
its import, a function made by ``exec``, a lambda), the instructions tell it, again without positions.
"""

from __future__ import annotations
import __future__

import ast
import copy
import dis
import functools
import itertools
import linecache
import operator
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, TypeVar

from dataflow.memo.keys import encode, tagged

__all__ = [
    "TRANSPARENT",
    "Import",
    "Reads",
    "describe_function",
    "last_name",
    "node_of",
    "once",
    "parsed",
    "reads",
    "survives_imports",
    "syntax_of",
]

T = TypeVar("T")
Chain = tuple[str, ...]
_Definition = ast.FunctionDef | ast.AsyncFunctionDef
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_HAS_DOCSTRING = 0x4000000
_FUTURE = functools.reduce(
    operator.or_, (getattr(__future__, n).compiler_flag for n in __future__.all_feature_names)
)
_MOST_FILES = 1024  # with fewer than a project has, each is parsed again for each of its functions
# What is in a closure is walked as the closure's: a name there says nothing of a global of the same name.
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_ALL = frozenset({"Exception", "BaseException"})
# How local names are loaded, and those of a function around.
_FROM_HERE = re.compile(r"LOAD_(FAST|DEREF|CLASSDEREF|FROM_DICT_OR_DEREF)")
# Between a name and its attribute, or an import and its names, these change nothing.
TRANSPARENT = {"PUSH_NULL", "CACHE", "EXTENDED_ARG", "NOP", "PRECALL"}


@dataclass(frozen=True, order=True)
class Import:
    """An import statement inside a function.

    Attributes:
        module: its dotted name.
        level: how many dots are before it.
        names: empty for ``import module``.
        alias: whether it is ``import package.module as name``, which binds the module itself and not its package.
        bound: the local name that ``import module`` binds; empty where it is also a global, a class's or another
            function's.
        binds: likewise, of each of the names of ``from module import ...``.
    """

    module: str
    level: int
    names: tuple[str, ...]
    alias: bool = False
    bound: str = ""
    binds: tuple[str, ...] = ()


@dataclass
class Reads:
    """What code reads from outside: names with the attributes taken of them, and imports.

    Attributes:
        chains: of globals.
        imports: inside of it.
        local: chains of local names that imports bind.
        loose: attributes that are taken of anything else, such as a local or what a call gave.
    """

    chains: set[Chain] = field(default_factory=set)
    imports: set[Import] = field(default_factory=set)
    local: set[Chain] = field(default_factory=set)
    loose: set[str] = field(default_factory=set)


def describe_function(code: CodeType) -> bytes:
    """A function's own code as bytes: the same after a comment, a move, or another docstring."""
    return once(code, "described", _describe)


def _describe(code: CodeType) -> bytes:
    node = _lambda_of(code) if code.co_name == "<lambda>" else node_of(code)
    if node is None:
        return tagged(b"bytecode", _instructions(code))
    return tagged(b"syntax", _dump(node).encode("utf-8", "surrogatepass"))


def reads(code: CodeType) -> Reads:
    """The names that ``code``, and the code nested in it, looks up outside of itself."""
    return once(code, "reads", _reads)


def _reads(code: CodeType) -> Reads:
    found = Reads()
    nested = [(inner, list(dis.get_instructions(inner))) for inner in _nested(code)]
    for _, steps in nested:
        _find_imports(steps, found, elsewhere=code.co_freevars)
    modules = {bound for one in found.imports for bound in (one.bound, *one.binds) if bound}
    for inner, steps in nested:
        _find_chains(inner, steps, found, modules)
    return found


# Code can't be changed, and each run with a cache describes a hundred pieces of it. By identity, as equal code may come
# of different files; held together with its description, so that nothing else gets its identity.
_known: dict[tuple[int, str], tuple[CodeType, Any]] = {}
_MOST_KNOWN = 20_000


def once(code: CodeType, what: str, describe: Callable[[CodeType], T]) -> T:
    """What a function says of code, asked once; ``what`` is its name."""
    key = (id(code), what)
    found = _known.get(key)
    if found is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        found = _known[key] = (code, describe(code))
    result: T = found[1]
    return result


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _find_imports(steps: list[dis.Instruction], found: Reads, elsewhere: Collection[str]) -> None:
    """Import statements; names that are ``elsewhere``'s are read by others too."""
    constants: list[object] = []
    importing: tuple[str, int, bool] | None = None
    names: list[str] = []
    binds: list[str] = []
    for step in steps:
        if importing:
            module, depth, listed = importing
            stores = step.opname.startswith("STORE_")
            bound = _operands(step)[0] if stores else ""
            hidden = step.opname in ("STORE_GLOBAL", "STORE_NAME") or bound in elsewhere
            if step.opname == "IMPORT_FROM":
                names.append(str(step.argval))
            elif listed and step.opname == "POP_TOP":
                found.imports.add(Import(module, depth, tuple(names), binds=tuple(binds)))
                importing = None
            elif listed and stores:
                binds.append("" if hidden else bound)
            elif stores:
                found.imports.add(Import(module, depth, (), bool(names), "" if hidden else bound))
                importing = None
        if step.opname == "IMPORT_NAME":
            level, names_asked = constants[-2:] if len(constants) > 1 else (0, None)
            importing = (str(step.argval), level if isinstance(level, int) else 0, names_asked is not None)
            names, binds = [], []
        elif step.opname.startswith(("LOAD_CONST", "LOAD_SMALL_INT")):
            constants.append(step.argval)


def _find_chains(
    code: CodeType, steps: list[dis.Instruction], found: Reads, modules: Collection[str]
) -> None:
    """Names that are loaded with the attributes that are taken of them at once; ``modules`` are local ones."""
    chain: Chain = ()
    where = found.chains
    for step in steps:
        if step.opname in TRANSPARENT:
            continue
        if step.opname in _ATTRIBUTES and chain:
            chain = (*chain, str(step.argval))
            continue
        if chain:
            where.add(chain)
            chain = ()
        elif step.opname in _ATTRIBUTES:
            found.loose.add(str(step.argval))
        if step.opname in _LOADS:
            chain, where = (str(step.argval),), found.chains
        elif modules and _FROM_HERE.search(step.opname):
            # A cell that isn't taken out of is handed to a function inside, which is looked at too.
            cells = {*code.co_cellvars, *code.co_freevars} if "FAST" in step.opname else ()
            names = _operands(step)[step.opname.startswith("STORE_") :]
            # Python 3.13 loads two of them at once: of the first, nothing is taken.
            *bare, last = [(one,) if one in modules and one not in cells else () for one in names]
            found.local.update(one for one in bare if one)
            chain, where = last, found.local


def survives_imports(code: CodeType) -> bool:
    """Whether it goes on where an import of its own fails with any error: it stands in a ``try`` that catches all."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in TRANSPARENT]
    if not any(step.opname == "IMPORT_NAME" for step in steps):
        return False
    names = [step.opname for step in steps]
    # An `except:` of no type drops the error that it is given at once.
    if _ALL.isdisjoint(code.co_names) and ("PUSH_EXC_INFO", "POP_TOP") not in itertools.pairwise(names):
        return False
    handlers = {step.offset for step in steps if step.opname == "PUSH_EXC_INFO"}
    entries: Any = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]
    guarded = [range(e.start, e.end) for e in entries if e.target in handlers]
    return any(step.opname == "IMPORT_NAME" and any(step.offset in r for r in guarded) for step in steps)


def _operands(step: dis.Instruction) -> tuple[str, ...]:
    """The names that an instruction loads or stores, in order."""
    return step.argval if isinstance(step.argval, tuple) else (str(step.argval),)


def _instructions(code: CodeType) -> bytes:
    """Instructions with their operands, constants by value; no positions, no file, no docstring."""
    # A docstring is a constant that no instruction loads, so going by instructions leaves it out.
    parts = [
        encode((code.co_name, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)),
        encode((code.co_flags & ~_HAS_DOCSTRING, code.co_varnames, code.co_freevars, code.co_cellvars)),
        encode(getattr(code, "co_exceptiontable", b"")),
    ]
    for step in dis.get_instructions(code):
        parts.append(encode(step.opname))
        if step.opcode in dis.hasconst:
            parts.append(_constant(code.co_consts[step.arg or 0]))
        else:
            parts.append(encode(step.argval if isinstance(step.argval, (str, int)) else step.arg))
    return b"".join(parts)


def _constant(value: object) -> bytes:
    if isinstance(value, CodeType):
        return tagged(b"code", _instructions(value))
    if isinstance(value, tuple):
        return tagged(b"t", b"".join(map(_constant, value)))
    if isinstance(value, frozenset):
        return tagged(b"F", b"".join(sorted(map(_constant, value))))
    return encode(value)


def node_of(code: CodeType) -> _Definition | None:
    """The syntax of a ``def``, if its file still holds what was loaded."""
    if code.co_name.startswith("<"):
        return None
    linecache.checkcache(code.co_filename)
    source = "".join(linecache.getlines(code.co_filename))
    definitions = _definitions(source, code.co_filename) if source else {}
    # A comment that was put above it on the disk since moves its line, and changes nothing.
    twins = sorted(
        definitions.get(code.co_name, ()), key=lambda one: one[1].co_firstlineno != code.co_firstlineno
    )
    return next(
        (node for node, twin in twins if twin == code or _instructions(twin) == _instructions(code)), None
    )


def _lambda_of(code: CodeType) -> ast.Lambda | None:
    """The syntax of a ``lambda``, if its file still holds what was loaded. Of one that reads names of a function
    around it there is none: alone it would be other code.
    """
    linecache.checkcache(code.co_filename)
    source = "".join(linecache.getlines(code.co_filename))
    tree = parsed(source) if source and not code.co_freevars else None
    lines = _lambdas(tree) if tree is not None else {}
    described = _instructions(code) if code.co_firstlineno in lines else b""
    alone = ((node, _alone(node, code.co_flags & _FUTURE)) for node in lines.get(code.co_firstlineno, ()))
    return next((node for node, twin in alone if twin and _instructions(twin) == described), None)


@functools.lru_cache(maxsize=_MOST_FILES)
def _lambdas(tree: ast.Module) -> dict[int, list[ast.Lambda]]:
    """The lambdas of a module by their lines."""
    found: dict[int, list[ast.Lambda]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            found.setdefault(node.lineno, []).append(node)
    return found


def _alone(node: ast.Lambda, flags: int) -> CodeType | None:
    try:
        whole = compile(ast.Expression(node), "<lambda>", "eval", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return next((one for one in whole.co_consts if isinstance(one, CodeType)), None)


@functools.lru_cache(maxsize=_MOST_FILES)
def parsed(source: str) -> ast.Module | None:
    """The syntax of a module, which is kept and never to be changed; ``None`` where it isn't Python."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


@functools.lru_cache(maxsize=_MOST_FILES)
def _definitions(source: str, filename: str) -> dict[str, list[tuple[_Definition, CodeType]]]:
    """All functions of a file by name: their syntax, and what it compiles to."""
    tree = parsed(source)
    if tree is None:
        return {}
    try:
        # The text again: a tree is compiled by recursion, and each `elif` of a long chain is one deeper.
        module = compile(source, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return {}
    codes = {(c.co_name, c.co_firstlineno): c for c in _nested(module)}
    found: dict[str, list[tuple[_Definition, CodeType]]] = {}
    for node in _functions(tree.body):
        line = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        twin = codes.get((node.name, line))
        if twin is not None:
            found.setdefault(node.name, []).append((node, twin))
    return found


def _functions(statements: list[Any]) -> Iterator[_Definition]:
    """All functions below statements; no expression is looked into, since none holds a ``def``."""
    waiting = deque(statements)  # and no recursion: each `elif` of a long chain is one deeper
    while waiting:
        statement = waiting.popleft()
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement
        for name in ("body", "orelse", "handlers", "finalbody", "cases"):
            waiting += getattr(statement, name, [])


def _dump(node: _Definition | ast.Lambda) -> str:
    # What decorators and defaults evaluate to is walked as live values, so their text must not count:
    # another `@stage(timeout=...)` is no other function.
    bare = copy.copy(node)  # the tree is kept, and others of its functions hold parts of it
    bare.args = copy.copy(node.args)
    if not isinstance(bare, ast.Lambda):
        bare.decorator_list = []
    bare.args.defaults = [ast.Constant(None)] * len(node.args.defaults)
    bare.args.kw_defaults = [d and ast.Constant(None) for d in node.args.kw_defaults]
    return syntax_of(bare)


def last_name(node: ast.expr) -> str:
    """The name that is taken last: ``c`` of ``a.b.c``; empty for what isn't taken by name."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def syntax_of(node: ast.AST) -> str:
    """A tree as text, in a tenth of the time of copying, changing and dumping it: what can't matter is left out.

    That is: positions, docstrings, the order in which a set's constants are written, the prefix of `u"..."`, and
    whether a name is read or bound, which its place says.
    """
    said: list[str] = []
    _say(node, said.append)
    return "".join(said)


def _say(value: Any, say: Callable[[str], None]) -> None:
    if isinstance(value, ast.AST):
        say(f"{type(value).__name__}(")
        for name in value._fields:
            part = _told(value, name)
            if part is not None and part != []:
                say(f"{name}=")
                _say(part, say)
                say(",")
        say(")")
    elif isinstance(value, list):
        say("[")
        for one in value:
            _say(one, say)
            say(",")
        say("]")
    else:
        say(repr(value))


def _told(node: ast.AST, name: str) -> Any:
    """A part of a node, without what can't matter."""
    part: Any = getattr(node, name, None)
    if name in ("ctx", "kind"):  # the kind of a constant: whether it is written `u"..."`
        return None
    if name == "body" and isinstance(node, _DOCUMENTED):
        first = part[0]
        documented = isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str)
        return part[1:] if documented else part
    if name == "elts" and isinstance(node, ast.Set) and all(isinstance(e, ast.Constant) for e in node.elts):
        # Of two that are equal, such as 1 and True, the first one stays.
        values = {getattr(e, "value", None) for e in node.elts}
        different = len(values) == len({syntax_of(e) for e in node.elts})
        return sorted(node.elts, key=syntax_of) if different else part
    return part
