import heapq
import itertools
import random

import pytest

from dataflow import Document, Outcome, Strategy
from dataflow.document import numbered
from dataflow.engine.batches import MAX_DOCUMENTS, AdaptiveBatcher, BytesBatcher, FixedBatcher, batcher_for
from dataflow.engine.cost import CostModel
from dataflow.engine.listing import Listed
from dataflow.engine.placing import Placing
from dataflow.graph.work import BatchResult
from dataflow.profile import Cost


def documents(*sizes):
    return [Document(f"{i}.txt", size, "text/plain") for i, size in enumerate(sizes)]


def drained(batcher, cost=None):
    """All batches; ``cost`` gives a document's seconds, and the batcher learns them."""
    batches = []
    while (batch := batcher.take(len(batches))) is not None:
        batches.append(batch)
        if cost:
            outcomes = [
                Outcome(d.url, d.media_type, d.size_bytes, "ok", seconds=cost(d)) for d in batch.documents
            ]
            batcher.learn(BatchResult(batch.number, outcomes, None, "w", 0.1, 0.1, {}, {}))
    return batches


def sizes_of(batches):
    return [[d.size_bytes for d in b.documents] for b in batches]


@pytest.mark.parametrize("batching", ["fixed:3", "bytes:10", "adaptive"])
@pytest.mark.parametrize("collect", ["ordered", "as_completed"])
def test_every_document_is_in_one_batch_under_its_own_position(batching, collect):
    listed = documents(*[random.Random(0).randrange(1, 20) for _ in range(5000)])
    strategy = Strategy(batching=batching, collect=collect)
    batches = drained(batcher_for(strategy, Listed(enumerate(listed)), slots=2), cost=lambda d: 0.001)
    pairs = [p for b in batches for p in zip(b.positions, b.documents, strict=True)]
    assert sorted(pairs, key=lambda p: p[0]) == list(enumerate(listed))


def test_fixed_batches_have_a_fixed_count():
    batcher = batcher_for(Strategy(batching="fixed:2"), Listed(enumerate(documents(1, 2, 3))), slots=1)
    assert sizes_of(drained(batcher)) == [[1, 2], [3]]


def test_byte_bounded_batches_stay_within_and_a_larger_document_travels_alone():
    batcher = batcher_for(
        Strategy(batching="bytes:10"), Listed(enumerate(documents(4, 6, 1, 50, 10, 2, 9))), slots=1
    )
    assert sizes_of(drained(batcher)) == [[4, 6], [1], [50], [10], [2], [9]]


def test_documents_of_unknown_size_still_end_a_batch():
    batcher = batcher_for(
        Strategy(batching="bytes:10"), Listed(enumerate(documents(*[None] * 3000))), slots=1
    )
    assert all(len(b) <= MAX_DOCUMENTS for b in drained(batcher))


def test_bytes_travel_with_the_batch_where_only_the_driver_can_read_them():
    def read(url):
        if url == "1.txt":
            raise OSError("gone")
        return url.encode()

    (batch,) = drained(batcher_for(Strategy(batching="fixed:9"), Listed(enumerate(documents(1, 1))), 1, read))
    assert batch.payloads == (b"0.txt", None)


def adaptive(listed, slots=2, clock=lambda: 0.0, **options):
    return AdaptiveBatcher(Listed(enumerate(listed), clock), slots, clock=clock, **options)


def test_adaptive_batches_take_the_largest_first():
    batches = drained(adaptive(documents(*range(1, 1000)), slots=2), cost=lambda d: 1e-6 * d.size_bytes)
    largest = [max(sizes) for sizes in sizes_of(batches)]
    # Each slot's first batch is of what is listed first, so that nobody waits for the whole list.
    assert largest[0] == 257
    assert largest[2] == 999
    assert largest[2:] == sorted(largest[2:], reverse=True)


@pytest.mark.parametrize("batching", ["fixed:100", "bytes:100", "adaptive"])
@pytest.mark.parametrize(("corpus", "small"), [(256, True), (257, False), (5000, False)])
def test_each_batch_says_whether_the_corpus_is_a_small_one_as_far_as_is_known(batching, corpus, small):
    listed = Listed(enumerate(documents(*[1] * corpus)))
    batches = drained(batcher_for(Strategy(batching=batching), listed, slots=1), cost=lambda d: 1e-5)
    told = [batch.small for batch in batches]
    assert told == sorted(told, reverse=True)
    assert told[-1] == small
    # Whoever lists ahead knows from the start.
    assert small or batching != "adaptive" or not any(told)


def test_adaptive_batches_keep_the_corpus_order_where_it_is_asked_for():
    batches = drained(adaptive(documents(*[5, 9, 2] * 100), in_order=True), cost=lambda d: 0.001)
    assert [p for b in batches for p in b.positions] == list(range(300))


def test_adaptive_batches_grow_at_most_fourfold_until_something_is_learned():
    counts = [len(b) for b in drained(adaptive(documents(*[10] * 5000)), cost=lambda d: 1e-5)]
    assert counts[0] <= 16
    assert all(later <= 4 * earlier for earlier, later in itertools.pairwise(counts))


def test_each_slot_has_its_first_batch_before_any_has_two_however_much_is_known():
    known = CostModel({"text/plain": Cost(seconds=1e-4, seconds_a_byte=0.0, mean_bytes=10, documents=99)})
    batcher = adaptive(documents(*[10] * 256), slots=4, model=known)
    assert [len(batcher.take(number)) for number in range(4)] == [64] * 4
    few = adaptive(documents(*[10] * 20), slots=4, model=known)
    assert [len(few.take(number)) for number in range(4)] == [5] * 4


def test_where_nothing_is_known_little_waits_behind_the_first_batches():
    batcher = adaptive(documents(*[10] * 1000), slots=2)
    assert [len(batcher.take(number)) for number in range(4)] == [16, 16, 4, 4]


def test_what_the_first_batch_has_taught_counts_for_what_is_cut_next():
    batcher = adaptive(documents(*[30_000] * 90), slots=2)
    first, *_ = [batcher.take(number) for number in range(4)]
    # Thirty times what was believed: what is left isn't the little that was worth one more batch.
    outcomes = [Outcome(d.url, d.media_type, d.size_bytes, "ok", seconds=0.06) for d in first.documents]
    batcher.learn(BatchResult(0, outcomes, None, "w", 1.0, 1.0, {}, {}))
    assert len(batcher.take(4)) <= (90 - 16 - 16 - 4 - 4) / 3 + 1


def test_a_batcher_that_knows_what_documents_cost_begins_with_long_batches():
    known = CostModel({"text/plain": Cost(seconds=1e-4, seconds_a_byte=0.0, mean_bytes=10, documents=99)})
    batcher = adaptive(documents(*[10] * 9000), slots=1, model=known)
    assert [len(batcher.take(number)) for number in range(3)] == [128, 1024, 1024]


def test_where_costs_are_known_so_much_is_listed_at_first_that_no_share_of_it_is_a_short_batch():
    known = CostModel({"text/plain": Cost(seconds=1e-4, seconds_a_byte=0.0, mean_bytes=10, documents=99)})
    batcher = adaptive(documents(*[10] * 9000), slots=2, model=known)
    assert [len(batcher.take(number)) for number in range(4)] == [128, 128, 1024, 1024]


def test_adaptive_batches_that_can_learn_nothing_are_cut_by_what_is_known_at_first():
    strategy = Strategy(collect="gather")
    batches = drained(batcher_for(strategy, Listed(enumerate(documents(*[100_000] * 2000))), slots=2))
    assert 10 < len(batches) < 100


def test_adaptive_batches_of_cheap_documents_are_large_and_of_dear_ones_small():
    cheap = drained(adaptive(documents(*[10] * 10_000)), cost=lambda d: 1e-4)
    dear = drained(adaptive(documents(*[10] * 500)), cost=lambda d: 0.5)
    assert max(map(len, cheap)) > 500
    assert max(map(len, dear[10:])) == 1


def test_large_values_that_travel_back_make_small_batches_however_cheap_they_are():
    """A driver whose consumer is slow holds a few batches of them."""
    batcher = adaptive(documents(*[100] * 20_000))
    seen = []
    while (batch := batcher.take(len(seen))) is not None:
        outcomes = [
            Outcome(d.url, d.media_type, 100, "ok", seconds=1e-4, position=p)
            for p, d in zip(batch.positions, batch.documents, strict=True)
        ]
        values = bytes(200_000 * len(batch))
        batcher.learn(BatchResult(len(seen), outcomes, None, "w", 1e-4 * len(batch), 0.0, {}, {}, values))
        seen.append(len(batch))
    assert sum(seen) == 20_000
    assert max(seen[3:]) * 200_000 <= 16 * 2**20


def test_adaptive_batches_shrink_towards_the_end():
    batches = drained(adaptive(documents(*[10] * 20_000), slots=4), cost=lambda d: 1e-3)
    counts = [len(b) for b in batches]
    assert counts[-1] < max(counts) / 3
    assert sum(counts[-4:]) * 1e-3 < 0.5


def test_adaptive_batches_list_little_by_little_and_never_far_ahead():
    listed: list[Document] = []

    def endless():
        while True:
            listed.extend(documents(10))
            yield listed[-1]

    batcher, gone, before = adaptive(endless()), 0, 0
    for number in range(60):
        batch = batcher.take(number)
        gone += len(batch)
        outcomes = [Outcome(d.url, d.media_type, 10, "ok", seconds=1e-3) for d in batch.documents]
        batcher.learn(BatchResult(number, outcomes, None, "w", 0.1, 0.1, {}, {}))
        # Listing keeps the workers waiting where it takes longer than they have work for.
        assert len(listed) - before <= (2048 if number == 0 else 8 * MAX_DOCUMENTS // 4)
        assert len(listed) - gone <= 8192
        before = len(listed)
    assert len(listed) - gone > 4096


def test_what_a_slow_source_has_said_so_far_goes_out():
    now, listed = 0.0, []

    def feed():
        nonlocal now
        for document in documents(*[10] * 100):
            now += 1.0
            listed.append(document)
            yield document

    batcher = adaptive(feed(), clock=lambda: now)
    assert len(batcher.take(0)) == len(listed) == 1
    assert len(drained(batcher)) == 99


def seconds_of(batches, each):
    return [len(b) * each for b in batches]


def test_adaptive_batches_are_longer_where_much_is_left_and_of_bounded_length():
    short = seconds_of(drained(adaptive(documents(*[10] * 500)), cost=lambda d: 5e-3), 5e-3)
    long = seconds_of(drained(adaptive(documents(*[10] * 9000)), cost=lambda d: 5e-3), 5e-3)
    assert max(short) < 0.8 < max(long) < 1.7


def test_adaptive_batches_are_never_tiny_before_the_end_is_in_sight():
    many = adaptive(documents(*[10] * 150_000), slots=64)
    lengths = seconds_of(drained(many, cost=lambda d: 1e-3), 1e-3)
    grown = next(i for i, seconds in enumerate(lengths) if seconds > 0.35)
    assert min(lengths[grown : grown + 80]) > 0.35


def makespan(batches, cost, slots):
    """When the last of ``slots`` workers ends that take batches in turn, each as soon as it is free."""
    free = [0.0] * slots
    for batch in batches:
        worker = free.index(min(free))
        free[worker] += 0.003 + sum(cost(d) for d in batch.documents)
    return max(free)


@pytest.mark.parametrize("kind", ["flat", "heavy", "adversarial", "drifting"])
def test_adaptive_batches_finish_near_the_ideal_whatever_the_costs(kind):
    rng = random.Random(1)
    sizes = [int(rng.lognormvariate(9, 1.5)) for _ in range(3000)]
    listed = documents(*sizes)
    secret = {d.url: rng.expovariate(1 / 0.003) for d in listed}
    order = {d.url: i for i, d in enumerate(listed)}
    cost = {
        "flat": lambda d: 0.002,
        "heavy": lambda d: 1e-7 * d.size_bytes,
        "adversarial": lambda d: secret[d.url],
        "drifting": lambda d: 0.001 * (1 + order[d.url] / 1000),
    }[kind]
    ideal = sum(map(cost, listed)) / 4
    batches = drained(adaptive(listed, slots=4), cost=cost)
    assert makespan(batches, cost, 4) < 1.15 * ideal


def test_largest_first_and_shrinking_beats_fixed_batches_on_a_heavy_tail():
    rng = random.Random(2)
    listed = documents(*[int(rng.lognormvariate(9, 2)) for _ in range(2000)])

    def cost(document):
        return 1e-7 * document.size_bytes

    fixed = drained(batcher_for(Strategy(batching="fixed:64"), Listed(enumerate(listed)), 4))
    assert makespan(drained(adaptive(listed, slots=4), cost=cost), cost, 4) < makespan(fixed, cost, 4)


def ends(batcher, now, cost, slots):
    """When each of ``slots`` workers ends that have one batch before them and one waiting, as a run gives them out."""
    placing = Placing({str(slot): 1 for slot in range(slots)}, lambda: now[0])
    lines, done, numbers = {str(slot): [] for slot in range(slots)}, [0.0] * slots, itertools.count()
    running = []  # when it ends, where, which

    def start(where, begins):
        batch = lines[where][0]
        heapq.heappush(running, (begins + sum(cost(d) for d in batch.documents), where, batch.number))

    def refill():
        while sum(map(len, lines.values())) < 2 * slots and (batch := batcher.take(next(numbers))):
            where = placing.place("run", batch.number, batch.seconds)
            lines[where].append(batch)
            if len(lines[where]) == 1:
                start(where, now[0])

    refill()
    while running:
        now[0], where, number = heapq.heappop(running)
        batch, done[int(where)] = lines[where].pop(0), now[0]
        if lines[where]:
            start(where, now[0])
        seconds = sum(cost(d) for d in batch.documents)
        placing.ended("run", number, seconds)
        rows = [Outcome(d.url, d.media_type, d.size_bytes, "ok", seconds=cost(d)) for d in batch.documents]
        learned = batcher.learn(BatchResult(number, rows, None, where, seconds, seconds, {}, {}))
        for other, expected in learned.items():
            placing.expect("run", other, expected)
        refill()
    return done


@pytest.mark.parametrize("slots", [2, 4, 8])
@pytest.mark.parametrize("count", [700, 1800, 2300, 2900, 4100, 6800])
def test_what_comes_last_is_cut_so_that_all_workers_end_together(count, slots):
    now = [0.0]
    model = CostModel({"text/plain": Cost(3e-4, 0.0, 10, 100)})
    batcher = adaptive(documents(*[10] * count), slots, lambda: now[0], model=model)
    done = ends(batcher, now, lambda d: 3e-4, slots)
    assert max(done) - min(done) < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_what_was_cut_before_costs_were_known_is_predicted_again_so_that_nothing_waits_behind_it(seed):
    now, dice = [0.0], random.Random(seed)
    sizes = [int(1000 * dice.paretovariate(1.2)) for _ in range(1700)]
    listed = documents(*(min(size, 500_000) for size in sizes))
    done = ends(adaptive(listed, 4, lambda: now[0]), now, lambda d: 1e-6 * d.size_bytes, 4)
    assert max(done) - min(done) < 0.07 * max(done)


def test_what_is_known_from_the_start_is_not_predicted_again():
    known = CostModel({"text/plain": Cost(seconds=1e-4, seconds_a_byte=0.0, mean_bytes=10, documents=99)})
    batcher = adaptive(documents(*[10] * 900), slots=2, model=known)
    first, _ = [batcher.take(number) for number in range(2)]
    outcomes = [Outcome(d.url, d.media_type, 10, "ok", seconds=1e-4) for d in first.documents]
    assert batcher.learn(BatchResult(0, outcomes, None, "w", 0.1, 0.1, {}, {})) == {}


class PausingSource:
    """Says what it was given to say, take by take; an empty list is a pause."""

    def __init__(self, *takes):
        self.takes, self.asked = list(takes), []

    @property
    def ended(self):
        return not self.takes

    def take(self, most):
        self.asked.append(most)
        given = self.takes.pop(0)
        return [numbered(*pair) for pair in enumerate(documents(*given))]


@pytest.mark.parametrize("kind", [FixedBatcher, BytesBatcher])
def test_what_is_too_little_for_a_batch_waits_for_more_but_not_where_the_source_pauses(kind):
    now = 0.0
    source = PausingSource([1, 1], [], [], [1, 1, 1], [], [])
    batcher = kind(source, 4, clock=lambda: now)
    assert batcher.take(0) is None
    now = 0.4
    assert batcher.take(0) is None
    now = 0.6
    assert len(batcher.take(0)) == 2
    assert batcher.take(1) is None
    now = 1.0
    assert batcher.take(1) is None
    assert not batcher.ended
    assert len(batcher.take(1)) == 3
    assert batcher.ended


@pytest.mark.parametrize("kind", [FixedBatcher, BytesBatcher])
def test_what_is_too_little_for_a_batch_goes_out_where_nothing_is_in_flight(kind):
    batcher = kind(PausingSource([], [1, 1], []), 4, clock=lambda: 0.0)
    assert batcher.take(0, idle=True) is None
    assert len(batcher.take(0, idle=True)) == 2
