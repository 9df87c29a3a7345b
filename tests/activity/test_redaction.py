"""What looks like a secret is hidden, and what does not stays readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activity.redaction import MASK, is_secret_name, mask_bytes, mask_structure, mask_text

CANARY = "Zq8hunter22canary"


@pytest.mark.parametrize(
    "text",
    [
        f"https://galaxyzoo.blob.core.windows.net/models?sv=2024&sp=rl&sig={CANARY}&se=2026",
        f"AccountName=zoo;AccountKey={CANARY};EndpointSuffix=core.windows.net",
        f"Authorization: SharedKey zoobatch:{CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"header Bearer {CANARY}",
        f"token eyJ0eXAiOiJKV1Q.{CANARY}.signature",
        f"postgres://zoo:{CANARY}@db:5432/zoobatch",
        f"WANDB_API_KEY={CANARY}",
        f'{{"password": "{CANARY}"}}',
        f"--registry-password={CANARY}",
        f"client_secret: {CANARY}",
    ],
)
def test_secrets_in_text_are_hidden(text: str) -> None:
    masked = mask_text(text)
    assert CANARY not in masked
    assert MASK in masked


@pytest.mark.parametrize(
    "text",
    [
        "Pool training_1 has 2 nodes; the key point is that tokens are counted.",
        "ResourceNotFound: The specified pool does not exist. (request 5d2a)",
        "https://zoobatch.uksouth.batch.azure.com/pools/training_1?api-version=2024-07-01",
        "epoch 3 val_loss 0.123 password-free",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert mask_text(text) == text


@pytest.mark.parametrize(
    "name", ["password", "registryPassword", "WANDB_API_KEY", "sas_token", "accountKey", "SECRET"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["keyframe", "monkey", "nodes", "container_image", "name", "passive", "tokenizer_name"]
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


def test_structures_are_masked_by_key_by_pair_and_inside_texts() -> None:
    masked = mask_structure(
        {
            "environment": [{"name": "WANDB_API_KEY", "value": CANARY}, {"name": "EPOCHS", "value": "5"}],
            "registry": {"username": "zoo", "password": CANARY},
            "urls": [f"https://x/?sig={CANARY}"],
            "nodes": 2,
            "is_secret": True,
            "empty_password": "",
        }
    )
    assert CANARY not in str(masked)
    assert masked["environment"][1] == {"name": "EPOCHS", "value": "5"}
    assert (masked["registry"]["username"], masked["nodes"], masked["is_secret"]) == ("zoo", 2, True)
    assert masked["empty_password"] == ""


def test_known_secrets_are_hidden_wherever_they_are() -> None:
    assert CANARY not in str(mask_structure({"log": [f"hello {CANARY}!"]}, [CANARY]))


def test_a_log_keeps_every_byte_that_is_not_secret() -> None:
    log = b"\x1b[32mepoch 1\x1b[0m\r\n\xff\xfe" + CANARY.encode() + b"\nend"
    assert mask_bytes(log, [CANARY]) == b"\x1b[32mepoch 1\x1b[0m\r\n\xff\xfe" + MASK.encode() + b"\nend"
    assert mask_bytes(log, []) == log


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_masking_keeps_the_shape_and_masking_twice_changes_nothing(value: object) -> None:
    once = mask_structure(value)
    assert mask_structure(once) == once
    assert type(once) is type(value) or (isinstance(value, list) and isinstance(once, list))
