"""The page in a real browser: it opens, sorts, filters, fits and says what is missing. And the tables."""

import csv
import io
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from PIL import Image

import slrl
from slrl.evaluation import stats
from slrl.evaluation.report import evidence, page, report, svg
from slrl.evaluation.stats import Lives

from .conftest import TINY_ADAPTER, write_life

Command = Callable[..., tuple[int, str, str]]
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
EVIL = '<script>document.title="taken"</script>'


def write_course(folder: Path, *, mode: bool = False) -> None:
    """What a life did: files that only the drawings read."""
    steps = json.loads((folder / "result.json").read_text())["steps"]
    t = np.arange(steps + 1, dtype=np.float32)
    obs = np.column_stack([t, np.sin(t / 20)])
    np.savez_compressed(
        folder / "life.npz",
        obs=obs,
        action=obs[1:],
        reward=np.zeros(steps, np.float32),
        progress=(steps - t[1:]).astype(np.float32),
    )
    head = "life/step,life/progress,agent/q" + (",adapter/mode" if mode else "")
    rows = [
        f"{step},{steps - step},{step / 7}" + (f",{step // 150 % 3}" if mode else "")
        for step in range(50, steps + 1, 50)
    ]
    (folder / "metrics.csv").write_text("\n".join([head, *rows]) + "\n")


def many(runs: Path, scenarios: int, adapters: int, seeds: int, *, courses: bool = True) -> Path:
    """Adapter 0 is the fastest by far, the others are alike, the last one never succeeds."""
    rng = np.random.default_rng(0)
    for s in range(scenarios):
        for a in range(adapters):
            for seed in range(seeds):
                lost = a == adapters - 1
                steps = 1000 if lost else int(rng.integers(120, 160) if a == 0 else rng.integers(400, 900))
                outcome = "timeout" if lost else "success"
                folder = write_life(
                    runs,
                    f"adapter-{a}",
                    seed,
                    steps,
                    outcome=outcome,
                    scenario=f"scenario-{s}",
                    lr=0.1 * (a + 1),
                )
                if courses:
                    write_course(folder, mode=a == 1)
    return runs


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenarios, four adapters, six seeds, as a page."""
    folder = tmp_path_factory.mktemp("gallery")
    many(folder / "runs", 3, 4, 6)
    report(folder / "runs", folder / "gallery.html", animations=False)
    return folder / "gallery.html"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as play:
        found = play.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
        )
        yield found
        found.close()


class Opened:
    """A page, and everything it complained of or asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, **more: Any) -> None:
        context = browser.new_context(viewport={"width": width, "height": 800}, accept_downloads=True, **more)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def texts(self, what: str) -> list[str]:
        return [text.strip() for text in self.page.locator(what).all_inner_texts()]

    def shown(self, what: str) -> int:
        return sum(one.is_visible() for one in self.page.locator(what).all())


def test_it_opens_from_disk_without_a_complaint_or_a_request(gallery: Path, browser: Any) -> None:
    opened = Opened(browser, gallery)
    opened.page.wait_for_timeout(200)
    assert opened.complaints == []
    assert opened.requests == [gallery.as_uri()]
    assert opened.texts("h1") == ["Which lives succeeded"]
    assert opened.texts(".matrix tbody th a") == ["scenario-0", "scenario-1", "scenario-2"]
    assert "72 of 72 lives" in opened.texts("output")[0]
    opened.page.locator(".matrix tbody a").first.click()
    assert opened.page.evaluate("document.querySelector(location.hash).getBoundingClientRect().top") < 200


@pytest.mark.parametrize("width", [375, 768, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_at_every_width_and_can_be_read(
    width: int, scheme: str, gallery: Path, browser: Any, tmp_path: Path
) -> None:
    opened = Opened(browser, gallery, width, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    path = tmp_path / "shot.png"
    opened.page.screenshot(path=path)
    with Image.open(path) as picture:
        shades = np.asarray(picture.convert("L"), float)
    assert shades.std() > 5  # something is drawn, and
    assert (np.median(shades) > 128) == (scheme == "light")
    matrix = opened.page.locator(".matrix").bounding_box()
    assert matrix["y"] < 500  # the first screen is the matrix
    sizes = opened.page.evaluate(
        "[...document.querySelectorAll('main p, td, th, figcaption')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 11
    pale = opened.page.evaluate("""() => {
        const texts = 'p, td, th, dt, summary, h2, figcaption';
        return [...document.querySelectorAll(texts)].filter(e => {
        const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(linear);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const one = light(getComputedStyle(e).color);
        const two = light(getComputedStyle(document.body).backgroundColor);
        return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05) < 4.5; }).length; }""")
    assert pale == 0  # contrast as WCAG AA asks for


def test_columns_sort_both_ways(gallery: Path, browser: Any) -> None:
    opened = Opened(browser, gallery)
    head = opened.page.locator(".lives thead th").nth(5)
    steps = "table.lives tbody tr td:nth-child(6)"
    for order in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        found = [int(text.replace(",", "")) for text in opened.texts(steps)]
        assert found == sorted(found, reverse=order == "descending")
        assert len(found) == 72
    assert opened.page.locator(".lives thead th[aria-sort]").count() == 1
    opened.page.locator(".matrix thead button").nth(1).press("Enter")  # by keyboard
    means = [
        float(cell.get_attribute("data-v"))
        for cell in opened.page.locator(".matrix tbody td:nth-child(2)").all()
    ]
    assert means == sorted(means)


def test_filters_hold_for_lives_sections_and_drawings(gallery: Path, browser: Any) -> None:
    opened = Opened(browser, gallery)
    page = opened.page
    page.select_option("select[name=scenario]", "scenario-1")
    assert opened.shown("article.scenario") == 1
    assert opened.shown("tr.life") == opened.shown("details.life") == 24
    page.select_option("select[name=outcome]", "timeout")
    assert opened.shown("tr.life") == 6
    page.fill("input[name=text]", "SEED 3")
    assert opened.shown("tr.life") == 1
    assert opened.texts("output") == ["1 of 72 lives"]
    page.fill("input[name=text]", "nothing like that")
    assert opened.shown("tr.life") == 0
    page.locator(".nothing .all").click()
    page.wait_for_timeout(100)
    assert opened.texts("output") == ["72 of 72 lives"]
    page.locator(".adapters summary").click()
    page.locator("input[value='adapter-3']").uncheck()
    assert opened.shown("tr.life") == 54
    assert opened.shown(".matrix thead th") == 4
    assert opened.shown("svg [data-adapter='adapter-3']") == 0
    assert opened.shown("svg [data-adapter='adapter-1']") > 0
    page.keyboard.press("Escape")
    assert opened.shown("fieldset") == 0


def test_a_life_is_reached_by_its_dot_and_can_be_lived_again(gallery: Path, browser: Any) -> None:
    opened = Opened(browser, gallery, permissions=["clipboard-read", "clipboard-write"])
    opened.page.select_option("select[name=scenario]", "scenario-1")
    opened.page.evaluate(
        "document.querySelector('.chart circle').closest('a')"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    opened.page.wait_for_selector(
        "details.life[open]"
    )  # it belongs to another scenario: the filters make room for it
    life = opened.page.locator("details.life[open]")
    assert life.count() == 1
    assert "scenario-0, adapter-0, seed 0" in life.inner_text()
    command = f"slrl adapt --from {gallery.parent}/runs/scenario-0/adapter-0/seed-0/settings.toml"
    assert command in life.inner_text()
    life.locator(".copy").click()
    assert opened.page.evaluate("navigator.clipboard.readText()") == command
    third = opened.page.locator("details.life").nth(2)
    third.locator("summary").click()
    with opened.page.expect_download() as download:
        third.locator(".save").click()
    assert (
        Path(download.value.path()).read_bytes()
        == (gallery.parent / "runs/scenario-0/adapter-0/seed-2/settings.toml").read_bytes()
    )  # from the page alone
    assert opened.complaints == []


def test_settings_are_saved_with_the_pretraining_of_their_life(tmp_path: Path, browser: Any) -> None:
    """Lives that differ in their seeds alone share one text in the page."""
    folders = [write_life(tmp_path / "runs", "any", seed, 100, pretraining=seed + 5) for seed in range(3)]
    text, _ = report(tmp_path / "runs", tmp_path / "page.html", animations=False)
    assert text.count("<details id=") == 2  # one for the settings, one for the versions
    opened = Opened(browser, tmp_path / "page.html")
    assert opened.texts("table.lives tbody tr td:nth-child(4)") == ["5", "6", "7"]
    for section, folder in zip(opened.page.locator("details.life").all(), folders, strict=True):
        section.locator("summary").click()
        with opened.page.expect_download() as download:
            section.locator(".save").click()
        assert Path(download.value.path()).read_bytes() == (folder / "settings.toml").read_bytes()


def test_it_has_names_for_those_who_do_not_see_it(gallery: Path, browser: Any) -> None:
    opened = Opened(browser, gallery)
    assert opened.page.evaluate("document.documentElement.lang") == "en"
    unnamed = opened.page.evaluate("""() => {
        const controls = [...document.querySelectorAll('button, input, select, a[href], svg[role]')];
        const labelled = e => e.getAttribute('aria-label') || e.labels?.length || e.querySelector('title');
        return controls.filter(e => !(e.textContent.trim() || labelled(e))).length; }""")
    assert unnamed == 0
    heads = opened.page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => e.tagName)")
    levels = [int(name[1]) for name in heads]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = opened.page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    anchors = "[...document.querySelectorAll('a[href^=\"#\"]')].map(e => e.getAttribute('href').slice(1))"
    targets = opened.page.evaluate(anchors)
    assert set(targets) <= set(ids)
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.textContent") == "Skip to the results"


def test_it_prints_without_its_controls(gallery: Path, browser: Any) -> None:
    opened = Opened(browser, gallery, color_scheme="dark")
    opened.page.emulate_media(media="print")
    assert opened.shown(".filter") == opened.shown(".copy") == 0
    assert opened.shown(".matrix") == 1
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.page.pdf()[:4] == b"%PDF"


def test_nothing_of_a_file_is_taken_for_html(tmp_path: Path, browser: Any) -> None:
    name = EVIL.replace("/", "\N{FRACTION SLASH}")  # a folder cannot have a slash in its name, a scenario can
    folder = write_life(
        tmp_path / "runs",
        '"><img src=x onerror=alert(1)>',
        0,
        100,
        scenario=name,
        prior=EVIL,
        git_revision=EVIL,
    )
    write_course(folder)
    for key, value in (("scenario", EVIL), ("adapter", '"><img src=x onerror=alert(1)>')):
        result = json.loads((folder / "result.json").read_text())
        (folder / "result.json").write_text(json.dumps({**result, key: value}))
    (folder / "settings.toml").write_text(f"# </pre>{EVIL}\n" + (folder / "settings.toml").read_text())
    (folder / "metrics.csv").write_text(f"life/step,{EVIL}\n1,2\n2,3\n")
    text, _ = report(tmp_path / "runs", tmp_path / "page.html")
    assert EVIL not in text
    assert "<img src=x" not in text
    opened = Opened(browser, tmp_path / "page.html")
    assert opened.page.title() == "1 lives: which succeeded"
    assert opened.texts("article h2") == [EVIL]
    assert opened.complaints == []
    markdown, _ = report(tmp_path / "runs", form="md")
    assert "<script>" not in markdown
    assert "<img" not in markdown


def test_without_lives_it_says_how_to_get_some(tmp_path: Path, browser: Any, command: Command) -> None:
    (tmp_path / "runs").mkdir()
    code, out, err = command("report", tmp_path / "runs", "-o", tmp_path / "page.html", "--quiet")
    assert (code, out, err) == (
        0,
        f"{tmp_path}/page.html: 0.0 MB\n",
        f"slrl: {tmp_path}/runs holds no lives.\n",
    )
    opened = Opened(browser, tmp_path / "page.html")
    assert opened.texts("section h2")[0] == "No lives yet"
    assert opened.complaints == []
    for form in ("md", "csv"):
        assert command("report", tmp_path / "runs", "--format", form)[0] == 0
    assert command("report", tmp_path / "runs", "-o", tmp_path / "empty.png")[0] == 0


def test_what_is_missing_is_said_in_the_page_and_on_stderr(tmp_path: Path, command: Command) -> None:
    runs = many(tmp_path / "runs", 1, 2, 6)
    lives = runs / "scenario-0" / "adapter-0"
    (lives / "seed-0" / "result.json").write_text("{")
    (lives / "seed-1" / "result.json").unlink()
    newer = json.loads((lives / "seed-2" / "result.json").read_text()) | {"schema": 2}
    (lives / "seed-2" / "result.json").write_text(json.dumps(newer))
    other = json.loads((lives / "seed-3" / "result.json").read_text()) | {"versions": {"mujoco": "3.9.0"}}
    (lives / "seed-3" / "result.json").write_text(json.dumps(other))
    (runs / "scenario-0" / "adapter-1" / "seed-0" / "life.npz").write_bytes(b"PK damaged")
    (runs / "scenario-0" / "adapter-1" / "seed-5" / "metrics.csv").write_text("life/step,agent/q\nsoon,1\n")
    (lives / "seed-4" / "settings.toml").write_text("not toml at all")
    code, _, err = command("report", runs, "-o", tmp_path / "page.html", "--quiet")
    assert code == 0
    text = (tmp_path / "page.html").read_text()
    for says in (
        "seed-0: its result.json is damaged",
        "seed-1 has no result.json",
        "has schema 2, and this slrl reads 1",
        "MuJoCo 3.3.0 and 3.9.0",
        "adapter-1/seed-0 cannot be drawn",
        "adapter-1/seed-5 cannot be drawn",
        "1 lives of adapter-0 in scenario-0 have other settings",
        "scenario-0 is shown without an animation",
    ):
        assert says in err, says
        assert says in text, says
    assert "Traceback" not in err
    assert (
        text.count('<tr class="life"') == 9
    )  # every life that could be read, also the one that cannot be compared


def test_lives_that_were_all_interrupted_say_nothing(tmp_path: Path) -> None:
    for seed in range(6):
        write_life(tmp_path, "cut", seed, 10 * seed, outcome="interrupted")
        write_life(tmp_path, "fine", seed, 300 + seed)
    text, _ = report(tmp_path, animations=False)
    assert '<td data-adapter="cut" data-v="" class="none">6 interrupted</td>' in text
    assert "all 6 interrupted" in report(tmp_path, form="md")[0]
    assert evidence.collect(tmp_path).chapters[0].fastest is None


def test_lives_of_a_planner_without_a_server_had_nobody_to_ask(tmp_path: Path) -> None:
    for name, url in (("alone", ""), ("asks", "http://127.0.0.1:8000/v1"), ("other", None)):
        folder = write_life(tmp_path, name, 0, 300)
        if url is not None:
            with (folder / "settings.toml").open("a") as file:
                file.write(f'[adapter.planner]\nurl = "{url}"\n')
    text, _ = report(tmp_path, animations=False)
    assert re.findall(r"</span>(\w+) \(nobody to ask\)", text) == ["alone", "alone"]


def test_the_fastest_is_marked_only_where_the_lives_show_it(tmp_path: Path) -> None:
    clear = evidence.collect(many(tmp_path / "clear", 1, 3, 8, courses=False)).chapters[0]
    assert clear.fastest == "adapter-0"
    assert clear.conclusion() == "adapter-0 is faster than each of the others."
    few = evidence.collect(many(tmp_path / "few", 1, 3, 4, courses=False)).chapters[0]
    assert few.fastest is None
    assert "5 seeds that all adapters have lived are needed, and there are 4" in few.conclusion()
    rng = np.random.default_rng(3)
    for seed in range(10):
        for adapter in ("one", "two"):
            write_life(tmp_path / "alike", adapter, seed, int(rng.integers(200, 800)))
    alike = evidence.collect(tmp_path / "alike").chapters[0]
    assert alike.fastest is None
    assert "not shown to be slower than another: " in alike.conclusion()
    page_of = {
        name: page.render(evidence.collect(tmp_path / name), animations=False)[0]
        for name in ("clear", "alike")
    }
    assert page_of["clear"].count('class="cell best"') == 1
    assert 'class="cell best"' not in page_of["alike"]


def test_curves_by_hand(tmp_path: Path) -> None:
    """Two of four succeed, at a quarter and at half of a budget of 1000, on a linear axis."""
    for seed, steps in enumerate((250, 500, 1000, 1000)):
        write_life(tmp_path, "any", seed, steps, outcome="success" if steps < 1000 else "timeout")
    (chapter,) = evidence.collect(tmp_path).chapters
    drawn = svg.survival(
        chapter, ["any"], {row.folder: f"life-{row.seed}" for row in chapter.standings[0].rows}
    )
    left, wide = svg.LEFT, svg.WIDTH - svg.LEFT - svg.RIGHT
    x = [left, left + wide / 4, left + wide / 2, left + wide]
    y = [svg.TOP, svg.TOP + svg.CURVES / 4, svg.TOP + svg.CURVES / 2]
    corners = ((0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2))
    line = " ".join(f"{x[i]:g},{y[j]:g}" for i, j in corners)
    assert f'd="M{line}"' in drawn
    assert drawn.count('class="succeeded') == 2
    assert drawn.count('class="censored') == 2
    assert 'href="#life-1"' in drawn


def test_of_two_lives_the_second_is_drawn_as_the_worst(tmp_path: Path) -> None:
    for seed, steps in enumerate((300, 500)):
        write_course(write_life(tmp_path, "any", seed, steps))
    (tmp_path / "windy" / "any" / "seed-0" / "metrics.csv").write_text("life/step,agent/q\n1,2\n2,3\n")
    text, _ = report(tmp_path, animations=False)
    assert ">best and median</a>: seed 0" in text
    assert ">worst</a>: seed 1" in text
    drawings = [
        part.partition("</svg>")[0].partition('aria-label="')[2]
        for part in text.split('<svg class="spark"')[1:]
    ]
    looks = {
        part.partition(",")[0]: [look for look in ("w0", "w1", "w2") if f'class="{look}"' in part]
        for part in drawings
    }
    assert looks == {"agent/q": ["w0", "w2"], "life/progress": ["w2"]}  # the best life has no progress here


def test_ticks_do_not_collide() -> None:
    for budget, fastest in ((1000, 900), (200_000, 110), (200_000, 150_000), (5, 1), (123, 2), (10_000, 1)):
        lives = Lives(np.array([float(fastest), budget]), np.array([True, False]), float(budget))
        nothing = stats.Interval(0, 0, 0)
        one = evidence.Standing("s", "a", (), lives, nothing, None, nothing)
        axis = svg._Axis(evidence.Chapter("s", None, (one,), (), None))
        ticks = axis.ticks()
        assert ticks[-1] == budget
        assert len(ticks) >= 3
        assert all(axis(b) - axis(a) > 30 for a, b in pairwise(ticks))


def test_a_real_life_has_its_animation_path_and_modes(tmp_path: Path, tiny_adapter: str) -> None:
    slrl.adapt("windy_pointmass", adapter=tiny_adapter, life_steps=130, out=tmp_path / "runs")
    metrics = tmp_path / "runs" / "windy_pointmass" / "tiny" / "seed-0" / "metrics.csv"
    lines = metrics.read_text().splitlines()
    metrics.write_text("\n".join([f"{lines[0]},adapter/mode", *(f"{line},1" for line in lines[1:])]))
    text, problems = report(tmp_path / "runs", tmp_path / "page.html")
    assert problems == []
    assert text.count("data:image/webp;base64,") == 2
    assert "A point walks 100 units east" in text
    assert "paths from dark to bright, in a plane of 200 by 400 units" in text
    assert '<rect class="m1"' in text
    assert 'aria-label="path of seed 0, did not succeed in 130 steps"' in text
    assert len(text) < 1e6
    again, _ = report(tmp_path / "runs", tmp_path / "again.html")
    assert again == text


def test_a_report_imports_no_world_that_a_folder_of_lives_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder may be anybody's: its module would write a file as soon as it is imported."""
    (tmp_path / "trap.py").write_text("import pathlib\npathlib.Path('sprung').touch()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    world = {"env": "trap:World", "shifts": [{"name": "trap:Shift"}]}
    about = {"summary": "", "prior": "pointmass", "life_steps": 9, "success_function": "trap:success"}
    settings = {
        "schema": 1,
        "seed": 0,
        "life_steps": 9,
        "device": "cpu",
        "threads": 1,
        "prior": {"spec": "pointmass", "sha256": "ab"},
        "scenario": {"name": "windy_pointmass", **about, "source": world, "target": world},
        "adapter": {"name": "trap", "adapter": {"name": "trap:Adapter"}},
    }
    folder = write_life(tmp_path / "runs", "trap", 0, 9, scenario="windy_pointmass", life_steps=9)
    (folder / "settings.toml").write_text(tomli_w.dumps(settings))
    write_course(folder)
    text, problems = report(tmp_path / "runs", tmp_path / "page.html")
    assert "trap:World" in text  # the settings are shown
    assert not (tmp_path / "sprung").exists()
    assert problems == [
        "windy_pointmass is shown without an animation: it does not come with slrl, and a report runs no "
        "code that a folder of lives names"
    ]


def test_a_thousand_lives_take_seconds_and_scroll(tmp_path: Path, browser: Any) -> None:
    runs = many(tmp_path / "runs", 5, 10, 20)
    began = time.perf_counter()
    text, _ = report(runs, tmp_path / "page.html", animations=False)
    assert time.perf_counter() - began < 20
    assert len(text.encode()) < 10e6
    opened = Opened(browser, tmp_path / "page.html")
    assert opened.texts("output") == ["1,000 of 1,000 lives"]
    slowest = opened.page.evaluate("""() => new Promise(done => {
        const gaps = [], high = document.documentElement.scrollHeight;
        let before = performance.now(), y = 0;
        const step = now => { gaps.push(now - before); before = now; y += 400; scrollTo(0, y);
            if (y < high && gaps.length < 150) requestAnimationFrame(step);
            else done(gaps.slice(2).sort((a, b) => a - b)); };
        requestAnimationFrame(step); })""")
    assert np.median(slowest) < 50  # without a graphics card, beside other tests
    began = time.perf_counter()
    opened.page.fill("input[name=text]", "adapter-7 seed 3")
    assert "lives" in opened.texts("output")[0]
    assert time.perf_counter() - began < 2


def test_tables_for_papers(tmp_path: Path, command: Command) -> None:
    runs = many(tmp_path / "runs", 2, 3, 8, courses=False)
    code, out, err = command("report", runs, "--format", "csv")
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 6
    assert [row["fastest"] for row in rows] == ["1", "0", "0"] * 2
    last = rows[2]
    assert (last["lives"], last["came_home"], last["median_steps"], last["restricted_mean_steps"]) == (
        "8",
        "0",
        "inf",
        "1000",
    )
    assert float(last["success_rate_high"]) == pytest.approx(
        1 - 0.025 ** (1 / 8), rel=1e-5
    )  # Clopper and Pearson of 0 of 8
    code, out, _ = command("report", runs, "--format", "md")
    assert "| scenario-0 | 1,000 | 100 | **8 of 8, " in out
    assert out.count("**8 of 8") == 2
    code, out, _ = command("report", runs, "-o", tmp_path / "new" / "curves.png")
    assert code == 0
    with Image.open(tmp_path / "new" / "curves.png") as picture:
        assert picture.size[0] > 800
        assert np.asarray(picture.convert("L"), float).std() > 10
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "curves.png"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-o", "page.pdf"), "page.pdf must end in .html, .md, .csv, .png"),
        (("-o", "."), "is a folder; name a file"),
        (("-o", "/proc/page.html"), "cannot write"),
        (("--seed", "-1"), "--seed must be 0 or more"),
        (("--format", "pdf"), "invalid choice: 'pdf'"),
    ],
)
def test_wrong_reports_are_one_sentence(
    arguments: tuple[str, ...], says: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_life(tmp_path / "runs", "any", 0, 10)
    code, out, err = command("report", tmp_path / "runs", *arguments, "--quiet")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
    code, _, err = command("report", tmp_path / "nowhere", "--quiet")
    assert code == 2
    assert "there is no folder" in err


def test_a_report_imports_nothing_that_a_run_folder_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings of a life may name an adapter as module:Name; whoever reads about the life must not run it."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "stranger_of_a_run.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    tiny = tmp_path / "tiny.toml"
    tiny.write_text(TINY_ADAPTER)
    slrl.adapt("calm_pointmass", adapter=str(tiny), life_steps=100, out=tmp_path / "runs")
    (path,) = (tmp_path / "runs").rglob("settings.toml")
    text = path.read_text()
    assert 'name = "replay"' in text
    path.write_text(text.replace('name = "replay"', 'name = "stranger_of_a_run:Adapter"'))
    page, problems = report(tmp_path / "runs", form="md")
    assert "calm_pointmass" in page
    assert problems == []
    assert "stranger_of_a_run" not in sys.modules
