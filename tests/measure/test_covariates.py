from __future__ import annotations

from dataflow.measure import covariates
from dataflow.measure.covariates import Watch, probe_seconds


def test_the_surroundings_are_read_between_start_and_end(monkeypatch):
    times = iter([(100.0, 5.0), (110.0, 6.0)])
    monkeypatch.setattr(covariates, "_cpu_times", lambda: next(times))
    seen = Watch().read()
    assert seen.steal_percent == 10.0
    assert seen.probe_seconds > 0
    assert seen.load is None or seen.load >= 0


def test_what_a_platform_does_not_tell_is_none(monkeypatch):
    monkeypatch.setattr(covariates, "_cpu_times", lambda: (1.0, None))
    monkeypatch.setattr(covariates, "_pressure_seconds", lambda: None)
    monkeypatch.delattr(covariates.os, "getloadavg")
    seen = Watch().read()
    assert (seen.steal_percent, seen.pressure_percent, seen.load) == (None, None, None)


def test_pressure_is_the_kernels_total_in_seconds(tmp_path):
    file = tmp_path / "cpu"
    file.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=7\n")
    assert covariates._pressure_seconds(str(file)) == 2.5
    assert covariates._pressure_seconds(str(tmp_path / "none")) is None


def test_the_probe_takes_time():
    assert probe_seconds() > 0
