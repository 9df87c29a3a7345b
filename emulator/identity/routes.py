"""The HTTP side of Entra: discovery, keys, the token endpoints, and those for managed identities."""

import hmac
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emulator.identity.errors import EntraError
from emulator.identity.state import FEDERATION, LIFETIME, IdentityState, TokenRefused

MOST_BYTES = 64 * 1024
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
NO_STORE = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}
Form = Mapping[str, str]


def create_app(state: IdentityState) -> Starlette:
    """Return the application that answers for the tenant."""

    def told(handler: Callable[[IdentityState, Request], dict[str, Any]]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                return _json(handler(state, request))
            except EntraError as error:
                return _json(error.body(state.clock.now()), error.status)

        return endpoint

    async def token(request: Request) -> Response:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > MOST_BYTES:
                return _json({"error": "invalid_request", "error_description": "The body is too large"}, 413)
        form = dict(parse_qsl(content.decode("utf-8", "replace"), keep_blank_values=True))
        try:
            answer = await run_in_threadpool(_token, state, request.path_params["tenant"], form)
        except EntraError as error:
            return _json(error.body(state.clock.now()), error.status)
        return _json(answer)

    def machine(request: Request) -> Response:
        return _managed(state, request)

    app = Starlette(
        routes=[
            Route("/metadata/identity/oauth2/token", machine),
            Route("/msi/token", machine),
            Route("/{tenant}/v2.0/.well-known/openid-configuration", told(_discovery)),
            Route("/{tenant}/.well-known/openid-configuration", told(_discovery)),
            Route("/{tenant}/discovery/v2.0/keys", told(_keys)),
            Route("/{tenant}/oauth2/v2.0/token", token, methods=["POST"]),
            Route("/{tenant}/oauth2/token", token, methods=["POST"]),
        ]
    )
    app.router.redirect_slashes = False
    return app


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, NO_STORE, media_type="application/json; charset=utf-8")


def _check_tenant(state: IdentityState, tenant: str) -> None:
    if not state.knows_tenant(tenant):
        raise EntraError("tenant", tenant)


def _discovery(state: IdentityState, request: Request) -> dict[str, Any]:
    _check_tenant(state, request.path_params["tenant"])
    # The host is taken from the request: clients keep to the name by which they found us.
    base = f"https://{request.headers.get('host', '')}/{state.tenant}"
    return {
        "issuer": state.issuer,
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "tenant_region_scope": "EU",
    }


def _keys(state: IdentityState, request: Request) -> dict[str, Any]:
    _check_tenant(state, request.path_params["tenant"])
    return {"keys": [state.signer.public_key()]}


def _token(state: IdentityState, tenant: str, form: Form) -> dict[str, Any]:
    """Answer a client-credentials request of version 2 (`scope`) or 1 (`resource`)."""
    _check_tenant(state, tenant)
    for name in ("grant_type", "client_id"):
        if not form.get(name):
            raise EntraError("missing", name)
    if form["grant_type"] != "client_credentials":
        raise EntraError("grant", form["grant_type"])
    client_id = form["client_id"].lower()
    if client_id != state.client_id:
        raise EntraError("client", form["client_id"], state.tenant)
    _check_client(state, form)
    resource = _resource(form)
    if not state.is_resource(resource):
        raise EntraError("resource", resource, state.tenant)
    seconds = int(LIFETIME.total_seconds())
    return {
        "token_type": "Bearer",
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": state.issue(client_id, resource),
    }


def _check_client(state: IdentityState, form: Form) -> None:
    """Refuse a wrong secret; an assertion must be a token of ours for the federation's audience."""
    if "client_assertion" in form:
        if form.get("client_assertion_type") != ASSERTION:
            raise EntraError("missing", "client_assertion_type")
        try:
            state.verify(form["client_assertion"].strip(), audience=FEDERATION)
        except TokenRefused as error:
            raise EntraError("assertion", str(error)) from error
        return
    if not form.get("client_secret"):
        raise EntraError("no_secret")
    if not state.is_secret(form["client_secret"]):
        raise EntraError("secret", form["client_id"])


def _resource(form: Form) -> str:
    """Return what the token is for: the scope without `/.default`, whatever slash is before it."""
    if form.get("resource"):
        return form["resource"]
    scope = form.get("scope", "")
    if not scope:
        raise EntraError("missing", "scope")
    resource, dot, rest = scope.partition("/.default")
    if not dot or rest.strip():
        raise EntraError("scope", scope)
    return resource


def _managed(state: IdentityState, request: Request) -> Response:
    """Answer a machine: as the instance metadata service does, or as App Service's endpoint does."""
    query = request.query_params
    is_app_service = request.url.path == "/msi/token"
    given = request.headers.get("x-identity-header", "")
    if is_app_service and not hmac.compare_digest(given.encode(), state.endpoint_secret.encode()):
        return _json({"statusCode": 401, "message": "X-IDENTITY-HEADER is missing or wrong"}, 401)
    if not is_app_service and request.headers.get("metadata", "").lower() != "true":
        body = {"error": "invalid_request", "error_description": "Required metadata header not specified"}
        return _json(body, 400)
    resource = query.get("resource", "").removesuffix("/.default")
    if not state.is_resource(resource):
        description = f"AADSTS500011: The resource principal named {resource} was not found"
        return _json({"error": "invalid_resource", "error_description": description}, 400)
    client_id = state.managed_identity(
        client_id=query.get("client_id", ""),
        resource_id=query.get("msi_res_id", "") or query.get("mi_res_id", ""),
        object_id=query.get("object_id", ""),
    )
    now, seconds = int(state.clock.now().timestamp()), int(LIFETIME.total_seconds())
    # The metadata service tells its numbers as text.
    return _json(
        {
            "access_token": state.issue(client_id, resource),
            "client_id": client_id,
            "expires_in": str(seconds),
            "expires_on": str(now + seconds),
            "ext_expires_in": str(seconds),
            "not_before": str(now),
            "resource": resource,
            "token_type": "Bearer",
        }
    )
