"""Dask's loggers are as the user has them when the last one that wants them silent has gone."""

import asyncio
import logging

import tornado.util

from dataflow.engine.quiet import quiet


def levels():
    return [
        logging.getLogger(name).level
        for name in ("distributed", "distributed.client", "distributed.scheduler")
    ]


def test_blocks_may_overlap_and_end_in_any_order():
    with quiet():
        pass
    before, filters = levels(), list(logging.getLogger("asyncio").filters)
    first, second = quiet(), quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert levels() == [logging.CRITICAL] * 3
    second.__exit__(None, None, None)
    assert levels() == before
    assert logging.getLogger("asyncio").filters == filters


def test_a_time_limit_of_dasks_that_nobody_waited_for_any_more_is_not_told_and_other_errors_are(caplog):
    with quiet():
        pass
    for error in (tornado.util.TimeoutError("Timeout"), ValueError("mine")):
        loop = asyncio.new_event_loop()
        loop.create_future().set_exception(error)  # is dropped at once
        loop.close()
    assert [record.exc_info[1].args for record in caplog.records] == [("mine",)]
