import pytest

from dataflow import run


@pytest.mark.parametrize("page", ["status", "graph", "workers"])
def test_the_dashboard_of_a_run_opens_in_a_browser_and_asks_no_other_host(
    visit, processes, words, write_corpus, page
):
    list(run(words.pipeline, write_corpus("a b", "c d"), cluster=processes.client, fuse=False))
    opened = visit(processes.dashboard_link.replace("status", page))
    assert opened.errors == []
    assert opened.foreign == []


def test_unfused_nodes_are_named_in_the_dashboards_progress(processes, words, write_corpus):
    def names(dask_scheduler):
        return sorted(dask_scheduler.task_prefixes)

    list(run(words.pipeline, write_corpus("a b"), cluster=processes.client, fuse=False))
    seen = processes.client.run_on_scheduler(names)
    assert {"probe", "extract", "words", "write"} <= set(seen)
