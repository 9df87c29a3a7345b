"""Node images that Batch offers an account."""

from collections.abc import Iterable
from datetime import datetime

from activity.models import Account
from activity.revisions import bump
from activity.targets import Counts
from cloud.batch import BatchGateway
from cloud.types import VmImageSnapshot
from pools.models import VmImage

from .mirror import Seen, mirror

KEY = ("publisher", "offer", "sku", "version", "node_agent_sku_id")


def pull_vm_images(account: Account, gateway: BatchGateway, *, now: datetime) -> Counts:
    """List the supported node images and make the account's rows equal to them."""
    return apply_vm_images(account, gateway.list_supported_images(), now=now)


def apply_vm_images(account: Account, pages: Iterable[list[VmImageSnapshot]], *, now: datetime) -> Counts:
    """Make the rows of an account's node images equal to the pages of a full listing."""
    rows = VmImage.objects.filter(account=account)
    counts = mirror(rows, KEY, (_seen(page) for page in pages), owner={"account": account}, now=now)
    if not counts.is_quiet:
        bump(account, "vm_images")
    return counts


def _seen(page: list[VmImageSnapshot]) -> list[Seen]:
    return [
        Seen(
            (image.publisher, image.offer, image.sku, image.version, image.node_agent_sku_id),
            image.content_hash(),
            {
                "os_type": image.os_type or "",
                "verification_type": image.verification_type or "",
                "capabilities": list(image.capabilities),
                # Neither `verified` nor an NVIDIA capability is asked for: ubuntu-hpc has neither and works.
                "is_container_capable": "DockerCompatible" in image.capabilities,
                "batch_support_end_of_life": image.batch_support_end_of_life,
            },
        )
        for image in page
    ]
