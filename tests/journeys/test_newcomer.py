"""What a newcomer does, on the whole system in a real browser: from signing in to a downloaded prediction."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.batch import BatchClient
from azure.storage.blob import ContainerClient
from playwright.sync_api import Browser, Page, expect

from examples.learning import checkpoint
from tests.emulator.batch import connect
from tests.journeys.demo import ROOT, Demo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
MANIFEST = "catalogues/demo/hubble-deep-field.json"
CATALOGUE = "catalogues/demo/hubble-deep-field.csv"
SECONDS = 1000
NODE_PATIENCE, JOB_PATIENCE = 90 * SECONDS, 240 * SECONDS


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Return a running demo."""
    running = Demo(tmp_path_factory.mktemp("demo") / "data")
    running.start()
    try:
        yield running
    finally:
        running.stop(signal.SIGTERM)


@pytest.fixture(scope="module")
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    """Return a page of somebody who has signed in with the printed password."""
    context = browser.new_context(base_url=demo.url, accept_downloads=True)
    page = context.new_page()
    page.goto("/")
    expect(page).to_have_url(re.compile(r"/accounts/login/"))
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(demo.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile(r"/zoobatch/$"))
    yield page
    context.close()


@pytest.fixture(scope="module")
def azure(demo: Demo) -> Iterator[BatchClient]:
    """Return Microsoft's client, to see what there really is."""
    with connect(demo.endpoints) as client:
        yield client


def container(demo: Demo, name: str) -> ContainerClient:
    """Return a client for one of the storage containers."""
    blob = demo.endpoints["blob"]
    credential = {"account_name": blob["account"], "account_key": blob["key"]}
    return ContainerClient(blob["url"], name, credential=credential, connection_verify=demo.endpoints["ca"])


def submit(page: Page, definition: str, pool: str, fields: dict[str, str]) -> str:
    """Submit a job by its form and return its id."""
    page.goto(f"/zoobatch/jobs/new/{definition}/?pool={pool}")
    for label, value in fields.items():
        page.get_by_label(label, exact=False).first.fill(value)
    expect(page.locator("#preview")).to_contain_text(fields["Run name"])
    page.get_by_role("button", name="Submit job").last.click()
    expect(page).to_have_url(re.compile(r"/zoobatch/jobs/[0-9a-f-]{36}/$"))
    return page.url.rstrip("/").rpartition("/")[2]


def expect_success(page: Page) -> None:
    """Wait until the open page of a job says that it has succeeded."""
    expect(page.locator(".z-head").get_by_text("Succeeded")).to_be_visible(timeout=JOB_PATIENCE)


def shown_log(page: Page) -> str:
    """Return the log as the page has received it."""
    text: str = page.evaluate("document.querySelector('[data-lines]').rawText")
    return text


def stdout(azure: BatchClient, job: str) -> bytes:
    """Return a task's standard output from its node."""
    return b"".join(azure.download_task_file(job, "1", "stdout.txt"))


def accuracy(log: str) -> tuple[float, float]:
    """Return validation accuracy and majority baseline of a training log."""
    found = re.search(r"Best checkpoint: .*val_acc ([\d.]+), majority baseline ([\d.]+)", log)
    assert found, log[-2000:]
    return float(found[1]), float(found[2])


def test_first_job_is_really_running(page: Page, demo: Demo) -> None:
    demo.wait(lambda: any("training job" in line for line in demo.said), "for the first job")
    page.goto("/zoobatch/pools/training_1/")
    expect(page.get_by_role("heading", name="training_1")).to_be_visible()
    expect(page.locator("#pool-live")).to_contain_text("1 of 1", timeout=NODE_PATIENCE)
    page.get_by_role("link", name="Hubble Deep Field, first training").click(timeout=NODE_PATIENCE)
    expect(page.locator("[data-lines]")).to_contain_text("Epoch 1/", timeout=NODE_PATIENCE)


def test_journey_from_a_pool_to_predictions(
    page: Page, demo: Demo, azure: BatchClient, tmp_path: Path
) -> None:
    nonce = f"n{uuid.uuid4().hex}"
    pool = f"gpu-{nonce[:12]}"
    make_pool(page, pool)

    epochs, batch = random.randint(8, 12), random.choice([8, 10])
    fields = {
        "Catalogue": CATALOGUE,
        "Promote to": f"{nonce}.ckpt",
        "Epochs": str(epochs),
        "Batch size": str(batch),
        "Run name": nonce,
    }
    job = submit(page, "zoobot-training", pool, fields)
    watch_log_grow(page)
    expect_success(page)
    expect(page.locator("[data-state]")).to_have_text("complete", timeout=30 * SECONDS)
    log = shown_log(page)
    assert log.encode() == stdout(azure, job)
    assert f"Run name: {nonce}" in log
    assert f"Epoch {epochs}/{epochs}" in log
    learnt, majority = accuracy(log)
    assert learnt > majority + 0.15
    promoted = tmp_path / "promoted.ckpt"
    promoted.write_bytes(container(demo, "models").download_blob(f"{nonce}.ckpt").readall())
    assert checkpoint.load(promoted).provenance["run_name"] == nonce

    fields = {"Manifest": MANIFEST, "Checkpoint": f"{nonce}.ckpt", "Run name": f"{nonce}-asked"}
    submit(page, "zoobot-prediction", pool, fields)
    expect_success(page)
    check_predictions(page, nonce)

    assert learnt - shuffled_accuracy(page, demo, azure, pool, tmp_path) > 0.15


def make_pool(page: Page, pool: str) -> None:
    """Choose an image and a size, create a pool with one node, and wait until that is idle."""
    page.goto("/zoobatch/pools/new/")
    page.get_by_label("Pool ID").fill(pool)
    page.get_by_label("Repository").select_option(label="pytorch, 4 tags")
    page.get_by_label("2.4.1-gpu-py3").check()
    size = random.choice(["Standard_NC8as_T4_v3", "Standard_NC16as_T4_v3", "Standard_NC24ads_A100_v4"])
    page.get_by_label(size).check()
    page.get_by_label("Dedicated nodes").fill("1")
    expect(page.locator("#tab-summary")).to_contain_text("Ready to be created.")
    page.get_by_role("button", name="Create pool").last.click()
    expect(page).to_have_url(re.compile(rf"/zoobatch/pools/{pool}/$"))
    expect(page.get_by_role("table").get_by_text("Idle")).to_be_visible(timeout=NODE_PATIENCE)


def watch_log_grow(page: Page) -> None:
    """See more epochs appear on the page without its being loaded again."""
    page.evaluate("window.wasNotReloaded = true")
    lines = page.locator("[data-lines]")
    expect(lines).to_contain_text("Epoch 1/", timeout=NODE_PATIENCE)
    before = shown_log(page)
    page.wait_for_function(
        "before => document.querySelector('[data-lines]').rawText.length > before", arg=len(before)
    )
    assert shown_log(page).startswith(before)
    assert page.evaluate("window.wasNotReloaded")


def check_predictions(page: Page, nonce: str) -> None:
    """Download predictions.json from the job's page and read it."""
    link = page.get_by_role("link", name=re.compile("predictions.json")).first
    expect(link).to_be_visible(timeout=30 * SECONDS)
    with page.expect_download() as download:
        link.click()
    found = json.loads(Path(download.value.path()).read_text())
    assert found["schema"] == {"version": 1, "type": "zooniverse/subject_assistant"}
    assert len(found["data"]) == 128
    assert found["failures"] == {}
    assert found["provenance"]["run_name"] == f"{nonce}-asked"
    assert found["provenance"]["checkpoint"]["run_name"] == nonce


def shuffled_accuracy(page: Page, demo: Demo, azure: BatchClient, pool: str, folder: Path) -> float:
    """Train on the same galaxies with each other's labels, and return how little that teaches."""
    subprocess.run(
        [sys.executable, "-m", "examples.catalogue", str(folder), "--shuffle-labels"], check=True, cwd=ROOT
    )
    content = (folder / "training" / CATALOGUE).read_bytes()
    container(demo, "training").upload_blob("catalogues/demo/shuffled.csv", content)
    fields = {
        "Catalogue": "catalogues/demo/shuffled.csv",
        "Promote to": "shuffled.ckpt",
        "Epochs": "8",
        "Run name": "shuffled",
    }
    job = submit(page, "zoobot-training", pool, fields)
    expect_success(page)
    found, majority = accuracy(stdout(azure, job).decode())
    assert found < majority + 0.12
    return found


def test_silent_azure_loses_nothing(page: Page, demo: Demo, azure: BatchClient) -> None:
    """For a minute: pages answer and say how old they are, what is asked for waits, and is then done."""
    pool = f"late-{uuid.uuid4().hex[:10]}"
    emulator = demo.child("-m emulator serve")

    os.kill(emulator, signal.SIGSTOP)
    stopped_at = time.monotonic()
    try:
        page.goto("/zoobatch/pools/new/")
        page.get_by_label("Pool ID").fill(pool)
        page.get_by_label("2.5.1-cpu-py3").check()
        page.get_by_label("Standard_NC8as_T4_v3").check()
        page.get_by_role("button", name="Create pool").last.click()
        expect(page).to_have_url(re.compile(rf"/zoobatch/pools/{pool}/$"))
        while time.monotonic() - stopped_at < 65:
            began = time.monotonic()
            assert page.goto("/zoobatch/").status == 200  # type: ignore[union-attr]
            assert time.monotonic() - began < 10, "a page waited for Azure"
            time.sleep(5)
        page.goto(f"/zoobatch/pools/{pool}/")
        expect(page.locator("#sync-pill")).to_contain_text(re.compile(r"min|[5-9]\d s"))
        expect(page.get_by_text("Create asked by admin")).to_be_visible()
    finally:
        os.kill(emulator, signal.SIGCONT)
    expect(page.locator(".z-head").get_by_text("Steady")).to_be_visible(timeout=NODE_PATIENCE)
    assert azure.get_pool(pool).id == pool


def test_everything_stops_and_starts_again(browser: Browser, demo: Demo) -> None:
    """Ctrl-C leaves nothing running; the next start keeps everything and makes nothing twice."""
    worker = demo.child("celery")

    os.kill(worker, signal.SIGKILL)
    demo.wait(
        lambda: any("was killed by SIGKILL; starting it again" in line for line in demo.said), "for a restart"
    )
    password = demo.password
    assert demo.stop() == 0
    assert demo.survivors() == []
    demo.start()
    assert demo.password == ""
    demo.wait(lambda: demo.health("readyz")[0] == 200, "to be ready again")
    page = browser.new_page(base_url=demo.url)
    page.goto("/accounts/login/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.goto("/zoobatch/jobs/")
    expect(page.get_by_role("link", name="Hubble Deep Field, first training")).to_have_count(1)
    page.close()
