"""The faults: what each needs before the run, what it does in the middle of it, and how often it happened."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import outputs
import processes
import storm
from scene import Scene

__all__ = ["FAULTS", "Fault"]


def _nothing(_scene: Scene) -> None:
    pass


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        what: in words, for the table's reader.
        strike: does it; returns how often it happened.
        prepare: what has to be so before the run begins.
        clusters: where it makes sense.
        cache: what it needs; ``None`` for any.
        stormy: on the misbehaving file system; ``None`` for either.
        ends: the driver is expected to end by it, and to be resumed.
        mend: what is done between the driver's end and the next one's start; returns how often it happened.
        possible: whether this machine can.
    """

    what: str
    strike: Callable[[Scene], int]
    prepare: Callable[[Scene], None] = _nothing
    clusters: tuple[str, ...] = ("processes", "threads", "distributed")
    cache: str | None = None
    stormy: bool | None = None
    ends: bool = False
    mend: Callable[[Scene], int] = lambda _scene: 0
    possible: Callable[[], bool] = lambda: True


def _send(kind: str, number: signal.Signals, *, every: bool = False) -> Callable[[Scene], int]:
    """Send a signal to a process of a kind, or to all."""

    def strike(scene: Scene) -> int:
        found = _find(scene, kind)
        picked = found if every else scene.rng.sample(found, min(1, len(found)))
        return sum(processes.send(pid, number) for pid in picked)

    return strike


def _find(scene: Scene, kind: str) -> list[int]:
    """Processes of a kind; a worker that was killed just now may be on its way back."""
    assert scene.driver is not None
    while True:
        found = processes.find(scene.driver.pid, kind)
        if found or scene.ended():
            return found
        scene.look()


def _stop(kind: str) -> Callable[[Scene], int]:
    """Stop a process, and let it go on when the others have gone on without it."""

    def strike(scene: Scene) -> int:
        found = [scene.redis.pid] if kind == "redis" and scene.redis else _find(scene, kind)
        if not found:
            return 0
        pid = scene.rng.choice(found)
        if not processes.send(pid, signal.SIGSTOP):
            return 0
        scene.pass_over(pid)
        processes.send(pid, signal.SIGCONT)
        return 1

    return strike


def _stop_driver(scene: Scene) -> int:
    assert scene.driver is not None
    if not scene.send_driver(signal.SIGSTOP):
        return 0
    scene.pass_over(scene.driver.pid)
    return int(scene.send_driver(signal.SIGCONT))


def _short_patience(scene: Scene) -> None:
    scene.variables["DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL"] = "2s"


def _own_redis(scene: Scene) -> None:
    """Start the machine's own Redis server for this round."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _serve(scene, port)
    scene.redis_url = f"redis://127.0.0.1:{port}/0"
    scene.undo.callback(lambda: _end_redis(scene))


def _has_redis() -> bool:
    return bool(shutil.which("redis-server"))


def _serve(scene: Scene, port: int) -> None:
    program = shutil.which("redis-server")
    assert program is not None
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(scene.folder)]
    scene.redis = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert scene.redis.stdout is not None
    for line in scene.redis.stdout:
        if b"eady to accept connections" in line:
            return
    raise RuntimeError("redis-server doesn't start")


def _end_redis(scene: Scene) -> None:
    if scene.redis:
        scene.redis.kill()
        scene.redis.wait()
        if scene.redis.stdout:
            scene.redis.stdout.close()


def _kill_own_redis(scene: Scene) -> int:
    _end_redis(scene)
    return 1


def _restart_own_redis(scene: Scene) -> int:
    """Kill it, and start an empty one in its place when the run has gone on."""
    assert scene.redis_url is not None
    assert scene.driver is not None
    _end_redis(scene)
    scene.pass_over(scene.driver.pid)
    _serve(scene, int(scene.redis_url.rpartition(":")[2].partition("/")[0]))
    return 1


def _kill_driver(scene: Scene) -> int:
    return int(scene.send_driver(signal.SIGKILL))


def _damaged(damage: Callable[[Scene], int]) -> Fault:
    return Fault((damage.__doc__ or "").strip(), _kill_driver, stormy=False, ends=True, mend=damage)


def _part(scene: Scene) -> str:
    return scene.rng.choice(sorted(outputs.committed_parts(scene.output)))


def _truncate(scene: Scene) -> int:
    """the driver killed, and a committed part cut in half"""
    path = scene.output / _part(scene)
    os.truncate(path, path.stat().st_size // 2)
    return 1


def _remove(scene: Scene) -> int:
    """the driver killed, and a committed part gone"""
    (scene.output / _part(scene)).unlink()
    return 1


def _orphan(scene: Scene) -> int:
    """the driver killed, and parts there that nobody committed: one whole, one torn"""
    source = scene.output / _part(scene)
    shutil.copy(source, scene.output / "part-99999999-0123456789ab.parquet")
    (scene.output / "part-99999998-0123456789ab.parquet").write_bytes(source.read_bytes()[:100])
    return 2


def _tear(scene: Scene) -> int:
    """the driver killed, and half a line at the manifest's end"""
    with (scene.output / "_dataflow" / "manifest.jsonl").open("ab") as file:
        file.write(b'{"part": "part-0000')
    return 1


def _small_disk(scene: Scene) -> None:
    """The output on a disk that has room for half of it."""
    scene.output.mkdir()
    size = max(64 * 1024, scene.size_bytes // 2)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", scene.output], check=True)
    scene.undo.callback(lambda: subprocess.run(["umount", "--lazy", scene.output], check=True))


def _wait_full(scene: Scene) -> int:
    """Nothing is to be done: the disk fills by itself."""
    while not scene.ended():
        scene.look()
    return int(scene.progress() < scene.documents)


def _larger_disk(scene: Scene) -> int:
    subprocess.run(["mount", "-o", "remount,size=256m", scene.output], check=True)
    return 0


def _can_mount() -> bool:
    """Whether a small disk can be had: asked by mounting nothing of consequence."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _fill_store(scene: Scene) -> int:
    (scene.weather_folder / storm.FULL).touch()
    while not scene.ended():
        scene.look()
    return storm.marks(scene.weather_folder, "store_full")


def _empty_store(scene: Scene) -> int:
    (scene.weather_folder / storm.FULL).unlink(missing_ok=True)
    return 0


def _weather(**weather: float) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        scene.weather.update(weather)

    return prepare


def _count(kind: str) -> Callable[[Scene], int]:
    """The misfortune happens by itself: see how often, once the run has ended."""

    def strike(scene: Scene) -> int:
        while not scene.ended():
            scene.look()
        return storm.marks(scene.weather_folder, kind)

    return strike


FAULTS: dict[str, Fault] = {
    "worker-kill": Fault("SIGKILL of a worker", _send("worker", signal.SIGKILL)),
    "workers-kill": Fault("SIGKILL of all workers at once", _send("worker", signal.SIGKILL, every=True)),
    "worker-stop": Fault("SIGSTOP of a worker, then SIGCONT", _stop("worker")),
    "worker-frozen": Fault(
        "SIGSTOP of a worker for longer than the scheduler waits", _stop("worker"), _short_patience
    ),
    "nanny-kill": Fault(
        "SIGKILL of a worker's nanny", _send("nanny", signal.SIGKILL), clusters=("distributed",)
    ),
    "forkserver-kill": Fault(
        "SIGKILL of the process that workers are forks of",
        _send("forkserver", signal.SIGKILL),
        clusters=("processes",),
    ),
    "redis-kill": Fault("SIGKILL of the embedded server", _send("redis", signal.SIGKILL), cache="redis"),
    "redis-stop": Fault("SIGSTOP of the embedded server, then SIGCONT", _stop("redis"), cache="redis"),
    "own-redis-kill": Fault(
        "SIGKILL of redis-server", _kill_own_redis, _own_redis, cache="redis",
        possible=_has_redis,
    ),
    "own-redis-stop": Fault(
        "SIGSTOP of redis-server, then SIGCONT", _stop("redis"), _own_redis, cache="redis",
        possible=_has_redis,
    ),
    "own-redis-restart": Fault(
        "redis-server killed, later started anew and empty", _restart_own_redis, _own_redis, cache="redis",
        possible=_has_redis,
    ),
    "scheduler-kill": Fault(
        "SIGKILL of the scheduler", _send("scheduler", signal.SIGKILL), clusters=("distributed",), ends=True
    ),
    "driver-kill": Fault("SIGKILL of the driver", _kill_driver, ends=True),
    "driver-stop": Fault("SIGSTOP of the driver, then SIGCONT", _stop_driver),
    "driver-interrupt": Fault("Ctrl-C", lambda scene: int(scene.send_driver(signal.SIGINT)), ends=True),
    "part-truncated": _damaged(_truncate),
    "part-lost": _damaged(_remove),
    "parts-orphaned": _damaged(_orphan),
    "manifest-torn": _damaged(_tear),
    "disk-full": Fault(
        "no space left on the output's disk", _wait_full, _small_disk, stormy=False, ends=True,
        mend=_larger_disk, possible=_can_mount,
    ),
    "store-full": Fault(
        "no space left in the output's store, parts cut short", _fill_store, stormy=True, ends=True,
        mend=_empty_store,
    ),
    "reads-slow": Fault(
        "reads that take 30 ms", _count("slow"), _weather(slow=0.3, delay_seconds=0.03), stormy=True
    ),
    "reads-fail": Fault("reads that fail once", _count("read_fails"), _weather(read_fails=0.2), stormy=True),
    "reads-broken": Fault("documents that can't be read (EIO)", _count("broken"), _weather(broken=0.1), stormy=True),
    "writes-fail": Fault(
        "parts whose writing fails once, half-written", _count("write_fails"), _weather(write_fails=0.3), stormy=True
    ),
}  # fmt: skip
