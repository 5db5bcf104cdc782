"""Wires the accounts: everything they need from the rest is given here, once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.auth.accounts import Accounts, SessionAlignment
from service.auth.attempts import LoginAttempts
from service.auth.devices import Devices
from service.auth.mails import Mails
from service.auth.passwords import Passwords
from service.auth.personal_data import Collect, PersonalData
from service.auth.repository import UserRepository
from service.auth.second_factor import SecondFactors
from service.auth.second_factor_repository import SecondFactorRepository
from service.auth.sessions import SessionStore
from service.auth.tokens import Tokens
from service.auth.usecases import Auth
from service.clock import Clock
from service.config import Config
from service.ids import Ids
from service.infra.mongo.client import Transactions
from service.messaging.outbox import Outbox
from service.web.security.gate import Gate


@dataclass(frozen=True, slots=True)
class Stored:
    """Where accounts, their sessions and what is to be mailed are kept."""

    database: Any
    redis: Any
    transactions: Transactions
    outbox: Outbox


@dataclass(frozen=True, slots=True)
class AuthDomain:
    auth: Auth
    accounts: Accounts
    factors: SecondFactors
    personal_data: PersonalData
    passwords: Passwords


def wire(
    stored: Stored,
    tokens: Tokens,
    gate: Gate,
    clock: Clock,
    ids: Ids,
    config: Config,
    collectors: Mapping[str, Collect] | None = None,
) -> AuthDomain:
    """`collectors`: what other domains know about a user."""
    users, passwords = UserRepository(stored.database), Passwords(config)
    sessions = SessionStore(stored.redis, clock, config)
    attempts = LoginAttempts(stored.redis, Devices(clock, ids, config), clock, config)
    factor_repository = SecondFactorRepository(stored.database)
    factors = SecondFactors(factor_repository, attempts, clock, ids, config)
    mails = Mails(users, stored.transactions, stored.outbox, gate, clock, ids, config)
    return AuthDomain(
        Auth(users, sessions, attempts, tokens, passwords, mails, factors, clock, ids, config),
        Accounts(users, sessions, passwords, stored.transactions, stored.outbox, factor_repository, clock, ids, config),
        factors,
        PersonalData(collectors or {}),
        passwords,
    )


def session_alignment(stored: Stored, clock: Clock, config: Config) -> SessionAlignment:
    """For the worker, which follows what was committed."""
    return SessionAlignment(UserRepository(stored.database), SessionStore(stored.redis, clock, config), config)
