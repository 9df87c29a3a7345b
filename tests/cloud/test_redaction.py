"""What looks like a secret is hidden, and what does not stays readable."""

import json
import shlex
from collections.abc import Callable

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud.redaction import MASK, is_secret_name, mask_structure, mask_text, may_hold_secret

CANARY = "Zq8hunter22canary"
ACCOUNT_KEY = "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="

SIMPLE: list[Callable[[str], str]] = [
    "az login --service-principal -u app -p {}".format,
    "az storage blob list --account-name a --account-key {}".format,
    "azcopy --sas-token={} x".format,
    "train.py --password {} --epochs 3".format,
    "train.py --api-key={}".format,
    "az login --client-secret={}".format,
    "Connect-AzAccount -Password {}".format,
    "docker login zoobot.azurecr.io -u zoobot -p {} && docker run -p 8080:80 image".format,
    "docker login -p {}".format,
    "docker login --username zoobot --password {}".format,
    "bash -c 'docker login -p {}' && mkdir -p /x".format,
    "mysql -h host -u root -p{} -P 3306 db".format,
    "mysqldump -p {} db > dump.sql".format,
    "sshpass -p {} ssh -p 22 host".format,
    "redis-cli -h host -a {} ping".format,
    "sqlcmd -U sa -P {} -Q x".format,
    "wandb login --relogin {} && python train.py".format,
    "curl -u user:{} https://example.org".format,
    "curl -sSfu user:{} https://example.org".format,
    "curl --user user:{} https://example.org".format,
    "skopeo copy --src-creds {} a b".format,
    "openssl rsa -passin pass:{} -in x".format,
    "mount -t cifs //h/s /mnt -o username=a,password={}".format,
    "WANDB_API_KEY={} python train.py".format,
    "set HF_TOKEN={}".format,
    "docker run -e HF_TOKEN={} -e EPOCHS=3 image".format,
    "kubectl create secret generic x --from-literal=password={}".format,
    "bash -c 'export TOKEN={}' && echo 'done'".format,
    "mysql://host/db?password={}&ssl=1".format,
    "client_secret: {}".format,
    "KeyError: 'password={}'".format,
    "curl -H 'Authorization: Bearer {}' https://example.org".format,
    'curl -H "Authorization: Basic {}" https://example.org'.format,
    "Authorization: SharedKey zoobatch:{}".format,
    "curl -H 'X-Api-Key: {}' https://example.org".format,
    "git clone https://user:{}@example.org/x.git".format,
    "redis://:{}@host:6379/0".format,
    "AccountName=a;AccountKey={};EndpointSuffix=core.windows.net".format,
    "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey={}".format,
    "Server=tcp:x;Uid=a;Pwd={};".format,
    "https://a.blob.core.windows.net/c?sp=rwl&sig={}&sv=1".format,
    "copy 'https://a/c?sv=1&sig={}' here".format,
]
QUOTED: list[Callable[[str], str]] = [
    lambda secret: f'export X_PASSWORD="{secret}" && run',
    lambda secret: f"X_PASSWORD='{secret}' run",
    lambda secret: f'bash -c "X_PASSWORD=\\"{secret}\\" run"',
    lambda secret: f'az --connection-string "{secret}" --yes',
    lambda secret: f"az --sas-token '{secret}' --yes",
    lambda secret: f"run '{{'X_TOKEN': '{secret}'}}'",
    lambda secret: f'curl -d \'{{"password": "{secret}", "user": "a"}}\' https://example.org',
    lambda secret: f'curl -d "{{\\"client_secret\\":\\"{secret}\\",\\"user\\":\\"a\\"}}" https://example.org',
    lambda secret: f'{{"name": "WANDB_API_KEY", "value": "{secret}"}}',
    lambda secret: f'["train.py", "--password", "{secret}", "--epochs", "3"]',
    lambda secret: f'docker login -u a -p "{secret}" host',
    lambda secret: f'curl -u "user:{secret}" https://example.org',
]

letters_first = st.from_regex(r"[A-Za-z][A-Za-z0-9]{2}", fullmatch=True)
plain_secrets = st.builds(
    lambda head, rest: f"{head}{rest}7Q",
    letters_first,
    st.text("ABCXYZabcxyz0123456789-_.+=~^%*#", min_size=4, max_size=40),
)
quoted_secrets = st.builds(
    lambda head, rest: f"{head}{rest}7Q",
    letters_first,
    st.text("ABCXYZabcxyz0123456789-_.+=~^%*# ;&|,()/<>@!{}[]:?", min_size=4, max_size=40),
)


def assert_hidden(form: Callable[[str], str], secret: str) -> None:
    """Check that of the secret not even a part is left, and that everything around it is."""
    assert mask_text(form(secret)) == form(MASK)


@given(form=st.sampled_from(SIMPLE), secret=plain_secrets)
def test_a_secret_in_a_command_line_an_address_or_a_message_does_not_survive(
    form: Callable[[str], str], secret: str
) -> None:
    assert_hidden(form, secret)


@given(form=st.sampled_from(QUOTED), secret=plain_secrets | quoted_secrets)
def test_a_quoted_secret_does_not_survive(form: Callable[[str], str], secret: str) -> None:
    assert_hidden(form, secret)


@given(secret=plain_secrets | quoted_secrets | st.text(min_size=6).map(lambda text: f"'{text}\"7Q"))
def test_a_secret_that_the_shell_needs_quoted_does_not_survive(secret: str) -> None:
    masked = mask_text(f"DB_PASSWORD={shlex.quote(secret)} python train.py")
    assert masked.replace("'", "") == f"DB_PASSWORD={MASK} python train.py"


@given(secret=st.text(min_size=6).map(lambda text: f"Q7{text}"))
def test_a_secret_in_json_does_not_survive(secret: str) -> None:
    masked = mask_text(f"--data {json.dumps({'password': secret, 'user': 'a'})}")
    assert masked == f"--data {json.dumps({'password': MASK, 'user': 'a'}, ensure_ascii=False)}"


@pytest.mark.parametrize(
    "text",
    [
        f"header Bearer {CANARY}",
        "header Bearer hunterhuntercanary",
        f"token eyJ0eXAiOiJKV1Q.{CANARY}.signature",
        f"say eyJ0eXAiOiJKV1Q.{CANARY}.sig-na_ture please",
        f"https://{CANARY}{CANARY}@github.com/x.git",
        f"https%3A%2F%2Fa%2Fc%3Fsv%3D1%26sig%3D{CANARY}",
        f"https://user:p@{CANARY}@example.org/x",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_are_known_by_their_looks(text: str) -> None:
    assert "canary" not in mask_text(text)
    assert MASK in mask_text(text)


def test_an_account_key_is_known_wherever_it_stands() -> None:
    assert mask_text(f"the {ACCOUNT_KEY} of it") == f"the {MASK} of it"
    assert mask_text(f"integrity sha512-{ACCOUNT_KEY}") == f"integrity sha512-{ACCOUNT_KEY}"


@pytest.mark.parametrize(
    "text",
    [
        "WANDB_API_KEY=$WANDB_API_KEY HF_TOKEN=${HF_TOKEN} python train.py",
        'docker run -e WANDB_API_KEY -e A_SECRET="$A_SECRET" image',
        "curl -H 'Authorization: Bearer $TOKEN' https://user:$PASSWORD@example.org",
        "HF_TOKEN= python train.py",
        "wandb login $WANDB_API_KEY && wandb login --relogin && x",
        "docker run -p 8080:80 -u 1000:1000 image && mkdir -p /x && ssh -p 22 host",
        "docker login --password-stdin < /run/x && docker run -p 80:80 image",
        "token_count=5 max_token=512 key=value sort_key=name pad_token=<pad>",
        "train.py --num-tokens 5 --key-frame 3 --tokens-per-batch 12 --token-file /run/token --key id",
        "tokenizer=bert monkey=1 passive=yes keyframe: 3 PWD=/mnt/x",
        "$TargetDedicatedNodes=min($PendingTasks.GetSample(1), 4); $tokens = 3; $token = 2;",
        '/bin/bash -c "set -ex; mkdir -p $AZ_BATCH_NODE_SHARED_DIR/.cache/torch/kernels"',
        "https://zoobatch.uksouth.batch.azure.com/pools/training_1?api-version=2024-07-01",
        "zoobot.azurecr.io/pytorch@sha256:0123456789abcdef https://host:8080/x",
        "Pool training_1 has 2 nodes; the key point is that tokens are counted.",
        "Basic authentication is not supported; Bearer tokens are needed.",
        "ResourceNotFound: The specified pool does not exist. (request 5d2a)",
        "Make sure the value of Authorization header is formed correctly including the signature.",
        "epoch 3 val_loss 0.123 password-free",
        "cat /etc/passwd; ls /run/secrets",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert mask_text(text) == text


@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "train.py",
                    "--epochs",
                    "3",
                    "EPOCHS=3",
                    "$AZ_BATCH",
                    "&&",
                    ";",
                    "docker run -p 80:80",
                    "'a b'",
                ),
                *(
                    "https://example.org:443/x?sv=1",
                    "{'name': 'a', 'value': 'b'}",
                    "-u 1:2",
                    "min($x, 4)",
                    "a@b",
                ),
            ]
        )
        | st.text("bdfghlmnquvxz0123456789 =:/-_.'\"\\${}&|;,\n")
    ).map(" ".join)
)
def test_texts_without_a_word_of_secrets_stay_as_they_are(text: str) -> None:
    assert mask_text(text) == text


PIECES = [
    *(
        "token",
        "PASSWORD",
        "--api-key",
        "secret",
        "pwd",
        "sig",
        "Authorization",
        "Bearer",
        "Basic",
        "AccountKey",
    ),
    *(
        "=",
        ":",
        " ",
        "'",
        '"',
        "\\",
        '\\"',
        "\n",
        ";",
        ",",
        "&",
        "|",
        "{",
        "}",
        "(",
        "$",
        "${X}",
        "••••••",
        "***",
    ),
    *(
        "://",
        "@",
        "a:b@",
        "eyJhbGciOiJI.a.b",
        "docker login -p",
        "curl -u",
        "a:b",
        ACCOUNT_KEY,
        "5",
        "Xy7zW8",
        "-",
    ),
    *('"name":', '"value":', "//", "sig%3D", "\\\n", "wandb login", "-----BEGIN PRIVATE KEY-----"),
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3)).map("".join)


@given(texts)
@example("token=\"a'b\" 'c\"d' password='\"x")
def test_masking_twice_changes_nothing(text: str) -> None:
    once = mask_text(text)
    assert mask_text(once) == once


@given(texts)
def test_the_quick_look_misses_nothing(text: str) -> None:
    if mask_text(text) != text:
        assert may_hold_secret(orjson.dumps({"commandLine": text}))


@pytest.mark.parametrize("piece", PIECES)
def test_long_texts_take_no_long_time(piece: str) -> None:
    """A pattern that looks back and forth would take minutes."""
    mask_text(piece * (200_000 // len(piece)))
    mask_text(f"token {piece}" * (200_000 // (len(piece) + 6)))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "password",
            "registryPassword",
            "SECRET",
            "client secret",
            "DB_PASSWD",
            "PGPASSWORD",
            "Authorization",
        ),
        *(
            "WANDB_API_KEY",
            "WANDB_API_KEY_2",
            "APIKEY",
            "accountKey",
            "sas_key",
            "sshPrivateKey",
            "AccessKey",
        ),
        *("HF_TOKEN", "sas_token", "SASToken", "accessToken", "GITHUB_TOKEN_READ", "STORAGE_SAS", "sas_url"),
        *(
            "AZURE_STORAGE_CONNECTION_STRING",
            "connStr",
            "MYSQL_PWD",
            "DOCKER_AUTH",
            "docker_credentials",
            "key",
        ),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("keyframe", "key-frame", "monkey", "nodes", "container_image", "name", "passive", "tokenizer_name"),
        *("PYTORCH_KERNEL_CACHE_PATH", "MANIFEST_URL", "KEYS_DIR", "token_count", "num_tokens", "max_token"),
        *(
            "password_file",
            "TOKEN_PATH",
            "is_secret",
            "no-password",
            "password-stdin",
            "sort_key",
            "public_key",
        ),
        *("pad_token", "zoobatch_secret_env", "zoobatch_operation", "author", "compass", "signal"),
    ],
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


def test_structures_are_masked_by_key_by_pair_after_options_and_inside_texts() -> None:
    masked = mask_structure(
        {
            "environment": [{"name": "WANDB_API_KEY", "value": CANARY}, {"name": "EPOCHS", "value": "5"}],
            "values": [{"key": "Password", "value": CANARY}, {"key": "PoolId", "value": "gpu_1"}],
            "registry": {"username": "zoo", "password": CANARY},
            "command": ["train.py", "--api-key", CANARY, "--password", "--epochs", "3"],
            "urls": (f"https://x/?sig={CANARY}",),
            "nodes": 2,
            "is_secret": True,
            "empty_password": "",
        }
    )
    assert CANARY not in str(masked)
    assert masked["environment"][1] == {"name": "EPOCHS", "value": "5"}
    assert masked["values"] == [{"key": "Password", "value": MASK}, {"key": "PoolId", "value": "gpu_1"}]
    assert masked["command"] == ["train.py", "--api-key", MASK, "--password", "--epochs", "3"]
    assert (masked["registry"]["username"], masked["nodes"], masked["is_secret"]) == ("zoo", 2, True)
    assert masked["empty_password"] == ""


names = st.sampled_from(["name", "key", "value", "password", "token_count", "--token", "x --password path"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | names | texts,
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | names, inner),
    )
)
def test_masking_keeps_the_shape_and_masking_twice_changes_nothing(value: object) -> None:
    once = mask_structure(value)
    assert mask_structure(once) == once
    assert type(once) is type(value)
