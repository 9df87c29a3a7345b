"""In the admin, pools and nodes change through operations alone, and the catalogue by those who may."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin as site
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from activity.admin import MOST_AT_ONCE, CappedPaginator
from activity.models import Account, Membership, Operation, SyncTarget
from pools.kinds import NODES, POOLS, REGISTRY
from pools.models import Image, Pool, PoolRevision, Registry, Repository, StorageAccount, VmSize
from tests.make import (
    gpu_size,
    make_credential,
    make_image,
    make_node,
    make_pool,
    make_registry,
    make_storage,
    make_vm_image,
)

pytestmark = pytest.mark.django_db

POOLS_PAGE = "/admin/pools/pool/"


@pytest.fixture
def signed_in(client: Client, admin: User) -> Client:
    """Return a client signed in as a superuser."""
    client.force_login(admin)
    return client


@pytest.fixture
def staff() -> Callable[..., User]:
    """Return a maker of people who may open the admin, by Django's permissions and a role in an account."""

    def make(account: Account | None, role: str, *permissions: str) -> User:
        user = User.objects.create_user("stan", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        Membership.objects.create(user=user, account=account, role=role)
        return user

    return make


def act(client: Client, page: str, action: str, *rows: Any, **values: str) -> Any:
    """Ask for an action on rows."""
    return client.post(page, {"action": action, "_selected_action": [row.pk for row in rows], **values})


def said(response: Any) -> list[str]:
    """Return the messages that an action leaves."""
    return [message.message for message in get_messages(response.wsgi_request)]


def target(account: Account, kind: str, subject: str = "") -> SyncTarget:
    """Make something that is read from Azure."""
    return SyncTarget.objects.create(
        account=account, kind=kind, subject=subject, task_name="t", next_due_at=timezone.now()
    )


@pytest.mark.parametrize(
    ("action", "verb", "consequence"),
    [
        ("delete_pools", "delete", "are deleted in Azure"),
        ("resize_to_zero", "resize", "give all their nodes back"),
    ],
)
def test_pools_end_only_after_a_confirmation_that_names_them(
    signed_in: Client, admin: User, account: Account, action: str, verb: str, consequence: str
) -> None:
    """The reason is on record, and the operation is the one that pages ask for."""
    pools = [make_pool(account, batch_id=name, title="Nightly", dedicated_nodes=2) for name in ("one", "two")]
    page = act(signed_in, POOLS_PAGE, action, *pools)
    html = page.content.decode()
    assert page.status_code == 200
    assert consequence in html
    assert "one (Nightly)" in html
    assert "two (Nightly)" in html
    assert 'style="' not in html
    assert not Operation.objects.exists()
    done = act(signed_in, POOLS_PAGE, action, *pools, confirmed="yes", reason="costs")
    assert done.status_code == 302
    assert [text.split(" is ")[1] for text in said(done)] == ["asked for."] * 2
    asked = Operation.objects.order_by("subject")
    assert [(row.verb, row.subject, row.reason, row.actor) for row in asked] == [
        (verb, "one", "costs", admin),
        (verb, "two", "costs", admin),
    ]


def test_a_pool_that_cannot_be_resized_says_why_and_keeps_no_other_back(
    signed_in: Client, account: Account
) -> None:
    """One result for each."""
    pools = [
        make_pool(account, batch_id="auto", enable_auto_scale=True),
        make_pool(account, batch_id="fixed"),
    ]
    done = act(signed_in, POOLS_PAGE, "resize_to_zero", *pools, confirmed="yes", reason="")
    refused, asked = sorted(said(done))
    assert refused == "Resize to zero nodes of fixed is asked for."
    assert asked.startswith("auto: Pool auto is sized by its autoscale formula")
    assert Operation.objects.get().subject == "fixed"


def test_an_overlong_reason_is_asked_for_again(signed_in: Client, account: Account) -> None:
    """The page comes back with the fault at the field."""
    pool = make_pool(account)
    page = act(signed_in, POOLS_PAGE, "delete_pools", pool, confirmed="yes", reason="x" * 501)
    assert page.status_code == 422
    assert "at most 500 characters" in page.content.decode()
    assert not Operation.objects.exists()


def test_nobody_deletes_everything_at_once(signed_in: Client, account: Account) -> None:
    """Also not by choosing all pages of the list."""
    pools = [make_pool(account) for _ in range(MOST_AT_ONCE + 1)]
    done = act(signed_in, POOLS_PAGE, "delete_pools", pools[0], select_across="1")
    assert said(done) == [f"Choose at most {MOST_AT_ONCE} at once; nothing was asked for."]


@pytest.mark.parametrize(
    ("role", "mode", "refusal"),
    [
        ("viewer", "full", "This needs the role operator"),
        ("operator", "observe", "is set to observe only"),
        ("operator", "full", ""),
    ],
)
def test_actions_ask_for_the_role_that_pages_ask_for(
    client: Client, staff: Callable[..., User], account: Account, role: str, mode: str, refusal: str
) -> None:
    """Permission to look at pools in the admin is not permission to end them."""
    Account.objects.update(mode=mode)
    pool = make_pool(account)
    client.force_login(staff(account, role, "view_pool"))
    done = act(client, POOLS_PAGE, "delete_pools", pool, confirmed="yes", reason="")
    assert (refusal or "Deletion of pool") in said(done)[0]
    assert Operation.objects.exists() is not bool(refusal)


def test_people_see_the_accounts_they_have_a_role_in(
    client: Client, staff: Callable[..., User], account: Account
) -> None:
    """Rows, filters and pages of others stay closed, whatever Django's permissions say."""
    other = Account.objects.create(
        slug="euclid", name="Euclid", batch_account="e", batch_endpoint="https://e"
    )
    theirs, mine = make_pool(other, batch_id="theirs"), make_pool(account, batch_id="mine")
    client.force_login(staff(account, "admin", "view_pool"))
    html = client.get(POOLS_PAGE).content.decode()
    assert "mine" in html
    assert "theirs" not in html
    assert "Euclid" not in html
    assert client.get(reverse("admin:pools_pool_change", args=[mine.pk])).status_code == 200
    assert client.get(reverse("admin:pools_pool_change", args=[theirs.pk])).status_code == 302
    act(client, POOLS_PAGE, "delete_pools", theirs, confirmed="yes", reason="")
    assert not Operation.objects.exists()


def test_pools_registries_and_their_nodes_are_read_at_once(signed_in: Client, account: Account) -> None:
    """As the refresh buttons do."""
    pool, registry = make_pool(account), make_registry(account)
    targets = [
        target(account, POOLS), target(account, NODES, pool.batch_id), target(account, REGISTRY, str(registry)),
    ]  # fmt: skip
    done = act(signed_in, POOLS_PAGE, "read_now", pool)
    assert said(done) == [f"Reading of {pool} is asked for."]
    act(signed_in, "/admin/pools/registry/", "read_now", registry)
    for row in targets:
        row.refresh_from_db()
        assert row.hurried_at is not None


@pytest.mark.parametrize(("action", "verb"), [("reboot", "reboot_node"), ("reimage", "reimage_node")])
def test_nodes_are_started_again_after_a_confirmation(
    signed_in: Client, account: Account, action: str, verb: str
) -> None:
    """As operations of their pool."""
    node = make_node(make_pool(account, batch_id="gpu"))
    page = act(signed_in, "/admin/pools/node/", action, node)
    assert node.batch_id in page.content.decode()
    act(signed_in, "/admin/pools/node/", action, node, confirmed="yes", reason="stuck")
    operation = Operation.objects.get()
    assert (operation.verb, operation.subject, operation.reason) == (verb, "gpu", "stuck")


@pytest.mark.parametrize(
    "model", ["pool", "poolrevision", "storagemount", "node", "repository", "image", "vmimage"]
)
def test_what_is_asked_for_or_observed_has_no_form(signed_in: Client, account: Account, model: str) -> None:
    """It is neither added, changed nor deleted here."""
    pool = make_pool(account, batch_id="kept")
    rows = {
        "pool": pool,
        "poolrevision": PoolRevision.objects.create(
            pool=pool, number=1, content={"slots": 4}, made_at=timezone.now()
        ),
        "storagemount": pool.mounts.create(storage=make_storage(account), container_name="training"),
        "node": make_node(pool),
        "image": make_image(account),
        "repository": Repository.objects.first() or make_image(account).repository,
        "vmimage": make_vm_image(account),
    }
    key = rows[model].pk
    change = reverse(f"admin:pools_{model}_change", args=[key])
    assert signed_in.get(reverse(f"admin:pools_{model}_add")).status_code == 403
    assert signed_in.post(change, {"batch_id": "other"}).status_code == 403
    assert (
        signed_in.post(reverse(f"admin:pools_{model}_delete", args=[key]), {"post": "yes"}).status_code == 403
    )
    html = signed_in.get(change).content.decode()
    assert 'name="_save"' not in html
    act(signed_in, reverse(f"admin:pools_{model}_changelist"), "delete_selected", rows[model], post="yes")
    assert type(rows[model]).objects.filter(pk=key).exists()


def test_a_pools_page_shows_every_column_hides_secrets_and_links_to_its_own_page(
    signed_in: Client, account: Account
) -> None:
    """Observed columns too; JSON is laid out and masked."""
    pool = make_pool(
        account,
        batch_id="gpu_1",
        node_agent_sku_id="batch.node.ubuntu",
        mount_configuration=[{"azure_blob": {"account_key": "hunter22", "relative_mount_path": "training"}}],
    )
    html = signed_in.get(reverse("admin:pools_pool_change", args=[pool.pk])).content.decode()
    assert "batch.node.ubuntu" in html
    assert "training" in html
    assert "hunter22" not in html
    assert 'href="/zoobot/pools/gpu_1/"' in html


def test_a_registry_and_a_storage_account_are_set_here(signed_in: Client, account: Account) -> None:
    """Validated by their models; they stay in their account."""
    credential = make_credential()
    typed = {
        "account": account.pk,
        "login_server": "https://zoo",
        "endpoint": "",
        "credential": credential.pk,
    }
    page = signed_in.post(reverse("admin:pools_registry_add"), typed)
    assert "Give the host name alone" in page.content.decode()
    signed_in.post(reverse("admin:pools_registry_add"), typed | {"login_server": "zoo.azurecr.io"})
    registry = Registry.objects.get()
    assert (registry.account, registry.credential) == (account, credential)
    other = Account.objects.create(
        slug="euclid", name="Euclid", batch_account="e", batch_endpoint="https://e"
    )
    changed = typed | {"login_server": "zoo2.azurecr.io", "account": other.pk}
    signed_in.post(reverse("admin:pools_registry_change", args=[registry.pk]), changed)
    registry.refresh_from_db()
    assert (registry.login_server, registry.account) == ("zoo2.azurecr.io", account)
    signed_in.post(reverse("admin:pools_storageaccount_add"), {"account": account.pk, "name": "zoostore"})
    assert StorageAccount.objects.get().address == "https://zoostore.blob.core.windows.net"


def test_only_admins_of_an_account_change_where_its_registries_are(
    client: Client, staff: Callable[..., User], account: Account
) -> None:
    """An operator with Django's permission may look."""
    registry = make_registry(account)
    user = staff(account, "operator", "view_registry", "add_registry", "change_registry", "delete_registry")
    client.force_login(user)
    change = reverse("admin:pools_registry_change", args=[registry.pk])
    typed = {"account": account.pk, "login_server": "mine.azurecr.io"}
    assert client.get(change).status_code == 200
    assert client.post(change, typed).status_code == 403
    assert client.post(reverse("admin:pools_registry_add"), typed).status_code == 200
    remove = {"action": "delete_selected", "_selected_action": [registry.pk], "post": "yes"}
    client.post("/admin/pools/registry/", remove)
    assert Registry.objects.get() == registry
    Membership.objects.update(role="admin")
    assert client.post(change, typed).status_code == 302
    assert (
        client.post(reverse("admin:pools_registry_add"), typed | {"login_server": "b.io"}).status_code == 302
    )
    assert set(Registry.objects.values_list("login_server", flat=True)) == {"mine.azurecr.io", "b.io"}


def test_what_was_seen_in_a_registry_goes_with_it(signed_in: Client, account: Account) -> None:
    """Repositories and images are its mirror."""
    registry = make_image(account).repository.registry
    signed_in.post(reverse("admin:pools_registry_delete", args=[registry.pk]), {"post": "yes"})
    assert not Registry.objects.exists()
    assert not Image.objects.exists()


def test_a_storage_account_in_use_stays(signed_in: Client, account: Account) -> None:
    """Pools mount from it."""
    storage = make_storage(account)
    make_pool(account).mounts.create(
        storage=storage, container_name="training", relative_mount_path="training"
    )
    where = reverse("admin:pools_storageaccount_delete", args=[storage.pk])
    assert "Cannot delete storage account" in signed_in.post(where, {"post": "yes"}).content.decode()
    assert StorageAccount.objects.exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"gpu_count": "one"}, "Give a whole number, or a share"),
        ({"gpu_count": "1/0"}, "Give a whole number, or a share"),
        ({"has_gpu": ""}, "has a GPU"),
        ({"gpu_count": "1/6", "name": "Standard_Other"}, ""),
    ],
)
def test_a_vm_size_can_be_put_right(signed_in: Client, changes: dict[str, str], complaint: str) -> None:
    """But not its name, and only so that pages can reckon with it."""
    size = gpu_size()
    typed = {"family": size.family, "gpu_count": "1", "has_gpu": "on", "note": "checked", "rdma": "unknown"}
    page = signed_in.post(reverse("admin:pools_vmsize_change", args=[size.pk]), typed | changes)
    found = VmSize.objects.get(pk=size.pk)
    if complaint:
        assert complaint in page.content.decode()
        assert found.note == size.note
    else:
        assert (found.name, found.note, found.gpu_count) == (size.name, "checked", "1/6")


def test_long_lists_are_not_counted_to_the_end(
    account: Account, monkeypatch: pytest.MonkeyPatch, signed_in: Client
) -> None:
    """What lies beyond the last page is found by searching."""
    monkeypatch.setattr("activity.admin.COUNT_LIMIT", 3)
    for _ in range(5):
        make_pool(account)
    assert CappedPaginator(Pool.objects.all(), 2).num_pages == 2
    assert signed_in.get(POOLS_PAGE).status_code == 200
    assert all(
        issubclass(site.site._registry[model].paginator, CappedPaginator) for model in (Pool, Image, VmSize)
    )


def test_a_registry_whose_images_are_in_use_is_kept(signed_in: Client, account: Account) -> None:
    """Pools and jobs would forget which image they run; one that nothing uses may go."""
    image = make_image(account)
    pool = make_pool(account, image=image, container_image=image.reference)
    registry = image.repository.registry
    url = reverse("admin:pools_registry_delete", args=[registry.pk])
    signed_in.post(url, {"post": "yes"})
    assert Registry.objects.filter(pk=registry.pk).exists()
    pool.delete()
    signed_in.post(url, {"post": "yes"})
    assert not Registry.objects.filter(pk=registry.pk).exists()
