"""Nothing that data holds becomes markup."""

from __future__ import annotations

import json

import pytest

from dataflow.report.markup import Html, escape, facts, script_json, table

EVIL = "</script><img src=x onerror=alert(1)>&\"'"


def test_text_is_escaped_once_and_markup_stays():
    assert escape(EVIL) == "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#x27;"
    assert escape(escape(EVIL)) == escape(EVIL)
    assert isinstance(escape("x"), Html)


def test_control_characters_are_shown():
    assert escape("a\x1b[2J\u202eb") == "a\\x1b[2J\\u202eb"


def test_lone_surrogates_are_shown():
    assert escape("caf\udce9") == "caf\\udce9"


@pytest.mark.parametrize("value", [EVIL, {"k": EVIL}, [EVIL, EVIL], {"k": [{EVIL: EVIL}]}])
def test_facts_and_tables_escape_names_and_values(value):
    for text in (facts({EVIL: value}), table([EVIL], [[value]])):
        assert "<img" not in text
        assert "</script" not in text


def test_facts_leave_out_what_is_not_known():
    assert facts({"a": None, "b": "", "c": {}, "d": 0, "e": False}) == (
        "<dl><dt>d</dt><dd>0</dd><dt>e</dt><dd>False</dd></dl>"
    )


def test_json_in_a_script_is_the_same_data_and_ends_no_script():
    text = script_json({"name": EVIL, "line": "\u2028"})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"name": EVIL, "line": "\u2028"}
