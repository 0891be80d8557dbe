"""The leaderboard's page: escaped, complete, and in a real browser without request, message or sideways scrolling."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.board.page import html, load

from .conftest import BOARD, fill

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run", "--disable-quic"]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fill(tmp_path_factory.mktemp("board"), *BOARD)
    (folder / "index.html").write_text(html(load(folder)), encoding="utf-8")
    return folder / "index.html"


def test_what_entries_say_is_escaped(written: Path) -> None:
    text = written.read_text()
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>bold" not in text
    assert text.count("<script>") == 1


def test_the_same_entries_give_the_same_page(written: Path) -> None:
    assert html(load(written.parent)) == written.read_text()


def test_doubt_stands_with_its_reason(written: Path) -> None:
    text = written.read_text()
    assert "claimed, not measured" in text
    assert "zero-gradient: the cross-entropy has no gradient" in text
    assert "reduced run: epochs=5 of 100" in text
    assert "no better than chance" in text


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield made
        made.close()


@pytest.fixture
def page(browser: Any, written: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    told, asked = [], []
    opened.on("console", lambda message: told.append(message.text))
    opened.on("pageerror", lambda error: told.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(written.as_uri())
    yield opened
    assert told == []
    assert asked == [written.as_uri()]
    context.close()


@pytest.mark.browser
def test_filters_hide_rows_and_empty_tables(page: Any) -> None:
    assert page.locator("tr.entry:visible").count() == len(BOARD)
    page.select_option("select[data-filter='ratio']", "50")
    assert page.locator("tr.entry:visible").count() == 1
    assert page.locator("section.board:visible").count() == 1
    assert page.locator("#shown").inner_text() == f"1 of {len(BOARD)} entries"
    page.select_option("select[data-filter='ratio']", "")
    page.select_option("select[data-filter='enhancers']", "with")
    assert page.locator("tr.entry:visible th a").all_inner_texts() == ["at-bsl+ema"]


@pytest.mark.browser
def test_an_entry_opens_with_its_counts(page: Any) -> None:
    page.locator("tr.best th a").first.click()
    opened = page.locator("details[open]")
    assert opened.count() == 1
    assert "60 / 61 / 62" in opened.inner_text()
    assert "a1b2c3d4e5f60718" in opened.inner_text()


@pytest.mark.browser
def test_the_line_of_chance_parts_what_learned_from_what_did_not(page: Any) -> None:
    rows = page.locator("section.board").first.locator("tbody tr")
    classes = [rows.nth(i).get_attribute("class") for i in range(rows.count())]
    values = [float(rows.nth(i).locator("td").first.inner_text().split()[0]) for i in range(rows.count())]
    assert values == sorted(values, reverse=True)
    assert values[classes.index("chance")] == 25.0


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_no_sideways_scrolling(page: Any, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
