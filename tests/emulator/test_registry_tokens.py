"""Challenges, tokens and passwords of the registry, request by request."""

import base64
import json
from typing import Any

import pytest

from tests.emulator.registry import AUDIENCE, Raw, codes, credential, fresh

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def raw(emulator: dict[str, Any]) -> Raw:
    return Raw(emulator)


def _exchange(raw: Raw, token: str, **more: str) -> Any:
    form = {"grant_type": "access_token", "service": raw.host, "access_token": token, **more}
    return raw("POST", "/oauth2/exchange", token="", data=form)


def _claims(token: str) -> dict[str, Any]:
    # As Microsoft's client does it: with the plain alphabet.
    text = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    return found


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/acr/v1/_catalog", "registry:catalog:*"),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
        ("GET", "/acr/v1/team%2Fapp", "repository:team/app:metadata_read"),
        ("GET", "/acr/v1/team/app/_tags", "repository:team/app:metadata_read"),
        ("PATCH", "/acr/v1/team/app/_tags/v1", "repository:team/app:metadata_write"),
        ("DELETE", "/acr/v1/team/app", "repository:team/app:delete"),
        ("GET", "/v2/team/app/manifests/v1", "repository:team/app:pull"),
        ("HEAD", "/v2/team/app/blobs/sha256:0", "repository:team/app:pull"),
        ("PUT", "/v2/team%2Fapp/manifests/v1", "repository:team/app:pull,push"),
        ("POST", "/v2/team/app/blobs/uploads/", "repository:team/app:pull,push"),
        ("DELETE", "/v2/team/app/manifests/v1", "repository:team/app:delete"),
    ],
)
def test_challenge_names_the_scope(raw: Raw, method: str, path: str, scope: str) -> None:
    answer = raw(method, path, token="")
    assert answer.status_code == 401
    realm = f'realm="{raw.url}/oauth2/token"'
    assert answer.headers["WWW-Authenticate"] == f'Bearer {realm},service="{raw.host}",scope="{scope}"'
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    if method != "HEAD":
        kind, name, actions = scope.split(":")
        detail = [{"Type": kind, "Name": name, "Action": action} for action in actions.split(",")]
        assert answer.json()["errors"][0]["detail"] == detail


def test_ping_asks_for_any_credential(raw: Raw) -> None:
    answer = raw("GET", "/v2/", token="")
    assert answer.status_code == 401
    assert "scope=" not in answer.headers["WWW-Authenticate"]
    assert raw("GET", "/v2/").json() == {}
    assert raw("GET", "/v2/", token=raw.token()).status_code == 200


def test_challenge_names_the_login_server_that_was_asked(raw: Raw) -> None:
    answer = raw("GET", "/v2/", token="", headers={"Host": "zoobatch.azurecr.io"})
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge == (
        'Bearer realm="https://zoobatch.azurecr.io/oauth2/token",service="zoobatch.azurecr.io"'
    )
    token = raw.token("registry:catalog:*", service="zoobatch.azurecr.io")
    assert _claims(token)["aud"] == "zoobatch.azurecr.io"
    assert raw("GET", "/v2/_catalog", token=token).status_code == 200


def test_entra_token_becomes_refresh_and_access_token(raw: Raw, emulator: dict[str, Any]) -> None:
    entra = credential(emulator).get_token(f"{AUDIENCE}/.default").token
    answer = _exchange(raw, entra, tenant=emulator["identity"]["tenant"])
    refresh = answer.json()["refresh_token"]
    assert _claims(refresh)["aud"] == raw.host
    form = {
        "grant_type": "refresh_token",
        "service": raw.host,
        "scope": "registry:catalog:*",
        "client_id": "docker",
    }
    answer = raw("POST", "/oauth2/token", token="", data={**form, "refresh_token": refresh})
    access = answer.json()["access_token"]
    claims = _claims(access)
    assert claims["access"] == [{"Type": "registry", "Name": "catalog", "Actions": ["*"]}]
    assert claims["exp"] - claims["iat"] == 1200
    assert raw("GET", "/acr/v1/_catalog", token=access).status_code == 200
    assert raw("GET", "/acr/v1/_catalog", token=refresh).status_code == 401
    assert raw("GET", "/v2/", token="", auth=(NOBODY, refresh)).status_code == 200


def test_foreign_tokens_are_not_exchanged(raw: Raw, emulator: dict[str, Any]) -> None:
    entra = credential(emulator)
    good = entra.get_token(f"{AUDIENCE}/.default").token
    for token in ("", "nonsense", good[:-8], entra.get_token("https://storage.azure.com/.default").token):
        answer = _exchange(raw, token)
        assert (answer.status_code, codes(answer)) == (401, ["UNAUTHORIZED"])
    assert _exchange(raw, good, service="other.azurecr.io").status_code == 401
    assert _exchange(raw, good, tenant="elsewhere").status_code == 401


def test_access_token_is_good_for_its_scopes_only(raw: Raw) -> None:
    one, other = fresh(), fresh()
    token = raw.token(f"repository:{one}:pull,unheard_of", "nonsense", f"repository:{other}:push")
    grants = {entry["Name"]: entry["Actions"] for entry in _claims(token)["access"]}
    assert grants == {one: ["pull"], other: ["push"]}
    assert raw("GET", f"/v2/{one}/manifests/v1", token=token).status_code == 404
    for method, path in (
        ("GET", f"/v2/{other}/manifests/v1"),
        ("POST", f"/v2/{one}/blobs/uploads/"),
        ("GET", f"/acr/v1/{one}"),
        ("GET", "/v2/_catalog"),
    ):
        answer = raw(method, path, token=token)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].endswith(',error="insufficient_scope"')


def test_star_stands_for_every_action(raw: Raw) -> None:
    repository = fresh()
    token = raw.token(f"repository:{repository}:*")
    assert raw("POST", f"/v2/{repository}/blobs/uploads/", token=token).status_code == 202
    assert raw("DELETE", f"/acr/v1/{repository}", token=token).status_code == 404


def test_altered_token_is_refused(raw: Raw) -> None:
    header, _, signature = raw.token("registry:catalog:*").split(".")
    claims = base64.urlsafe_b64encode(json.dumps({"aud": raw.host}).encode()).rstrip(b"=").decode()
    answer = raw("GET", "/v2/_catalog", token=f"{header}.{claims}.{signature}")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_password_grants(raw: Raw, emulator: dict[str, Any]) -> None:
    form = {"grant_type": "password", "service": raw.host, "scope": "registry:catalog:*"}
    identity = emulator["identity"]
    for username, password in (raw.admin, (identity["client_id"], identity["client_secret"])):
        named = {**form, "username": username, "password": password}
        token = raw("POST", "/oauth2/token", token="", data=named).json()["access_token"]
        assert raw("GET", "/v2/_catalog", token=token).status_code == 200
    anonymous = raw("POST", "/oauth2/token", token="", data=form).json()["access_token"]
    assert _claims(anonymous)["sub"] == "acr_anon_pull"
    assert _claims(anonymous)["access"] == []
    assert raw("GET", "/v2/_catalog", token=anonymous).status_code == 401


@pytest.mark.parametrize("auth", [("zoobatch", "wrong"), ("stranger", "x"), (NOBODY, "x"), ("zoobatch", "")])
def test_wrong_passwords_open_nothing(raw: Raw, auth: tuple[str, str]) -> None:
    assert raw("GET", "/v2/", token="", auth=auth).status_code == 401
    query = {"service": raw.host, "scope": "registry:catalog:*"}
    assert raw("GET", "/oauth2/token", token="", auth=auth, params=query).status_code == 401
    form = {"grant_type": "password", "service": raw.host, "username": auth[0], "password": auth[1]}
    assert raw("POST", "/oauth2/token", token="", data=form).status_code == 401


def test_malformed_credentials_are_refused(raw: Raw) -> None:
    for value in ("Basic", "Basic ???", "Basic //79", "Basic é", "Bearer x", "Bearer a.b.é", "Digest x", "é"):
        assert raw("GET", "/v2/", token="", headers={"Authorization": value}).status_code == 401
    asked = {"service": raw.host}
    for value in ("Basic ???", "Basic é", "é"):
        answer = raw("GET", "/oauth2/token", token="", params=asked, headers={"Authorization": value})
        assert answer.status_code in (200, 401)


def test_token_endpoints_refuse_what_they_do_not_know(raw: Raw) -> None:
    form = {"grant_type": "client_credentials", "service": raw.host}
    answer = raw("POST", "/oauth2/token", token="", data=form)
    assert (answer.status_code, codes(answer)) == (400, ["BAD_REQUEST"])
    assert raw("POST", "/oauth2/exchange", token="", data=form).status_code == 400
    assert raw("GET", "/oauth2/exchange", token="").status_code == 405
    assert raw("GET", "/oauth2/other", token="").status_code == 404
    assert raw("POST", "/oauth2/token", token="", data=b"x" * 100_000).status_code == 413
