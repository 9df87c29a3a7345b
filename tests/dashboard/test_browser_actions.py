"""What pages do by themselves and under somebody's hands, in a real browser."""

import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from activity import revisions
from activity.models import Account, Operation
from pools.models import Pool
from tests.make import gpu_size, make_image, make_pool, make_storage, make_vm_image

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def signed_in(browser: Browser, live_server: LiveServer, user: User, **options: object) -> BrowserContext:
    """Open a browser in which a user is signed in."""
    client = Client()
    client.force_login(user)
    context = browser.new_context(base_url=live_server.url, **options)  # type: ignore[arg-type]
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
    return context


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, admin: User, account: Account) -> Iterator[Page]:
    """Open a page of a signed-in admin."""
    context = signed_in(browser, live_server, admin, color_scheme="light")
    yield context.new_page()
    context.close()


@pytest.fixture
def catalogue(account: Account) -> None:
    """Make what a pool is chosen from."""
    gpu_size()
    make_storage(account, is_default=True)
    make_vm_image(account)
    make_image(account, repository="aaa", tag="first")
    make_image(account, repository="pytorch", tag="2.0-gpu", cuda_version="12.4")
    make_image(account, repository="pytorch", tag="1.0-cpu")


def test_somebody_signs_in_and_out(
    browser: Browser, live_server: LiveServer, viewer: User, account: Account
) -> None:
    """By name and password, and back."""
    page = browser.new_page(base_url=live_server.url)
    page.goto("/zoobot/pools/")
    page.get_by_label("User name").fill("vera")
    page.get_by_label("Password").fill("correct horse battery staple")
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile(r"/zoobot/pools/$"))
    page.get_by_role("button", name="Menu of vera").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.close()


def test_the_theme_is_kept(page: Page) -> None:
    """From one page to the next."""
    page.goto("/zoobot/")
    root = page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "light")
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.goto("/zoobot/pools/")
    expect(root).to_have_attribute("data-bs-theme", "dark")


def test_a_list_refreshes_itself_and_keeps_what_is_typed(page: Page, account: Account) -> None:
    """Without a reload; an unchanged list is not sent again."""
    make_pool(account, batch_id="gpu_1", allocation_state="resizing")
    page.goto("/zoobot/pools/")
    page.evaluate("window.wasNotReloaded = true")
    with page.expect_response(lambda answer: answer.url.endswith("/pools/") and answer.status == 304):
        pass
    make_pool(account, batch_id="gpu_2")
    revisions.bump(account, "pools")
    page.get_by_label("Pool id begins with").fill("gpu")
    expect(page.locator("#pool-gpu_2")).to_be_visible()
    expect(page.get_by_label("Pool id begins with")).to_have_value("gpu")
    expect(page).to_have_url(re.compile(r"q=gpu"))
    assert page.evaluate("window.wasNotReloaded")


def test_going_back_restores_the_whole_page(page: Page, account: Account) -> None:
    """After a filter has changed the address."""
    make_pool(account, batch_id="gpu_1")
    make_pool(account, batch_id="other")
    page.goto("/zoobot/pools/")
    page.get_by_label("Pool id begins with").fill("gpu")
    expect(page.locator("#pool-other")).to_have_count(0)
    page.go_back()
    expect(page.locator("#pool-other")).to_be_visible()
    expect(page.get_by_role("heading", name="Pools", level=1)).to_be_visible()


def test_a_settled_list_slows_down(page: Page, account: Account) -> None:
    """The interval in the refreshed part is taken over."""
    pool = make_pool(account, batch_id="gpu_1", allocation_state="resizing")
    page.goto("/zoobot/pools/")
    expect(page.locator("#pool-table")).to_have_attribute("hx-trigger", "every 2s")
    pool.allocation_state = "steady"
    pool.save()
    revisions.bump(account, "pools")
    expect(page.locator("#pool-table")).to_have_attribute("hx-trigger", "every 15s")


def test_a_lost_session_leads_to_the_sign_in_page(page: Page, account: Account) -> None:
    """A poll never pastes that page into a table."""
    make_pool(account, batch_id="gpu_1", allocation_state="resizing")
    page.goto("/zoobot/pools/")
    page.context.clear_cookies()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/accounts/login/\?next=/zoobot/pools/"))


def test_a_pool_is_put_together_step_by_step(page: Page, catalogue: None) -> None:
    """Repository, tag, size; the summary follows; then the pool's own page."""
    page.goto("/zoobot/pools/new/")
    page.get_by_label("Pool ID").fill("gpu_1")
    page.get_by_label("Repository").select_option(label="pytorch")
    expect(page.locator("#tag-table tbody tr")).to_have_count(2)
    page.get_by_label("Find or type a tag or digest").fill("gpu")
    expect(page.locator("#tag-table tbody tr")).to_have_count(1)
    page.get_by_label("2.0-gpu").check()
    page.get_by_label("Standard_NC4as_T4_v3").check()
    page.get_by_label("Dedicated nodes").fill("2")
    expect(page.locator("#tab-summary")).to_contain_text("2 dedicated")
    expect(page.locator("#tab-summary")).to_contain_text("Ready to be created.")
    page.get_by_role("tab", name="JSON").click()
    expect(page.get_by_role("tabpanel", name="JSON")).to_contain_text('"vmSize": "Standard_NC4as_T4_v3"')
    page.get_by_role("button", name="Add mount").click()
    expect(page.locator(".z-mount")).to_have_count(5)
    expect(page.get_by_label("Pool ID")).to_have_value("gpu_1")
    page.get_by_role("button", name="Create pool").last.click()
    expect(page).to_have_url(re.compile(r"/zoobot/pools/gpu_1/$"))
    expect(page.get_by_text("Create asked by ada")).to_be_visible()
    assert Pool.objects.get().container_image.endswith("/pytorch:2.0-gpu")
    assert Operation.objects.get().subject == "gpu_1"


def test_a_wrong_form_says_where(page: Page, catalogue: None) -> None:
    """The list of faults has the focus and leads to the field; what was chosen stays chosen."""
    page.goto("/zoobot/pools/new/")
    page.get_by_label("Pool ID").fill("has space")
    page.get_by_label("Autoscale, queue depth").check()
    expect(page.get_by_label("Dedicated nodes")).to_be_hidden()
    page.get_by_label("At most, nodes").fill("4")
    page.get_by_role("button", name="Create pool").last.click()
    expect(page.locator("#form-errors")).to_be_focused()
    expect(page.get_by_label("At most, nodes")).to_have_value("4")
    page.locator("#form-errors").get_by_role("link", name="Pool ID").click()
    expect(page.get_by_label("Pool ID")).to_be_in_viewport()


def test_a_pool_can_be_made_without_scripts(
    browser: Browser, live_server: LiveServer, admin: User, account: Account, catalogue: None
) -> None:
    """Plain forms do all of it."""
    context = signed_in(browser, live_server, admin, java_script_enabled=False)
    page = context.new_page()
    page.goto("/zoobot/pools/new/")
    page.get_by_label("Pool ID").fill("plain_1")
    page.get_by_label("Repository").select_option(label="pytorch")
    page.get_by_role("button", name="Show the tags of this choice").click()
    expect(page.get_by_label("Pool ID")).to_have_value("plain_1")
    page.get_by_label("1.0-cpu").check()
    page.get_by_label("Standard_NC4as_T4_v3").check()
    page.get_by_role("button", name="Create pool").last.click()
    expect(page).to_have_url(re.compile(r"/zoobot/pools/plain_1/$"))
    context.close()


def test_a_deletion_waits_for_the_typed_name(page: Page, account: Account) -> None:
    """The button opens when it is right."""
    make_pool(account, batch_id="gpu_1")
    page.goto("/zoobot/pools/gpu_1/delete/")
    button = page.get_by_role("button", name="Delete pool")
    expect(button).to_be_disabled()
    page.get_by_label("Type gpu_1 to confirm").fill("gpu_1")
    expect(button).to_be_enabled()
    button.click()
    expect(page.get_by_text("Deletion of gpu_1 is asked for.")).to_be_visible()
