"""Colours that all kinds of colour vision tell apart, on white and on black (Okabe and Ito, 2008)."""

from __future__ import annotations

__all__ = ["CYCLE", "FACTORS", "INK", "STATUS", "colour_of_factor", "colours"]

CYCLE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C", "#B3A100")
#: Text and lines before the page knows whether it is light or dark; the page's script sets them anew.
INK = "#7A8089"

STATUS = {"ok": "#009E73", "failed": "#E69F00", "quarantined": "#D55E00"}
FACTORS = {
    "": "#8C8C8C",
    "cache": "#0072B2",
    "batching": "#E69F00",
    "cluster": "#009E73",
    "collect": "#CC79A7",
    "errors": "#D55E00",
    "io": "#56B4E9",
    "fuse": "#56B4E9",
    "baseline": "#8C8C8C",
    "workers": "#009E73",
    "loading": "#56B4E9",
    "twin": "#8C8C8C",
}


def colour_of_factor(factor: str) -> str:
    """The colour of arms that vary this factor; grey for base and the baselines."""
    return FACTORS.get(factor, "#B3A100")


def colours(names: list[str]) -> dict[str, str]:
    """A colour for each name, in order; they come again where there are more names than colours."""
    return {name: CYCLE[i % len(CYCLE)] for i, name in enumerate(names)}
