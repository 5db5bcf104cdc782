"""Wires the accounts: logins, sessions, the mails about them, and what staff may change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.auth.accounts import Accounts, SessionAlignment
from service.auth.api_key_reader import ApiKeyReader
from service.auth.api_key_repository import ApiKeyRepository
from service.auth.api_keys import ApiKeys
from service.auth.attempts import LoginAttempts
from service.auth.devices import Devices
from service.auth.mails import RESET, VERIFICATION, Mails
from service.auth.passwords import Passwords
from service.auth.personal_data import Collect, PersonalData
from service.auth.repository import UserRepository
from service.auth.second_factor import SecondFactors
from service.auth.second_factor_repository import SecondFactorRepository
from service.auth.sessions import SessionStore
from service.auth.tokens import MAIL_TOKEN, Tokens, mail_token
from service.auth.usecases import Auth, LoginChecks
from service.config import Config
from service.infra.stores import Stores
from service.messaging.mail import Fill
from service.messaging.unit_of_work import UnitOfWork
from service.runtime import Runtime
from service.web.security.gate import SessionAndRateLimitCheck


@dataclass(frozen=True, slots=True)
class AuthDomain:
    auth: Auth
    accounts: Accounts
    factors: SecondFactors
    api_keys: ApiKeys
    personal_data: PersonalData
    passwords: Passwords


def wire(
    runtime: Runtime,
    stores: Stores,
    work: UnitOfWork,
    users: UserRepository,
    tokens: Tokens,
    gate: SessionAndRateLimitCheck,
    collectors: Mapping[str, Collect] | None = None,
) -> AuthDomain:
    """`collectors`: what other domains know about a user."""
    clock, ids, config = runtime.clock, runtime.ids, runtime.config
    passwords, sessions = Passwords(config), SessionStore(stores.redis, clock, config)
    attempts = LoginAttempts(stores.redis, Devices(clock, ids, config), clock, config)
    factors = SecondFactors(SecondFactorRepository(stores.database), attempts, clock, ids, config)
    mails = Mails(users, work, gate, runtime)
    return AuthDomain(
        Auth(users, sessions, LoginChecks(attempts, passwords, factors), tokens, mails, runtime),
        Accounts(users, sessions, passwords, factors, work, runtime),
        factors,
        ApiKeys(ApiKeyRepository(stores.database), runtime),
        PersonalData(collectors or {}),
        passwords,
    )


def key_reader(runtime: Runtime, stores: Stores) -> ApiKeyReader:
    """For the security layers."""
    return ApiKeyReader(ApiKeyRepository(stores.database), runtime.clock, runtime.config)


def session_alignment(runtime: Runtime, stores: Stores, users: UserRepository) -> SessionAlignment:
    """For the worker, which follows what was committed."""
    return SessionAlignment(users, SessionStore(stores.redis, runtime.clock, runtime.config), runtime.config)


def fills(config: Config) -> Mapping[str, Fill]:
    """What a mail's text is given when it is sent: a link with a token that no store has seen."""
    key = config.key(MAIL_TOKEN)

    def with_token(values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"token": mail_token(key, values["ticket"])}

    return {RESET: with_token, VERIFICATION: with_token}
