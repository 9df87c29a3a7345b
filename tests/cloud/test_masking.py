"""Nothing secret that Azure echoes gets past the gateway."""

from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.config import RegistryConnection, UserPassword
from cloud.redaction import MASK
from cloud.registry import RegistryGateway
from cloud.types import OPERATION_ENV, OPERATION_KEY, SECRET_NAMES_ENV, SECRET_NAMES_KEY, EnvironmentSetting
from cloud.wire import write_jobs, write_pools
from cloud.wire.masking import masked, needs_masking
from tests.cloud import specs

CANARY = "c4n4ryS3cret"


def test_every_environment_value_of_a_foreign_object_is_masked() -> None:
    job = {
        "id": "j",
        "commonEnvironmentSettings": [{"name": "CODE_DIR_PATH", "value": CANARY}],
        "jobPreparationTask": {
            "commandLine": "x",
            "environmentSettings": [{"name": "A", "value": CANARY}, {"name": "B"}],
        },
    }
    result = masked(job)
    assert CANARY not in str(result)
    assert result["commonEnvironmentSettings"] == [{"name": "CODE_DIR_PATH", "value": MASK}]
    assert result["jobPreparationTask"]["environmentSettings"][1] == {"name": "B"}


def test_of_our_own_job_only_the_secret_values_are_masked() -> None:
    job = {
        "metadata": [
            {"name": OPERATION_KEY, "value": "op"},
            {"name": SECRET_NAMES_KEY, "value": "PLAIN_NAME,OTHER"},
        ],
        "commonEnvironmentSettings": [
            {"name": "CODE_DIR_PATH", "value": "code"},
            {"name": "PLAIN_NAME", "value": CANARY},
            {"name": "WANDB_API_KEY", "value": CANARY},
        ],
        "jobPreparationTask": {"environmentSettings": [{"name": "OTHER", "value": CANARY}]},
    }
    result = masked(job)
    assert CANARY not in str(result)
    assert result["commonEnvironmentSettings"][0]["value"] == "code"


def test_our_own_tasks_are_known_by_their_mark() -> None:
    task = {
        "environmentSettings": [
            {"name": "EPOCHS", "value": "3"},
            {"name": "X", "value": CANARY},
            {"name": OPERATION_ENV, "value": "op"},
            {"name": SECRET_NAMES_ENV, "value": "X"},
        ]
    }
    assert [s["value"] for s in masked(task)["environmentSettings"]] == ["3", MASK, "op", "X"]


def test_keys_and_passwords_are_masked_wherever_they_stand() -> None:
    pool = {
        "mountConfiguration": [
            {"azureBlobFileSystemConfiguration": {"accountKey": CANARY, "sasKey": CANARY}}
        ],
        "userAccounts": [
            {"name": "u", "password": CANARY, "linuxUserConfiguration": {"sshPrivateKey": CANARY}}
        ],
        "virtualMachineConfiguration": {
            "containerConfiguration": {"containerRegistries": [{"username": "u", "password": CANARY}]},
            "extensions": [{"protectedSettings": {"a": CANARY}}],
        },
    }
    assert CANARY not in str(masked(pool))


@pytest.mark.parametrize(
    "thing",
    [
        {"environmentSettings": [{"name": "a", "value": "b"}]},
        {"commonEnvironmentSettings": []},
        {"commandLine": "curl https://a/c?sig=x"},
        {"commandLine": "TOKEN=x run"},
        {"commandLine": "run --password x"},
        {"commandLine": "git clone https://u:p@h/x"},
        {"accountKey": "x"},
        {"sasKey": "x"},
    ],
)
def test_a_page_with_anything_to_mask_is_noticed(thing: dict) -> None:
    assert needs_masking(orjson.dumps({"value": [thing]}))


def test_a_page_of_plain_tasks_is_passed_without_a_second_look() -> None:
    page = {
        "value": [{"id": "1", "state": "active", "executionInfo": {"retryCount": 0}, "commandLine": "run me"}]
    }
    assert not needs_masking(orjson.dumps(page))


def test_what_is_asked_for_without_any_secret_comes_back_as_it_was_sent() -> None:
    for body in (
        write_pools.create_pool(specs.zoobot_pool(mounts=(), container_registries=())),
        write_jobs.create_job(specs.zoobot_job(common_environment=(), metadata=(("token_count", "5"),))),
        write_jobs.task(specs.zoobot_task(output_files=())),
    ):
        assert masked(body) == body


def test_of_what_is_asked_for_only_the_secrets_come_back_masked() -> None:
    plain = EnvironmentSetting(name="NUM_TOKENS", value="key=value")
    hush = EnvironmentSetting(name="X", value=CANARY, is_secret=True)
    body = write_jobs.task(specs.zoobot_task(output_files=(), environment=(plain, hush)))
    shown = masked(body)
    assert [setting["value"] for setting in shown["environmentSettings"]] == ["key=value", MASK, "op-1", "X"]
    assert {**shown, "environmentSettings": None} == {**body, "environmentSettings": None}
    for full in (
        write_pools.create_pool(specs.full_pool()),
        write_jobs.create_job(specs.full_job()),
        write_jobs.task(specs.full_task()),
    ):
        text = orjson.dumps(masked(full)).decode()
        for secret in ("hush", "storage-account-key", "registry-password", "pass-word", "sig=abc"):
            assert secret not in text


def test_a_formula_is_left_alone_whatever_its_variables_are_called() -> None:
    pool = {"autoScaleFormula": "token = min(4, $x); $TargetDedicatedNodes = token; password=max(1,2);"}
    assert masked(pool) == pool


def test_secrets_in_the_metadata_and_commands_of_others_are_masked() -> None:
    pool = {
        "metadata": [{"name": "registry-password", "value": CANARY}, {"name": "team", "value": "zoobot"}],
        "startTask": {"commandLine": f"docker login -u a -p {CANARY} && curl -u a:{CANARY} https://x"},
        "resizeErrors": [{"code": "x", "values": [{"name": "SasToken", "value": CANARY}]}],
    }
    shown = masked(pool)
    assert CANARY not in str(shown)
    assert shown["metadata"][1] == {"name": "team", "value": "zoobot"}
    assert needs_masking(orjson.dumps(pool))


names = st.sampled_from(["name", "key", "value", "metadata", "password", "accountKey", "commandLine", "id"])
words = st.sampled_from(["HF_TOKEN", "x", "run --password y", "docker login -p y", "a://b:c@d", "PoolId"])


@given(
    st.dictionaries(
        names,
        st.recursive(
            st.none() | st.integers(0, 9) | words,
            lambda inner: st.lists(inner) | st.dictionaries(names, inner),
        ),
    ).filter(lambda thing: "metadata" not in thing)
)
def test_a_page_that_is_not_looked_through_holds_nothing_to_mask(thing: dict) -> None:
    if not needs_masking(orjson.dumps({"value": [thing]})):
        assert masked(thing) == thing


def test_what_an_image_says_about_itself_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    run = {
        "Env": ["PATH=/usr/bin", f"HF_TOKEN={CANARY}", f"INDEX=https://a:{CANARY}@pypi.example.org/simple"],
        "Labels": {"maintainer": "zoo", "build.token": CANARY},
        "Entrypoint": ["serve", "--password", CANARY],
        "Cmd": ["bash", "-c", f"WANDB_API_KEY={CANARY} serve"],
    }
    manifest = SimpleNamespace(
        manifest={"config": {"digest": "sha256:1", "size": 1}, "layers": []},
        digest="sha256:2",
        media_type="m",
    )
    client = SimpleNamespace(
        get_manifest=lambda repository, reference: manifest,
        download_blob=lambda repository, digest: [orjson.dumps({"config": run})],
    )
    monkeypatch.setattr(RegistryGateway, "_current", lambda self: client)
    connection = RegistryConnection(
        login_server="r", endpoint="https://r", credential=UserPassword(username="u", password="p")
    )
    seen = RegistryGateway(connection).image_config("pytorch", "latest")
    assert CANARY not in str(seen)
    assert seen.labels == (("build.token", MASK), ("maintainer", "zoo"))
    assert seen.environment[0] == ("PATH", "/usr/bin")
    assert (seen.entrypoint, seen.cmd[:2]) == (("serve", "--password", MASK), ("bash", "-c"))
