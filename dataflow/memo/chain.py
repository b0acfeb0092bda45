"""The keys of a pipeline's memoized stages.

The value of the whole chain is asked for first, by one key of the document's content (or state) and all stages'
fingerprints: a hit skips everything before it. Where that misses, each stage is asked for by its own
fingerprint and the digest of the result before it, and by nothing further upstream: an edit that leaves a result
as it was recomputes nothing after it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dataflow.document import Document
from dataflow.errors import one_line
from dataflow.memo.keys import Key, Uncacheable, digest, encode, memo_head, memo_key, tagged
from dataflow.pipeline import Pipeline, Stage

__all__ = ["Chain", "chain_of", "marks", "memoized_up_to"]

# Fields of a document that are text, and of which a corpus has few values.
_FEW_VALUES = frozenset({"media_type"})


@dataclass(frozen=True, slots=True)
class Chain:
    """What the keys are made of, besides the document.

    Attributes:
        names: of the memoized stages, in order.
        ids: their fingerprints, aligned.
        fields: the fields of the document that the first stage depends on.
        tag: values are kept apart by the tag that ends them; ``None`` for none.
    """

    names: tuple[str, ...]
    ids: tuple[bytes, ...]
    fields: tuple[str, ...] = ()
    tag: str | None = None

    @classmethod
    def of(cls, stages: Sequence[Stage[..., Any]], ids: Iterable[bytes], tag: str | None = None) -> Chain:
        """The chain of some stages with known fingerprints."""
        fields = stages[0].document_fields if stages and stages[0].wants_document else ()
        return cls(tuple(s.name for s in stages), tuple(ids), fields, tag)

    def __len__(self) -> int:
        return len(self.ids)

    def full(self, document: Document, content_digest: bytes) -> Key:
        """The key of the last stage's value, by the document's content."""
        return memo_key(self.ids, self._scoped(self.parameters(document)), content_digest)

    def by_state(self, document: Document, state: bytes) -> Key:
        """The key of the last stage's value, by what the file system says of the document."""
        return self.state_keys()(document, state)

    def state_keys(self) -> Callable[[Document, bytes], Key]:
        """:meth:`by_state` for a whole batch: what its documents have in common is encoded once."""
        heads: dict[Any, Any] = {}
        few = len(self.fields) <= 1 and _FEW_VALUES.issuperset(self.fields)
        (name,) = self.fields if self.fields and few else ("media_type",)

        def key_of(document: Document, state: bytes) -> Key:
            common = getattr(document, name) if few else document
            head = heads.get(common)
            if head is None:
                parameters = self._scoped(self.parameters(document))
                head = heads[common] = memo_head(self.ids, ("state", parameters))
            key = head.copy()
            # Tagged otherwise than content is, or a document that holds the bytes of another's state had its key.
            key.update(tagged(b"state", state))
            return key.digest()  # type: ignore[no-any-return]

        return key_of

    def step(self, index: int, document: Document, input_digest: bytes) -> Key:
        """The key of one stage's value, by the digest of what goes into it."""
        parameters = self.parameters(document) if index == 0 else ()
        return memo_key(self.ids[index : index + 1], ("step", self._scoped(parameters)), input_digest)

    def record(self, url: str) -> Key:
        """The key of what is noted of a document, for :func:`dataflow.memo.explain.explain`."""
        key = _record_head(self.names[:1]).copy()
        key.update(tagged(b"input", digest(encode(url))))
        return bytes(key.digest())

    def beside(self, *what: str) -> Key:
        """The key of something that is kept of the chain, and of no document."""
        return memo_key(self.ids, ("beside", *what, self.tag), b"")

    def marks(self) -> list[Key]:
        """The keys of what is noted when a stage first keeps anything, a stage each."""
        return [memo_key((one,), ("mark", self.tag), b"") for one in self.ids]

    def parameters(self, document: Document) -> tuple[Any, ...]:
        """What else the first stage sees of the document."""
        return tuple([getattr(document, name) for name in self.fields]) if self.fields else ()

    def _scoped(self, parameters: tuple[Any, ...]) -> tuple[Any, ...]:
        return _scoped(self.tag, parameters)


@functools.lru_cache(maxsize=256)
def _record_head(names: tuple[str, ...]) -> Any:
    return memo_head((), ("record", names))


def _scoped(tag: str | None, parameters: tuple[Any, ...]) -> tuple[Any, ...]:
    return parameters if tag is None else ("tag", tag, parameters)


def chain_of(pipeline: Pipeline, tag: str | None = None) -> tuple[Chain, str | None]:
    """The chain of a pipeline's pure stages from the first on, and why it ends before the last one.

    ``None`` instead of a reason where it holds all stages.
    """
    from dataflow.memo.fingerprint import stage_fingerprint

    ids: list[bytes] = []
    why_not = None
    for stage in pipeline.stages:
        if not stage.pure:
            why_not = f"stage {stage.name} says pure=False"
            break
        try:
            ids.append(stage_fingerprint(stage))
        except Uncacheable as error:
            why_not = f"stage {stage.name} can't be fingerprinted: {one_line(error).rstrip('.')}"
            break
    return Chain.of(pipeline.stages[: len(ids)], ids, tag), why_not


def memoized_up_to(chain: Chain, why_not: str) -> str:
    """What a user should know of a chain that ends before the pipeline does; one line without a full stop."""
    return f"memoized up to stage {chain.names[-1]}: {why_not}"


@functools.lru_cache(maxsize=256)
def marks(names: tuple[str, ...]) -> bytes:
    """8 bytes in which every stage has set three bits of its own: what a value's header says made it.

    Removing all values that have a stage's bits removes all of that stage, and now and then one more.
    """
    bits = 0
    for name in names:
        spread = digest(encode(name))
        for i in range(3):
            bits |= 1 << int.from_bytes(spread[2 * i : 2 * i + 2], "big") % 64
    return bits.to_bytes(8, "big")
