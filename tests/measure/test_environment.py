from __future__ import annotations

import json
import subprocess

import pytest

from dataflow.measure.environment import commit, describe_environment, machine, shown_command, versions


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("redis://user:hunter2@host:6379/0", "redis://***@host:6379/0"),
        ("redis://:hunter2@host", "redis://***@host"),
        ("https://host/page?token=hunter2&page=2", "https://host/page?token=***&page=2"),
        ("https://bucket/x?X-Amz-Signature=hunter2", "https://bucket/x?X-Amz-Signature=***"),
        ("--api-key=hunter2", "--api-key=***"),
        ("--redis-url=redis://:hunter2@host", "--redis-url=redis://***@host"),
    ],
)
def test_a_command_is_shown_without_its_secrets(argument, shown):
    command = shown_command(["dataflow", argument])
    assert "hunter2" not in command
    assert shown in command


def test_what_is_no_secret_is_shown_as_it_was():
    assert shown_command(["dataflow", "--corpus", "my papers/*.pdf"]) == "dataflow --corpus 'my papers/*.pdf'"


def test_the_environment_is_ready_for_json():
    found = json.loads(json.dumps(describe_environment(["dataflow", "bench"])))
    assert found["command"] == "dataflow bench"
    assert set(found) == {"command", "machine", "python", "versions", "commit"}


def test_the_machine_has_cores_and_memory():
    found = machine()
    assert found["cores"] >= 1
    assert found["memory_bytes"] > found["memory_available_bytes"] > 0


def test_versions_are_of_what_is_imported():
    found = versions()
    assert found["pytest"] == pytest.__version__
    assert "dataflow-bench" in found


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path):
    assert commit(tmp_path) is None


def test_a_changed_file_makes_a_checkout_dirty(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "one")
    clean = commit(tmp_path)
    (tmp_path / "file").write_text("two")
    assert clean is not None
    assert (len(clean["id"]), clean["dirty"]) == (40, False)
    assert commit(tmp_path) == {"id": clean["id"], "dirty": True}
