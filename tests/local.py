"""An account of the emulated Azure in the test's database, with something to choose from in its registry and storage."""

from collections.abc import Mapping
from typing import Any

from django.conf import LazySettings

from activity.models import Account
from dashboard.local_azure import connect
from examples.images import REPOSITORY, TAG, demo_images
from examples.registry import RegistryClient
from jobs.operations import install_definitions
from pools.kinds import REGISTRY, VM_IMAGES
from pools.models import Image, Pool, StorageAccount, StorageMount, VmImage
from tests.make import gpu_size
from tests.worker import InlineWorker

CONTAINERS = ("training", "predictions", "models")


def connect_account(endpoints: Mapping[str, Any], settings: LazySettings) -> Account:
    """Return the account, after trusting the emulator's certificate; definitions are installed."""
    settings.ZOOBATCH_CA_BUNDLE = endpoints["ca"]
    settings.ZOOBATCH_AUTHORITY = endpoints["identity"]["authority"]
    settings.ZOOBATCH_PRIVATE_AUTHORITY = True
    install_definitions()
    return connect(endpoints)


def stock_registry(account: Account, endpoints: Mapping[str, Any]) -> Image:
    """Push the sample images, read registry and node images, and return the image that pools use."""
    registry = endpoints["registry"]
    client = RegistryClient(registry["url"], registry["username"], registry["password"], endpoints["ca"])
    for repository, tag, source in demo_images():
        client.push(repository, tag, source)
    for kind in (REGISTRY, VM_IMAGES):
        InlineWorker().pull(kind)
    return Image.objects.get(repository__name=REPOSITORY, tag=TAG)


def new_pool(account: Account, image: Image, batch_id: str, *, nodes: int = 0) -> Pool:
    """Return an unsaved pool of the sample image."""
    return Pool(
        account=account,
        batch_id=batch_id,
        container_image=image.reference,
        vm_image=VmImage.objects.for_account(account).for_containers().first(),
        size=gpu_size(),
        dedicated_nodes=nodes,
    )


def new_mounts(account: Account) -> list[StorageMount]:
    """Return unsaved mounts of the three containers."""
    storage = StorageAccount.objects.get(account=account)
    return [
        StorageMount(storage=storage, container_name=name, relative_mount_path=name) for name in CONTAINERS
    ]
