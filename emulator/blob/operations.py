"""Which operation a request means: its method, its kind of resource, `restype`, `comp` and some headers."""

from collections.abc import Mapping

from emulator.blob import containers, reading, writing
from emulator.blob.access import CREATE, DELETE, LIST, READ, WRITE, Need
from emulator.blob.errors import BlobError
from emulator.blob.http import Answer, Call, Operation
from emulator.blob.names import Level, Place
from emulator.blob.state import BlobState

SERVICE, CONTAINER, BLOB = Need("service"), Need("container"), Need("blob")
_Key = tuple[Level, str, str, str]


def _container(letters: str) -> Need:
    """Only signatures of the account reach a container itself; those of a container reach what is in it."""
    return Need("container", letters, by_service_sas=False)


def _whole(letters: str) -> Need:
    return Need("service", letters, by_service_sas=False)


_INFORMATION = Operation(containers.account_information, SERVICE)
_SHOWN = Operation(containers.show, _container(READ))
_METADATA = Operation(reading.show_metadata, Need("blob", READ))
_DELEGATION = Operation(containers.delegation_key, Need("service", scheme="Bearer"), "small")
_BLOCK = Operation(writing.put_block, Need("blob", CREATE), "file", writing.before_block)
_COPY = Operation(writing.copy, Need("blob", CREATE))

OPERATIONS: Mapping[_Key, Operation] = {
    ("service", "GET", "", "list"): Operation(containers.list_containers, _whole(LIST)),
    ("service", "GET", "service", "properties"): Operation(containers.service_properties, _whole(READ)),
    ("service", "GET", "account", "properties"): _INFORMATION,
    ("service", "HEAD", "account", "properties"): _INFORMATION,
    ("service", "POST", "service", "userdelegationkey"): _DELEGATION,
    ("container", "GET", "account", "properties"): _INFORMATION,
    ("container", "HEAD", "account", "properties"): _INFORMATION,
    ("container", "PUT", "container", ""): Operation(containers.create, _container(CREATE)),
    ("container", "DELETE", "container", ""): Operation(containers.delete, _container(DELETE)),
    ("container", "GET", "container", ""): _SHOWN,
    ("container", "HEAD", "container", ""): _SHOWN,
    ("container", "GET", "container", "metadata"): _SHOWN,
    ("container", "HEAD", "container", "metadata"): _SHOWN,
    ("container", "PUT", "container", "metadata"): Operation(containers.set_metadata, _container(WRITE)),
    ("container", "GET", "container", "list"): Operation(containers.list_blobs, Need("container", LIST)),
    ("blob", "GET", "account", "properties"): _INFORMATION,
    ("blob", "HEAD", "account", "properties"): _INFORMATION,
    ("blob", "GET", "", ""): Operation(reading.content, Need("blob", READ)),
    ("blob", "HEAD", "", ""): Operation(reading.show, Need("blob", READ)),
    ("blob", "GET", "", "metadata"): _METADATA,
    ("blob", "HEAD", "", "metadata"): _METADATA,
    ("blob", "GET", "", "blocklist"): Operation(reading.block_list, Need("blob", READ)),
    ("blob", "PUT", "", ""): Operation(writing.put, Need("blob", CREATE), "file", writing.before_put),
    ("blob", "PUT", "", "block"): _BLOCK,
    ("blob", "PUT", "", "blocklist"): Operation(writing.put_block_list, Need("blob", CREATE), "small"),
    ("blob", "PUT", "", "metadata"): Operation(writing.set_metadata, Need("blob", WRITE)),
    ("blob", "PUT", "", "properties"): Operation(writing.set_properties, Need("blob", WRITE)),
    ("blob", "DELETE", "", ""): Operation(writing.delete, Need("blob", DELETE)),
}


def find(method: str, place: Place, query: Mapping[str, str], headers: Mapping[str, str]) -> Operation:
    """Return the operation; one that is not emulated refuses the request once its credential is known."""
    restype, comp = query.get("restype", "").lower(), query.get("comp", "").lower()
    key: _Key = (place.level, method, restype, comp)
    if "x-ms-copy-source" in headers and method == "PUT":
        return _COPY if key == ("blob", "PUT", "", "") else _unknown(place.level)
    return OPERATIONS.get(key) or _unknown(place.level)


def _unknown(level: Level) -> Operation:
    return Operation(_refuse, {"service": SERVICE, "container": CONTAINER, "blob": BLOB}[level])


def _refuse(state: BlobState, call: Call) -> Answer:
    if call.method not in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        raise BlobError("UnsupportedHttpVerb")
    if call.query.get("comp") or call.place.level == "blob":
        raise BlobError("NotImplemented")
    raise BlobError("InvalidUri")
