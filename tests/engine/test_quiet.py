"""Dask's loggers are as the user has them when the last one that wants them silent has gone."""

import logging

from dataflow.engine.quiet import quiet


def levels():
    return [
        logging.getLogger(name).level
        for name in ("distributed", "distributed.client", "distributed.scheduler")
    ]


def test_blocks_may_overlap_and_end_in_any_order():
    before, filters = levels(), list(logging.getLogger("asyncio").filters)
    first, second = quiet(), quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert levels() == [logging.CRITICAL] * 3
    second.__exit__(None, None, None)
    assert levels() == before
    assert logging.getLogger("asyncio").filters == filters
