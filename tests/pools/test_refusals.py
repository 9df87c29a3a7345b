"""Requests for pools that came to nothing: the reason and the way back stand where the asker lands."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from activity.models import Account
from activity.refusals import Refused
from pools import operations
from pools.models import Pool, StorageMount
from tests.make import (
    gpu_size,
    make_image,
    make_operation,
    make_pool,
    make_registry,
    make_storage,
    make_vm_image,
)

TAKEN = "Azure Batch has a pool GPU_1 already, made elsewhere. Nothing was changed; choose another id."


def refused_pool(account: Account, asker: User, **overrides: Any) -> Pool:
    """Make a pool as a refused creation leaves it."""
    operation = make_operation(account, subject="gpu_1", actor=asker)
    asked = {"synced_hash": "", "state": "", "allocation_state": "", "vm_size": "", "creation_time": None}
    given = {"batch_id": "gpu_1", "operation": operation.uuid, "created_by": asker, "problem": TAKEN}
    return make_pool(account, **{"created_at": timezone.now(), **given, **asked, **overrides})


@pytest.fixture
def taken(account: Account, operator: User) -> Pool:
    """Return a refused request beside the foreign pool that has the id, in other letters."""
    asked = refused_pool(account, operator, deleted_at=timezone.now())
    make_pool(account, batch_id="GPU_1", is_ours=False)
    return asked


def page(client: Client, who: User, url: str = "/zoobot/pools/gpu_1/") -> str:
    """Return what somebody sees there."""
    client.force_login(who)
    return client.get(url).content.decode()


def test_who_asked_for_a_taken_id_reads_so_where_they_land(
    client: Client, operator: User, taken: Pool
) -> None:
    """The page is the foreign pool's; the reason and the way back are on it."""
    text = page(client, operator)
    assert "not ours" in text
    assert TAKEN in text
    assert f"/zoobot/pools/new/?again={taken.operation}" in text


def test_others_are_not_told(client: Client, admin: User, taken: Pool) -> None:
    """It was not their request."""
    assert TAKEN not in page(client, admin)


def test_an_old_refusal_is_history(client: Client, operator: User, taken: Pool) -> None:
    """After a day only the operations tell."""
    Pool.objects.filter(pk=taken.pk).update(created_at=timezone.now() - timedelta(days=2))
    assert TAKEN not in page(client, operator)


def test_a_later_pool_of_that_id_is_not_overshadowed(
    client: Client, operator: User, account: Account, taken: Pool
) -> None:
    """Somebody made room, and the id is theirs now."""
    Pool.objects.exclude(pk=taken.pk).update(deleted_at=timezone.now())
    make_pool(account, batch_id="gpu_1", created_at=timezone.now() + timedelta(minutes=1))
    assert TAKEN not in page(client, operator)


def test_the_refused_pool_itself_shows_its_reason(client: Client, operator: User, account: Account) -> None:
    """Until sync finds the pool that has the id."""
    refused_pool(account, operator, deleted_at=timezone.now())
    text = page(client, operator)
    assert TAKEN in text
    assert "This page shows" not in text
    assert "Change and try again" in text


def test_operations_of_an_id_are_found_in_any_letters(client: Client, operator: User, taken: Pool) -> None:
    """Azure knows no case, so the refusal is in the foreign pool's history too."""
    assert "Nothing has been asked of it from here" not in page(client, operator)


def test_asking_again_fills_the_form(client: Client, operator: User, account: Account) -> None:
    """Nothing that was chosen has to be chosen again."""
    make_registry(account, login_server="zoo.azurecr.io", is_default=True)
    image = make_image(account, repository="pytorch", tag="2.0-gpu")
    storage = make_storage(account)
    asked = refused_pool(
        account,
        operator,
        title="Round 7",
        image=image,
        container_image=image.reference,
        vm_image=make_vm_image(account),
        size=gpu_size(),
        dedicated_nodes=3,
        slots=2,
        start_command="mount -a",
    )
    mount = {"container_name": "galaxies", "relative_mount_path": "sky"}
    StorageMount.objects.create(pool=asked, storage=storage, **mount)
    text = page(client, operator, f"/zoobot/pools/new/?again={asked.operation}")
    for kept in ("gpu_1", "Round 7", "mount -a", "galaxies", "sky", 'value="3"'):
        assert kept in text
    picked = f'value="{image.reference}" checked'
    assert picked in text
    assert 'value="training"' not in text


@pytest.mark.parametrize("again", ["", "x", "00000000-0000-0000-0000-000000000000"])
def test_an_unknown_mark_fills_nothing(client: Client, operator: User, account: Account, again: str) -> None:
    """The form is the usual one."""
    client.force_login(operator)
    assert client.get("/zoobot/pools/new/", {"again": again}).status_code == 200


def test_a_pool_that_was_never_made_offers_no_change(
    client: Client, operator: User, account: Account
) -> None:
    """There is nothing in Azure to resize, to scale or to run on."""
    pool = refused_pool(account, operator, problem="The size is not to be had.")
    text = page(client, operator)
    assert "Resize…" not in text
    assert "/zoobot/jobs/new/?pool=" not in text
    assert "Delete…" in text
    assert f'href="/zoobot/pools/{pool}/resize/"' not in page(client, operator, "/zoobot/pools/")
    with pytest.raises(Refused, match="never created"):
        operations.resize_pool(pool, dedicated=1, low_priority=0, actor=operator)


def test_a_pool_called_new_elsewhere_has_an_address(client: Client, viewer: User, account: Account) -> None:
    """`new` is the form's; ids are found whatever the case."""
    make_pool(account, batch_id="new", is_ours=False)
    assert 'href="/zoobot/pools/NEW/"' in page(client, viewer, "/zoobot/pools/")
    assert "<h1>new</h1>" in page(client, viewer, "/zoobot/pools/NEW/")


def test_an_account_that_is_only_observed_offers_nothing(
    client: Client, operator: User, account: Account
) -> None:
    """And says why on each page."""
    make_pool(account, batch_id="gpu_1")
    Account.objects.update(mode=Account.Mode.OBSERVE)
    for url in ("/zoobot/", "/zoobot/pools/", "/zoobot/pools/gpu_1/", "/zoobot/jobs/"):
        text = page(client, operator, url)
        assert "only observed" in text
        for action in ("New pool", "Submit job", "Resize", "Delete…"):
            assert action not in text, (url, action)


def test_a_resize_can_be_stopped(client: Client, operator: User, account: Account) -> None:
    """While one is going on."""
    pool = make_pool(account, batch_id="gpu_1", allocation_state="resizing")
    assert "Stop resize" in page(client, operator)
    answer = client.post("/zoobot/pools/gpu_1/stop-resize/", {"reason": "too dear"})
    assert answer["Location"] == "/zoobot/pools/gpu_1/"
    assert pool.account.operations.get().verb == "stop_resize"
    pool.allocation_state = "steady"
    pool.save()
    assert "Stop resize…" not in page(client, operator)
