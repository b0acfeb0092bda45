"""The walk behind a fingerprint: from a function to everything first-party that its result depends on.

Functions, classes and objects are nodes: numbered when first met, described once, referred to by number ever after,
so that recursion, mutual or not, ends. They wait in a queue, so that a chain of a thousand helpers needs no
deep stack. Plain data is described by content and never by identity: ``[a, a]`` and two equal lists are one thing.
"""

from __future__ import annotations

import ast
import enum
import functools
import os
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from dataflow.memo.asides import asides, asks_for
from dataflow.memo.bindings import (
    Binding,
    Finder,
    attached_bindings,
    attribute_bindings,
    default_bindings,
    defaults_of,
    local_bindings,
    root_bindings,
    stored,
)
from dataflow.memo.chains import chain_parts, derived_classes
from dataflow.memo.classes import class_parts
from dataflow.memo.code import describe_function, last_name, reads, syntax_of
from dataflow.memo.dynamic import unseen_by_name
from dataflow.memo.effects import Effect, Spaces, effects_around
from dataflow.memo.hints import hints_of
from dataflow.memo.imports import import_parts
from dataflow.memo.keys import LEAVES, Uncacheable, digest, encode, of_leaves, tagged
from dataflow.memo.notices import Notices
from dataflow.memo.objects import object_parts
from dataflow.memo.order import (
    FEW,
    arranged,
    follows_a_set,
    has_order,
    in_order_of_a_set,
    is_plain,
    lists_a_set,
    made_again,
    may_have_order,
    seems_ordered,
)
from dataflow.memo.origin import class_owner, installed_as, module_of
from dataflow.memo.queries import files_in, queried
from dataflow.memo.running import top_of
from dataflow.memo.special import contents, file_digest, filled_by_calls, importable, kept_in, special
from dataflow.memo.texts import is_edited
from dataflow.sources import usual_name

__all__ = ["Walk"]


_OPENING = re.compile("open|parse|load|read|file|url|connect", re.IGNORECASE)
_LONGEST_WAY = 12
_MOST_VISITS, _MOST_TIMES = 20_000, 8
# Of what members of sets lead to: in all, for one, and what a set in a set counts for.
_MOST_INNER_VISITS, _FREE_VISITS, _INNER_WALK = 100_000, 50, 5
# Modules of Python's that name what is defined in others, by whatever name.
_FACADES = frozenset({"collections.abc", "typing"})
_OF_EVERY_MODULE = frozenset(vars(types.ModuleType("any"))) | frozenset(
    {
        "__file__",
        "__cached__",
        "__path__",
        "__builtins__",
        "__annotations__",
        "__annotate__",
        "__conditional_annotations__",
    }
)  # its docstring counts where docstrings do
_Makers = tuple[tuple[Finder, str], ...]


class Walk:
    """One walk. Call :meth:`root` for each thing to describe, then :meth:`finish`.

    Args:
        ignore: names of globals, closure variables and attributes that are left out.
        inside: identities of the sets that are being walked further out; for the walk's own use.

    Attributes:
        notices: what it warns of.
        is_bound: of which of somebody else's objects, such as clients and pools, only the kind is told.
        asked: what code that was met asks for that is told of all that was met: see :func:`asks_for`.
    """

    def __init__(self, ignore: frozenset[str] = frozenset(), inside: frozenset[int] = frozenset()) -> None:
        self._ignore = ignore
        self._inside = inside
        self.notices = Notices()
        self.is_bound: Callable[[object], bool] | None = None
        self._telling: frozenset[str] = frozenset()
        # First-party modules that were met, and the installed ones that are used.
        self._spaces: Spaces = {}
        self._used: set[str] = set()
        self._named: set[str] = set()  # what code takes of something that isn't seen
        self._saying: dict[
            int, object
        ] = {}  # objects that say themselves what their state is, by their identity
        self._kept: dict[
            int, object
        ] = {}  # functions with a cache, what is in it, and what isn't told in its order
        self._numbers: dict[int, int] = {}
        # What was numbered stays alive: a freed object's identity would be given to another one.
        self._alive: list[object] = []
        self._queue: deque[tuple[Callable[[Any], list[bytes]], Any, tuple[str, ...], _Makers]] = deque()
        self._open: list[int] = []
        self._makers: _Makers = ()
        self._made: dict[tuple[int, str], bytes] = {}
        self._visits, self._visited = 0, dict[int, object]()  # alive too
        self._left = [_MOST_INNER_VISITS]
        self._told: dict[tuple[str, int], bytes] = {}
        self.asked: set[str] = set()
        self._makings: dict[tuple[Finder, str], Binding | None] = {}
        self._finders: dict[type, Finder] = {}

    def root(self, value: object) -> bytes:
        """The description of one value; what it refers to waits in the queue."""
        self.notices.path = (str(getattr(value, "__qualname__", type(value).__qualname__)),)
        if isinstance(value, types.ModuleType):
            return self._module(value)
        maker = root_bindings(value)
        self._makers = (maker,) if maker else ()
        return self.value(value)

    @property
    def path(self) -> str:
        """The way to what the walk stands at."""
        return " -> ".join(self.notices.path)

    def finish(self) -> bytes:
        """The descriptions of all functions and classes that were met, in the order in which they were."""
        nodes, derived = [], 0
        while self._queue:
            describe, subject, self.notices.path, self._makers = self._queue.popleft()
            try:
                nodes.append(tagged(b"node", b"".join(describe(subject))))
            except Uncacheable:
                if not self.notices.quiet:
                    raise
            if not self._queue and "derived" in self.asked:
                fresh = [
                    one for one in self._alive[derived:] if isinstance(one, type) and not class_owner(one)
                ]
                derived = len(self._alive)
                nodes += [derived_classes(self, one) for one in fresh]
        return b"".join(nodes) + asides(self.asked, self._alive)

    def effects(self) -> bytes:
        """What the first-party modules that were met do to the installed ones when they are imported."""
        told: dict[tuple[str, int], bytes] = {}
        while True:
            effects = list(effects_around(self._spaces, self._used, self._saying, self._kept, self._named))
            fresh = [one for one in effects if (one.module, one.index) not in told]
            if not fresh:
                # In each module their order counts.
                modules = {one.module for one in effects}
                each = [b"".join(told[key] for key in sorted(told) if key[0] == name) for name in modules]
                return tagged(b"effects", b"".join(sorted(map(digest, each))))
            told |= {(one.module, one.index): self._effect(one) for one in fresh}

    def _effect(self, effect: Effect) -> bytes:
        names = isinstance(
            effect.tree.body[0], ast.Assign | ast.AnnAssign
        )  # which is told where the name is read
        if not self.notices.quiet and not names:
            # What it gives isn't described, as that of a global is, but for its text: what it reads has to be told.
            self.notices.at_import(effect.module, _compiled(effect.tree), effect.space)
        defined = effect.space.get(effect.defines)
        asked = asides(self.asked, [defined]) if effect.defines else b""  # a tool's docstring, perhaps
        return self._statements(effect.tree, effect.space, defined) + asked

    def _statements(self, tree: ast.Module, space: Mapping[str, Any], defined: object = None) -> bytes:
        """Statements by their text and what they read, as far as that can be said: nothing is refused for it."""
        text, code = syntax_of(tree), _compiled(tree)
        if text in self._telling:  # what they make is a part of what they read
            return digest(encode(text))
        if not self._telling and (text, id(space)) in self._told:
            return self._told[text, id(space)]
        walk = self._another()
        walk.notices.quiet, walk._telling = True, self._telling | {text}
        skipped = stored(tree) | {"__file__", "__name__"}
        try:
            chains = [chain for chain in sorted(reads(code).chains) if chain[0] not in skipped]
            parts = [chain_parts(walk, chain, space, code) for chain in chains]
            read = b"".join([*parts, walk.named("defined", defined)]) + walk.finish()
        except Exception:  # objects may do what they like when they are looked at
            read = b""
        told = digest(encode(text) + read)
        if not self._telling:
            self._alive.append(space)
            self._told[text, id(space)] = told
        return told

    def _another(self, inside: frozenset[int] = frozenset()) -> Walk:
        """A walk of its own, with numbers of its own; the modules that it meets are met by this one."""
        walk = Walk(self._ignore, self._inside | inside)
        walk._telling, walk.is_bound = self._telling, self.is_bound
        walk.notices.as_in(self.notices)
        walk._spaces, walk._used, walk._left, walk._told = self._spaces, self._used, self._left, self._told
        walk._named = self._named
        walk._saying, walk._kept, walk._finders = self._saying, self._kept, self._finders
        return walk

    def as_far_as_told(self, members: Mapping[str, Any]) -> bytes:
        """Named parts, without those that have no description: nothing is refused for them."""
        return self.tolerated(lambda walk: walk.items(members))

    def tolerated(self, describe: Callable[[Walk], bytes]) -> bytes:
        """A description, or nothing where there is none: nothing is refused for it, or warned of."""
        walk = self._another()
        walk.notices.quiet = True
        try:
            return digest(describe(walk) + walk.finish())
        except Exception:  # objects may do what they like when they are looked at
            return b""

    def how_made(self) -> bytes | None:
        """The statements that make what the walk stands at, and what holds it; ``None`` where none can be seen."""
        made = self._around()
        return b"".join(self._statements(one.tree, one.space) for one in made) if made else None

    def made_by(self, calls: Set[str]) -> bytes | None:
        """The statements that make what the walk stands at by a call of such a name, and all that they read; ``None``
        where none do, or they lead to a file.

        Raises:
            Uncacheable: what they read can't be described.
        """
        for made in self._around() if calls else ():
            called = {last_name(one.func) for one in ast.walk(made.tree) if isinstance(one, ast.Call)}
            if not made.is_given and calls & called and not any(map(_OPENING.search, called - calls)):
                walk = self._another()
                walk._telling = self._telling | {made.syntax}
                return digest(walk._statements_with_reads(made) + walk.finish())
        return None

    def _around(self) -> list[Binding]:
        """How what the walk stands at was made, and what holds it, as far as that can be seen."""
        for maker in self._makers:
            if (
                maker not in self._makings
            ):  # each module may be looked at for it, and many objects have one maker
                find, name = maker
                self._makings[maker] = find(name)
        return [made for maker in self._makers if (made := self._makings[maker]) is not None]

    def made_in(self, kind: type) -> Finder:
        """How the attributes of a class's objects were made, which is looked for once, however many there are."""
        find = self._finders.get(kind)
        if find is None:
            find = self._finders[kind] = functools.cache(attribute_bindings(kind))
        return find

    def says_its_state(self, value: object) -> None:
        """Takes note of an object that says itself what its state is: what is set on it elsewhere may not show."""
        self._saying[id(value)] = value

    def gives_again(self, function: object, results: Iterable[object]) -> None:
        """Takes note of a function with a cache, and of what is in it: what is done with either may show in neither."""
        found = [function, *results]
        found += [one for held in results if type(held) is dict for one in held.values()]
        self._kept |= {id(one): one for one in found if type(one) not in LEAVES}

    def uses(self, module: str) -> None:
        """Takes note of an installed module."""
        self._used.add(top_of(module))

    def _meets(self, module: str, owner: str | None, space: Mapping[str, Any]) -> None:
        if owner is not None:
            self.uses(module)
        elif self._spaces.setdefault(usual_name(module), space) is space and is_edited(space):
            raise self.refuse(f"{space.get('__file__')} was edited after it was loaded: load it again")

    def value(self, value: object) -> bytes:
        """The description of any value. Raises Uncacheable if it has none that is stable."""
        if type(value) in LEAVES:
            return encode(usual_name(value) if type(value) is str else value)
        # Nobody lists so many by chance as a set does.
        if in_order_of_a_set(value, FEW):
            self.notices.order()
        if of_leaves(value):
            return encode(value)
        self.notices.unseen_by(value)
        if value is sys.modules or value is os.environ:
            return tagged(b"unseen", b"")
        if id(value) in self._open:
            return tagged(b"cycle", encode(len(self._open) - self._open.index(id(value))))
        self._visits += 1
        self._left[0] -= bool(self._inside) and self._visits > _FREE_VISITS
        if self._left[0] < 0:
            raise self.refuse("it is of sets whose members lead to each other in too many ways")
        if self._visits > _MOST_VISITS and type(value) in (list, tuple, dict):
            self._visited.setdefault(id(value), value)
            if self._visits > _MOST_VISITS + _MOST_TIMES * len(self._visited):
                # Lists that hold each other in many ways have too many ways through them: each is told once.
                return self._node(lambda one: [self._described(one)], value)
        self._open.append(id(value))
        try:
            return self._described(value)
        finally:
            self._open.pop()

    def named(self, name: str, value: object, find: Finder | None = None) -> bytes:
        """A named part: a global, a closure variable, an attribute. Its name leads through error messages.

        ``find`` says how it was made, for what follows a set's order.
        """
        if name in self._ignore:
            return tagged(b"ignored", encode(name))
        outer, self.notices.path = self.notices.path, (*self.notices.path, name)
        self.notices.named(value)
        makers = self._makers
        # The global, and what is nearest: an object may be far down a chain of them.
        self._makers = (*makers[:1], *makers[1:][-2:], (find, name)) if find else makers
        try:
            made = self._in_order(name, value, find) if find and may_have_order(value) else None
            return encode(name) + (self.value(value) if made is None else made)
        except Uncacheable:
            if not self.notices.quiet:
                raise
            return encode(name)  # where nothing is refused, the rest is told
        finally:
            self.notices.path, self._makers = outer, makers

    def items(self, members: Mapping[str, Any], find: Finder | None = None) -> bytes:
        """Named parts in the order of their names."""
        return b"".join(self.named(name, members[name], find) for name in sorted(members))

    def ignores(self, name: str) -> bool:
        """Whether a name is left out."""
        return name in self._ignore

    def refuse(self, why: str) -> Uncacheable:
        """The error for the value that the walk stands at, with the way to it and the mend."""
        name = self.notices.path[-1]
        way = (
            self.notices.path
            if len(self.notices.path) <= _LONGEST_WAY
            else (*self.notices.path[:4], "...", *self.notices.path[-4:])
        )
        return Uncacheable(
            f"{' -> '.join(way)} can't be keyed: {why}. "
            f"If it doesn't change results, say ignore=[{name!r}]; if it does, also say version=."
        )

    def _described(self, value: Any) -> bytes:
        kind = type(value)
        if kind in (list, tuple):
            return tagged(b"l" if kind is list else b"t", b"".join(map(self.value, value)))
        if kind is dict:
            return tagged(b"d", b"".join(self.value(k) + self.value(v) for k, v in value.items()))
        if kind is types.MappingProxyType:
            return tagged(b"proxy", self.value(dict(value)))
        if kind in (set, frozenset):
            return tagged(b"S" if kind is set else b"F", self.unordered(value, id(value)))
        # What stands for a function, as the objects of some decorators do, says that it is one.
        if issubclass(kind, type):
            return self._node(self._class, value)
        if kind is types.FunctionType:
            return self._node(self._function, value)
        if issubclass(kind, types.ModuleType):
            return self._module(value)
        if issubclass(kind, enum.Enum):
            return tagged(b"enum", self.value(kind) + encode(value.name) + self.value(value.value))
        if kind.__module__ == "numpy":
            return self._array(value)
        known = special(self, value)
        return self._node(self._object, value) if known is None else tagged(b"is", known)

    def _array(self, value: Any) -> bytes:
        self.uses("numpy")
        try:
            return encode(value)
        except Uncacheable:
            return self._node(self._object, value)

    def _object(self, value: Any) -> list[bytes]:
        if self.is_bound and class_owner(type(value)) is not None and self.is_bound(value):
            return [self.value(type(value))]
        return [object_parts(self, value)]

    def _node(self, describe: Callable[[Any], list[bytes]], subject: object) -> bytes:
        number = self._numbers.get(id(subject))
        if number is None:
            number = self._numbers[id(subject)] = len(self._numbers)
            self._alive.append(subject)
            self._queue.append((describe, subject, self.notices.path, self._makers))
        return tagged(b"see", encode(number))

    def unordered(self, values: Iterable[object], owner: int) -> bytes:
        """Members described each on its own, then sorted: numbers would follow the order of iteration.

        ``owner`` is the identity of what they are members of.
        """
        if owner in self._inside:
            return b"again"
        described, kinds = [], dict[type, None]()
        for member in values:
            kind = type(member)
            if isinstance(member, enum.Enum) and importable(module_of(kind), kind.__qualname__) is kind:
                # Which its class tells, with all others of it.
                kinds[type(member)] = None
                home = (usual_name(module_of(type(member))), type(member).__qualname__)
                # A flag of several has a value, and perhaps no name.
                described.append(
                    digest(encode((*home, member.name, isinstance(member, enum.Flag) and member.value)))
                )
                continue
            self._left[0] -= _INNER_WALK * bool(self._inside)
            walk = self._another(frozenset({owner}))
            described.append(digest(walk.value(member) + walk.finish()))
        in_order = sorted(kinds, key=lambda kind: (usual_name(module_of(kind)), kind.__qualname__))
        return b"".join(sorted(described)) + b"".join(map(self.value, in_order))

    def _function(self, function: types.FunctionType) -> list[bytes]:
        code = function.__code__
        self.notices.place = (code.co_filename, code.co_firstlineno)
        module = str(function.__globals__.get("__name__") or function.__module__ or "")
        owner = installed_as(module)
        self._meets(module, owner, function.__globals__)
        if owner is not None:
            parts = [encode((owner, module, code.co_qualname))]
            if importable(module, code.co_qualname) is function:
                return parts
            if (module, code.co_name) == ("functools", "wrapper") and hasattr(function, "registry"):
                # singledispatch: its closure holds a cache too, which fills as it is used.
                return [*parts, self.unordered(vars(function)["registry"].items(), id(function))]
            # Two lambdas of one installed function share its name; their code tells them apart.
            parts.append(describe_function(code))
        else:
            names = (function.__name__, function.__qualname__)
            given = names if names != (code.co_name, code.co_qualname) else None
            parts = [describe_function(code), encode(given), self._reads(function)]
        find = None if owner else default_bindings(function)
        parts.append(tagged(b"defaults", self.items(defaults_of(function), find)))
        filled = filled_by_calls(module) if owner else frozenset()
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        held = {name: contents(cell) for name, cell in cells}
        if filled:
            self.gives_again(
                function, [one for name in filled & held.keys() for one in kept_in(held.pop(name))]
            )
        parts.append(self.items(held, local_bindings(function)))
        own = {name: one for name, one in vars(function).items() if name not in filled}
        parts.append(self.items(own, attached_bindings(function.__name__, function.__globals__)))
        if owner is None:
            parts.append(hints_of(self, function))
        return parts

    def _reads(self, function: types.FunctionType) -> bytes:
        code = function.__code__
        found, space = reads(code), function.__globals__
        self._named |= found.loose
        self.asked.update(asks_for(found, code, space))
        for name in unseen_by_name(code, found, space):
            self.notices.unseen(name)
        self.notices.code(code, found, space)
        if not self.notices.quiet:
            self.notices.opened(files_in(function, found))
        parts = [chain_parts(self, chain, space, code) for chain in sorted(found.chains)]
        for chain in queried(function, found):
            told = functools.partial(chain_parts, chain=chain, space=space, code=code)
            parts.append(encode(chain) + self.tolerated(told))
        parts += [import_parts(self, statement, space, code) for statement in sorted(found.imports)]
        return tagged(b"reads", b"".join(parts))

    def _in_order(self, name: str, value: object, find: Finder) -> bytes | None:
        """What follows a set's order is described by the statements that make it; ``None`` for all else."""
        binding = find(name)
        if binding is None or not follows_a_set(binding):
            if (binding is None or binding.is_given) and not name.startswith("__"):
                return self._in_order_around(value)
            return None
        if not has_order(value):
            if lists_a_set(binding):
                self.notices.order()
            return None
        which = (id(binding.space), binding.syntax)
        known = self._made.get(which)
        if known is not None:
            return tagged(b"made", known)
        plain = self._plain(value)
        if not any(self._plain(again) == plain for again in made_again(binding)):
            # Of lists and dicts of other things, that can be seen.
            other = type(value) in (list, tuple, dict) and not is_plain(value)
            if held := arranged(value, [binding]):
                return self._arranged(value, held, [binding])
            if not other or seems_ordered(value, [binding]):
                self.notices.order()
            return None
        self._alive.append(binding.space)
        self._made[which] = b"itself"
        known = self._made[which] = digest(self._statements_with_reads(binding))
        return tagged(b"made", known)

    def _statements_with_reads(self, made: Binding) -> bytes:
        """Statements by their text and what they read."""
        code = _compiled(made.tree)
        chains = (chain for chain in sorted(reads(code).chains) if chain[0] not in made.bound)
        return encode(made.syntax) + b"".join(chain_parts(self, chain, made.space, code) for chain in chains)

    def _in_order_around(self, value: object) -> bytes | None:
        """As :meth:`_in_order`, of what was made of an argument: the statements that gave it may say of what."""
        around = self._around()
        if not any(map(follows_a_set, around)):
            return None
        if held := arranged(value, around):
            return self._arranged(value, held, around)
        if seems_ordered(value, around):
            self.notices.order()
        return None

    def _arranged(self, value: object, held: tuple[str, list[Any]], made: list[Binding]) -> bytes:
        """What holds the members of a set in some order: by them, and by the statements that arrange them."""
        # The code that does it is told where it is met, and what else is done with them by this.
        self.gives_again(value, ())
        flags = getattr(value, "flags", None)
        statements = b"".join(self._statements(one.tree, one.space) for one in made)
        return tagged(b"arranged", encode((type(value).__qualname__, flags, *held)) + statements)

    def _plain(self, value: object) -> bytes:
        walk = Walk(self._ignore)
        walk.notices.quiet = True
        return walk.value(value)

    def _module(self, module: types.ModuleType) -> bytes:
        owner = installed_as(module.__name__)
        self._meets(module.__name__, owner, vars(module))
        if owner is not None:
            return tagged(b"module", encode((owner, module.__name__)))
        return self._node(self._whole_module, module)

    def _whole_module(self, module: types.ModuleType) -> list[bytes]:
        """A first-party module that is used as a value: any of its names may be meant, so all count."""
        file = getattr(module, "__file__", None)
        if file is not None and not str(file).endswith(".py"):
            return [file_digest(file)]
        own = {k: v for k, v in vars(module).items() if k not in _OF_EVERY_MODULE}
        return [tagged(b"whole module", self.items(own))]

    def _class(self, kind: type) -> list[bytes]:
        self._makers = ()  # it was there before what holds it
        owner, module = class_owner(kind), module_of(kind)
        self._meets(module, owner, getattr(sys.modules.get(module), "__dict__", {}))
        known = importable(module, kind.__qualname__) is kind or module in _FACADES
        if owner is not None and known:
            return [encode((owner, module, kind.__qualname__))]
        return class_parts(self, kind)


@functools.lru_cache(maxsize=8192)
def _compiled(tree: ast.Module) -> types.CodeType:
    """The code of statements, which are the same object each time and never changed."""
    return compile(tree, "<binding>", "exec", dont_inherit=True)
