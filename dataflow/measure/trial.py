"""One trial: an arm goes through the corpus once, and what it took becomes plain records for the tables."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dataflow.document import Document
from dataflow.errors import one_line
from dataflow.measure.covariates import Watch
from dataflow.measure.digests import Output, read_output
from dataflow.measure.probes import Probe
from dataflow.measure.records import Reference, TrialRecords, records, resource_rows
from dataflow.measure.resources import Sample
from dataflow.measure.subject import Subject

__all__ = ["Reference", "TrialRecords", "run_trial"]

_logger = logging.getLogger(__name__)


def run_trial(
    subject: Subject,
    documents: Sequence[Document],
    design: Mapping[str, Any],
    *,
    scratch: Path,
    reference: Reference | None = None,
    before: Output | None = None,
) -> TrialRecords:
    """Run one trial.

    Only the way through the corpus is timed. Sampling begins right before it and ends right after; the
    output is read and digested later still, and then removed.

    Args:
        subject: the arm.
        documents: the corpus, in its order.
        design: columns of the trial's row that are known beforehand; ``trial`` at least.
        scratch: a folder for the output.
        reference: the plain loop's, to compare with.
        before: what the arm put out in the phase before, with the same cache.

    Returns:
        The records. A trial that raises has the message in ``error``, and nothing measured.
    """
    row = {**design, "workers": subject.workers, "threads": subject.threads}
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=scratch))
    watch = Watch()
    row["started"] = datetime.now(UTC)
    samples: list[Sample] = []
    try:
        with _sampled(subject.probes(), samples):
            execution = subject.execute(documents, folder / "output")
        row.update(_covariates(watch))
        output = execution.output or read_output(folder / "output", execution.parts)
        return records(row, subject, execution, output, samples, reference, before)
    except Exception as error:
        _logger.info("trial %s failed", row["trial"], exc_info=True)
        row.update(_covariates(watch), error=f"{type(error).__name__}: {one_line(error)}")
        return TrialRecords(row, {"resources": resource_rows(row, samples)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _sampled(probes: Sequence[Probe], samples: list[Sample]) -> Iterator[None]:
    """Sample while the block runs. What can't be sampled is left out, and said in the log."""
    with contextlib.ExitStack() as stack:
        for probe in probes:
            try:
                probe.start()
            except Exception as error:
                _logger.warning("%s can't be started: %s", type(probe).__name__, one_line(error))
            else:
                stack.callback(_collect, probe, samples)
        yield


def _collect(probe: Probe, samples: list[Sample]) -> None:
    try:
        samples.extend(probe.stop())
    except Exception as error:
        _logger.warning("samples of %s are lost: %s", type(probe).__name__, one_line(error))


def _covariates(watch: Watch) -> dict[str, Any]:
    seen = watch.read()
    return {"steal_percent": seen.steal_percent, "load": seen.load, "probe_seconds": seen.probe_seconds}
