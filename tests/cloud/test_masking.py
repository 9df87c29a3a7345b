"""Nothing secret that Azure echoes gets past the gateway."""

import orjson
import pytest

from cloud.types import OPERATION_ENV, OPERATION_KEY, SECRET_NAMES_ENV, SECRET_NAMES_KEY
from cloud.wire.masking import MASK, looks_secret, mask_text, masked, needs_masking

CANARY = "c4n4ryS3cret"


@pytest.mark.parametrize(
    "text",
    [
        f"https://a.blob.core.windows.net/c?sp=rwl&sig={CANARY}%3D&sv=1",
        f"copy 'https://a/c?sv=1&sig={CANARY}' here",
        f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={CANARY}==;EndpointSuffix=x",
        f"git clone https://user:{CANARY}@example.org/x",
        f"WANDB_API_KEY={CANARY} python train.py",
        f"docker run -e HF_TOKEN={CANARY} image",
        f"train.py --password {CANARY} --epochs 3",
        f"train.py --api-key={CANARY}",
        f"az login --client-secret={CANARY}",
    ],
)
def test_secrets_inside_texts_are_masked(text: str) -> None:
    assert CANARY not in mask_text(text)
    assert MASK in mask_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "WANDB_API_KEY=$WANDB_API_KEY python train.py",
        "python train.py --tokens-per-batch 12 --catalog /mnt/batch/tasks/fsmounts/training/x.csv",
        "https://account.region.batch.azure.com/jobs/j/tasks/1",
        '/bin/bash -c "set -ex; mkdir -p $AZ_BATCH_NODE_SHARED_DIR/.cache/torch/kernels"',
    ],
)
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert mask_text(text) == text


@pytest.mark.parametrize(
    "name", ["WANDB_API_KEY", "HF_TOKEN", "password", "DB_PASSWD", "STORAGE_SAS", "APIKEY"]
)
def test_names_of_secrets_are_recognised(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["PYTORCH_KERNEL_CACHE_PATH", "CODE_DIR_PATH", "MANIFEST_URL", "KEYS_DIR"])
def test_other_names_are_not(name: str) -> None:
    assert not looks_secret(name)


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
