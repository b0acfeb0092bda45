from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dataflow.errors import CacheError
from dataflow.memo.secret import cache_secret


def test_the_variable_is_the_secret() -> None:
    one = cache_secret({"DATAFLOW_CACHE_KEY": "a shared secret text"})
    assert one == cache_secret({"DATAFLOW_CACHE_KEY": "a shared secret text"})
    assert one != cache_secret({"DATAFLOW_CACHE_KEY": "another shared secret"})
    assert len(one) == 32


def test_a_short_variable_is_refused() -> None:
    with pytest.raises(CacheError, match="at least 16"):
        cache_secret({"DATAFLOW_CACHE_KEY": "short"})


def test_a_key_file_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: cache_secret(environment), range(32)))
    assert len(made) == 1
    (path,) = (tmp_path / "dataflow").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    cache_secret(environment)
    (tmp_path / "dataflow" / "cache.key").chmod(0o644)
    with pytest.raises(CacheError, match="chmod 600"):
        cache_secret(environment)


def test_a_damaged_key_file_is_refused(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    cache_secret(environment)
    (tmp_path / "dataflow" / "cache.key").write_text("cut")
    with pytest.raises(CacheError, match="delete it"):
        cache_secret(environment)


def test_a_folder_that_can_not_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="set DATAFLOW_CACHE_KEY"):
        cache_secret({"XDG_CONFIG_HOME": str(tmp_path / "file")})
