"""/api/auth/second-factor: set up, confirm and remove the second factor of a login."""

from collections.abc import Callable
from functools import partial

from sanic import Blueprint, Request

from service.auth.models import (
    BadCode,
    Device,
    LoginLocked,
    NoSecondFactor,
    SecondFactorExists,
    SecondFactorRequired,
    User,
    UserNotFound,
    WrongPassword,
)
from service.auth.schemas import (
    CodeBody,
    EnrolmentReply,
    PasswordAndCodeBody,
    PasswordBody,
    RecoveryCodesReply,
    SecondFactorReply,
)
from service.auth.wiring import AuthDomain
from service.config import Config
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation

PATH = "/second-factor"
BOTH = (WrongPassword, LoginLocked, SecondFactorRequired, BadCode, NoSecondFactor)


def add(blueprint: Blueprint, domain: AuthDomain, device_of: Callable[[Request], Device], config: Config) -> None:
    _seeing(blueprint, domain, config)
    _setting_up(blueprint, domain, device_of)
    _replacing(blueprint, domain, device_of)
    _resetting(blueprint, domain)


def _seeing(blueprint: Blueprint, domain: AuthDomain, config: Config) -> None:
    @operation(
        blueprint,
        "GET",
        PATH,
        "Whether your logins need a second factor",
        returns={200: SecondFactorReply},
        access=Access.CUSTOMER,
        errors=(UserNotFound,),
        compress=False,
    )
    async def second_factor(call: Call[Nothing]) -> Reply:
        """With how many recovery codes are left."""
        user = await domain.auth.get(call.user.user_id)
        left = await domain.factors.recovery_codes_left(user.id)
        required = user.role in config.second_factor_roles
        return Reply(200, SecondFactorReply(enabled=user.second_factor, required=required, recovery_codes_left=left))


def _setting_up(blueprint: Blueprint, domain: AuthDomain, device_of: Callable[[Request], Device]) -> None:
    declare = partial(operation, blueprint, "POST", access=Access.CUSTOMER, limit="account", compress=False)

    @declare(
        PATH,
        "Begin a second factor: a secret for an app, and recovery codes",
        takes=PasswordBody,
        returns={201: EnrolmentReply},
        errors=(WrongPassword, LoginLocked, SecondFactorExists),
    )
    async def begin_second_factor(call: Call[PasswordBody]) -> Reply:
        """For any app that makes time-based codes (RFC 6238). Logins need none before a code has confirmed it."""
        user = await domain.auth.confirm(call.user.user_id, call.taken.password, device_of(call.request))
        made = await domain.factors.enrol(user)
        return Reply(201, EnrolmentReply(secret=made.secret, uri=made.uri, recovery_codes=list(made.recovery_codes)))

    @declare(
        f"{PATH}/confirm",
        "Confirm the second factor with a first code",
        takes=CodeBody,
        returns={204: None},
        errors=(NoSecondFactor, BadCode, LoginLocked),
    )
    async def confirm_second_factor(call: Call[CodeBody]) -> Reply:
        """From now on logins need a code. Your other sessions end."""
        await domain.accounts.confirm_second_factor(call.user.user_id, call.taken.code, call.user.session_id)
        return Reply(204)


def _replacing(blueprint: Blueprint, domain: AuthDomain, device_of: Callable[[Request], Device]) -> None:
    declare = partial(
        operation,
        blueprint,
        "POST",
        takes=PasswordAndCodeBody,
        access=Access.CUSTOMER,
        limit="account",
        errors=BOTH,
        compress=False,
    )

    async def proven(call: Call[PasswordAndCodeBody]) -> User:
        """Password and code, as at a login."""
        user = await domain.auth.confirm(call.user.user_id, call.taken.password, device_of(call.request))
        if not user.second_factor:
            raise NoSecondFactor()
        await domain.factors.check(user, call.taken.code)
        return user

    @declare(f"{PATH}/recovery-codes", "Make new recovery codes", returns={200: RecoveryCodesReply})
    async def renew_recovery_codes(call: Call[PasswordAndCodeBody]) -> Reply:
        """The old ones are worth nothing any more."""
        made = await domain.factors.renew_recovery_codes(await proven(call))
        return Reply(200, RecoveryCodesReply(recovery_codes=list(made)))

    @declare(f"{PATH}/remove", "Remove your second factor", returns={204: None})
    async def remove_second_factor(call: Call[PasswordAndCodeBody]) -> Reply:
        """Your other sessions end. Where your role needs one, you may do what a customer may until there is another."""
        user = await proven(call)
        await domain.accounts.remove_second_factor(user.id, call.user.session_id)
        return Reply(204)


def _resetting(blueprint: Blueprint, domain: AuthDomain) -> None:
    @operation(
        blueprint,
        "DELETE",
        "/users/<user_id:str>/second-factor",
        "Remove the second factor of a user who has lost it",
        returns={204: None},
        access=Access.ADMIN,
        errors=(UserNotFound,),
        compress=False,
    )
    async def reset_second_factor(call: Call[Nothing], user_id: str) -> Reply:
        """Be sure who asks for it. Ends every session of that user."""
        await domain.accounts.reset_second_factor(user_id)
        return Reply(204)
