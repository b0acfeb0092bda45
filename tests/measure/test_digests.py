from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataflow.measure.digests import read_output


@pytest.fixture
def output(tmp_path):
    """Write parts of an output; returns its digests."""

    def write(*parts, **changes):
        names = []
        for number, rows in enumerate(parts):
            names.append(f"part-{number}.parquet")
            pq.write_table(pa.Table.from_pylist([{**row(r), **changes} for r in rows]), tmp_path / names[-1])
        return read_output(tmp_path, names)

    return write


def row(position):
    return {
        "document": f"/somewhere/{position}",
        "position": position,
        "status": "ok",
        "attempts": 1,
        "cache": None,
        "seconds": 0.5,
        "characters": 10 * position,
        "chunks": [f"text {position}", "é"],
        "raw": b"\x00\xff",
    }


def test_parts_and_their_order_do_not_matter(output):
    assert output([0, 1, 2]).digest == output([2], [1, 0]).digest


def test_what_only_says_how_it_went_does_not_matter(output):
    changed = output([0, 1], seconds=9.0, attempts=3, cache="redis", document="/elsewhere")
    assert changed.digest == output([0, 1]).digest


@pytest.mark.parametrize("change", [{"chunks": ["other"]}, {"status": "failed"}, {"raw": b""}])
def test_another_value_is_another_digest(output, change):
    one, other = output([0, 1]), output([0, 1], **change)
    assert one.digest != other.digest
    assert one.rows[0] != other.rows[0]


def test_a_missing_and_a_doubled_row_are_another_digest(output):
    whole = output([0, 1])
    assert output([0]).digest != whole.digest
    doubled = output([0, 1], [1])
    assert doubled.digest != whole.digest
    assert doubled.doubled == 1


def test_the_same_rows_in_other_places_are_the_same_rows_and_another_whole(output):
    found = output([0, 1])
    moved = found.moved([0, 5])
    assert moved.rows == {0: found.rows[0], 5: found.rows[1]}
    assert moved.characters == {0: 0, 5: 10}
    assert moved.digest != found.digest
    assert found.moved([0, 1]).digest == found.digest


def test_characters_are_known_by_position(output):
    assert output([1, 2]).characters == {1: 10, 2: 20}
