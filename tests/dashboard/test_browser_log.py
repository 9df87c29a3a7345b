"""The log of a task in a real browser: long logs, long lines, and lines that overwrite themselves."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.batch import BatchClient
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from activity.models import Account
from jobs import logs
from tests.dashboard.test_browser_actions import signed_in
from tests.dashboard.test_browser_pages import faults_of
from tests.emulator.batch import connect, finished, make_job, make_pool, make_task, output, wait
from tests.make import make_job as make_job_row
from tests.make import make_task as make_task_row

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
MEGABYTE = 1024 * 1024
TWENTY_MEGABYTES = "for n in range(1, 200_001): print(f'line {n:07}', 'x' * 91)"
TWO_MEGABYTES = "for n in range(1, 20_001): print(f'line {n:07}', 'x' * 91)"
LONG_LINE = "for n in range(1, 524_289): print(f'word{n:06}', end='')\nprint('.')"
FEW_LINES = "for n in range(200): print(f'{n} ' * 2000)"
TEXT_OF_ROWS = "rows => rows.map(row => row.lastElementChild.textContent).join('\\n')"
Show = Callable[..., str]


@pytest.fixture(scope="module")
def azure(emulator: dict[str, Any]) -> Iterator[BatchClient]:
    """Return Microsoft's client."""
    with connect(emulator) as client:
        yield client


@pytest.fixture(scope="module")
def real_job(azure: BatchClient) -> str:
    """Return the id of a job on a pool with a node."""
    return make_job(azure, make_pool(azure))


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, viewer: User) -> Iterator[Page]:
    """Open a page of somebody who may look."""
    context = signed_in(browser, live_server, viewer)
    yield context.new_page()
    context.close()


@pytest.fixture
def show(
    page: Page, live: Account, azure: BatchClient, real_job: str, monkeypatch: pytest.MonkeyPatch
) -> Show:
    """Let a task run a program and open its log; returns what the task has written when it has ended."""
    monkeypatch.setattr(logs, "_closed_until", {})

    def run(program: str, *, is_over: bool = True) -> str:
        task = make_task(azure, real_job, f'{sys.executable} -u -c "{program}"')
        if is_over:
            finished(azure, real_job, task)
        else:
            wait(lambda: azure.get_task(real_job, task).state != "active")
        row = make_job_row(live, batch_id=real_job)
        make_task_row(row, batch_id=task, state="completed" if is_over else "running")
        page.goto(f"/live/jobs/{real_job}/#log")
        if is_over:
            expect(page.locator("[data-state]")).to_have_text("complete", timeout=30_000)
        return output(azure, real_job, task).decode() if is_over else ""

    return run


def rows(page: Page) -> str:
    """Return the text of the lines that are loaded."""
    text: str = page.locator("[data-lines] > div").evaluate_all(TEXT_OF_ROWS)
    return text


def load_earlier(page: Page) -> None:
    """Press the button and wait for what it loads."""
    with page.expect_response(lambda answer: "before=" in answer.url):
        page.get_by_role("button", name="Load earlier").click()
    expect(page.locator("[data-earlier]")).to_have_attribute("aria-disabled", "false")


def test_a_long_log_opens_at_its_end(page: Page, show: Show) -> None:
    """Nothing is read but the end, and earlier output when it is asked for."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/log/" in request.url else None)
    text = show(TWENTY_MEGABYTES)
    assert len(text) > 20 * 1_000_000
    expect(page.get_by_text("line 0200000")).to_be_in_viewport()
    assert asked[0].endswith("?tail=1048576")
    assert len(asked) <= 5
    assert text.endswith(rows(page) + "\n")
    expect(page.locator("[data-count]")).to_contain_text(f"{len(text):,} bytes")
    expect(page.locator("[data-lines] .n").first).to_be_hidden()

    begin = len(text) - len(rows(page)) - 1
    expect(page.locator("[data-earlier-note]")).to_have_text(f"Shown from byte {begin:,} on")
    load_earlier(page)
    earlier = len(text) - len(rows(page)) - 1
    assert earlier < begin
    assert text.endswith(rows(page) + "\n")
    expect(page.locator("[data-earlier-note]")).to_have_text(f"Shown from byte {earlier:,} on")


def test_loading_earlier_output_leaves_the_place_alone(page: Page, show: Show) -> None:
    """What is read stays where it is, up to the beginning; lines have numbers once those are known."""
    text = show(TWO_MEGABYTES)
    lines = page.locator("[data-lines]")
    lines.focus()
    lines.evaluate("box => { box.scrollTop = 0; }")
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    first = page.locator("[data-lines] > div").first.element_handle()
    assert first is not None
    page.wait_for_timeout(200)
    before = first.bounding_box()
    load_earlier(page)
    page.wait_for_timeout(200)
    after = first.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(after["y"] - before["y"]) < 3

    while page.get_by_role("button", name="Load earlier").is_visible():
        load_earlier(page)
    assert rows(page) + "\n" == text
    expect(lines).to_be_focused()
    expect(page.locator("[data-earlier-bar]")).to_be_hidden()
    numbers = page.locator("[data-lines] > div .n")
    assert (numbers.first.text_content(), numbers.last.text_content()) == ("1", "20000")
    expect(page.locator("[data-count]")).to_contain_text("20,000 lines")


def test_one_long_line_is_laid_out_in_pieces(page: Page, show: Show) -> None:
    """It is one line nevertheless: for whoever copies it, looks for something in it, or loads more of it."""
    text = show(LONG_LINE).removesuffix("\n")
    assert len(text) > 5 * MEGABYTE
    pieces = page.locator("[data-lines] > div .p")
    for _ in range(2):
        load_earlier(page)
    assert page.locator("[data-lines] > div").count() == 1
    assert max(pieces.evaluate_all("pieces => pieces.map(piece => piece.textContent.length)")) <= 4001
    assert pieces.count() < len(text) / 2000
    shown = rows(page)
    assert len(shown) > 2 * MEGABYTE - 1000
    assert text.endswith(shown)
    copied = page.locator("[data-lines]").evaluate(
        "box => { getSelection().selectAllChildren(box); return getSelection().toString(); }"
    )
    assert copied.strip("\n") == shown
    page.get_by_role("button", name="Wrap lines").click()
    page.wait_for_function(
        "() => { const box = document.querySelector('[data-lines]'); return box.scrollWidth > 2 * box.clientWidth; }"
    )
    page.get_by_label("Find in log").fill(shown[3990:4010])
    expect(page.locator("[data-lines] > div.hit")).to_have_count(1)


def test_a_growing_line_is_not_written_again(page: Page, show: Show) -> None:
    """What is there of it stays as it is, and more is added."""
    show(
        "import time\n"
        "for n in range(6): print(f'{n}' * 30_000, end='', flush=True); time.sleep(0.8)\n"
        "print('end')",
        is_over=False,
    )
    page.wait_for_function("() => document.querySelectorAll('[data-lines] .p').length > 1", timeout=30_000)
    page.evaluate("window.piece = document.querySelector('[data-lines] .p')")
    page.evaluate("window.node = window.piece.firstChild")
    expect(page.locator("[data-lines] > div")).to_contain_text("end", timeout=30_000)
    assert rows(page) == "".join(f"{n}" * 30_000 for n in range(6)) + "end"
    assert page.evaluate("window.piece.isConnected && window.piece.firstChild === window.node")
    assert page.evaluate("document.querySelector('[data-lines]').rawText") == rows(page) + "\n"


def test_a_progress_bar_overwrites_itself(page: Page, show: Show) -> None:
    """Also while it is only half received; ends of lines as Windows has them overwrite nothing."""
    show(
        "import time\n"
        "print('begin', end='\\r\\n')\n"
        "for n in range(0, 101, 20): print(f'\\r{n:3}% ' + '#' * n, end='', flush=True); time.sleep(0.4)\n"
        "print(); print('one\\rtwo\\r'); print('end')",
        is_over=False,
    )
    first = page.locator("[data-lines] > div").nth(1)
    expect(first).to_contain_text("100%", timeout=30_000)
    expect(page.locator("[data-lines]")).to_contain_text("end", timeout=30_000)
    text = rows(page)
    assert text == "\n".join(["begin", "100% " + "#" * 100, "two", "end"])
    raw = page.evaluate("document.querySelector('[data-lines]').rawText")
    assert raw.startswith("begin\r\n\r  0% \r 20% ")


def test_a_short_log_is_received_byte_for_byte(page: Page, show: Show) -> None:
    """With numbers, without anything earlier to load; words are found in it."""
    text = show(
        "print('\\ufeffé€😀'); print('Traceback'); print('\\x1b[31mred\\x1b[0m plain'); print('last', end='')"
    )
    assert page.evaluate("document.querySelector('[data-lines]').rawText") == text
    expect(page.locator("[data-earlier-bar]")).to_be_hidden()
    assert page.locator("[data-lines] .n").all_text_contents() == ["1", "2", "3", "4"]
    expect(page.locator("[data-lines] > .err")).to_have_text("2Traceback")
    expect(page.locator("[data-lines] .ansi-red-fg")).to_have_text("red")
    page.get_by_label("Find in log").fill("PLAIN")
    expect(page.locator("[data-lines] > .hit")).to_have_text("3red plain")
    assert page.get_by_label("Find in log").get_attribute("title") == "1 line"


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390), ("light", 390)])
def test_the_panel_of_a_long_log_has_no_fault(
    browser: Browser, live_server: LiveServer, viewer: User, page: Page, show: Show, theme: str, width: int
) -> None:
    """In both themes, on a desk and on a telephone."""
    show(FEW_LINES)  # the check looks at each element
    context = signed_in(
        browser, live_server, viewer, color_scheme=theme, viewport={"width": width, "height": 900}
    )
    other = context.new_page()
    other.goto(page.url)
    expect(other.get_by_role("button", name="Load earlier")).to_be_visible()
    assert faults_of(other, page.url) == []
    context.close()
