from dataflow import Pipeline, run
from dataflow.engine.remembered import remember, remembered
from dataflow.profile import Cost


def words(text: bytes) -> int:
    return len(text.split())


def other_words(text: bytes) -> int:
    return len(text.split())


def lines(text: bytes) -> int:
    return text.count(b"\n")


COST = Cost(seconds=0.1, seconds_a_byte=0.0, mean_bytes=10.0, documents=9)


def test_what_a_run_learned_is_known_to_the_next_run_of_the_same_stages(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text("a few words")
    list(run(Pipeline(words), f"{tmp_path}/*.txt", cluster="inline"))
    assert remembered(Pipeline(words))["text/plain"].documents >= 40
    assert not remembered(Pipeline(lines, words))


def test_what_a_cache_answered_is_not_taken_for_what_computing_costs(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(f"{number} words")
    pipeline, options = Pipeline(other_words), {"cluster": "inline", "cache": "lru", "admission": False}
    assert {o.cache for o in run(pipeline, f"{tmp_path}/*.txt", **options)} == {None}
    computed = remembered(pipeline)
    assert {o.cache for o in run(pipeline, f"{tmp_path}/*.txt", **options)} == {"lru"}
    assert remembered(pipeline) == computed


def test_the_latest_counts_and_other_media_types_stay_known():
    remember(Pipeline(lines), {"text/plain": COST, "text/html": COST})
    later = Cost(seconds=0.2, seconds_a_byte=0.0, mean_bytes=10.0, documents=9)
    remember(Pipeline(lines), {"text/plain": later})
    assert remembered(Pipeline(lines)) == {"text/plain": later, "text/html": COST}


def test_only_so_many_pipelines_are_known():
    def named(number):
        def function(text: bytes) -> int:
            return number

        function.__qualname__ = f"function_{number}"
        return Pipeline(function)

    for number in range(100):
        remember(named(number), {"text/plain": COST})
    assert not remembered(named(0))
    assert remembered(named(99))
