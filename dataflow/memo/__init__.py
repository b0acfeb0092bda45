"""Memo: what was computed once for the same content, code and parameters isn't computed again.

Data flows one way through the modules: ``keys`` and ``fingerprint`` say *what* is asked for, ``codecs`` and
``envelope`` turn a value into bytes that can be trusted when they come back, ``base`` and ``sealed`` hold the
interface and what all stores share, ``lru``, ``dictionary``, ``redis`` and ``tiered`` are the stores, and
``spec`` opens one by description on whatever process needs it. ``server`` runs the embedded Valkey.
"""

from __future__ import annotations

from dataflow.memo.base import MISS, Entry, Found, Memo, Missed
from dataflow.memo.keys import Key, Uncacheable, digest, encode, memo_key
from dataflow.memo.spec import MemoSpec, close_memos, open_memo

__all__ = [
    "MISS",
    "Entry",
    "Found",
    "Key",
    "Memo",
    "MemoSpec",
    "Missed",
    "Uncacheable",
    "close_memos",
    "digest",
    "encode",
    "memo_key",
    "open_memo",
]
