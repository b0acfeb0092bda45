"""The report's sections: for each question, the sentence, table or picture that answers it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence

from dataflow.report.answer import Answer
from dataflow.report.answers import answers
from dataflow.report.causes import batches, cache, memory, worker_time
from dataflow.report.data import Reason, failure_reasons
from dataflow.report.layout import by_group, column, strips
from dataflow.report.markup import Html, Section, escape, facts, heading, paragraph, table
from dataflow.report.numbers import NOTHING, amount, megabytes, percent, seconds, times
from dataflow.report.palette import STATUS
from dataflow.report.plots import stacks
from dataflow.report.results import Results
from dataflow.report.summary import Arm

__all__ = ["sections"]

_REASONS_SHOWN = 40


def sections(results: Results) -> list[Section]:
    """Every section, in the order of the page."""
    makers: tuple[Callable[[Results], Section], ...] = (
        _strategies, _speed, _time, memory, _success, batches, cache, worker_time, _efficiency, _repeat,
    )  # fmt: skip
    return [*_answers(results), *(maker(results) for maker in makers)]


def _answers(results: Results) -> list[Section]:
    """What the suite itself was asked, where it has a question of its own."""
    found = [answer for made in answers(results).values() for answer in made]
    sections = []
    for number, answer in enumerate(found, start=1):
        section = Section(f"answer-{number}", answer.title, answer.lead)
        section.body += [paragraph(sentence) for sentence in answer.sentences]
        section.body += [picture for make in answer.pictures if (picture := make())]
        section.body.append(table(*(answer.details or (answer.columns, answer.rows)), _texts(answer)))
        sections.append(section)
    return sections


def _texts(answer: Answer) -> int:
    return 2 if "errors" in answer.columns else 1


def _strategies(results: Results) -> Section:
    columns = (
        "strategy", "documents/s", "ratio to base", "lowest to highest", "blocks", "trials", "ok", "hit rate",
        "p95 latency", "peak memory",
    )  # fmt: skip
    section = Section(
        "strategies",
        "Strategies",
        "Medians over the trials. Ratios are paired: each to base in its own block.",
    )
    for name, arms in by_group(results.arms):
        section.body += name
        section.body.append(table(columns, (_strategy_row(arm) for arm in arms)))
    failed = [(arm.label, error) for arm in results.arms for error in dict.fromkeys(arm.errors)]
    if failed:
        section.body += [heading("Trials that failed"), table(("strategy", "why"), failed, 2)]
    return section


def _strategy_row(arm: Arm) -> list[str]:
    span = f"{times(min(arm.ratios))} to {times(max(arm.ratios))}" if arm.ratios else NOTHING
    return [
        arm.label, amount(arm.documents_per_second), times(arm.ratio), span, str(arm.blocks),
        str(len(arm.trials)),
        percent(arm.success_rate), percent(arm.hit_rate), seconds(arm.median("latency_p95_seconds")),
        megabytes(arm.median("peak_rss_bytes")),
    ]  # fmt: skip


def _speed(results: Results) -> Section:
    lead = "How many documents a second each strategy got through. Further right is better."
    return strips(
        "speed", "Documents per second", lead, results.arms, column("documents_per_second"), "documents/s"
    )


def _time(results: Results) -> Section:
    lead = "Wall time of a whole trial. Further left is better."
    section = strips(
        "time", "Processing time", lead, results.arms, column("wall_seconds"), "wall time, seconds"
    )
    latencies = [arm for arm in results.arms if arm.median("latency_p50_seconds") is not None]
    if latencies:
        names = ("p50", "p95", "p99")
        cells = (
            [arm.label, *(seconds(arm.median(f"latency_{n}_seconds")) for n in names)] for arm in latencies
        )
        firsts = [seconds(arm.median("first_result_seconds")) for arm in latencies]
        rows = [[*row, first] for row, first in zip(cells, firsts, strict=True)]
        section.body += [
            heading("Time spent on one document"),
            table(("strategy", *names, "until the first result"), rows),
        ]
    return section


def _success(results: Results) -> Section:
    lead = "What became of the documents. One that can't be processed is an outcome, not the end of a run."
    section = Section("success", "Success rate", lead)
    for name, arms in by_group(results.arms):
        known = [arm for arm in arms if arm.total("documents")]
        parts = {s: [100 * arm.total(s) / arm.total("documents") for arm in known] for s in STATUS}
        picture = stacks([arm.label for arm in known], parts, STATUS, "outcomes, percent")
        section.body += [*name, picture or paragraph("There is no number for it.", "note")]
    reasons = failure_reasons(results.tables["documents"])
    if reasons:
        section.body += [heading("Why documents failed"), _reasons_table(reasons)]
    elif results.tables["documents"].num_rows:
        section.body.append(paragraph("Every document was processed."))
    return section


def _reasons_table(reasons: Sequence[Reason]) -> Html:
    rows = [
        (r.status, r.error_type, f"{r.documents:,}", f"{r.outcomes:,}", r.document, r.error)
        for r in reasons[:_REASONS_SHOWN]
    ]
    columns = ("status", "reason", "documents", "outcomes", "one of them", "what it said")
    return Html(f'<div class="reasons">{table(columns, rows, len(columns))}</div>')


def _efficiency(results: Results) -> Section:
    lead = "The ideal is a serial run's CPU time over the worker threads: 100% means that nothing was lost."
    return strips(
        "efficiency",
        "Against the ideal",
        lead,
        results.arms,
        column("efficiency", 100),
        "efficiency, percent",
        reference=100,
    )


def _repeat(results: Results) -> Section:
    section = Section("repeat", "How to repeat this", "")
    run = dict(results.run)
    environment = run.get("environment")
    command = run.get("command") or (environment.get("command") if isinstance(environment, Mapping) else None)
    if command:
        line = command if isinstance(command, str) else shlex.join(map(str, command))
        section.body.append(Html(f"<pre>{escape(line)}</pre>"))
    if not run:
        section.body.append(paragraph("The run left no run.json: it ended before it could write it."))
    section.body.append(facts(run))
    return section
