"""Operations on the account and on containers."""

from datetime import datetime, timedelta

from emulator import dates
from emulator.blob import xml
from emulator.blob.errors import BlobError
from emulator.blob.http import (
    Answer,
    Call,
    check_change,
    check_read,
    document,
    echoed,
    http_date,
    included,
    metadata,
    metadata_element,
    metadata_headers,
    page_size,
    version_headers,
)
from emulator.blob.state import BlobState
from emulator.blob.storage import Blob, Container

LONGEST_DELEGATION = timedelta(days=7)
DELEGATION_VERSION = "2018-11-09"
_LEASE = {"LeaseStatus": "unlocked", "LeaseState": "available"}
_PROPERTIES = (
    "<Logging><Version>1.0</Version><Delete>false</Delete><Read>false</Read><Write>false</Write>"
    "<RetentionPolicy><Enabled>false</Enabled></RetentionPolicy></Logging>"
    "<HourMetrics><Version>1.0</Version><Enabled>false</Enabled>"
    "<RetentionPolicy><Enabled>false</Enabled></RetentionPolicy></HourMetrics>"
    "<MinuteMetrics><Version>1.0</Version><Enabled>false</Enabled>"
    "<RetentionPolicy><Enabled>false</Enabled></RetentionPolicy></MinuteMetrics>"
    "<Cors /><DeleteRetentionPolicy><Enabled>false</Enabled></DeleteRetentionPolicy>"
    "<StaticWebsite><Enabled>false</Enabled></StaticWebsite>"
)


def service_properties(state: BlobState, call: Call) -> Answer:
    """Answer Get Blob Service Properties: everything that can be switched on is off."""
    return Answer(200, body=xml.document("StorageServiceProperties", _PROPERTIES))


def account_information(state: BlobState, call: Call) -> Answer:
    """Answer Get Account Information."""
    return Answer(
        200,
        {"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2", "x-ms-is-hns-enabled": "false"},
    )


def delegation_key(state: BlobState, call: Call) -> Answer:
    """Answer Get User Delegation Key for the identity that asks."""
    root = document(call, "KeyInfo")
    if root.findtext("DelegatedUserTid"):
        raise BlobError("NotImplemented")
    start = _instant(root.findtext("Start") or "", call.now)
    expiry = _instant(root.findtext("Expiry") or "", None)
    if not start < expiry or not call.now < expiry <= call.now + LONGEST_DELEGATION:
        raise BlobError("InvalidXmlNodeValue", XmlNodeName="Expiry", XmlNodeValue=root.findtext("Expiry"))
    version = call.headers.get("x-ms-version", DELEGATION_VERSION)
    object_id, tenant = call.access.object_id, state.identity.tenant
    parts = (object_id, tenant, f"{start:%Y-%m-%dT%H:%M:%SZ}", f"{expiry:%Y-%m-%dT%H:%M:%SZ}", version)
    names = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedVersion")
    told = {
        **dict(zip(names, parts, strict=True)),
        "SignedService": "b",
        "Value": state.keys.delegated(*parts),
    }
    return Answer(200, body=_document("UserDelegationKey", told))


def _instant(text: str, default: datetime | None) -> datetime:
    if not text and default is not None:
        return default
    try:
        return dates.iso_date(text)
    except ValueError as error:
        raise BlobError("InvalidXmlNodeValue", XmlNodeValue=text) from error


def _document(name: str, values: dict[str, str]) -> bytes:
    return xml.document(name, "".join(xml.element(key, value) for key, value in values.items()))


def list_containers(state: BlobState, call: Call) -> Answer:
    """Answer List Containers."""
    size, marker, prefix = page_size(call), call.query.get("marker", ""), call.query.get("prefix", "")
    names = [name for name in state.storage.container_names() if name.startswith(prefix) and name >= marker]
    shown, with_metadata = [], "metadata" in included(call)
    for name in names[:size]:
        try:
            shown.append(_container(state.storage.container(name), with_metadata))
        except BlobError:
            continue  # deleted since, or a folder whose name no container has
    after = names[size] if len(names) > size else ""
    content = f"{echoed(call)}<Containers>{''.join(shown)}</Containers>{xml.element('NextMarker', after)}"
    return Answer(200, body=xml.document("EnumerationResults", content, {"ServiceEndpoint": f"{state.url}/"}))


def _container(container: Container, with_metadata: bool) -> str:
    properties = {
        "Last-Modified": http_date(container.modified),
        "Etag": container.etag,
        **_LEASE,
        "HasImmutabilityPolicy": "false",
        "HasLegalHold": "false",
    }
    inner = "".join(xml.element(name, value) for name, value in properties.items())
    more = metadata_element(container.metadata) if with_metadata else ""
    return (
        f"<Container>{xml.element('Name', container.name)}<Properties>{inner}</Properties>{more}</Container>"
    )


def create(state: BlobState, call: Call) -> Answer:
    """Answer Create Container."""
    if call.headers.get("x-ms-blob-public-access"):
        raise BlobError("UnsupportedHeader", HeaderName="x-ms-blob-public-access")
    container = state.storage.create_container(call.place.container, metadata(call.headers))
    return Answer(201, version_headers(container))


def delete(state: BlobState, call: Call) -> Answer:
    """Answer Delete Container."""
    state.storage.delete_container(call.place.container, lambda found: check_change(call.headers, found))
    return Answer(202)


def show(state: BlobState, call: Call) -> Answer:
    """Answer Get Container Properties and Get Container Metadata."""
    container = state.storage.container(call.place.container)
    check_read(call.headers, container)
    headers = {**version_headers(container), **metadata_headers(container.metadata)}
    if call.query.get("comp") != "metadata":
        headers |= {
            "x-ms-lease-status": "unlocked",
            "x-ms-lease-state": "available",
            "x-ms-has-immutability-policy": "false",
            "x-ms-has-legal-hold": "false",
        }
    return Answer(200, headers)


def set_metadata(state: BlobState, call: Call) -> Answer:
    """Answer Set Container Metadata."""
    container = state.storage.set_container_metadata(
        call.place.container, metadata(call.headers), lambda found: check_change(call.headers, found)
    )
    return Answer(200, version_headers(container))


def list_blobs(state: BlobState, call: Call) -> Answer:
    """Answer List Blobs, flat or with a delimiter."""
    query, with_metadata = call.query, "metadata" in included(call)
    items, after = state.storage.page(
        call.place.container,
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        marker=query.get("marker", ""),
        size=page_size(call),
    )
    shown = "".join(
        f"<BlobPrefix>{xml.name_element(item)}</BlobPrefix>"
        if isinstance(item, str)
        else _blob(item, with_metadata)
        for item in items
    )
    content = f"{echoed(call)}<Blobs>{shown}</Blobs>{xml.element('NextMarker', after)}"
    attributes = {"ServiceEndpoint": f"{state.url}/", "ContainerName": call.place.container}
    return Answer(200, body=xml.document("EnumerationResults", content, attributes))


def _blob(blob: Blob, with_metadata: bool) -> str:
    content, copied = blob.facts.content, blob.facts.copied
    properties = {
        "Creation-Time": http_date(blob.created),
        "Last-Modified": http_date(blob.modified),
        "Etag": blob.etag,
        "Content-Length": str(blob.size),
        "Content-Type": content.get("Content-Type", ""),
        "Content-Encoding": content.get("Content-Encoding", ""),
        "Content-Language": content.get("Content-Language", ""),
        "Content-MD5": content.get("Content-MD5", ""),
        "Cache-Control": content.get("Cache-Control", ""),
        "Content-Disposition": content.get("Content-Disposition", ""),
        "BlobType": "BlockBlob",
        "AccessTier": "Hot",
        "AccessTierInferred": "true",
        **_LEASE,
        "ServerEncrypted": "true",
        **({"CopyId": copied["x-ms-copy-id"], "CopyStatus": "success"} if copied else {}),
    }
    inner = "".join(xml.element(name, value) for name, value in properties.items())
    more = metadata_element(blob.facts.metadata) if with_metadata else ""
    return f"<Blob>{xml.name_element(blob.name)}<Properties>{inner}</Properties>{more}</Blob>"
