from dataflow import errors


def test_every_error_is_a_dataflow_error_and_stands_in_the_drawn_tree():
    kinds = [getattr(errors, n) for n in errors.__all__ if n.endswith("Error")]
    assert all(issubclass(k, errors.DataflowError) for k in kinds)
    assert all(k.__name__ in errors.__doc__ for k in kinds)


def test_a_message_becomes_one_line_that_any_terminal_takes():
    assert errors.one_line(ValueError("a\n  b\tc")) == "a b c"
    assert errors.one_line(ValueError("\ud800 \x1b[31m")).encode("utf-8") == b"\\ud800 \\x1b[31m"


def test_an_error_without_a_message_says_its_type():
    assert errors.one_line(KeyError()) == "KeyError"


def test_a_long_message_is_cut():
    assert len(errors.one_line(ValueError("x" * 5000))) == 500


def test_one_is_singular_and_every_other_number_is_not():
    numbers = (0, 1, 2)
    assert [errors.counted(n, "document") for n in numbers] == ["0 documents", "1 document", "2 documents"]
