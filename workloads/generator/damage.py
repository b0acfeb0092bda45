"""Files broken in the ways that real ones are."""

from __future__ import annotations

from random import Random

__all__ = ["DAMAGES", "damage"]


def _truncated(data: bytes, suffix: str, rng: Random) -> tuple[bytes, str]:
    """A download that stopped."""
    return data[: len(data) * rng.randint(1, 8) // 10], suffix


def _wrong_name(data: bytes, suffix: str, rng: Random) -> tuple[bytes, str]:
    """A page saved as if it were a PDF, a PDF as if it were a page."""
    return data, rng.choice([other for other in (".pdf", ".docx", ".html", ".txt") if other != suffix])


def _flipped(data: bytes, suffix: str, rng: Random) -> tuple[bytes, str]:
    """A disk or a text-mode transfer that changed bytes here and there."""
    damaged = bytearray(data)
    for _ in range(1 + len(data) // 200):
        damaged[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(damaged), suffix


def _overwritten(data: bytes, suffix: str, rng: Random) -> tuple[bytes, str]:
    """The first block lost."""
    return rng.randbytes(min(len(data), 512)) + data[512:], suffix


DAMAGES = (_truncated, _wrong_name, _flipped, _overwritten)


def damage(data: bytes, suffix: str, rng: Random) -> tuple[bytes, str]:
    """The file damaged in one of these ways, and the suffix that its name then has."""
    return rng.choice(DAMAGES)(data, suffix, rng)
