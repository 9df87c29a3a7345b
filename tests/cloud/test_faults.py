"""Whatever goes wrong on the way, one typed error says it, and passing faults are tried again."""

import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloud.batch import BatchGateway, session
from cloud.config import BatchConnection, ClientSecret, Limits, SharedKey, Trust
from cloud.errors import CloudError
from cloud.faultbodies import parse_body
from cloud.faults import translate
from tests.cloud.stub import KEY, Answer, Stub, batch_error, serving

POOL = {"id": "p", "state": "active"}


def fault_of(gateway: BatchGateway) -> CloudError:
    """Return the error that reading a pool ends in."""
    with pytest.raises(CloudError) as caught:
        gateway.get_pool("p")
    return caught.value


@pytest.mark.parametrize(
    ("answer", "kind", "passing"),
    [
        (batch_error(400, "InvalidPropertyValue"), "invalid", False),
        (batch_error(401, "InvalidAuthenticationInfo"), "authentication", False),
        (batch_error(403, "AuthenticationFailed"), "authentication", False),
        (batch_error(403, "InsufficientAccountPermissions"), "permission", False),
        (batch_error(409, "PoolBeingResized"), "conflict", True),
        (batch_error(409, "PoolQuotaReached"), "quota", False),
        (batch_error(409, "OperationNotValidOnPool"), "conflict", False),
        (batch_error(412, "ConditionNotMet"), "conflict", False),
        (batch_error(413, "RequestBodyTooLarge", Retry_After="1"), "invalid", False),
        (batch_error(429, "TooManyRequests"), "throttled", True),
        (batch_error(500, "InternalError"), "server", True),
        (batch_error(503, "ServerBusy"), "throttled", True),
        (Answer(502, b"<html><h1>Bad gateway</h1>"), "server", True),
        (Answer(404, b"not json"), "not_found", False),
    ],
)
def test_every_answer_becomes_a_typed_error(stub: Stub, answer: Answer, kind: str, passing: bool) -> None:
    stub.answers = [answer]
    with pytest.raises(CloudError) as caught:
        stub.gateway(retry_total=0).task_counts("j")
    error = caught.value
    assert (error.kind, error.is_passing, error.status) == (kind, passing, answer.status)
    assert len(stub.requests) == 1
    if isinstance(answer.body, dict):
        assert error.code == answer.body["code"]
        assert error.message == "A sentence."
        assert error.values == {"Reason": "because"}
        assert error.request_id == "r-1"
        assert "because" in str(error)
        assert "r-1" in str(error)


def test_a_missing_thing_is_none_not_an_error(stub: Stub) -> None:
    stub.answers = [batch_error(404, "PoolNotFound")]
    assert stub.gateway().get_pool("p") is None


def test_throttling_is_waited_out_when_the_pause_is_short(stub: Stub) -> None:
    stub.answers = [batch_error(429, "TooManyRequests", Retry_After="1"), Answer(200, POOL)]
    began = time.monotonic()
    assert stub.gateway().get_pool("p") is not None
    assert 1.0 <= time.monotonic() - began < 2.5
    assert len(stub.requests) == 2


def test_a_long_pause_is_left_to_the_caller(stub: Stub) -> None:
    stub.answers = [batch_error(503, "ServerBusy", Retry_After="120")]
    began = time.monotonic()
    error = fault_of(stub.gateway())
    assert time.monotonic() - began < 1.0
    assert (error.retry_after, error.is_passing, len(stub.requests)) == (120.0, True, 1)


def test_retry_after_may_be_a_date(stub: Stub) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    stub.answers = [batch_error(503, "ServerBusy", Retry_After=later)]
    error = fault_of(stub.gateway())
    assert error.retry_after == pytest.approx(300, abs=5)


def test_retries_are_few_and_then_end(stub: Stub) -> None:
    stub.answers = [batch_error(500, "InternalError")]
    error = fault_of(stub.gateway(retry_total=2))
    assert (error.code, error.is_passing, len(stub.requests)) == ("InternalError", True, 3)


def test_a_reset_connection_is_tried_again(stub: Stub) -> None:
    stub.answers = [Answer(fault="reset"), Answer(200, POOL)]
    assert stub.gateway().get_pool("p") is not None


def test_a_reset_of_a_post_is_not_repeated_but_passing(stub: Stub) -> None:
    stub.answers = [Answer(fault="reset")]
    with pytest.raises(CloudError) as caught:
        stub.gateway().stop_resize("p")
    assert (caught.value.kind, caught.value.is_passing, len(stub.requests)) == ("unreachable", True, 1)


def test_a_page_cut_within_its_body_is_read_again(stub: Stub) -> None:
    stub.answers = [Answer(200, {"value": [POOL]}, fault="cut"), Answer(200, {"value": [POOL]})]
    assert [pool.id for page in stub.gateway().list_pools() for pool in page] == ["p"]


def test_a_page_that_is_always_cut_ends_in_a_passing_error(stub: Stub) -> None:
    stub.answers = [Answer(200, {"value": [POOL]}, fault="cut")]
    with pytest.raises(CloudError) as caught:
        list(stub.gateway().list_pools())
    assert (caught.value.is_passing, len(stub.requests)) == (True, 3)


def test_silence_ends_in_a_time_out(stub: Stub) -> None:
    stub.answers = [Answer(fault="silence")]
    began = time.monotonic()
    error = fault_of(stub.gateway(read_timeout=0.3, retry_total=1))
    assert time.monotonic() - began < 2.5
    assert (error.kind, error.is_passing) == ("timeout", True)


def test_a_dribbling_file_is_given_up(stub: Stub) -> None:
    stub.answers = [Answer(200, b"0123456789" * 3, fault="dribble")]
    began = time.monotonic()
    with pytest.raises(CloudError) as caught:
        stub.gateway().read_task_file("j", "1", "stdout.txt", start=0, timeout=0.8)
    assert time.monotonic() - began < 2.5
    assert (caught.value.kind, caught.value.is_passing) == ("timeout", True)


def test_a_refused_connection_is_explained() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{held.getsockname()[1]}"
        credential = SharedKey(account="a", key=KEY)
        connection = BatchConnection(endpoint=endpoint, credential=credential, limits=Limits(retry_total=1))
        error = fault_of(BatchGateway(connection))
    assert (error.code, error.kind, error.is_passing) == ("Unreachable", "unreachable", True)
    assert "refused the connection" in error.message
    assert endpoint in error.message


def test_a_name_without_an_address_is_explained() -> None:
    connection = BatchConnection(
        endpoint="https://account.region.batch.invalid",
        credential=SharedKey(account="a", key=KEY),
        limits=Limits(retry_total=0),
    )
    error = fault_of(BatchGateway(connection))
    assert error.kind == "unreachable"
    assert "could not be resolved" in error.message


def _certificate(folder: Path, name: str) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(certificate.public_bytes(pem) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_an_untrusted_certificate_is_explained(tmp_path: Path) -> None:
    with serving(_certificate(tmp_path, "localhost")) as stub:
        error = fault_of(stub.gateway(retry_total=0))
    assert (error.code, error.kind, error.is_passing) == ("TlsFailed", "tls", False)
    assert "not in the CA bundle" in error.message
    assert "CA bundle" in error.advice


def test_a_certificate_for_another_host_is_explained(tmp_path: Path) -> None:
    with serving(_certificate(tmp_path, "elsewhere.example")) as stub:
        error = fault_of(stub.gateway(Trust(ca_bundle=str(tmp_path / "server.pem")), retry_total=0))
    assert error.kind == "tls"
    assert "another host name" in error.message


def test_a_wrong_clock_is_named_where_authentication_fails(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.answers = [batch_error(403, "AuthenticationFailed")]

    class LateClock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(minutes=20)

    monkeypatch.setattr("cloud.faults.datetime", LateClock)
    error = fault_of(stub.gateway())
    assert error.kind == "clock"
    assert "1200 s ahead" in error.message.replace("1201", "1200")  # the answer's date has no fractions
    assert "time of this machine" in error.advice


def test_refusals_name_the_role_or_the_credential(stub: Stub) -> None:
    stub.answers = [
        batch_error(403, "InsufficientAccountPermissions"),
        batch_error(403, "AuthenticationFailed"),
    ]
    gateway = stub.gateway()
    assert "Azure Batch Data Contributor" in fault_of(gateway).advice
    assert "account name and key" in fault_of(gateway).advice


def test_a_key_that_is_not_base64_is_explained(stub: Stub) -> None:
    connection = BatchConnection(endpoint=stub.endpoint, credential=SharedKey(account="a", key="abc"))
    error = fault_of(BatchGateway(connection))
    assert (error.code, error.kind) == ("KeyNotBase64", "authentication")


def test_an_answer_that_is_not_json_is_explained(stub: Stub) -> None:
    stub.answers = [
        Answer(200, b"<html>Sign in to the airport's network</html>", {"Content-Type": "text/html"})
    ]
    error = fault_of(stub.gateway())
    assert (error.code, error.is_passing) == ("AnswerNotJson", True)
    with pytest.raises(CloudError, match="AnswerNotJson"):
        list(stub.gateway().list_pools())


def test_entra_errors_say_what_to_do() -> None:
    error = translate(
        ClientAuthenticationError(message="AADSTS7000215: Invalid client secret provided.\r\nTrace ID: x"),
        "batch",
        "https://b",
    )
    assert (error.kind, error.is_passing) == ("authentication", False)
    assert "secret's value" in error.advice


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known","detail":{"name":"x"}}]}',
            ("NAME_UNKNOWN", "repository name not known", {"name": "x"}),
        ),
        (
            b'{"error":"invalid_client","error_description":"AADSTS7000222: expired\\r\\nTrace"}',
            ("AADSTS7000222", "AADSTS7000222: expired", {}),
        ),
        (b'{"error":{"code":"AuthorizationFailed","message":"no"}}', ("AuthorizationFailed", "no", {})),
        (
            '\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>BlobNotFound</Code><Message>Gone.\nRequestId:1</Message>'
            "<Extra>e</Extra></Error>".encode(),
            ("BlobNotFound", "Gone.", {"Extra": "e"}),
        ),
        (b"", (None, None, {})),
        (b"[1]", (None, None, {})),
        (b"<broken", (None, None, {})),
    ],
)
def test_each_service_s_error_body_is_read(body: bytes, expected: tuple) -> None:
    assert parse_body(body) == expected


def test_secrets_in_error_messages_are_masked(stub: Stub) -> None:
    stub.answers = [batch_error(400, "InvalidPropertyValue", "https://a/c?sv=1&sig=c4n4ry is wrong")]
    error = fault_of(stub.gateway())
    assert "c4n4ry" not in str(error)


def test_calls_open_at_once_are_limited_per_account(stub: Stub) -> None:
    stub.answers = [Answer(200, POOL, fault="slow")]
    gateways = [stub.gateway(concurrent_calls=2), stub.gateway(concurrent_calls=2)]
    threads = [threading.Thread(target=gateways[n % 2].get_pool, args=("p",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stub.requests) == 8
    assert stub.most_open <= 2


def test_patience_for_a_free_call_ends(stub: Stub) -> None:
    stub.answers = [Answer(fault="silence")]
    gateway = stub.gateway(concurrent_calls=1, read_timeout=0.5, retry_total=0)

    def block() -> None:
        with pytest.raises(CloudError):
            gateway.get_pool("p")

    blocker = threading.Thread(target=block)
    blocker.start()
    time.sleep(0.1)
    with pytest.raises(CloudError) as caught:
        gateway.read_task_file("j", "1", "stdout.txt", start=0, timeout=0.1)
    blocker.join()
    assert (caught.value.code, caught.value.is_passing) == ("TooManyCallsHere", True)


def test_an_authority_that_does_not_answer_is_an_outage_and_not_a_wrong_secret(stub: Stub) -> None:
    gateway = BatchGateway(
        BatchConnection(
            endpoint=stub.endpoint,
            credential=ClientSecret(tenant_id="t", client_id="c", client_secret="s"),
            trust=Trust(authority="https://127.0.0.1:9", is_private_authority=True),
            limits=Limits(connect_timeout=1.0, read_timeout=1.0, retry_total=0),
        )
    )
    with pytest.raises(CloudError) as caught:
        gateway.get_pool("p")
    assert (caught.value.kind, caught.value.is_passing) == ("unreachable", True)


def test_the_link_to_the_next_page_has_no_item_looked_through(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    monkeypatch.setattr(session, "masked", lambda item: looked.append(item) or item)
    stub.answers = [
        Answer(
            200, {"value": [POOL | {"id": "1"}], "odata.nextLink": f"{stub.endpoint}/pools?$skiptoken=next"}
        ),
        Answer(200, {"value": [POOL | {"id": "2", "password": "x"}]}),
    ]
    assert [pool.id for page in stub.gateway().list_pools() for pool in page] == ["1", "2"]
    assert [item["id"] for item in looked] == ["2"]
