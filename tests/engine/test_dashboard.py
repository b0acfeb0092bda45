"""The dashboard is there from the beginning, and made when somebody looks at it."""

import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from dataflow import run
from dataflow.engine.clusters import open_cluster


def look(link, page):
    with urllib.request.urlopen(link.replace("status", page), timeout=60) as answer:
        return answer.status, answer.url.rpartition("/")[2], answer.read().decode()


@pytest.mark.parametrize("cluster", ["processes", "threads"])
def test_its_pages_answer(cluster):
    with open_cluster(cluster, 1) as opened:
        for page, arrived in (
            ("status", "status"),
            ("", "status"),
            ("individual-progress", "individual-progress"),
        ):
            status, at, said = look(opened.dashboard_link, page)
            assert (status, at) == (200, arrived)
            assert "Dask" in said
        with pytest.raises(urllib.error.HTTPError, match="404"):
            look(opened.dashboard_link, "no-such-page")


def test_two_who_look_first_at_the_same_time_see_one_dashboard():
    with open_cluster("threads", 1) as opened, ThreadPoolExecutor(4) as readers:
        seen = list(readers.map(lambda page: look(opened.dashboard_link, page), ["status", "workers"] * 2))
    assert [status for status, _, _ in seen] == [200] * 4


def test_what_nobody_looks_at_is_not_imported():
    script = """
import sys
from dataflow.engine.clusters import open_cluster
if __name__ == "__main__":
    with open_cluster("processes", 1) as opened:
        print(opened.dashboard_link)
    print(*{"bokeh", "pandas"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    link, imported = done.stdout.splitlines()
    assert link.endswith("/status")
    assert imported == ""


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
