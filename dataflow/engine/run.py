"""``run()``: a pipeline over a corpus under a strategy on a cluster, as a stream of outcomes."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflow.corpus import Corpus, open_corpus
from dataflow.document import Document
from dataflow.engine.listing import Listing
from dataflow.engine.manifest import refuse_used
from dataflow.engine.output import NewOutput, Output
from dataflow.engine.resume import resume_output
from dataflow.engine.running import Run
from dataflow.engine.specs import UNDER_MAIN, imports_the_script
from dataflow.engine.stall import Stall
from dataflow.engine.starting import start
from dataflow.errors import ClusterError, OutputError
from dataflow.graph.table import sink_for
from dataflow.graph.work import BatchResult
from dataflow.pipeline import Pipeline, Stage, pipeline_of
from dataflow.profile import Profile
from dataflow.strategy import Strategy

__all__ = ["run"]


def run(
    pipeline: Pipeline | Callable[..., Any] | Sequence[Stage[..., Any] | Callable[..., Any]],
    corpus: str | os.PathLike[str] | Iterable[str | Document],
    *,
    strategy: Strategy | None = None,
    cluster: Any = "auto",
    workers: int | None = None,
    output: str | os.PathLike[str] | None = None,
    redis_url: str | None = None,
    search_path: Iterable[str] = (),
    namespace: str = "dataflow",
    on_batch: Callable[[BatchResult], None] | None = None,
    on_stall: Callable[[Stall], None] | None = None,
    resume: bool = False,
    recorded: Mapping[str, Any] | None = None,
    profile: Profile | str | os.PathLike[str] | None = None,
    **overrides: Any,
) -> Run:
    """Run a pipeline over a corpus.

    Everything that can be wrong with the arguments is found out before this returns; nothing is written
    before that.

    Args:
        pipeline: the stages: a pipeline, a single one, or a list of them.
        corpus: a URL pattern, or any iterable of URLs and documents. It is iterated in a thread of its own, and may
            wait, for what becomes of the documents that it has named too; the first is waited for here.
        strategy: how to run; the profile's, or the default strategy, if left out.
        cluster: where: a name, a YAML file, an address, an open ``distributed.Client``, or ``inline`` for
            this very process. ``memory://`` works on any: the bytes travel with the batches. ``auto`` is ``local``,
            or a process or a few where they may be done in seconds, until a cluster takes over what takes longer; a
            note says so.
        workers: how many.
        output: folder or URL for Parquet parts; values then stay out of the outcomes.
        redis_url: a server for ``cache="redis"``; ``REDIS_URL`` if left out, else an embedded one.
        search_path: folders that workers add to ``sys.path``.
        namespace: the beginning of the cache's keys; runs share what they cached under the same one.
        on_batch: called with each batch's result, on this thread.
        on_stall: called with each document that a worker is at when nothing has ended for half a minute.
        resume: go on with what an earlier run left in the output's folder: only what it hasn't committed is
            done. The pipeline, its columns and the corpus's name have to be the same; the corpus may have
            grown. A new or empty folder is simply begun.
        recorded: facts for the manifest's header, such as ``{"workload": "batch"}``, which is what
            ``dataflow replay`` loads.
        profile: what a benchmark saved, or the path of it: its strategy, and what documents were seen to cost.
        **overrides: choices of the strategy, such as ``cache="redis"``.

    Returns:
        A :class:`Run`: outcomes, streamed.

    Raises:
        DataflowError: any of its kinds; the message names the mend.
    """
    if cluster == "auto" and imports_the_script():  # before it is found that the output is the script's own
        raise ClusterError(UNDER_MAIN)
    profiled = (
        Profile.load(profile) if isinstance(profile, str | os.PathLike) else profile or Profile(Strategy())
    )
    chosen = (strategy or profiled.strategy).replace(**overrides)
    pipeline = pipeline_of(pipeline)
    folder = _local_folder(output)
    listing = Listing(functools.partial(open_corpus, corpus, without=folder))
    try:
        target = _output(pipeline, folder, listing.corpus, resume)
    except BaseException:
        listing.close()
        raise
    return start(
        pipeline,
        listing,
        target,
        chosen,
        cluster=cluster,
        workers=workers,
        redis_url=redis_url,
        search_path=search_path,
        namespace=namespace,
        on_batch=on_batch,
        on_stall=on_stall,
        recorded=recorded,
        costs=profiled.costs,
    )


def _output(pipeline: Pipeline, folder: str | None, documents: Corpus, resume: bool) -> Output:
    if folder is None:
        return Output()
    sink = sink_for(pipeline, folder)
    if resume:
        return resume_output(pipeline, sink, documents.name)
    refuse_used(folder)
    return NewOutput(sink)


def _local_folder(output: str | os.PathLike[str] | None) -> str | None:
    """The output as an absolute path or a URL: workers may stand in another folder."""
    if output is None:
        return None
    folder = os.fspath(output)
    if not folder:
        raise OutputError("output is an empty name: name a folder.")
    return folder if "://" in folder else str(Path(folder).expanduser().absolute())
