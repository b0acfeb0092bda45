"""The report in a real browser."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from dataflow.report import build

# How many pixels of each canvas are painted; Bokeh's canvases lie in shadow trees.
PAINTED = """() => {
  const canvases = [];
  const walk = (root) => root.querySelectorAll('*').forEach((element) => {
    if (element.shadowRoot) walk(element.shadowRoot);
    if (element.tagName === 'CANVAS') canvases.push(element);
  });
  const painted = (canvas) => {
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0;
    for (let i = 3; i < pixels.length; i += 4) count += pixels[i] > 0;
    return count;
  };
  return [...document.querySelectorAll('.plot')].map((plot) => {
    canvases.length = 0;
    walk(plot);
    return Math.max(0, ...canvases.filter((c) => c.width * c.height).map(painted));
  });
}"""


@dataclass
class Opened:
    """A page, and everything that it said and asked for."""

    page: object
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def report(synthetic, tmp_path_factory):
    return build(synthetic.make_run(tmp_path_factory.mktemp("results"), blocks=2, wrong="collect=gather"))


def opened(browser, report, **options) -> Opened:
    page = browser.new_page(**options)
    found = Opened(page)
    page.on("request", lambda request: found.requests.append(request.url))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("console", lambda m: found.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    page.wait_for_function(f"() => ({PAINTED})().every((pixels) => pixels > 100)")
    return found


@pytest.fixture(scope="module")
def desk(browser, report) -> Opened:
    return opened(browser, report, viewport={"width": 1280, "height": 900})


def test_the_console_stays_silent(desk):
    assert desk.complaints == []


def test_nothing_is_asked_of_any_host(desk, report):
    assert desk.requests == [report.as_uri()]


def test_every_picture_is_painted(desk):
    painted = desk.page.evaluate(PAINTED)
    # speed, time, memory, memory over time, success, two of batches, cache, the server's memory, worker time,
    # efficiency
    assert len(painted) == 11
    assert min(painted) > 100


def test_hostile_names_stay_text(desk, report):
    assert desk.page.title() == report.parent.name
    assert desk.page.locator("img").count() == 0
    assert "<img src=x onerror=" in desk.page.locator("#success").inner_text()


def test_the_page_could_not_fetch_if_it_wanted_to(browser, report):
    found = opened(browser, report)
    found.page.evaluate("() => fetch('http://127.0.0.1:9/').catch(() => null)")
    assert any("Content Security Policy" in complaint for complaint in found.complaints)


def test_another_trial_can_be_chosen_for_memory_over_time(desk):
    page = desk.page
    processes = "() => [...document.querySelectorAll('#memory-legend li')].map((li) => li.textContent)"
    page.select_option("#memory-trial", label="base")
    assert sorted(page.evaluate(processes)) == ["driver", "worker-0", "worker-1"]
    page.select_option("#memory-trial", label="cache=redis · warm")
    assert sorted(page.evaluate(processes)) == ["driver", "redis", "worker-0", "worker-1"]


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_no_window_has_to_be_scrolled_sideways(browser, report, width):
    found = opened(browser, report, viewport={"width": width, "height": 800})
    assert found.page.evaluate("document.documentElement.scrollWidth") == width
    assert found.complaints == []


def test_dark_windows_get_light_letters(browser, report):
    colours = {}
    for scheme in ("light", "dark"):
        page = opened(browser, report, color_scheme=scheme).page
        key = "major_label_text_color"
        axis = f"[...Bokeh.documents[0].all_models].find((model) => '{key}' in model).{key}"
        colours[scheme] = (page.evaluate(axis), page.evaluate("getComputedStyle(document.body).color"))
    assert colours["light"][0] != colours["dark"][0]
    assert colours["light"][1] != colours["dark"][1]


def test_a_run_of_one_bare_trial_opens_without_a_complaint(browser, synthetic, tmp_path):
    report = build(synthetic.make_run(tmp_path, blocks=1, arms=synthetic.ARMS[:1], documents=1))
    assert opened(browser, report).complaints == []
