from dataflow import run
from dataflow.bench.pictures import performance_page
from dataflow.engine.clusters import open_cluster


def test_dasks_report_opens_with_no_network(visit, words, write_corpus, tmp_path):
    with (
        open_cluster("processes", 1) as cluster,
        performance_page(cluster.client, "base", tmp_path / "dask") as path,
    ):
        list(run(words.pipeline, write_corpus("a b"), cluster=cluster.client))
    page = visit(path.as_uri())
    assert page.errors == []
    assert page.foreign == []
