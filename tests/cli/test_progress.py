from dataflow.cli.progress import Progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_without_a_terminal_a_line_comes_every_few_seconds(capsys):
    clock = Clock()
    with Progress("documents", clock) as progress:
        for _ in range(20):
            clock.now += 0.5
            progress.advance(total=40)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["10 of 40 documents, 2/s", "20 of 40 documents, 2/s"]


def test_what_is_over_at_once_says_nothing(capsys):
    with Progress("documents", Clock()) as progress:
        progress.advance()
    assert capsys.readouterr().err == ""


def test_bad_documents_are_counted_in_the_line():
    clock = Clock()
    progress = Progress("documents", clock)
    clock.now = 1.0
    progress.advance(bad=True)
    assert progress.line() == "1 document, 1/s, 1 not ok"
