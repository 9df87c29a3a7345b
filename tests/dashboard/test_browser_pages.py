"""Every page in a real browser: no accessibility fault, no blocked resource, no sideways scrolling."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, ConsoleMessage, Page
from pytest_django.live_server_helper import LiveServer

from activity.models import Account
from jobs import operations
from tests.make import (
    gpu_size,
    make_finished_job,
    make_image,
    make_job,
    make_node,
    make_operation,
    make_pool,
    make_storage,
    make_task,
    make_vm_image,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "assets" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
CHECK = """async (rules) => (await axe.run(document, {runOnly: rules})).violations.map(
    (fault) => `${fault.id}: ${fault.nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ")}`)"""
OPERATION = uuid.UUID("00000000-0000-4000-8000-000000000001")
PAGES = [
    "/zoobot/",
    "/zoobot/pools/",
    "/zoobot/pools/new/",
    "/zoobot/pools/gpu_1/",
    "/zoobot/pools/auto_1/",
    "/zoobot/pools/gpu_1/resize/",
    "/zoobot/pools/auto_1/autoscale/",
    "/zoobot/pools/auto_1/fix/",
    "/zoobot/pools/gpu_1/delete/",
    "/zoobot/pools/gpu_1/nodes/node_1/reboot/",
    "/zoobot/jobs/",
    "/zoobot/jobs/new/",
    "/zoobot/jobs/new/zoobot-training/",
    "/zoobot/jobs/new/zoobot-prediction/",
    "/zoobot/jobs/new/gpu-check/",
    "/zoobot/jobs/running/",
    "/zoobot/jobs/running/terminate/",
    "/zoobot/jobs/running/delete/",
    "/zoobot/jobs/done/results/",
    "/zoobot/operations/",
    f"/zoobot/operations/{OPERATION}/",
    "/nowhere/",
]


@pytest.fixture
def things(account: Account) -> None:
    """Make one of each thing that pages show, in states that look different."""
    operations.install_definitions()
    make_storage(account, is_default=True)
    make_vm_image(account)
    image = make_image(account, cuda_version="12.4", size_in_bytes=5_000_000_000)
    counts = {"running": 2, "idle": 1, "creating": 1, "unusable": 1, "preempted": 1, "offline": 1}
    pool = make_pool(
        account,
        batch_id="gpu_1",
        image=image,
        container_image=image.reference,
        size=gpu_size(),
        node_counts=counts,
        current_dedicated_nodes=7,
        target_dedicated_nodes=9,
        allocation_state="resizing",
    )
    for state in counts:
        make_node(pool, state=state)
    make_node(
        pool,
        batch_id="node_1",
        state="starttaskfailed",
        start_task_info={"result": "failure", "exit_code": 1},
    )
    make_pool(
        account, batch_id="auto_1", enable_auto_scale=True, auto_scale_formula="$TargetDedicatedNodes=1;"
    )
    make_pool(
        account, batch_id="foreign", is_ours=False, resize_errors=[{"code": "Quota", "message": "none left"}]
    )
    job = make_job(
        account, batch_id="running", pool=pool, tasks_running=1, tasks_active=0, tasks_total=3, tasks_failed=1
    )
    make_task(job, batch_id="task_1", node_id="")
    failure = {"code": "FailureExitCode", "message": "exited with 1"}
    make_task(
        job,
        batch_id="task_2",
        state="completed",
        result="failure",
        exit_code=1,
        failure_info=failure,
        node_id="",
    )
    make_finished_job(account, batch_id="done", pool=pool)
    now = timezone.now()
    make_operation(
        account, uuid=OPERATION, state="failed", error="It was refused.", error_code="No", finished_at=now
    )
    make_operation(account, subject="gpu_1", verb="resize", payload={"dedicated": 9})


@pytest.fixture(
    params=[("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)], ids=lambda p: f"{p[0]}-{p[1]}"
)
def page(
    request: pytest.FixtureRequest, browser: Browser, live_server: LiveServer, admin: User
) -> Iterator[Page]:
    """Open a signed-in browser of one theme and width."""
    theme, width = request.param
    client = Client()
    client.force_login(admin)
    context = browser.new_context(
        base_url=live_server.url, color_scheme=theme, viewport={"width": width, "height": 900}
    )
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
    yield context.new_page()
    context.close()


def faults_of(page: Page, address: str) -> list[str]:
    """Open a page and return what is wrong with it."""
    said: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "404" not in message.text:
            said.append(message.text)

    page.on("console", listen)
    page.goto(address)
    page.wait_for_timeout(150)
    page.remove_listener("console", listen)
    too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if too_wide > 0:
        said.append(f"{too_wide} px too wide")
    page.evaluate(AXE.read_text())
    return said + list(page.evaluate(CHECK, RULES))


def test_no_page_has_a_fault(page: Page, things: None) -> None:
    """In both themes, on a desk and on a telephone."""
    found = {address: faults for address in PAGES if (faults := faults_of(page, address))}
    assert found == {}


def test_the_sign_in_page_has_no_fault(page: Page, live_server: LiveServer) -> None:
    """For somebody who is not signed in."""
    page.context.clear_cookies()
    assert faults_of(page, "/accounts/login/?next=/") == []
