"""Stages and pipelines: what is done to a document, with no word on how it is run."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import io
import sys
import typing
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, BinaryIO, Generic, ParamSpec, TypeVar, overload

from dataflow.document import Document
from dataflow.errors import WorkloadError
from dataflow.limits import LONGEST_SECONDS

__all__ = ["Pipeline", "Stage", "is_iterator", "pipeline_of", "stage"]

DOCUMENT_FIELDS = tuple(f.name for f in dataclasses.fields(Document))

# How a function says that it takes the document as an open file; these, and the classes of ``io``.
_FILE_TYPES = [BinaryIO, typing.IO[bytes]]
_FILE_NAMES = frozenset(
    ("BinaryIO", "IO[bytes]", "IOBase", "RawIOBase", "BufferedIOBase", "BufferedReader", "BytesIO")
)

P = ParamSpec("P")
R = TypeVar("R")


class Stage(Generic[P, R]):
    """One function on a document's value, with what the engine has to know of it.

    Calling a stage calls the function. Make one with :func:`stage`.

    Attributes:
        name: the function's name; it names the node in the dashboard and the column in the report.
        function: the plain function.
        pure: its result depends on its argument and its code alone, so it may be memoized.
        version: changes the memo keys when the code can't show that the result changes (a model's weights).
        deps: what it depends on in ways that the fingerprint can't see: functions, modules, data; a ``Path`` for the
            content of a file or folder.
        ignore: names of globals that don't matter to the result (loggers, counters).
        thread_safe: when false, one thread of a process at a time runs it.
        timeout_seconds: a limit a document for this stage; ``None`` takes the strategy's.
        document_fields: the fields of the document that the result depends on, where the function takes it;
            they are part of the memo key. All of them if not said otherwise.
        cache_errors: exceptions that the same document always ends in; a cache keeps them for a while as it
            keeps a value. Never memory, time-outs and cancellations, whatever is said here.
        wants_document: the function takes ``(data, document)``.
        takes_file: it takes the document as an open binary file and not as bytes, since its argument is annotated
            ``BinaryIO``, ``IO[bytes]`` or as one of the binary classes of :mod:`io`.
        streams: it returns its result piece by piece: it is a generator, or annotated ``-> Iterator[...]``.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        pure: bool = True,
        version: str | None = None,
        deps: Iterable[Any] = (),
        ignore: Iterable[str] = (),
        thread_safe: bool = True,
        timeout: float | None = None,
        document_fields: Iterable[str] = DOCUMENT_FIELDS,
        cache_errors: Iterable[type[Exception]] = (),
    ) -> None:
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise WorkloadError(f"stage {_name(function)!r} must be a plain function, not {_kind(function)}.")
        if timeout is not None and not 0 < timeout <= LONGEST_SECONDS:
            raise WorkloadError(
                f"stage {_name(function)!r}: timeout must be seconds above 0 and up to 30 days."
            )
        functools.update_wrapper(self, function)
        self.function = function
        self.name = _name(function)
        self.pure = pure
        self.version = version
        self.deps = tuple(deps)
        self.ignore = tuple(ignore)
        self.thread_safe = thread_safe
        self.timeout_seconds = timeout
        self.document_fields = tuple(document_fields)
        self.cache_errors = tuple(cache_errors)
        if not all(isinstance(e, type) and issubclass(e, Exception) for e in self.cache_errors):
            raise WorkloadError(f"stage {self.name!r}: cache_errors must be classes of exceptions.")
        unknown = sorted(set(self.document_fields) - set(DOCUMENT_FIELDS))
        if unknown:
            raise WorkloadError(f"stage {self.name!r}: a document has no field {unknown[0]!r}.")
        self.wants_document = _arguments(function, self.name) == 2
        self.takes_file = _takes_file(function)
        self.streams = inspect.isgeneratorfunction(_annotated(function)) or is_iterator(self.returns)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<stage {self.name}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        # The decorated name holds the stage and not the function. So a stage of an importable module is
        # pickled as a reference to itself, and any other by its parts, or a worker would look the function
        # up and find the stage.
        if self.importable:
            return str(self.function.__qualname__)
        return _remake, (self.function, self.options)

    def replace(self, **changes: Any) -> Stage[..., Any]:
        """Another stage with some choices changed: ``function``, ``version`` and the other arguments."""
        return Stage(**{"function": self.function, **self.options, **changes})

    @property
    def options(self) -> dict[str, Any]:
        """What it was made with besides its function, by the names of :func:`stage`'s arguments."""
        return {
            "pure": self.pure,
            "version": self.version,
            "deps": self.deps,
            "ignore": self.ignore,
            "thread_safe": self.thread_safe,
            "timeout": self.timeout_seconds,
            "document_fields": self.document_fields,
            "cache_errors": self.cache_errors,
        }

    @property
    def importable(self) -> bool:
        """Whether it travels to other processes as a reference, so that they run their own copy of its module."""
        from cloudpickle import list_registry_pickle_by_value

        module, name = (
            getattr(self.function, "__module__", None),
            getattr(self.function, "__qualname__", None),
        )
        # A partial has no name, and a module of its own class's.
        if name is None or module in (None, "__main__") or module in list_registry_pickle_by_value():
            return False
        return getattr(sys.modules.get(module), name, None) is self

    @property
    def returns(self) -> Any:
        """The resolved return annotation, or ``inspect.Signature.empty``."""
        try:
            return typing.get_type_hints(_annotated(self.function)).get("return", inspect.Signature.empty)
        except (NameError, TypeError):
            return inspect.Signature.empty


def _remake(function: Callable[..., Any], options: dict[str, Any]) -> Stage[..., Any]:
    return Stage(function, **options)


@overload
def stage(function: Callable[P, R], /) -> Stage[P, R]: ...
@overload
def stage(
    *,
    pure: bool = True,
    version: str | None = None,
    deps: Iterable[Any] = (),
    ignore: Iterable[str] = (),
    thread_safe: bool = True,
    timeout: float | None = None,
    document_fields: Iterable[str] = DOCUMENT_FIELDS,
    cache_errors: Iterable[type[Exception]] = (),
) -> Callable[[Callable[P, R]], Stage[P, R]]: ...
def stage(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a stage of a plain function.

    Use it bare (``@stage``) or with options (``@stage(thread_safe=False, timeout=30)``).

    Args:
        function: takes the value of the stage before; the first stage of a pipeline takes the document's
            bytes, or the document as an open file if the parameter is annotated ``BinaryIO``; and the
            :class:`~dataflow.Document` too if it has a second parameter. It may return an iterator: the stage after
            it pulls its pieces, so that a long document is never whole in memory.
        **options: ``pure``, ``version``, ``deps``, ``ignore``, ``thread_safe``, ``timeout`` (seconds a
            document), ``document_fields`` and ``cache_errors``, as described at :class:`Stage`.

    Raises:
        WorkloadError: it isn't a plain function of one or two arguments, or an option is out of range.
    """
    if function is None:
        return lambda f: Stage(f, **options)
    return Stage(function, **options)


class Pipeline:
    """Stages in order.

    Args:
        *stages: stages or plain functions, the first of which takes the document's bytes or the open document.

    Raises:
        WorkloadError: there is no stage, two have one name, or one can't be called with one value.
    """

    def __init__(self, *stages: Stage[..., Any] | Callable[..., Any]) -> None:
        if not stages:
            raise WorkloadError("a pipeline needs at least one stage: Pipeline(extract, chunk).")
        self.stages: tuple[Stage[..., Any], ...] = tuple(
            s if isinstance(s, Stage) else Stage(s) for s in stages
        )
        names = [s.name for s in self.stages]
        doubled = sorted({n for n in names if names.count(n) > 1})
        if doubled:
            raise WorkloadError(f"two stages are called {doubled[0]!r}; a stage's name must be its own.")
        for later in self.stages[1:]:
            if later.wants_document:
                raise WorkloadError(f"stage {later.name!r}: only the first stage may take (data, document).")
            if later.takes_file:
                raise WorkloadError(f"stage {later.name!r}: only the first stage may take an open file.")

    @property
    def takes_file(self) -> bool:
        """The first stage takes the document as an open file."""
        return self.stages[0].takes_file

    def __call__(self, data: bytes | BinaryIO, document: Document | None = None) -> Any:
        """Run all stages on one document, here and now. Whatever a stage raises comes through.

        Args:
            data: its bytes. An open file does as well where the first stage takes one; it stays open.
            document: for a first stage that takes ``(data, document)``.

        Returns:
            What the last stage returned; a list of its pieces where that is an iterator.
        """
        with contextlib.ExitStack() as stack:
            value: Any = data
            if self.takes_file and isinstance(data, bytes | bytearray | memoryview):
                value = stack.enter_context(io.BytesIO(data))
            for index, stage in enumerate(self.stages):
                value = stage(value, document) if index == 0 and stage.wants_document else stage(value)
                if isinstance(value, Generator):
                    stack.callback(value.close)  # it may hold the file, or a parser's document
            return list(value) if isinstance(value, Iterator) else value

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(s.name for s in self.stages)})"


def _name(function: Any) -> str:
    function = _called(function)
    return str(getattr(function, "__name__", type(function).__name__))


def _called(function: Any) -> Any:
    """What a partial calls in the end."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _annotated(function: Any) -> Any:
    """What holds the annotations of a callable: of an object with a ``__call__``, that."""
    called = _called(function)
    return called if hasattr(called, "__name__") else called.__call__


def _kind(function: Any) -> str:
    return "a coroutine function" if inspect.iscoroutinefunction(function) else type(function).__name__


def is_iterator(annotation: Any) -> bool:
    """Whether an annotation says that the value is an iterator: ``Iterator[str]``, ``Generator[str, None, None]``."""
    return (typing.get_origin(annotation) or annotation) in (Iterator, Generator)


def pipeline_of(stages: object) -> Pipeline:
    """A pipeline as it is, or one of a single stage or function, or of a list of these.

    Raises:
        WorkloadError: it is nothing of the kind.
    """
    if isinstance(stages, Pipeline):
        return stages
    several: list[Any] = list(stages) if isinstance(stages, list | tuple) else [stages]
    if not all(callable(one) for one in several):
        raise WorkloadError(
            f"{stages!r:.80} isn't a pipeline: say Pipeline(extract, chunk), of functions or stages."
        )
    return Pipeline(*several)


def _takes_file(function: Callable[..., Any]) -> bool:
    """Whether the first parameter is annotated as an open binary file."""
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    kind = first.annotation if first else None
    if isinstance(kind, str):
        try:
            kind = typing.get_type_hints(_annotated(function))[first.name] if first else None
        except (NameError, TypeError, KeyError):  # imported for type checkers alone: the name has to do
            return str(kind).removeprefix("typing.").removeprefix("io.") in _FILE_NAMES
    if inspect.isclass(kind) and kind is not BinaryIO:
        return issubclass(kind, io.IOBase) and not issubclass(kind, io.TextIOBase)
    return kind in _FILE_TYPES


def _arguments(function: Callable[..., Any], name: str) -> int:
    """How many positional arguments the function needs: 1, or 2 for ``(data, document)``."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is p.empty]
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(needed) > 2 or keywords or not (positional or any(p.kind is p.VAR_POSITIONAL for p in parameters)):
        raise WorkloadError(f"stage {name!r} must take one value, or (data, document) if it is the first.")
    return 2 if len(needed) == 2 or (len(positional) > 1 and positional[1].name == "document") else 1
