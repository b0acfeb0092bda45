"""The shapes of picture that the report is made of: strips, stacks, points, pairs, lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataflow.report.numbers import finite
from dataflow.report.palette import INK, colour_of_factor, colours
from dataflow.report.summary import Arm

if TYPE_CHECKING:
    from bokeh.plotting import figure

__all__ = ["Picture", "lines", "pairs", "points", "scaling", "stacks", "strip"]

#: A value of one trial, for a picture's axis; ``None`` where the trial has none.
Value = Callable[[Mapping[str, Any]], float | None]

_ROW_PIXELS = 26
_FRAME_PIXELS = 64
# Beyond this ratio of largest to smallest, a linear axis hides the small ones.
_LOG_FROM = 25


@dataclass(frozen=True)
class Picture:
    """A Bokeh figure, what its colours mean, and a sentence below it."""

    figure: figure
    legend: Mapping[str, str]
    note: str = ""


def strip(arms: Sequence[Arm], value: Value, axis: str, *, reference: float | None = None) -> Picture | None:
    """A dot for each trial and a bar at the median, one line an arm; ``None`` if there is no value.

    Args:
        arms: from the top down.
        value: of a trial.
        axis: title of the axis, with its unit.
        reference: where a dashed line stands.
    """
    dots: list[dict[str, Any]] = [
        {
            "arm": arm.label,
            "x": x,
            "block": row.get("block"),
            "trial": row.get("trial"),
            "colour": _colour(arm),
        }
        for arm in arms
        for row in arm.trials
        if (x := finite(value(row))) is not None
    ]
    if not dots:
        return None
    shown = [arm for arm in arms if any(dot["arm"] == arm.label for dot in dots)]
    values = [dot["x"] for dot in dots]
    known = values if reference is None else [*values, reference]
    plot = _rows_figure([arm.label for arm in shown], axis, known, _scale(known))
    if reference is not None:
        plot.vspan(x=[reference], line_color=INK, line_dash=[5, 4], line_width=1.5)
    tips = [("strategy", "@arm"), (axis, "@x{0,0.[000]}"), ("block", "@block"), ("trial", "@trial")]
    marks = plot.scatter(
        "x", "arm", source=_source(dots), size=9, color="colour", fill_alpha=0.45, line_width=1.2
    )  # fmt: skip
    _hover(plot, marks, tips)
    medians = [_median(arm, value) for arm in shown]
    plot.scatter(
        medians, [arm.label for arm in shown], marker="dash", angle=math.pi / 2, size=20, line_width=3.5,
        color=[_colour(arm) for arm in shown],
    )  # fmt: skip
    return Picture(plot, _factor_legend(shown), "Each dot is a trial, the upright bar is the median.")


def stacks(
    labels: Sequence[str], parts: Mapping[str, Sequence[float]], colour: Mapping[str, str], axis: str
) -> Picture | None:
    """Bars of parts laid end to end, one line a label; ``None`` if all are empty.

    Args:
        labels: from the top down.
        parts: for each part, one number a label.
        colour: of each part.
        axis: title of the axis, with its unit.
    """
    used = {name: list(values) for name, values in parts.items() if any(values)}
    if not used:
        return None
    totals = [sum(sizes) for sizes in zip(*used.values(), strict=True)]
    plot = _rows_figure(labels, axis, totals, "linear")
    left = [0.0] * len(labels)
    for name, values in used.items():
        right = [a + b for a, b in zip(left, values, strict=True)]
        data = [
            {"arm": y, "left": a, "right": b, "part": name, "size": b - a}
            for y, a, b in zip(labels, left, right, strict=True)
        ]
        marks = plot.hbar(
            y="arm", left="left", right="right", height=0.66, color=colour[name], line_color=None,
            source=_source(data),
        )  # fmt: skip
        _hover(plot, marks, [("strategy", "@arm"), ("part", "@part"), (axis, "@size{0,0.[000]}")])
        left = right
    return Picture(plot, {name: colour[name] for name in used})


def points(
    rows: Sequence[Mapping[str, Any]], x_axis: str, y_axis: str, colour: Mapping[str, str]
) -> Picture | None:
    """A point for each row of ``x``, ``y`` and ``name`` on a logarithmic x axis; ``None`` without rows."""
    from bokeh.models import DataRange1d

    if not rows:
        return None
    plot = _figure(height=300, x_axis_type="log", y_range=DataRange1d(start=0))
    data = [{**row, "colour": colour[row["name"]]} for row in rows]
    marks = plot.scatter(
        "x", "y", source=_source(data), size=10, color="colour", fill_alpha=0.5, line_width=1.2
    )
    _hover(plot, marks, [("strategy", "@name"), (x_axis, "@x{0,0.[0]}"), (y_axis, "@y{0,0.[000]}")])
    _middles(plot, rows)
    _round_ticks(plot, [row["x"] for row in rows])
    plot.xaxis.axis_label, plot.yaxis.axis_label = x_axis, y_axis
    return Picture(plot, {name: colour[name] for name in dict.fromkeys(row["name"] for row in rows)})


def scaling(rows: Sequence[Mapping[str, Any]], x_axis: str, y_axis: str) -> Picture | None:
    """A line a ``name`` through the medians of ``y`` at each ``x``, and a dashed one where both are equal."""
    from statistics import median

    from bokeh.models import DataRange1d, FixedTicker

    if not rows:
        return None
    shades = colours(sorted({row["name"] for row in rows}))
    plot = _figure(height=340, x_range=DataRange1d(start=0), y_range=DataRange1d(start=0))
    sizes = sorted({row["x"] for row in rows})
    plot.line([0, sizes[-1]], [0, sizes[-1]], line_color=INK, line_dash=[5, 4], line_width=1.5)
    for name, shade in shades.items():
        own: dict[float, list[float]] = {}
        for row in (r for r in rows if r["name"] == name):
            own.setdefault(row["x"], []).append(row["y"])
        plot.line(sorted(own), [median(own[x]) for x in sorted(own)], line_color=shade, line_width=2.2)
    data = [{**row, "colour": shades[row["name"]]} for row in rows]
    marks = plot.scatter("x", "y", source=_source(data), size=9, color="colour", fill_alpha=0.5)
    _hover(plot, marks, [("strategy", "@strategy"), (x_axis, "@x"), (y_axis, "@y{0,0.[00]}")])
    plot.xaxis.ticker = FixedTicker(ticks=sizes)
    plot.xaxis.axis_label, plot.yaxis.axis_label = x_axis, y_axis
    return Picture(
        plot, shades, "Each dot is a block; the dashed line is the ideal, as many times as there are threads."
    )


def pairs(rows: Sequence[tuple[str, float, float]], names: tuple[str, str], axis: str) -> Picture | None:
    """Two points joined by a line for each ``(label, first, second)``; ``None`` without rows."""
    if not rows:
        return None
    labels = [label for label, _, _ in rows]
    values = [value for _, first, second in rows for value in (first, second)]
    plot = _rows_figure(labels, axis, values, _scale(values))
    plot.segment(
        [r[1] for r in rows],
        labels,
        [r[2] for r in rows],
        labels,
        line_width=3,
        line_color=INK,
        line_alpha=0.5,
    )
    colour = dict(zip(names, ("#56B4E9", "#D55E00"), strict=True))
    for place, name in enumerate(names, start=1):
        data = [{"arm": row[0], "x": row[place], "phase": name} for row in rows]
        marks = plot.scatter("x", "arm", source=_source(data), size=13, color=colour[name])
        _hover(plot, marks, [("strategy", "@arm"), ("phase", "@phase"), (axis, "@x{0,0.[000]}")])
    return Picture(plot, colour)


def lines(
    data: Mapping[str, Sequence[Any]],
    x_axis: str,
    y_axis: str,
    unit: str,
    *,
    name: str = "lines",
    of: str = "process",
) -> Picture:
    """Lines of ``xs``, ``ys``, ``name`` and ``colour``, one for each ``of``; a script finds the source by its name."""
    from bokeh.models import ColumnDataSource, DataRange1d

    plot = _figure(height=320, x_range=DataRange1d(start=0), y_range=DataRange1d(start=0))
    source = ColumnDataSource({key: list(values) for key, values in data.items()}, name=name)
    marks = plot.multi_line("xs", "ys", source=source, color="colour", line_width=2.2)
    _hover(plot, marks, [(of, "@name"), ("at", "$x{0.0} s"), ("", f"$y{{0,0}} {unit}")])
    plot.xaxis.axis_label, plot.yaxis.axis_label = x_axis, y_axis
    return Picture(plot, {})


def _middles(plot: figure, rows: Sequence[Mapping[str, Any]]) -> None:
    """A line through the medians of each name, in the order of x."""
    from statistics import median

    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    middles = sorted(
        (median(r["x"] for r in group), median(r["y"] for r in group)) for group in by_name.values()
    )
    if len(middles) > 1:
        plot.line(
            [x for x, _ in middles], [y for _, y in middles], line_color=INK, line_dash=[4, 4], line_width=1.5
        )


def _rows_figure(labels: Sequence[str], axis: str, values: Sequence[float], kind: str) -> figure:
    """A figure with one line a label, from the top down, and an axis for ``values``."""
    options: dict[str, Any] = {"x_axis_type": kind}
    if kind == "linear":
        options["x_range"] = (0, (max(values) or 1) * 1.05)
    height = _FRAME_PIXELS + _ROW_PIXELS * len(labels)
    plot = _figure(height=height, y_range=list(reversed(labels)), **options)
    plot.xaxis.axis_label = f"{axis}, logarithmic" if kind == "log" else axis
    if kind == "log":
        _round_ticks(plot, values)
    return plot


def _round_ticks(plot: figure, values: Sequence[float]) -> None:
    """A few round numbers on a logarithmic axis; Bokeh's own ticks run into each other or are powers."""
    from bokeh.models import BasicTickFormatter, FixedTicker

    low, high = math.log10(min(values)), math.log10(max(values))
    steps = (1, 2, 5) if high - low < 1.2 else (1, 3) if high - low < 3 else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1)
    ticker = FixedTicker(ticks=[float(f"{step}e{decade}") for decade in decades for step in steps])
    plot.xaxis.ticker = plot.xgrid.ticker = ticker
    plot.xaxis.formatter = BasicTickFormatter(use_scientific=False)


def _scale(values: Sequence[float]) -> str:
    return "log" if min(values) > 0 and max(values) / min(values) > _LOG_FROM else "linear"


def _figure(*, height: float, **options: Any) -> figure:
    """An empty figure without a toolbar, as wide as the page, on any background."""
    from bokeh.plotting import figure

    plot = figure(
        height=int(height),
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="",
        min_border_right=16,
        **options,
    )
    plot.background_fill_color = plot.border_fill_color = plot.outline_line_color = None
    plot.grid.grid_line_color, plot.grid.grid_line_alpha = INK, 0.18
    plot.axis.axis_line_color = plot.axis.major_tick_line_color = plot.axis.minor_tick_line_color = None
    plot.axis.major_label_text_color = plot.axis.axis_label_text_color = INK
    plot.axis.major_label_text_font_size = plot.axis.axis_label_text_font_size = "12px"
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.major_label_text_font = plot.axis.axis_label_text_font = "system-ui, sans-serif"
    return plot


def _hover(plot: figure, marks: Any, tips: list[tuple[str, str]]) -> None:
    from bokeh.models import HoverTool

    plot.add_tools(HoverTool(renderers=[marks], tooltips=tips))


def _source(rows: Sequence[Mapping[str, Any]]) -> Any:
    from bokeh.models import ColumnDataSource

    return ColumnDataSource({key: [row[key] for row in rows] for key in rows[0]})


def _median(arm: Arm, value: Value) -> float:
    from dataflow.report.summary import median_of

    return median_of(value(row) for row in arm.trials) or 0.0


def _colour(arm: Arm) -> str:
    return colour_of_factor(arm.factor)


def _factor_legend(arms: Sequence[Arm]) -> dict[str, str]:
    plain = "base and baselines"
    names = {arm.label: arm.factor if _colour(arm) != colour_of_factor("") else plain for arm in arms}
    return {names[arm.label]: _colour(arm) for arm in arms}
