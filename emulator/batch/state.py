"""The Batch service of the emulator: its accounts, tables, engine and the runner of processes."""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.batch.auth import Verifier
from emulator.batch.delays import Delays
from emulator.batch.engine.loop import Engine
from emulator.batch.runner import Runner
from emulator.batch.tables import Tables
from emulator.clock import Clock
from emulator.store import Store

KEY_BYTES = 64


@dataclass(frozen=True)
class Account:
    """A Batch account: its name, its shared key (Base64) and the host names it answers to."""

    name: str
    key: str
    hosts: tuple[str, ...] = ()


class BatchState:
    """Everything that the operations of the data plane need."""

    def __init__(
        self,
        data_dir: Path,
        store: Store,
        clock: Clock,
        *,
        identity: Verifier,
        runner: Runner,
        accounts: Sequence[tuple[str, str | None]],
        delays: Delays | None = None,
        authority: str = "",
        tenant: str = "",
    ) -> None:
        """Take the accounts as (name, host or None); the first one answers for all hosts not named."""
        self.data_dir = data_dir
        self.store = store
        self.clock = clock
        self.identity = identity
        self.runner = runner
        self.authority = authority
        self.tenant = tenant
        self.tables = Tables(store)
        self.accounts = _accounts(store, accounts)
        self.engine = Engine(
            tables=self.tables,
            clock=clock,
            runner=runner,
            delays=delays or Delays(),
            accounts=[account.name for account in self.accounts],
        )

    def account_of(self, host: str) -> Account:
        """Return the account that a Host header means: by alias, by first label, else the first account."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").lower()
        for account in self.accounts:
            if name in account.hosts:
                return account
        for account in self.accounts:
            if name.split(".", 1)[0] == account.name:
                return account
        return self.accounts[0]

    def start(self) -> None:
        """Put right what a sudden end left behind, and set the machinery going."""
        self.engine.start()

    def stop(self) -> None:
        """Stop the machinery and the processes of its tasks; they are queued again at the next start."""
        self.engine.stop()


def _accounts(store: Store, wanted: Sequence[tuple[str, str | None]]) -> list[Account]:
    hosts: dict[str, list[str]] = {}
    for name, host in wanted:
        hosts.setdefault(name.lower(), []).extend([host.lower()] if host else [])
    return [
        Account(name, store.remember(f"batch_key_{name}", _new_key), tuple(names))
        for name, names in hosts.items()
    ]


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
