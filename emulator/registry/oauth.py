"""The token endpoints: Entra's tokens and passwords are exchanged for those of the registry."""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import Response

from emulator.identity.jwt import BadToken
from emulator.identity.state import TokenRefused
from emulator.registry.access import ANONYMOUS, parse_scopes
from emulator.registry.errors import RegistryError
from emulator.registry.http import basic, json_response

if TYPE_CHECKING:
    from emulator.registry.state import RegistryState

MOST_BYTES = 64 * 1024
AUDIENCES = frozenset(
    {
        "https://containerregistry.azure.net",
        "https://management.azure.com",
        "https://management.core.windows.net",
    }
)
Form = Mapping[str, list[str]]


def exchange(state: "RegistryState", content: bytes) -> Response:
    """Answer POST /oauth2/exchange: a refresh token for an access token of Entra."""
    form = _form(content)
    service = _service(state, form)
    if _one(form, "grant_type") not in ("access_token", "access_token_refresh_token"):
        raise RegistryError("BAD_REQUEST", "the grant type is not supported")
    tenant = _one(form, "tenant")
    if tenant and not state.identity.knows_tenant(tenant):
        raise _denied(f"the tenant {tenant} is unknown")
    try:
        claims = state.identity.verify(_one(form, "access_token"), audience=AUDIENCES)
    except TokenRefused as error:
        raise _denied(str(error)) from error
    return json_response({"refresh_token": state.tokens.refresh(claims.object_id, service)})


def post_token(state: "RegistryState", content: bytes) -> Response:
    """Answer POST /oauth2/token: an access token for a refresh token, a password, or nobody in particular."""
    form = _form(content)
    service, grant_type = _service(state, form), _one(form, "grant_type")
    if grant_type == "refresh_token":
        try:
            subject = state.tokens.read_refresh(_one(form, "refresh_token"))
        except BadToken as error:
            raise _denied(str(error)) from error
    elif grant_type == "password":
        subject = _subject(state, _one(form, "username"), _one(form, "password"))
    else:
        raise RegistryError("BAD_REQUEST", "the grant type is not supported")
    scopes = parse_scopes(form.get("scope", []))
    return json_response({"access_token": state.access_token(subject, service, scopes)})


def get_token(state: "RegistryState", query: bytes, authorization: str) -> Response:
    """Answer GET /oauth2/token: an access token for a name and password in the header, or for nobody."""
    form = _form(query)
    service = _service(state, form)
    scheme, _, credential = authorization.partition(" ")
    if authorization and scheme.lower() != "basic":
        raise _denied("the credentials are not of the Basic scheme")
    subject = _subject(state, *basic(credential)) if authorization else ANONYMOUS
    scopes = parse_scopes(form.get("scope", []))
    return json_response({"access_token": state.access_token(subject, service, scopes)})


def _subject(state: "RegistryState", username: str, password: str) -> str:
    if not username and not password:
        return ANONYMOUS
    subject = state.subject_of(username, password)
    if subject is None:
        raise _denied("the user name or the password is wrong")
    return subject


def _form(content: bytes) -> Form:
    return parse_qs(content.decode("utf-8", "replace"), keep_blank_values=True)


def _one(form: Form, name: str) -> str:
    return form.get(name, [""])[0]


def _service(state: "RegistryState", form: Form) -> str:
    service = _one(form, "service")
    if not state.is_own(service):
        raise _denied(f"the service {service} is not this registry")
    return state.service_of(service)


def _denied(reason: str) -> RegistryError:
    return RegistryError("UNAUTHORIZED", detail={"reason": reason})
