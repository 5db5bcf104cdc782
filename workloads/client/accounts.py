"""Owns who the workbench acts as: customers registered (or logged in) before the clock starts, since a password hash
costs more than a checkout, and one member of staff."""

import asyncio
import hashlib
import json
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from workloads.client import api
from workloads.client.exchange import Answer, Exchange
from workloads.client.running_stack import Stack, StackError, holdfast_command

PASSWORD = "a-password-for-load-tests-only"
EMAIL_DOMAIN = "shoppers.example"
PLAIN_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
RENEW_BEFORE_SECONDS = 60.0
SIGN_INS_AT_ONCE = 8
SIGN_IN_TRIES_MAX = 5
SIGN_IN_PAUSE_SECONDS = 0.2
COMMAND_SECONDS_MAX = 60


class AccountError(StackError):
    """An account could not be opened; the run cannot start."""


@dataclass(slots=True)
class Account:
    """A signed-in user. `renew_at_seconds` is a time of the machine's monotonic clock."""

    email: str
    user_id: str = ""
    access_token: str = ""
    refresh_token: str = ""
    renew_at_seconds: float = float("inf")
    password: str = PASSWORD
    renewing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def accept(self, document: Mapping[str, Any]) -> None:
        self.user_id = document.get("user", {}).get("id", self.user_id)
        self.access_token = document["accessToken"]
        self.refresh_token = document.get("refreshToken", self.refresh_token)
        good_for_seconds = max(0.0, float(document.get("expiresIn", 1e12)) - RENEW_BEFORE_SECONDS)
        self.renew_at_seconds = time.monotonic() + good_for_seconds

    async def token(self, exchange: Exchange) -> str:
        """A token that is still good; renewed, by one caller at a time, when it is about to expire."""
        if self._is_due():
            async with self.renewing:
                if self._is_due():
                    await self._renew(exchange)
        return self.access_token

    def refused(self) -> None:
        """The service did not take the token: its session is gone."""
        self.renew_at_seconds = 0.0

    def _is_due(self) -> bool:
        return time.monotonic() >= self.renew_at_seconds

    async def _renew(self, exchange: Exchange) -> None:
        answer = await exchange.send(api.refresh(self.refresh_token))
        if answer.status != 200:
            answer = await exchange.send(api.login(self.email, self.password))
        if answer.status == 200:
            self.accept(answer.json())


def email_of(name: str) -> str:
    """Customers of a trace may be called anything: what is no plain name goes by its hash."""
    plain = name.lower()
    if not PLAIN_NAME.fullmatch(plain):
        plain = f"shopper-{hashlib.sha256(plain.encode()).hexdigest()[:20]}"
    return f"{plain}@{EMAIL_DOMAIN}"


async def open_accounts(
    exchange: Exchange, names: Iterable[str], on_opened: Callable[[], None] = lambda: None
) -> dict[str, Account]:
    """An account for every name, by name. Raises AccountError with the service's own words."""
    places = asyncio.Semaphore(SIGN_INS_AT_ONCE)

    async def opened(name: str) -> Account:
        async with places:
            account = await _sign_in(exchange, Account(email_of(name)), name)
        on_opened()
        return account

    wanted = list(dict.fromkeys(names))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(opened(name)) for name in wanted]
    except ExceptionGroup as failed:
        # The first one says it; the others were only cancelled or say the same.
        raise failed.exceptions[0] from None
    return dict(zip(wanted, (task.result() for task in tasks), strict=True))


def load_tokens(path: Path) -> dict[str, Account]:
    """Accounts by email from a file of JSON lines `{email, userId, accessToken, refreshToken, expiresIn}`: the bulk way
    in, for when an operator has prepared the users."""
    accounts = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            document = json.loads(line)
            account = Account(document["email"], document.get("userId", ""))
            account.accept(document)
        except (ValueError, KeyError, TypeError) as error:
            raise AccountError(f"{path}, line {number}: not a token line: {error}") from None
        accounts[account.email] = account
    return accounts


async def open_staff(exchange: Exchange, stack: Stack) -> Account:
    """A fresh member of staff, made the only way there is: by the operator's command line. Raises AccountError."""
    email, password = f"staff-{uuid4().hex[:12]}@{EMAIL_DOMAIN}", secrets.token_urlsafe(18)
    command = holdfast_command("admin", "create", email, "--password", password)
    try:
        await asyncio.to_thread(
            subprocess.run,
            command,
            env=stack.environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        raise AccountError(f"no member of staff could be made by `holdfast admin create`: {said}") from None
    account = Account(email, password=password)
    answer = await exchange.send(api.login(email, password))
    if answer.status != 200:
        raise AccountError(f"staff could not log in: {_said(answer)}")
    account.accept(answer.json())
    return account


async def _sign_in(exchange: Exchange, account: Account, name: str) -> Account:
    for attempt in range(SIGN_IN_TRIES_MAX):
        answer = await exchange.send(api.register(account.email, account.password, f"Shopper {name}"))
        if answer.status == 409 and answer.code == "email_taken":
            answer = await exchange.send(api.login(account.email, account.password))
        if answer.status in (200, 201):
            account.accept(answer.json())
            return account
        if answer.status not in (0, 429, 503):
            break
        await asyncio.sleep(SIGN_IN_PAUSE_SECONDS * 2**attempt)
    hint = "; start the service with HOLDFAST_RATE_LIMIT_SCALE=1000000" if answer.status == 429 else ""
    raise AccountError(f"{account.email} could not sign in: {_said(answer)}{hint}")


def _said(answer: Answer) -> str:
    return f"{answer.status} {answer.code or answer.outcome}"
