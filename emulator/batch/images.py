"""The virtual machine images that pools can be made of: those that matter for containers and GPUs, and two more.

Facts are dated 2026-11: what Batch's announcements and image lists said then. The service's list is longer.
"""

from typing import TYPE_CHECKING, Any

from emulator.batch.http import Answer, Request, list_docs, operation, predicate

if TYPE_CHECKING:
    from emulator.batch.state import BatchState

PROPERTIES = frozenset({"osType", "verificationType", "nodeAgentSKUId"})


def _image(
    publisher: str, offer: str, sku: str, agent: str, *capabilities: str, end: str = "", verified: bool = True
) -> dict[str, Any]:
    image: dict[str, Any] = {
        "nodeAgentSKUId": agent,
        "imageReference": {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"},
        "osType": "windows" if "windows" in agent else "linux",
        "capabilities": list(capabilities),
        "verificationType": "verified" if verified else "unverified",
    }
    if end:
        image["batchSupportEndOfLife"] = end
    return image


UBUNTU_22, UBUNTU_24 = "batch.node.ubuntu 22.04", "batch.node.ubuntu 24.04"
HPC = ("DockerCompatible", "SupportsRDMAOnly")
IMAGES = (
    _image("microsoft-dsvm", "ubuntu-hpc", "2404", UBUNTU_24, *HPC, verified=False),
    _image(
        "microsoft-dsvm", "ubuntu-hpc", "2204", UBUNTU_22, *HPC, end="2027-06-30T00:00:00Z", verified=False
    ),
    _image(
        *("microsoft-azure-batch", "ubuntu-server-container", "20-04-lts", "batch.node.ubuntu 20.04"),
        *("DockerCompatible", "NvidiaTeslaDriverInstalled"),
        end="2025-04-23T00:00:00Z",
    ),
    _image("canonical", "ubuntu-24_04-lts", "server", UBUNTU_24, "Generation2VMImage"),
    _image("canonical", "0001-com-ubuntu-server-jammy", "22_04-lts", UBUNTU_22, end="2027-06-30T00:00:00Z"),
    _image("debian", "debian-12", "12", "batch.node.debian 12"),
    _image("microsoftwindowsserver", "windowsserver", "2022-datacenter", "batch.node.windows amd64"),
)


def _list(state: "BatchState", request: Request) -> Answer:
    keep = predicate(request, PROPERTIES)
    return list_docs(request, "supportedimages", [doc for doc in IMAGES if keep is None or keep(doc)])


OPERATIONS = (operation("GET", "/supportedimages", _list),)
