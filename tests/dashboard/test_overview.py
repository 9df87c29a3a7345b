"""The overview, the way in, and the frame of pages."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from activity.models import Account, Membership, SyncTarget
from tests.make import make_finished_job, make_job, make_operation, make_pool

PART = {"HX-Request": "true", "HX-Request-Type": "partial"}


def test_the_way_in_leads_to_the_only_account(client: Client, viewer: User, account: Account) -> None:
    """Nobody chooses where there is no choice."""
    assert client.get("/")["Location"] == "/accounts/login/"
    client.force_login(viewer)
    assert client.get("/")["Location"] == "/zoobot/"


def test_several_accounts_are_offered(client: Client, viewer: User, account: Account) -> None:
    """And the frame then has a switcher."""
    Account.objects.create(
        slug="other", name="Other", batch_account="other1", batch_endpoint="https://127.0.0.1:9"
    )
    client.force_login(viewer)
    assert "Other" in client.get("/").content.decode()
    assert 'popovertarget="menu-accounts"' in client.get("/zoobot/").content.decode()


def test_an_account_of_others_stays_hidden(client: Client, outsider: User, account: Account) -> None:
    """Without a role there it does not exist."""
    other = Account.objects.create(
        slug="other", name="Other", batch_account="other1", batch_endpoint="https://127.0.0.1:9"
    )
    Membership.objects.create(user=outsider, account=other, role=Membership.Role.VIEWER)
    client.force_login(outsider)
    assert client.get("/other/").status_code == 200
    assert client.get("/zoobot/").status_code == 404


def test_the_overview_counts_and_names_what_needs_a_person(
    client: Client, viewer: User, account: Account
) -> None:
    """Running, waiting and failed jobs, pools in trouble, failed operations."""
    pool = make_pool(
        account,
        batch_id="stuck",
        resize_errors=[{"code": "AccountCoreQuotaReached", "message": "no cores left"}],
    )
    make_job(account, title="Runs", pool=pool, tasks_active=0, tasks_running=1)
    make_job(account, title="Waits", pool=pool)
    make_finished_job(account, title="Broke", tasks_succeeded=0, tasks_failed=1)
    make_operation(account, state="failed", error="It was refused.", finished_at=timezone.now())
    client.force_login(viewer)
    response = client.get("/zoobot/")
    text = response.content.decode()
    figures = response.context["figures"]
    assert (figures.jobs_running, figures.jobs_waiting, figures.jobs_failed) == (1, 1, 1)
    assert "no cores left" in text
    assert "Broke: failed" in text
    assert "It was refused." in text


def test_an_overview_without_trouble_says_so(client: Client, viewer: User, account: Account) -> None:
    """Good news is a sentence, not an empty box."""
    client.force_login(viewer)
    assert "Nothing needs attention" in client.get("/zoobot/").content.decode()


def test_the_overview_costs_the_same_with_many_rows(
    client: Client, viewer: User, account: Account, django_assert_max_num_queries: object
) -> None:
    """No query per pool or job."""
    for _ in range(12):
        make_job(account, pool=make_pool(account))
    client.force_login(viewer)
    with django_assert_max_num_queries(22):  # type: ignore[operator]
        client.get("/zoobot/")


@pytest.mark.parametrize(("age", "is_stale"), [(5, False), (3600, True), (None, True)])
def test_the_pill_says_how_old_the_data_is(
    age: int | None, is_stale: bool, client: Client, viewer: User, account: Account
) -> None:
    """And it warns when reading has stopped."""
    read_at = timezone.now() - timedelta(seconds=age) if age is not None else None
    for kind in ("pools", "jobs"):
        SyncTarget.objects.create(account=account, kind=kind, task_name="x", last_succeeded_at=read_at)
    client.force_login(viewer)
    response = client.get("/zoobot/sync/", headers=PART)
    text = response.content.decode()
    assert "<html" not in text
    assert 'id="sync-pill"' in text
    assert ("warn" in text) is is_stale


def test_a_viewer_is_not_offered_what_is_closed_to_them(
    client: Client, viewer: User, operator: User, account: Account
) -> None:
    """No dead links."""
    client.force_login(viewer)
    assert "/zoobot/jobs/new/" not in client.get("/zoobot/").content.decode()
    client.force_login(operator)
    assert "/zoobot/jobs/new/" in client.get("/zoobot/").content.decode()


def test_a_refusal_says_which_role_is_missing(client: Client, viewer: User, account: Account) -> None:
    """403 is a page, and names the role."""
    client.force_login(viewer)
    response = client.get("/zoobot/pools/new/")
    assert response.status_code == 403
    assert "needs the role operator" in response.content.decode()


def test_a_wrong_password_is_answered_on_the_form(client: Client, viewer: User) -> None:
    """The name stays, the reason is said."""
    response = client.post("/accounts/login/", {"username": "vera", "password": "wrong"})
    text = response.content.decode()
    assert 'role="alert"' in text
    assert 'value="vera"' in text


def test_pages_are_served_under_the_strict_policy(client: Client, viewer: User, account: Account) -> None:
    """Nothing inline, nothing from elsewhere."""
    client.force_login(viewer)
    policy = client.get("/zoobot/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_form_that_is_too_large_is_answered_by_a_page(
    client: Client, operator: User, account: Account
) -> None:
    """What is wrong, and that nothing was changed."""
    client.force_login(operator)
    answer = client.post("/zoobot/pools/new/", {"start_command": "x" * 2_700_000})
    assert answer.status_code == 400
    assert "up to 2.5 MB" in answer.content.decode()
