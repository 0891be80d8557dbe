"""The page in a real browser: sorting, drill-down, links, no console message, no request, phone and desktop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.reports import render
from bench.reports.report import make

from .conftest import write_cell

HERE = Path(__file__).parent
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run", "--disable-quic"]  # fmt: skip

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    render.write(make(HERE / "store", figures=["fig4"]), folder, ["html"])
    return (folder / "report.html").as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    opened = context.new_page()
    opened.told, opened.asked = [], []
    opened.on("console", lambda message: opened.told.append(message.text))
    opened.on("pageerror", lambda error: opened.told.append(str(error)))
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.goto(address)
    yield opened
    assert opened.told == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [address]
    context.close()


COLUMN = """([id, i]) => [...document.querySelectorAll('#' + id + ' table.main tbody tr:not(.drill)')]
    .map(r => r.cells[i].dataset.sort).filter(t => t !== '').map(Number)"""


def test_sorting(page: Any) -> None:
    before = page.evaluate(COLUMN, ["table01", 1])
    head = page.locator("#table01 thead th[data-column='1']")
    button = head.locator("button")
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    assert page.evaluate(COLUMN, ["table01", 1]) == sorted(before, reverse=True)
    first = page.evaluate("document.querySelector('#table01 tbody tr').cells[1].dataset.sort")
    assert first, "what is missing stays last"
    button.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(COLUMN, ["table01", 1]) == sorted(before)
    assert page.evaluate("document.querySelector('#table01 tbody tr').cells[1].dataset.sort")
    button.click()
    assert head.get_attribute("aria-sort") == "none"
    assert page.evaluate(COLUMN, ["table01", 1]) == before


def until(page: Any, condition: str) -> None:
    """Wait for it; the page's own policy forbids what playwright would wait with."""
    for _ in range(100):
        try:
            if page.evaluate(condition):
                return
        except Exception as error:  # between two pages there is none to ask
            if "navigation" not in str(error):
                raise
        page.wait_for_timeout(100)
    raise AssertionError(f"it never came to {condition}")


def test_every_table_can_be_copied_as_tsv(page: Any) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tables = page.locator("table.main, table.counts").count()
    assert page.locator("button.copy").count() == tables > 5
    page.locator("#table01 a.value").first.click()  # opened counts are no part of the table
    page.locator("#table01 button.copy").click()
    page.wait_for_function(
        "[...document.querySelectorAll('#table01 button.copy')].some(b => b.textContent === 'Copied')"
    )
    lines = [line.split("\t") for line in page.evaluate("navigator.clipboard.readText()").splitlines()]
    body = page.locator("#table01 table.main > tbody > tr:not(.drill)")
    assert len(lines) == body.count() + 1
    assert lines[0][:3] == ["Method", "Clean", "AA"]
    assert {len(line) for line in lines} == {len(lines[0])}
    values = [float(t) for line in lines[1:] for t in line[1:] if t]
    assert len(values) == page.locator("#table01 table.main > tbody > tr:not(.drill) a.value").count()


def test_a_page_that_is_still_written_shows_itself_again_as_it_was_left(browser: Any, tmp_path: Path) -> None:
    made = make(HERE / "store", tables=["table01", "overview"], figures=[])
    context = browser.new_context(viewport={"width": 1000, "height": 600})
    page = context.new_page()
    render.write(replace(made, refresh=1), tmp_path, ["html"])
    page.goto((tmp_path / "report.html").as_uri())
    assert "shows itself again every 1 seconds" in page.locator(".live").inner_text()
    page.evaluate("document.querySelector('#how').open = true")
    page.evaluate("scrollTo(0, 300)")
    render.write(made, tmp_path, ["html"])  # the last cell has finished meanwhile
    until(page, "!document.querySelector('.live') && Math.abs(scrollY - 300) < 80")  # the notice above is gone
    assert page.evaluate("document.querySelector('#how').open")
    assert page.evaluate("document.body.dataset.refresh") is None
    context.close()


def test_drill_down_to_counts_and_provenance(page: Any) -> None:
    link = page.locator("#table01 a.value").first
    link.focus()
    page.keyboard.press("Space")
    drill = page.locator("#table01 tr.drill")
    assert drill.count() == 1
    assert link.get_attribute("aria-expanded") == "true"
    lines = drill.locator("tbody tr")
    assert lines.count() == 10
    first = lines.first.locator("th, td").all_inner_texts()
    assert first[:3] == ["airplane", "5000", "1000"]
    value = float(link.inner_text())
    recalls = [float(t) for t in drill.locator("tbody tr td:nth-child(6)").all_inner_texts()]
    assert sum(recalls) / 10 == pytest.approx(value, abs=0.01)
    drill.locator("p a").first.click()
    target = page.evaluate("location.hash.slice(1)")
    article = page.locator(f"[id='{target}']")
    assert article.locator("details").first.get_attribute("open") is not None
    assert "recipe.epochs" in article.inner_text()
    page.locator("#table01 a.value").first.click()
    assert page.locator("#table01 tr.drill").count() == 0


def test_names_are_shown_as_they_are(page: Any) -> None:
    assert page.evaluate(
        "[...document.querySelectorAll('table.counts th')].some(t => t.textContent === '<script>alert(1)</script>')"
    )


def test_filter_of_cells_and_toggles(page: Any) -> None:
    page.locator("#filter").fill("failed")
    shown = page.locator("article.cell:visible")
    assert shown.count() == 1
    page.locator("input[data-hide='no-intervals']").uncheck()
    assert not page.locator("#table01 small.interval").first.is_visible()
    page.locator("input[data-hide='no-paper']").uncheck()
    assert not page.locator("#table01 small.paper").first.is_visible()


@pytest.mark.parametrize("width", [390, 1024, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_sideways_scrolling_of_the_page(page: Any, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_no_number_is_cut_on_paper(browser: Any, tmp_path: Path) -> None:
    """Nine attacks with both intervals on the width of A4 without its margins."""
    attacks = ("clean", "fgsm", "pgd-20", "pgd-100", "cw-l2", "cw-linf", "aa", "aa-10")
    for method in ("at", "taet"):
        for seed in (0, 1):
            write_cell(tmp_path / "store", method, seed=seed, attacks=attacks, dataset="archive:a-rather-long-name")
    report = make(tmp_path / "store", tables=["overview"], figures=[], suffixes=("svg",))
    (path,) = render.html(report, tmp_path)
    opened = browser.new_page(viewport={"width": 718, "height": 1000})  # 190 mm
    opened.emulate_media(media="print")
    opened.goto(path.as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") <= 718
    right = "[...document.querySelectorAll('table.main')].map(t => t.getBoundingClientRect().right)"
    assert max(opened.evaluate(right)) <= 718
    opened.close()


def test_a_phone_shows_a_number_beside_the_method_and_every_link(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    scroll = page.locator("#table05 .scroll")
    first = scroll.locator("a.value").first
    inside = "(e) => { const r = e.getBoundingClientRect(); return r.left >= 0 && r.right <= innerWidth }"
    assert first.evaluate(inside)
    assert all(link.evaluate(inside) for link in page.locator("nav a").all())
    scroll.evaluate("(e) => e.scrollBy(200, 0)")
    assert scroll.locator("tbody th:first-child").first.evaluate(inside), "the name stays beside the numbers"


def test_what_is_not_measured_is_closed_without_a_script(page: Any) -> None:
    opened = page.evaluate("""[...document.querySelectorAll('section.table')].map(
        s => [s.querySelector('a.value') !== null, s.querySelector('details').hasAttribute('open')])""")
    assert {tuple(pair) for pair in opened} == {(True, True), (True, False), (False, False)}


CONTRAST = """() => {
  const lum = c => { const v = c.map(x => { x /= 255; return x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4 });
    return .2126 * v[0] + .7152 * v[1] + .0722 * v[2] };
  const rgb = t => t.match(/[\\d.]+/g).map(Number);
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c } return [255, 255, 255] };
  let worst = 99;
  for (const e of document.querySelectorAll('main *, header *, nav a')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.getClientRects().length) continue;
    const [a, b] = [lum(rgb(getComputedStyle(e).color)), lum(behind(e))];
    worst = Math.min(worst, (Math.max(a, b) + .05) / (Math.min(a, b) + .05));
  }
  return worst;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate(CONTRAST) >= 4.5


def test_theme_button(page: Any) -> None:
    page.emulate_media(color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    page.locator("#theme").click()
    assert page.evaluate(background) != before
