"""Why a document's value would or wouldn't be found: which part of its key changed since it was stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataflow.document import Document
from dataflow.memo.base import Found, Memo, Missed
from dataflow.memo.chain import Chain
from dataflow.memo.codecs import Link
from dataflow.memo.keys import RUNTIME, Key, digest, encode
from dataflow.memo.states import state_of
from dataflow.reading import read_document
from dataflow.strategy import Freshness

__all__ = ["Reason", "explain"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is so, or has changed.

    Attributes:
        part: ``hit``; ``new`` (nothing is known of the document); ``content``; ``state`` (size, time or entity
            tag); ``code`` (a stage's); ``stages`` (added, removed or in another order); ``parameters`` (what
            the first stage sees of the document); ``tag``; ``epoch`` (the tag was invalidated); ``python``;
            ``expired``, ``corrupt``, ``forged``, ``secret``, ``spill``, ``down`` (of the value itself);
            ``uncacheable`` (nothing changed, but such a value can't be kept); ``evicted`` (nothing changed, and
            yet the value is not there).
        text: one line for a person.
        before: what it was when the value was stored, short; ``None`` where that says nothing.
        now: what it is now.
    """

    part: str
    text: str
    before: str | None = None
    now: str | None = None


def explain(
    memo: Memo, chain: Chain, document: Document, fresh: Freshness, *, content: bytes | None = None
) -> list[Reason]:
    """Say why a document's value would be found, or which parts of its key changed since it was stored.

    Args:
        memo: the memo that a run would use; look-ups here are counted as any other.
        chain: of the pipeline as it is now; see :func:`dataflow.memo.chain.chain_of`.
        document: as listed now.
        fresh: the strategy's freshness.
        content: the document's bytes, if they are at hand; read if not.

    Returns:
        One reason or more. ``hit`` stands alone or with ``state``, where the document was found by its content.

    Raises:
        OSError, CorpusError: the document can't be read.
    """
    state = _state_key(chain, document, fresh)
    if state is not None and isinstance(_found(memo, state), Found):
        return [Reason("hit", "the value is there, by the document's state: it isn't even read")]
    data = read_document(document.url) if content is None else content
    value = _found(memo, chain.full(document, digest(data)))
    record = memo.lookup([chain.record(document.url)])[0]
    known = record.value if isinstance(record, Found) and isinstance(record.value, dict) else None
    if isinstance(value, Found):
        touched = _state_reasons(known, document) if state is not None and known else []
        return [Reason("hit", "the value is there, by the document's content"), *touched]
    if known is None:
        return [_unknown(value, record)]
    return _changes(known, chain, document, data, value) or [_never_kept(known) or _gone(value)]


def _state_key(chain: Chain, document: Document, fresh: Freshness) -> Key | None:
    if not fresh.by_stat:
        return None
    state, _ = state_of(document, bounded=fresh.ttl_seconds is not None or fresh.tag is not None)
    return chain.by_state(document, state) if state else None


def _found(memo: Memo, key: Key) -> Found | Missed:
    (answer,) = memo.lookup([key])
    if isinstance(answer, Found) and isinstance(answer.value, Link):
        (answer,) = memo.lookup([answer.value.key])
    return answer


def _unknown(value: Missed, record: Found | Missed) -> Reason:
    if isinstance(record, Missed) and record.reason == "epoch":
        return Reason("epoch", "the tag was invalidated since this document was stored")
    if value.reason in ("new", "expired", "epoch"):
        return Reason(
            "new",
            "nothing is known of this document: it was never stored, or has expired or been evicted since",
        )
    return _gone(value)


def _never_kept(known: dict[str, Any]) -> Reason | None:
    why = known.get("refused")
    return Reason("uncacheable", f"it is computed each time: {why}") if why else None


def _gone(value: Missed) -> Reason:
    return _GONE.get(value.reason) or Reason(value.reason, f"the value can't be used: {value.reason}")


_GONE = {
    "new": Reason("evicted", "nothing changed, but the value is gone: the server evicted or lost it"),
    "expired": Reason("expired", "nothing changed, but the value's time to live is over"),
    "epoch": Reason("epoch", "nothing changed, but the tag was invalidated"),
    "down": Reason("down", "the server doesn't answer"),
    "spill": Reason("spill", "nothing changed, but the file that holds the value is gone"),
    "forged": Reason("forged", "the value doesn't fit its seal: it was altered, or moved from another key"),
    "secret": Reason(
        "secret", "the value is sealed with another secret: set DATAFLOW_CACHE_KEY alike on every machine"
    ),
    "corrupt": Reason("corrupt", "the value is damaged"),
}


def _changes(
    known: dict[str, Any], chain: Chain, document: Document, data: bytes, value: Missed
) -> list[Reason]:
    reasons = []
    if known["content"] != digest(data):
        before, now = known["content"].hex()[:12], digest(data).hex()[:12]
        reasons.append(Reason("content", "the document's content changed", before, now))
    reasons += _code_reasons(known["stages"], chain)
    if known["parameters"] != digest(encode(chain.parameters(document))):
        fields = ", ".join(chain.fields)
        reasons.append(Reason("parameters", f"what the first stage sees of the document changed ({fields})"))
    if known["tag"] != chain.tag:
        reasons.append(Reason("tag", "it is kept under another tag now", known["tag"], chain.tag))
    elif value.epoch and known["epoch"] != value.epoch:
        before, now = known["epoch"].hex()[:8], value.epoch.hex()[:8]
        reasons.append(Reason("epoch", f"tag {chain.tag!r} was invalidated", before, now))
    if known["runtime"] != RUNTIME:
        reasons.append(Reason("python", "Python is of another version", known["runtime"], RUNTIME))
    return reasons


def _code_reasons(stages: list[tuple[str, bytes]], chain: Chain) -> list[Reason]:
    names = [name for name, _ in stages]
    if names != list(chain.names):
        before, now = " -> ".join(names), " -> ".join(chain.names)
        return [Reason("stages", "the pipeline has other stages now", before, now)]
    return [
        Reason("code", f"the code of stage {name!r} changed", old.hex()[:12], new.hex()[:12])
        for (name, old), new in zip(stages, chain.ids, strict=True)
        if old != new
    ]


def _state_reasons(known: dict[str, Any], document: Document) -> list[Reason]:
    state = [document.size_bytes, document.modified, document.etag]
    if known["state"] == state:
        return []
    return [
        Reason(
            "state",
            "its size, time or entity tag changed, its content didn't",
            str(known["state"]),
            str(state),
        )
    ]
