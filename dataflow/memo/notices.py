"""What a fingerprint warns of: an order that no other process has, and what leads to code and content unseen."""

from __future__ import annotations

import os
import types
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataflow.memo.code import Reads, reads
from dataflow.memo.dynamic import dynamic_name, taken_of
from dataflow.memo.filenames import files_named, led_to, names_a_file, reads_files, written_names

__all__ = ["DynamicCodeWarning", "Notices", "SetOrderWarning"]


class DynamicCodeWarning(UserWarning):
    """A fingerprint can't see what ``eval`` and its like will run: say so with ``deps=`` or ``version=``."""


class SetOrderWarning(UserWarning):
    """A value seems to have the order of a set: other processes will not find what was kept. Sort it."""


class Notices:
    """The warnings of one walk.

    Attributes:
        path: the way to what the walk stands at, name by name.
        quiet: nothing is said.
        place: file and line of the function that the walk is in: what a reader can mend isn't here.
        files_are_known: whoever asks has named the files that are read; nothing is said of any.
    """

    def __init__(self) -> None:
        self.path: tuple[str, ...] = ()
        self.quiet = self.files_are_known = False
        self.place = (__file__, 1)
        self._said: set[str] = set()
        # Names of files by the name that they go by, the way to it and the place; and the code that may read them.
        self._files: dict[str, tuple[tuple[str, ...], tuple[str, int]]] = {}
        self._readers: list[types.CodeType] = []

    def as_in(self, other: Notices) -> None:
        """Go on where another walk stands, and as quietly."""
        self.path, self.quiet, self.place = other.path, other.quiet, other.place
        self._said, self._files, self._readers = other._said, other._files, other._readers
        self.files_are_known = other.files_are_known

    def order(self) -> None:
        """What the walk stands at has the order of a set, or may have it."""
        self._warn(
            SetOrderWarning,
            "may have the order of a set, which differs from process to process, so that what was kept isn't found: "
            "sort it",
        )

    def unseen(self, name: str) -> None:
        """What a name leads to can't be seen."""
        if self.quiet:  # it isn't said, and is to be where it can be
            return
        self._said.add(name)
        self._warn(
            DynamicCodeWarning,
            f"uses {name}: what that leads to isn't part of the key; "
            "name it with deps= (a file by its Path), or change version= when it changes",
        )

    def unseen_by(self, value: object) -> None:
        """The same of a value, if it is one that leads there."""
        name = dynamic_name(value)
        if name is not None:
            self.unseen(name)

    def named(self, value: object) -> None:
        """What the walk stands at may name a file, which code reads that is told of it."""
        if not self.quiet and names_a_file(value):
            self._files.setdefault(self.path[-1], (self.path, self.place))

    def code(self, code: types.CodeType, found: Reads, space: Mapping[str, Any]) -> None:
        """Code may name files, and may read those that it names, or is told of."""
        if self.quiet or self.files_are_known:
            return
        written = sorted(written_names(code))
        if reads_files(code, found, space):
            self._readers.append(code)
            for name in (*files_named(code, found, space), *written):
                self.unseen(name)
        for name in written:
            self._files.setdefault(name, ((*self.path, name), self.place))

    def at_import(self, module: str, code: types.CodeType, space: Mapping[str, Any]) -> None:
        """A statement of a module, which acts on installed code when that is imported, may read files or settings."""
        self.path, self.place = (module,), (str(space.get("__file__")), code.co_firstlineno)
        found = reads(code)
        if not self.files_are_known and reads_files(code, found, space):
            for name in (*files_named(code, found, space), *sorted(written_names(code))):
                self.unseen(name)
        for chain in sorted(found.chains):
            asked = led_to(chain, space)
            if asked is os.getenv or (asked is os.environ and chain[-1] == "get"):
                self.unseen(".".join(chain))

    def opened(self, names: Iterable[str]) -> None:
        """Code opens files of these names."""
        for name in () if self.files_are_known else names:
            self.unseen(name)

    def files(self) -> None:
        """At the end: the files that are named somewhere, where some code reads files."""
        for name, (path, place) in self._files.items() if self._readers else ():
            if name not in self._said:
                self.path, self.place = path[:-1], place
                self.unseen(name)

    def unseen_in(self, module: object, names: Sequence[str], code: types.CodeType) -> None:
        """The same of what is taken of an installed module, of which no code is read: some leads to code of ours."""
        for name in names:
            if not isinstance(module, types.ModuleType):
                return
            module = getattr(module, name, None)
            self.unseen_by(module)
        if isinstance(module, types.ModuleType):
            for found in taken_of(module, code):
                self.unseen_by(found)

    def _warn(self, category: type[Warning], text: str) -> None:
        if not self.quiet:
            warnings.warn_explicit(
                f"{' -> '.join(self.path)} {text}.", category, *self.place, registry=_warned
            )


_warned: dict[Any, Any] = {}
