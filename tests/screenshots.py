"""Picture every page of a running demo: light and dark at 1440 pixels, and light at 390.

Run as `make screenshots PASSWORD=… [URL=…] [FOLDER=…]`; the pictures of the documentation are among them.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ACCOUNT = "zoobatch"
LOOKS = {
    "light-1440": {"color_scheme": "light", "viewport": {"width": 1440, "height": 900}},
    "dark-1440": {"color_scheme": "dark", "viewport": {"width": 1440, "height": 900}},
    "light-390": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


def main() -> int:
    """Sign in once per look and picture each page; return 1 when a page did not answer 200."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("password")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for look, options in LOOKS.items():
            context = browser.new_context(base_url=given.url, reduced_motion="reduce", **options)
            page = context.new_page()
            page.goto("/accounts/login/")
            page.screenshot(path=given.folder / f"sign-in--{look}.png")
            page.get_by_label("User name").fill(given.user)
            page.get_by_label("Password").fill(given.password)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(re.compile(f"/{ACCOUNT}/$"))
            for name, path in _paths(page):
                failed += not _picture(page, path, given.folder / f"{name}--{look}.png")
            context.close()
        browser.close()
    return 1 if failed else 0


def _paths(page: Page) -> Iterator[tuple[str, str]]:
    """Yield a name and an address for each page; those of single things are found in the lists."""
    base = f"/{ACCOUNT}/"
    yield "overview", base
    yield "pools", f"{base}pools/"
    yield "pool-form", f"{base}pools/new/"
    for pool in _first(page, f"{base}pools/", r"/pools/(?!new/)[^/?]+/$"):
        yield "pool", pool
        for form in ("resize", "autoscale", "delete"):
            yield f"pool-{form}", f"{pool}{form}/"
    yield "jobs", f"{base}jobs/"
    yield "job-choice", f"{base}jobs/new/"
    for definition in ("zoobot-training", "zoobot-prediction", "gpu-check"):
        yield f"job-form-{definition}", f"{base}jobs/new/{definition}/"
    for job in _first(page, f"{base}jobs/", r"/jobs/(?!new/)[^/?]+/$"):
        yield "job", job
        yield "job-results", f"{job}results/"
        yield "job-files", f"{job}tasks/1/files/"
        yield "job-delete", f"{job}delete/"
    yield "operations", f"{base}operations/"
    for operation in _first(page, f"{base}operations/", r"/operations/[0-9a-f-]{36}/$"):
        yield "operation", operation
    yield "admin", "/admin/"
    yield "admin-pools", "/admin/pools/pool/"


def _first(page: Page, listing: str, pattern: str) -> list[str]:
    page.goto(listing)
    links = page.eval_on_selector_all("main a[href]", "links => links.map(link => link.getAttribute('href'))")
    return [link for link in links if re.search(pattern, link)][:1]


def _picture(page: Page, path: str, file: Path) -> bool:
    answer = page.goto(path)
    page.wait_for_timeout(1500)  # logs and summaries load after the page
    page.screenshot(path=file, full_page=True)
    if answer is None or answer.status != 200:
        print(f"{path} answered {answer.status if answer else 'nothing'}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
