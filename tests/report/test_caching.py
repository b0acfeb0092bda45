"""What the report says of the cache: by tier, why, what it was worth, and what befell."""

from __future__ import annotations

import html
import re

import pytest

from dataflow.report import build
from dataflow.report.caching import lookup_seconds
from dataflow.report.data import server_lines
from dataflow.report.results import load
from dataflow.report.summary import summary_rows


@pytest.fixture(scope="module")
def run(synthetic, tmp_path_factory):
    return synthetic.make_run(tmp_path_factory.mktemp("results"), blocks=2)


@pytest.fixture(scope="module")
def section(run) -> str:
    text = re.sub(r"(?s)<(script|style).*?</\1>", "", build(run).read_text("utf-8"))
    return re.search(r'(?s)<section id="cache">.*?</section>', text)[0]


def rows(section: str, title: str) -> list[list[str]]:
    """The cells of the first table after a heading."""
    part = section[section.index(f"<h3>{title}</h3>") :]
    body = re.search(r"(?s)<tbody>(.*?)</tbody>", part)[1]
    return [
        [html.unescape(c) for c in re.findall(r"<td[^>]*>(.*?)</td>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", body)
    ]


def test_each_arm_says_what_every_tier_did(section):
    found = {(row[0], row[1]): row[2:] for row in rows(section, "What the cache did")}
    assert found["cache=redis · warm", "Redis"] == ["56", "60", "0.504 MB", "10.0 us", "7"]
    assert found["cache=lru · cold", "worker memory"] == ["0", "60", "0 MB", "10.0 us", "0"]


def test_misses_come_by_reason(section):
    found = dict(rows(section, html.escape("Why documents weren't found")))
    assert found == {
        "cache=lru · cold": "60", "cache=redis · cold": "60", "cache=lru · warm": "4",
        "cache=redis · warm": "4",
    }  # fmt: skip
    assert ">not there<" in section


def test_what_it_was_worth_is_shown_with_what_it_is_made_of(section):
    found = {row[0]: row[1:] for row in rows(section, "What it was worth")}
    assert found["cache=lru · warm"] == ["2.24 s", "15.0 ms", "20.0 ms", "0 s", "2.21 s"]


def test_what_befell_the_server_is_said_in_words(section):
    text = html.unescape(section)
    assert (
        "cache=redis · warm, 2 trials: 6 calls to the server failed: 6 TimeoutError (no answer in time)."
        in text
    )
    assert "was left alone 2 times after three failures in a row, and found well again 2 times." in text
    assert "10 look-ups of a batch were skipped meanwhile." in text
    assert "4 values not kept: a value of type <img src=x> can't be kept." in text
    assert "<img src=x>" not in section


def test_the_servers_memory_is_told_over_time_and_at_its_peak(run, section):
    found = {row[0]: row[1:] for row in rows(section, html.escape("The server's memory over time"))}
    assert found["cache=redis · warm"] == ["12.0 MB", "31.0 MB", "1.31", "14"]
    resources = load(run).tables["resources"]
    for line in server_lines(resources, range(100)).values():
        assert (line.megabytes[0], line.megabytes[-1], line.fragmentation) == (0.0, 10.0, 1.31)


def test_the_cost_of_a_look_up_is_a_column(section):
    table = re.search(r"(?s)<table>.*?</table>", section)[0]
    assert "look-up a document" in table
    assert "0.200 ms" in table  # 12 ms for 60 documents


def test_without_a_look_up_there_is_no_cost_of_one():
    (arm,) = summary_rows([{"strategy": "x", "trial": 0, "hits": 3, "misses": 1, "lookup_seconds": 0.02}])
    assert lookup_seconds(arm) == 0.005
    (older,) = summary_rows([{"strategy": "x", "trial": 0, "hits": 3, "misses": 1}])
    (none,) = summary_rows([{"strategy": "x", "trial": 0, "lookup_seconds": 0.0}])
    assert lookup_seconds(older) is lookup_seconds(none) is None
