"""What a secret is, in names, in texts and in structures, and what stands in its place.

Everything that Azure echoes and everything that is stored or shown goes through here. Pure: texts and plain
JSON values in, the same out.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

MASK = "••••••"

_Special = Mapping[str, Callable[[Any], Any]]

# A text with none of these, and without a user in an address, holds nothing that is masked. In small letters.
_TRIGGERS = (
    *("pass", "pwd", "secret", "token", "key", "sig", "sas", "auth", "bearer", "basic", "cred", "conn"),
    *("eyj", "==", "login", "mysql", "mariadb", "mongo", "redis-cli", "sqlcmd", "curl"),
)
_BYTE_TRIGGERS = tuple(word.encode() for word in _TRIGGERS)
_USER = re.compile(r"://[^/\s]*@")
_BYTE_USER = re.compile(rb"://[^/\s]*@")

# Names are compared as small words between underscores: accountKey, Account-Key and ACCOUNT_KEY_1 are _account_key_.
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN_WORDS = re.compile(r"[^A-Za-z0-9]+")
_NUMBER_AT_END = re.compile(r"_?[0-9]*$")
_SECRET_NAME = re.compile(
    r"(?:passwords?|passwd|passphrase|passcode|secrets?|credentials?|creds|signature|authorization)_"
    r"|(?<!_pad_)(?<!_eos_)(?<!_bos_)(?<!_cls_)(?<!_sep_)(?<!_unk_)(?<!_mask_)token_"
    r"|(?:api|access|account|shared|private|storage|secret|encryption|master|signing|auth|sas|ssh)_?keys?_"
    r"|conn(?:ection)?_?str(?:ing)?s?_|_sas_|pwd_$|_(?:pass|sig|o?auth)_$"
    r"|(?<!_public)(?<!_foreign)(?<!_sort)(?<!_partition)(?<!_cache)(?<!_group)_key_$"
)
_ABOUT_A_SECRET = re.compile(
    r"^_(?:no|is|has|num|max|min)_"
    r"|_(?:names?|files?|path|dir|folder|counts?|length|len|size|limit|type|kind|env|expiry|expires|ttl|age|policy"
    r"|required|enabled|stdin)_$"
)
# Too common in command lines and messages to mean anything there; headers are read by a rule of their own.
_NEVER_IN_TEXT = re.compile(r"^-*(?:key|auth)$|authorization$", re.IGNORECASE)

# What stands after a secret's name: something quoted, or a word as shells, addresses and JSON end it.
_BARE = r"""(?:[^\s"'`;&|,\\]|\\(?!\\*["'])[ ]?|,(?![\s"'}\]]|\\+["']|$))"""
_JOINED = (
    r"""(?:"'"'[^']*'|'"'"[^"]*"|\\''[^']*'|"(?=[^\s"',;:&|)}\]])[^"\n]*"|'(?=[^\s"',;:&|)}\]])[^'\n]*')"""
)
_VALUE = re.compile(
    r"""(?P<open>(?P<escape>\\+)?["'])"""
    r"""(?P<inner>(?(escape)(?:(?!(?<!\\)(?P=open)).)*|(?:\\.|(?!(?P=open))[^\\]|\\\Z)*))(?P<close>(?P=open)|\Z)"""
    rf"""(?P<more>(?:{_JOINED}|[\w$@!%^*+/~#=-]+)(?:{_BARE}|{_JOINED})*)?"""
    rf"""|(?P<bare>{_BARE}(?:{_BARE}|{_JOINED})*)""",
    re.ASCII | re.DOTALL,
)
_REFERENCE_OR_MASK = re.compile(r"(?:\$\w+|\$\{\w+\}|%\w+%)+$|\$?\{\{|\$\(|[•*]+$", re.ASCII)
_STRONG_NAME = re.compile(r"pass|pwd|secret|cred", re.IGNORECASE)
_NUMBER_OR_WORD = re.compile(r"(?:\d{1,5}(?:\.\d*)?|true|false|none|null|yes|no)$", re.IGNORECASE)

_ASSIGNMENT = re.compile(
    r"""(?<![\w.-])(?P<name>[\w.-]++)\\*["']?(?:[ \t]+[:!]?=++>?[ \t]*|[:!]?=++>?(?![ \t])|[ \t]*:[ \t]*(?!//))""",
    re.ASCII,
)
_OPTION = re.compile(
    r"""(?<![\w.-])--?(?P<name>[A-Za-z][\w.-]++)"""
    r"""(?:\\*["'][ \t]*,[ \t]*|\\*["']?[ \t]+(?:\\\n[ \t]*)?)(?![-<>\s])""",
    re.ASCII,
)
_OPTION_ALONE = re.compile(r"--?(?P<name>[A-Za-z][\w.-]*)$", re.ASCII)
_PAIR = re.compile(
    r"""\\*["'](?:name|key)\\*["']\s*:\s*\\*["'](?P<name>[\w.-]+)\\*["']\s*,\s*\\*["']value\\*["']\s*:\s*""",
    re.ASCII | re.IGNORECASE,
)
# Up to a flag of the same command, as far as it matters.
_WITHIN = r"[ \t](?:\\\n|(?!;\s|;\Z|\n|[ \t](?:&&|\|\|?)[ \t]).){0,400}?(?<=[ \t\n])"
_HEADER = re.compile(
    r"""Authorization\\*["']?[ \t]*[:=][ \t]*\\*["']?"""
    r"""(?:(?:Bearer|Basic|Digest|Token|ApiKey|Negotiate|NTLM|SharedAccessSignature)[ \t]+"""
    r"""|SharedKey(?:Lite)?[ \t]+(?:[\w-]+:)?)?""",
    re.ASCII | re.IGNORECASE,
)
_LOGIN = re.compile(
    rf"(?<![\w-])(?:(?:login|mysql\w*|mariadb\w*|mongo\w*|sshpass){_WITHIN}-p|sqlcmd{_WITHIN}-P|redis-cli{_WITHIN}-a"
    r"|wandb[ \t]+login(?:[ \t]+-[\w-]++)*+[ \t])[ \t=]*(?![-\s])",
    re.ASCII,
)
_HEADS = (_HEADER, _LOGIN, _PAIR, _ASSIGNMENT, _OPTION)
"""What a secret's value follows. One with a `name` counts when that is a secret's."""

_LOOKS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<secret>.+?)(?:-----END|\Z)", re.DOTALL),
    re.compile(r"(?:\b|%26|%3F)sig%3D(?P<secret>[^&\s\"'<>]+)", re.ASCII | re.IGNORECASE),
    re.compile(r"://[^/\s:@\"']*:(?P<secret>[^/\s\"<>]+)@"),
    re.compile(r"://(?P<secret>[^/\s:@\"'<>]{20,})@"),
    re.compile(r"(?<![\w-])(?P<secret>eyJ[\w-]{8,}(?:\.[\w-]*){2,4})", re.ASCII),
    re.compile(r"\b(?:Bearer|Basic)[ \t]+(?P<secret>(?=\S*\d|\S{16})[A-Za-z0-9+/_.~=-]{12,})", re.ASCII),
    re.compile(r"\bSharedKey[ \t]+[\w-]+:(?P<secret>[A-Za-z0-9+/=]+)", re.ASCII | re.IGNORECASE),
    re.compile(r"(?<![A-Za-z0-9+/])(?<!sha512-)(?P<secret>[A-Za-z0-9+/]{86}==)(?!=)"),
    re.compile(
        rf"""(?<![\w-])curl{_WITHIN}(?:-[a-zA-Z]*[uU]|--user|--proxy-user)[ \t=]*"""
        r"""(?P<open>\\*["'])[^\s:"']*:(?P<secret>(?:(?!(?P=open)).)+)""",
        re.ASCII | re.DOTALL,
    ),
    re.compile(
        rf"""(?<![\w-])curl{_WITHIN}(?:-[a-zA-Z]*[uU]|--user|--proxy-user)[ \t=]*"""
        r"""[^\s:"']*:(?P<secret>[^\s"']+)""",
        re.ASCII,
    ),
)
"""Secrets that are known by their own form or by what is around them."""


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Return whether a setting, member, option or column of this name holds a secret."""
    plain = _BETWEEN_WORDS.sub("_", _HUMPS.sub("_", name)).strip("_").lower()
    plain = f"_{_NUMBER_AT_END.sub('', plain)}_"
    return _SECRET_NAME.search(plain) is not None and _ABOUT_A_SECRET.search(plain) is None


def may_hold_secret(data: bytes) -> bool:
    """Tell by a quick look at JSON's bytes whether `mask_structure` could find anything in them."""
    lowered = data.lower()
    return any(word in lowered for word in _BYTE_TRIGGERS) or _BYTE_USER.search(data) is not None


def mask_text(text: str) -> str:
    """Return a command line, an address or a message with everything that looks like a secret hidden."""
    lowered = text.lower()
    if not any(word in lowered for word in _TRIGGERS) and _USER.search(text) is None:
        return text
    # One thing hidden may show another. It ends: each round leaves fewer characters that are not the mask's.
    while (masked := _mask_once(text)) != text:
        text = masked
    return text


def mask_structure(value: Any, special: _Special | None = None) -> Any:
    """Return plain JSON values with secrets hidden: by key, by {name, value} pair, after options, inside texts.

    `special` says by key what becomes of a member that has rules of its own.
    """
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return _mask_members(value, special or {})
    if isinstance(value, list | tuple):
        return [
            MASK if place and _is_option_with(value[place - 1], item) else mask_structure(item, special)
            for place, item in enumerate(value)
        ]
    return value


def _mask_members(value: Mapping[str, Any], special: _Special) -> dict[str, Any]:
    label_key = next((key for key in ("name", "key") if "value" in value and key in value), None)
    label = value[label_key] if label_key else None
    # The label as it is after masking, so that masking twice decides the same.
    is_pair = isinstance(label, str) and is_secret_name(mask_text(label))
    masked = {}
    for key, item in value.items():
        is_secret = (is_pair and key == "value") or (
            key != label_key and isinstance(item, str | int) and is_secret_name(str(key))
        )
        if key in special:
            masked[key] = special[key](item)
        elif is_secret and not isinstance(item, bool) and item not in (None, "", [], {}):
            masked[key] = MASK
        else:
            masked[key] = mask_structure(item, special)
    return masked


def _is_option_with(before: object, item: object) -> bool:
    """Return whether an item of a list is the secret value of the option before it."""
    if not (isinstance(before, str) and isinstance(item, str)) or item.startswith("-"):
        return False
    option = _OPTION_ALONE.match(before)
    return option is not None and _is_secret_in_text(option["name"]) and not _is_shown(option["name"], item)


def _mask_once(text: str) -> str:
    for pattern in _LOOKS:
        text = pattern.sub(_with_mask, text)
    for head in _HEADS:
        text = _mask_values(text, head)
    return text


def _with_mask(found: re.Match[str]) -> str:
    if _is_shown("", found["secret"]):
        return found[0]
    begin, end = found.span("secret")
    return f"{found[0][: begin - found.start()]}{MASK}{found[0][end - found.start() :]}"


def _mask_values(text: str, head: re.Pattern[str]) -> str:
    """Mask what stands after each find of `head`."""
    parts, done = [], 0
    while found := head.search(text, done):
        parts.append(text[done : found.end()])
        done = found.end()
        name = found.groupdict().get("name")
        value = _VALUE.match(text, done) if name is None or _is_secret_in_text(name) else None
        if value is not None:
            parts.append(_masked_value(name or "", value))
            done = value.end()
    return "".join((*parts, text[done:]))


def _masked_value(name: str, value: re.Match[str]) -> str:
    if value["more"]:
        return MASK
    if value["open"]:
        return value[0] if _is_shown(name, value["inner"]) else f"{value['open']}{MASK}{value['close']}"
    bare = value["bare"]
    # What closes something that was opened before the value is no part of it.
    word = bare if any(opening in bare for opening in "({[") else bare.rstrip(")}]")
    return bare if _is_shown(name, word) else MASK + bare[len(word) :]


def _is_secret_in_text(name: str) -> bool:
    return is_secret_name(name) and not _NEVER_IN_TEXT.search(name)


def _is_shown(name: str, value: str) -> bool:
    """Return whether a value at a secret's place is none: empty, a reference to a variable, masked, a plain number."""
    if not value or _REFERENCE_OR_MASK.match(value):
        return True
    if name.lower().endswith("pwd"):  # the working directory in shells, a password in connection strings
        return value[0] in "/.~"
    return bool(name) and not _STRONG_NAME.search(name) and _NUMBER_OR_WORD.match(value) is not None
