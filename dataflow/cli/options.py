"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["corpus_options", "place_options", "redis_url_option"]

F = TypeVar("F", bound=Callable[..., Any])


def redis_url_option(function: F, instead: str = "") -> F:
    """``--redis-url``: a server of the user's, which REDIS_URL names as well."""
    return click.option(
        "--redis-url", envvar="REDIS_URL", metavar="URL", help=f"A Redis server of yours{instead}."
    )(function)


def place_options(function: F, cluster: str = "auto") -> F:
    """``--cluster``, ``--workers`` and ``--redis-url``: where it runs."""
    kinds = "threads, processes, local, distributed, a YAML file, or tcp://HOST:PORT."
    auto = " auto: local, or a process or a few for what they may be done with in seconds."
    function = redis_url_option(function, instead="; else an embedded one")
    for option in (
        click.option(
            "--workers", type=int, metavar="N", help="How many workers; as many as cores if left out."
        ),
        click.option(
            "--cluster",
            default=cluster,
            show_default=True,
            metavar="WHERE",
            help=kinds + (auto if cluster == "auto" else ""),
        ),
    ):
        function = option(function)
    return function


def _named(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """An empty name is a variable that isn't set, most likely, and no wish for a generated corpus."""
    if value == "":
        raise click.BadParameter(
            "it is an empty name: name your documents, or leave it out to have some generated."
        )
    return value


def corpus_options(function: F) -> F:
    """``--corpus``, ``--documents`` and ``--seed``: on what."""
    for option in (
        click.option(
            "--seed",
            type=int,
            default=0,
            show_default=True,
            help="Seed of the generated corpus and of all chance.",
        ),
        click.option(
            "--documents", type=click.IntRange(min=1), metavar="N", help="Size of the generated corpus."
        ),
        click.option(
            "--corpus",
            metavar="URL",
            callback=_named,
            help="Your documents: a folder, 'docs/**/*.pdf', zip://, s3://, http://. Generated if left out.",
        ),
    ):
        function = option(function)
    return function
