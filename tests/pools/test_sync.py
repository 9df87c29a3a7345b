"""Rows follow listings: what is new, changed, gone, foreign, replaced; and what is the same costs no write."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from activity import revisions
from activity.models import Account, SyncTarget
from activity.targets import Counts
from cloud.types import (
    AutoScaleRun,
    AzureError,
    ImageConfigSnapshot,
    ManifestSnapshot,
    MountSnapshot,
    NodeSnapshot,
    PoolSnapshot,
    RepositorySnapshot,
    StartTaskInfo,
    TagSnapshot,
    VmImageRef,
    VmImageSnapshot,
)
from pools import sync
from pools.models import Image, Node, Pool, Registry, Repository, VmImage
from pools.sync import lifecycle, nodes, pools, registries, vm_images
from tests.make import make_image, make_node, make_pool, make_registry
from tests.snapshots import BORN, node_seen, pool_seen

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
MARK = uuid4()


def pull(account: Account, *listed: PoolSnapshot, now: datetime = NOW) -> Counts:
    """Apply one full listing of an account's pools."""
    rows = lifecycle.shown(Pool.objects.for_account(account), now=now)
    counts = pools.apply_pools(account, list(listed), now=now)
    ids = {seen.id.lower() for seen in listed}
    return counts + lifecycle.bury_missing(Pool, account, rows, ids, topic="pool", now=now)


def asked_pool(account: Account, **overrides: Any) -> Pool:
    """Make a pool as operations leave it: nothing of it has been seen."""
    asked = {"synced_hash": "", "state": "", "allocation_state": "", "vm_size": "", "creation_time": None}
    return make_pool(account, **{"batch_id": "gpu_1", "operation": MARK, **asked, **overrides})


def writes(queries: CaptureQueriesContext) -> list[str]:
    """Return the statements that change something."""
    return [query["sql"] for query in queries if query["sql"].split()[0] in ("INSERT", "UPDATE", "DELETE")]


def test_a_pool_made_elsewhere_appears_and_is_not_ours(account: Account) -> None:
    before = revisions.tag(account, "pools", "pool:gpu_1")
    assert pull(account, pool_seen()) == Counts(seen=1, created=1)
    pool = Pool.objects.get()
    assert (pool.batch_id, pool.is_ours, pool.operation) == ("gpu_1", False, None)
    assert (pool.created_at, pool.creation_time) == (BORN, BORN)
    assert pool.was_seen
    assert pool.badge.word == "Steady, 0 nodes"
    assert revisions.tag(account, "pools", "pool:gpu_1") != before


def test_a_pool_that_another_zoobatch_made_is_not_ours(account: Account) -> None:
    pull(account, pool_seen(operation=uuid4()))
    assert not Pool.objects.get().is_ours


def test_our_pool_is_recognised_by_its_mark_and_keeps_what_was_asked(account: Account) -> None:
    asked = asked_pool(account, dedicated_nodes=3, title="Round 7", problem="Timed out.")
    assert pull(account, pool_seen(operation=MARK, display_name="gpu")) == Counts(seen=1, changed=1)
    pool = Pool.objects.get()
    assert pool.pk == asked.pk
    assert (pool.is_ours, pool.dedicated_nodes, pool.title, pool.created_at) == (
        True,
        3,
        "Round 7",
        asked.created_at,
    )
    assert (pool.state, pool.display_name, pool.badge.word) == ("active", "gpu", "Steady, 0 nodes")


def test_every_column_is_read(account: Account) -> None:
    error = AzureError(code="AccountCoreQuotaReached", message="Too many.", details=(("limit", "5"),))
    seen = pool_seen(
        display_name="gpu",
        allocation_state="resizing",
        target_dedicated_nodes=None,
        enable_auto_scale=True,
        auto_scale_formula="$a = 1;",
        auto_scale_evaluation_interval=timedelta(minutes=5),
        auto_scale_run=AutoScaleRun(timestamp=BORN, results=(("$a", "1"),), error=error),
        resize_timeout=timedelta(minutes=15),
        resize_errors=(error,),
        image_reference=VmImageRef(publisher="microsoft-dsvm", offer="ubuntu-hpc", sku="2204"),
        container_image_names=("zoo.azurecr.io/pytorch:1",),
        container_registries=(("zoo.azurecr.io", "puller"),),
        mounts=(MountSnapshot(kind="blob", relative_mount_path="training", source="zoo/training"),),
        start_task_command_line="true",
    )
    pull(account, seen)
    pool = Pool.objects.get()
    assert pool.resize_errors[0]["code"] == "AccountCoreQuotaReached"
    assert pool.autoscale_error == pool.resize_errors[0]
    assert pool.auto_scale_evaluation_interval == timedelta(minutes=5)
    assert pool.image_reference["offer"] == "ubuntu-hpc"
    assert pool.container_registries == [["zoo.azurecr.io", "puller"]]
    assert pool.mount_configuration[0]["source"] == "zoo/training"
    assert pool.badge.word == "Resize error"
    assert (pool.image_name, pool.target_dedicated_nodes) == ("zoo.azurecr.io/pytorch:1", None)


def test_a_text_longer_than_its_column_is_cut(account: Account) -> None:
    pull(account, pool_seen(display_name="x" * 2000, start_task_command_line="y" * 9000))
    pool = Pool.objects.get()
    assert (len(pool.display_name), len(pool.start_task_command_line)) == (1024, 9000)


def test_a_changed_pool_is_written_and_an_unchanged_one_is_not(account: Account) -> None:
    seen = [pool_seen(f"p{number}") for number in range(3)]
    pull(account, *seen)
    before = list(Pool.objects.values())
    tag = revisions.tag(account, "pools")
    with CaptureQueriesContext(connection) as queries:
        assert pull(account, *seen) == Counts(seen=3)
    assert writes(queries) == []
    assert len(queries) <= 2
    assert list(Pool.objects.values()) == before
    assert revisions.tag(account, "pools") == tag

    seen[1] = replace(seen[1], allocation_state="resizing")
    assert pull(account, *seen) == Counts(seen=3, changed=1)
    assert list(Pool.objects.values_list("allocation_state", flat=True)) == ["steady", "resizing", "steady"]
    assert revisions.tag(account, "pools", "pool:p0") == f"{int(tag) + 1}-1"


def test_what_only_a_full_read_shows_is_no_change(account: Account) -> None:
    pull(account, pool_seen())
    assert pull(account, pool_seen(raw={"id": "gpu_1"})).is_quiet


def test_a_pool_deleted_in_azure_is_noticed(account: Account) -> None:
    pull(account, pool_seen(), pool_seen("gpu_2"))
    assert pull(account, pool_seen("gpu_2"), now=LATER) == Counts(seen=1, vanished=1)
    gone = Pool.objects.get(batch_id="gpu_1")
    assert gone.deleted_at == LATER
    assert gone.badge.word == "Deleted"
    assert Pool.objects.get(batch_id="gpu_2").deleted_at is None
    assert pull(account, pool_seen("gpu_2"), now=LATER).is_quiet, "noticed once"


def test_another_accounts_pools_are_left_alone(account: Account) -> None:
    other = Account.objects.create(slug="other", batch_account="other", batch_endpoint="https://127.0.0.1:9")
    make_pool(other, batch_id="gpu_1")
    assert pull(account, pool_seen()) == Counts(seen=1, created=1)
    assert pull(account) == Counts(vanished=1)
    assert Pool.objects.alive().get().account == other


def test_the_case_of_an_id_does_not_matter(account: Account) -> None:
    asked_pool(account, batch_id="GPU_1")
    assert pull(account, pool_seen("gpu_1", operation=MARK)) == Counts(seen=1, changed=1)
    assert pull(account, pool_seen("Gpu_1", operation=MARK), now=LATER).vanished == 0
    assert Pool.objects.count() == 1


def test_the_same_id_made_anew_elsewhere_replaces_the_row(account: Account) -> None:
    asked = asked_pool(account, dedicated_nodes=3)
    pull(account, pool_seen(operation=MARK))
    assert pull(account, pool_seen(creation_time=BORN + timedelta(hours=1)), now=LATER).created == 1
    old, new = Pool.objects.order_by("pk")
    assert (old.pk, old.deleted_at, old.is_ours) == (asked.pk, LATER, True)
    assert (new.deleted_at, new.is_ours, new.dedicated_nodes) == (None, False, 0)
    assert Pool.objects.find(account, "gpu_1") == new


def test_right_after_its_creation_a_pool_may_be_missing_from_the_listing(account: Account) -> None:
    """Azure's listings lag; but a pool that stays away was deleted before we saw it."""
    waiting = asked_pool(account, batch_id="waiting")
    asked_pool(account, batch_id="accepted", confirmed_at=NOW - timedelta(seconds=10), operation=uuid4())
    assert pull(account).is_quiet
    assert pull(account, now=NOW + timedelta(minutes=3)) == Counts(vanished=1)
    assert Pool.objects.alive().get() == waiting, "not even accepted yet"


def test_a_foreign_pool_under_an_id_we_are_asking_for_waits_until_our_request_failed(
    account: Account,
) -> None:
    asked = asked_pool(account)
    assert pull(account, pool_seen()).is_quiet
    assert Pool.objects.get().badge.word == "Creating"
    Pool.objects.update(problem="Azure Batch has a pool gpu_1 already.")
    assert pull(account, pool_seen(), now=LATER) == Counts(seen=1, created=1)
    asked.refresh_from_db()
    assert asked.deleted_at == LATER
    assert asked.badge.word == "Not created"
    assert not Pool.objects.alive().get().is_ours


def test_a_pool_given_up_too_early_comes_back_as_the_same_row(account: Account) -> None:
    asked = asked_pool(account, deleted_at=NOW, problem="Cancelled.")
    assert pull(account, pool_seen(operation=MARK)) == Counts(seen=1, changed=1)
    pool = Pool.objects.get()
    assert (pool.pk, pool.deleted_at, pool.badge.word) == (asked.pk, None, "Steady, 0 nodes")
    pull(account)
    pull(account, pool_seen(operation=MARK))
    assert Pool.objects.get().deleted_at is None, "a listing that missed it once"


def test_a_pool_first_seen_while_a_listing_was_read_is_not_taken_for_gone(account: Account) -> None:
    before = lifecycle.shown(Pool.objects.for_account(account), now=NOW)
    pools.apply_pools(account, [pool_seen()], now=NOW)
    counts = lifecycle.bury_missing(Pool, account, before, set(), topic="pool", now=NOW)
    assert counts.is_quiet
    assert Pool.objects.get().deleted_at is None


def test_nodes_follow_their_pool_and_add_up(account: Account) -> None:
    pool = make_pool(account, batch_id="gpu_1")
    failed = StartTaskInfo(
        state="completed",
        start_time=BORN,
        end_time=BORN,
        exit_code=2,
        result="failure",
        retry_count=1,
        failure_info=AzureError(code="FailureExitCode", message="It exited."),
    )
    page = [
        node_seen("a", state="running", running_tasks_count=2, running_tasks=(("job", "1"), ("job", "2"))),
        node_seen("b", state="starting"),
        node_seen("c", state="starttaskfailed", start_task_info=failed),
    ]
    assert nodes.apply_nodes(pool, [page[:2], page[2:]], now=NOW) == Counts(seen=3, created=3)
    pool.refresh_from_db()
    assert pool.node_counts == {"running": 1, "starting": 1, "starttaskfailed": 1}
    assert (pool.nodes_changing, pool.running_tasks_count, pool.failed_nodes) == (1, 2, 1)
    assert Node.objects.get(batch_id="a").running_tasks == [["job", "1"], ["job", "2"]]
    assert "exit code 2" in Node.objects.get(batch_id="c").problem

    tag = revisions.tag(account, "pools", "pool:gpu_1")
    assert nodes.apply_nodes(pool, [page], now=NOW) == Counts(seen=3)
    assert revisions.tag(account, "pools", "pool:gpu_1") == tag
    assert nodes.apply_nodes(pool, [page[:1]], now=LATER) == Counts(seen=1, vanished=2)
    pool.refresh_from_db()
    assert (pool.node_counts, pool.nodes_changing) == ({"running": 1}, 0)
    assert nodes.apply_nodes(pool, [page[:2]], now=LATER) == Counts(seen=2, changed=1)
    assert Node.objects.count() == 3, "a node that comes back is the same row"
    assert Node.objects.alive().count() == 2


def test_nodes_of_two_pools_may_have_the_same_id(account: Account) -> None:
    first, second = make_pool(account), make_pool(account)
    make_node(second, batch_id="a")
    nodes.apply_nodes(first, [[node_seen("a")]], now=NOW)
    nodes.apply_nodes(first, [], now=NOW)
    assert Node.objects.alive().get().pool == second


def image_seen(sku: str = "2204", **overrides: Any) -> VmImageSnapshot:
    """Show a node image that runs containers."""
    snapshot = VmImageSnapshot(
        node_agent_sku_id="batch.node.ubuntu 22.04",
        publisher="microsoft-dsvm",
        offer="ubuntu-hpc",
        sku=sku,
        version="latest",
        os_type="linux",
        verification_type="unverified",
        capabilities=("DockerCompatible",),
        batch_support_end_of_life=None,
    )
    return replace(snapshot, **overrides)


def test_node_images_follow_what_batch_offers(account: Account) -> None:
    plain = image_seen("2404", capabilities=())
    assert vm_images.apply_vm_images(account, [[image_seen()], [plain]], now=NOW).created == 2
    assert VmImage.objects.for_containers().get().sku == "2204"
    assert vm_images.apply_vm_images(account, [[image_seen(), plain]], now=NOW).is_quiet
    ending = image_seen(batch_support_end_of_life=LATER)
    assert vm_images.apply_vm_images(account, [[ending]], now=NOW) == Counts(seen=1, changed=1, vanished=1)
    assert not VmImage.objects.alive().get().is_supported(LATER)


DIGESTS = ["sha256:" + letter * 64 for letter in "abc"]


def tag_seen(name: str, digest: str) -> TagSnapshot:
    """Show a tag that points at a digest."""
    return TagSnapshot(repository="pytorch", name=name, digest=digest, created_on=BORN, last_updated_on=BORN)


def manifest_seen(digest: str, *tags: str) -> ManifestSnapshot:
    """Show a manifest and its tags."""
    return ManifestSnapshot(
        repository="pytorch",
        digest=digest,
        size_in_bytes=9_000_000_000,
        architecture="amd64",
        operating_system="linux",
        created_on=BORN,
        last_updated_on=BORN,
        tags=tags,
    )


@pytest.fixture
def repository(account: Account) -> Repository:
    """Return a repository without images."""
    registry = make_registry(account)
    return Repository.objects.create(registry=registry, name="pytorch", synced_hash="seen")


def test_repositories_follow_their_registry(account: Account) -> None:
    registry: Registry = make_registry(account)
    seen = RepositorySnapshot(
        name="pytorch", created_on=BORN, last_updated_on=BORN, manifest_count=2, tag_count=1
    )
    assert registries.apply_repositories(registry, [seen], now=NOW) == Counts(seen=1, created=1)
    assert registries.apply_repositories(registry, [seen], now=NOW).is_quiet
    pushed = replace(seen, tag_count=2)
    assert registries.apply_repositories(registry, [pushed], now=NOW).changed == 1
    assert registries.apply_repositories(registry, [], now=NOW).vanished == 1
    assert Repository.objects.get().deleted_at == NOW


def test_images_follow_their_tags_and_a_moved_tag_remembers_where_it_was(repository: Repository) -> None:
    a, b, c = DIGESTS

    def apply(tags: Sequence[TagSnapshot], manifests: Sequence[ManifestSnapshot]) -> Counts:
        return registries.apply_images(repository, tags, manifests, now=NOW)

    listed = [tag_seen("1", a), tag_seen("latest", a)], [manifest_seen(a, "1", "latest"), manifest_seen(b)]
    assert apply(*listed) == Counts(seen=3, created=3)
    assert apply(*listed).is_quiet
    assert sorted(Image.objects.values_list("tag", "digest")) == [("", b), ("1", a), ("latest", a)]
    moved = [tag_seen("1", a), tag_seen("latest", c)], [manifest_seen(a, "1"), manifest_seen(c, "latest")]
    assert apply(*moved) == Counts(seen=2, changed=2, vanished=1)
    latest = Image.objects.get(tag="latest")
    assert (latest.digest, latest.previous_digest, latest.moved_at) == (c, a, NOW)
    assert Image.objects.get(tag="1").previous_digest == ""
    assert apply([], []) == Counts(vanished=2)
    assert not Image.objects.alive().exists()
    assert apply(*listed).vanished == 0
    assert Image.objects.alive().count() == Image.objects.count() == 3


def test_an_images_facts_come_from_its_config(account: Account) -> None:
    image = make_image(account)
    config = ImageConfigSnapshot(
        repository="pytorch",
        digest=image.digest,
        platform_digest=image.digest,
        media_type="application/vnd.oci.image.config.v1+json",
        size_in_bytes=9_000_000_000,
        operating_system="linux",
        architecture="amd64",
        created_on=BORN,
        labels=(),
        environment=(("CUDA_VERSION", "12.4.1"),),
        entrypoint=(),
        cmd=("bash",),
        working_dir="/",
        user=None,
        layer_sizes=(1, 2),
        cuda_version="12.4.1",
        nvidia_require_cuda="cuda>=12.4",
        minimum_cuda="12.4",
    )
    registries.apply_facts(image, config)
    image.refresh_from_db()
    assert (image.cuda_version, image.minimum_cuda, image.facts_digest) == ("12.4.1", "12.4", image.digest)
    assert image.needs_gpu
    assert image.facts["environment"] == [["CUDA_VERSION", "12.4.1"]]


def test_everything_of_an_account_is_read_and_what_is_gone_no_longer(account: Account) -> None:
    registry, pool = make_registry(account), make_pool(account)
    asked_pool(account)
    sync.keep_targets(account, now=NOW)
    active = SyncTarget.objects.filter(is_active=True)
    assert sorted(active.values_list("kind", "subject")) == [
        ("nodes", pool.batch_id),
        ("pools", ""),
        ("registry", registry.login_server),
        ("vm_images", ""),
    ]
    registry.delete()
    Pool.objects.filter(pk=pool.pk).update(deleted_at=NOW)
    sync.keep_targets(account, now=NOW)
    assert sorted(active.values_list("kind", flat=True)) == ["pools", "vm_images"]


def test_nodes_are_read_fast_while_their_pool_changes(account: Account) -> None:
    pool = make_pool(account, allocation_state="resizing")
    sync.pace_nodes(account, now=NOW)
    target = SyncTarget.objects.get(kind="nodes")
    assert (target.max_interval, target.hurried_at) == (4, NOW)
    Pool.objects.filter(pk=pool.pk).update(allocation_state="steady")
    sync.pace_nodes(account, now=LATER)
    target.refresh_from_db()
    assert (target.max_interval, target.hurried_at) == (30, NOW)


IDS = ["alpha", "beta", "Gamma"]
STATES = ["steady", "resizing", "stopping"]


def pool_listings() -> st.SearchStrategy[list[dict[str, tuple[str, int, bool]]]]:
    """Draw listings of a few pools that come, change, go, and are made anew; marked as ours or not."""
    facts = st.tuples(st.sampled_from(STATES), st.integers(0, 2), st.booleans())
    return st.lists(st.dictionaries(st.sampled_from(IDS), facts), max_size=6)


class AnySequence(TestCase):
    """Whatever is listed, and in whatever order, the rows equal the last listing."""

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(pool_listings(), st.sets(st.sampled_from(IDS)))
    def test_the_living_rows_equal_the_last_listing(
        self, listings: list[dict[str, tuple[str, int, bool]]], asked: set[str]
    ) -> None:
        account = Account.objects.create(slug="a", batch_account="aaa", batch_endpoint="https://127.0.0.1:9")
        marks = {name: uuid4() for name in IDS}
        for name in asked:
            asked_pool(account, batch_id=name, operation=marks[name], problem="It timed out.")
        now, last = NOW, dict[str, PoolSnapshot]()
        for listing in listings:
            now += timedelta(minutes=5)
            last = {
                name: pool_seen(
                    name,
                    operation=marks[name] if is_marked else None,
                    allocation_state=state,
                    creation_time=BORN + timedelta(hours=age),
                )
                for name, (state, age, is_marked) in listing.items()
            }
            pull(account, *last.values(), now=now)
            assert pull(account, *last.values(), now=now).is_quiet, "the second time nothing is new"
            shown = Pool.objects.alive().exclude(synced_hash="")
            assert {row.batch_id: row.synced_hash for row in shown} == {
                name: seen.content_hash() for name, seen in last.items()
            }
            assert {row.batch_id: (row.allocation_state, row.creation_time) for row in shown} == {
                name: (seen.allocation_state, seen.creation_time) for name, seen in last.items()
            }
        assert Pool.objects.alive().filter(is_ours=True).count() <= len(asked)

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from("abcd"),
                st.tuples(st.sampled_from(["idle", "running", "starting"]), st.integers(0, 3)),
            ),
            max_size=6,
        ),
        st.integers(1, 3),
    )
    def test_nodes_and_their_sums_equal_the_last_listing(
        self, listings: list[dict[str, tuple[str, int]]], size: int
    ) -> None:
        account = Account.objects.create(slug="a", batch_account="aaa", batch_endpoint="https://127.0.0.1:9")
        pool = make_pool(account)
        for listing in listings:
            page = [
                node_seen(name, state=state, running_tasks_count=busy)
                for name, (state, busy) in listing.items()
            ]
            nodes.apply_nodes(pool, list(cut(page, size)), now=timezone.now())
            pool.refresh_from_db()
            living = dict(Node.objects.alive().filter(pool=pool).values_list("batch_id", "state"))
            assert living == {node.id: node.state for node in page}
            assert sum(pool.node_counts.values()) == len(page)
            assert pool.running_tasks_count == sum(node.running_tasks_count for node in page)
            assert pool.nodes_changing == sum(node.state == "starting" for node in page)


def cut(items: list[NodeSnapshot], size: int) -> Iterator[list[NodeSnapshot]]:
    """Cut a listing into pages."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
