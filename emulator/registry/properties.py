"""Azure's own operations, under /acr/v1: what is in the registry, and the locks on it."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from emulator.registry import names
from emulator.registry.access import CATALOG, always, needs
from emulator.registry.catalog import LOCKS, attributes_of
from emulator.registry.errors import RegistryError
from emulator.registry.http import Operation, Request, json_response, link, page_of

if TYPE_CHECKING:
    from emulator.registry.state import RegistryState

MOST_BYTES = 64 * 1024


def list_repositories(state: "RegistryState", request: Request) -> Response:
    """Answer with the names of the repositories."""
    listed = state.catalog.list_repositories(page_of(request))
    body = {"repositories": [row["name"] for row in listed.rows]}
    return json_response(body, headers=link(request.parts["path"], listed.next))


def _get_repository(state: "RegistryState", request: Request) -> Response:
    return json_response(_repository(request, state.catalog.repository(request.name)))


def _patch_repository(state: "RegistryState", request: Request) -> Response:
    row = state.catalog.lock_repository(request.name, _attributes(request))
    return json_response(_repository(request, row))


def _delete_repository(state: "RegistryState", request: Request) -> Response:
    manifests, tags = state.images.delete_repository(request.name)
    return json_response({"manifestsDeleted": manifests, "tagsDeleted": tags}, 202)


def _list_tags(state: "RegistryState", request: Request) -> Response:
    digest = request.query.get("digest", "")
    listed = state.catalog.list_tags(request.name, page_of(request), digest)
    body = {**_place(request), "tags": [_tag(row) for row in listed.rows]}
    return json_response(body, headers=link(request.parts["path"], listed.next, digest=digest))


def _get_tag(state: "RegistryState", request: Request) -> Response:
    row = state.catalog.tag(request.name, names.tag(request.parts["tag"]))
    return json_response({**_place(request), "tag": _tag(row)})


def _patch_tag(state: "RegistryState", request: Request) -> Response:
    row = state.catalog.lock_tag(request.name, names.tag(request.parts["tag"]), _attributes(request))
    return json_response({**_place(request), "tag": _tag(row)})


def _delete_tag(state: "RegistryState", request: Request) -> Response:
    state.images.delete_tag(request.name, names.tag(request.parts["tag"]))
    return Response(status_code=202)


def _list_manifests(state: "RegistryState", request: Request) -> Response:
    listed = state.catalog.list_manifests(request.name, page_of(request))
    body = {**_place(request), "manifests": [_manifest(state, row) for row in listed.rows]}
    return json_response(body, headers=link(request.parts["path"], listed.next))


def _get_manifest(state: "RegistryState", request: Request) -> Response:
    row = state.catalog.manifest(request.name, names.digest(request.parts["digest"]))
    return json_response({**_place(request), "manifest": _manifest(state, row)})


def _patch_manifest(state: "RegistryState", request: Request) -> Response:
    digest = names.digest(request.parts["digest"])
    row = state.catalog.lock_manifest(request.name, digest, _attributes(request))
    return json_response({**_place(request), "manifest": _manifest(state, row)})


def _attributes(request: Request) -> Mapping[str, bool]:
    """Return the locks that a body sets; other members are ignored, as the service has more of them."""
    try:
        body = orjson.loads(request.content)
    except orjson.JSONDecodeError as error:
        raise RegistryError("BAD_REQUEST", detail={"reason": str(error)}) from error
    if not isinstance(body, dict):
        raise RegistryError("BAD_REQUEST", detail={"reason": "the body is no object"})
    found = {name: value for name, value in body.items() if name in LOCKS and value is not None}
    for name, value in found.items():
        if not isinstance(value, bool):
            raise RegistryError("BAD_REQUEST", detail={"reason": f"{name} is neither true nor false"})
    return found


def _place(request: Request) -> dict[str, str]:
    return {"registry": request.service, "imageName": request.name}


def _common(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "createdTime": row["created"],
        "lastUpdateTime": row["updated"],
        "changeableAttributes": attributes_of(row),
    }


def _repository(request: Request, row: sqlite3.Row) -> dict[str, Any]:
    counts = {"manifestCount": row["manifests"], "tagCount": row["tags"]}
    return {**_place(request), **counts, **_common(row)}


def _tag(row: sqlite3.Row) -> dict[str, Any]:
    return {"name": row["name"], "digest": row["digest"], "signed": False, **_common(row)}


def _manifest(state: "RegistryState", row: sqlite3.Row) -> dict[str, Any]:
    facts = {
        "digest": row["digest"],
        "imageSize": row["image_size"],
        "architecture": row["architecture"],
        "os": row["os"],
        "mediaType": row["media_type"],
        "configMediaType": row["config_media_type"],
        "tags": [tag["name"] for tag in state.catalog.tags_of(row["repository"], row["digest"])],
        **_common(row),
    }
    return {name: value for name, value in facts.items() if value is not None}


_TAG, _MANIFEST = "/acr/v1/{name}/_tags/{tag}", "/acr/v1/{name}/_manifests/{digest}"
# The order matters: the name of a repository may have slashes, so its own path comes last.
OPERATIONS: Sequence[Operation] = (
    Operation(("GET",), "/acr/v1/_catalog", always(CATALOG), list_repositories),
    Operation(("GET",), "/acr/v1/{name}/_tags", needs("metadata_read"), _list_tags),
    Operation(("GET",), _TAG, needs("metadata_read"), _get_tag),
    Operation(("PATCH",), _TAG, needs("metadata_write"), _patch_tag, most_bytes=MOST_BYTES),
    Operation(("DELETE",), _TAG, needs("delete"), _delete_tag),
    Operation(("GET",), "/acr/v1/{name}/_manifests", needs("metadata_read"), _list_manifests),
    Operation(("GET",), _MANIFEST, needs("metadata_read"), _get_manifest),
    Operation(("PATCH",), _MANIFEST, needs("metadata_write"), _patch_manifest, most_bytes=MOST_BYTES),
    Operation(("GET",), "/acr/v1/{name}", needs("metadata_read"), _get_repository),
    Operation(
        ("PATCH",), "/acr/v1/{name}", needs("metadata_write"), _patch_repository, most_bytes=MOST_BYTES
    ),
    Operation(("DELETE",), "/acr/v1/{name}", needs("delete"), _delete_repository),
)
