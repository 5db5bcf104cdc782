"""/api/auth: accounts as a whole, for their owners and for admins."""

from collections.abc import Callable
from functools import partial

from sanic import Blueprint, Request

from service.auth.accounts import Accounts
from service.auth.models import Device, LastAdmin, LoginLocked, User, UserNotFound, WrongPassword
from service.auth.schemas import (
    EndedReply,
    ExportReply,
    LoginsReply,
    PasswordBody,
    UserChangeBody,
    UserReply,
    UsersQuery,
    UsersReply,
    login_view,
    user_view,
)
from service.auth.wiring import AuthDomain
from service.errors import Invalid
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation


def add(blueprint: Blueprint, domain: AuthDomain, device_of: Callable[[Request], Device]) -> None:
    _own(blueprint, domain, device_of)
    _users(blueprint, domain.accounts)
    _of_user(blueprint, domain)


async def _exported(domain: AuthDomain, user_id: str, session_id: str = "") -> ExportReply:
    user, found = await domain.accounts.get(user_id), await domain.accounts.sessions(user_id)
    return ExportReply(
        account=user_view(user),
        sessions=[login_view(session, session_id) for session in found],
        records=await domain.personal_data.of(user_id),
    )


async def _erase(domain: AuthDomain, user: User) -> None:
    await domain.accounts.erase(user.id)
    await domain.auth.forget(user)


def _own(blueprint: Blueprint, domain: AuthDomain, device_of: Callable[[Request], Device]) -> None:
    """Both ask for the password once more: a session that somebody else holds gets neither."""
    declare = partial(
        operation,
        blueprint,
        "POST",
        takes=PasswordBody,
        access=Access.CUSTOMER,
        limit="account",
        compress=False,
    )

    @declare(
        "/account/export",
        "Everything the shop knows about you",
        returns={200: ExportReply},
        errors=(WrongPassword, LoginLocked),
    )
    async def export_account(call: Call[PasswordBody]) -> Reply:
        """Your account, your logins, and the newest 10,000 of your orders, wishes, reviews and notices."""
        await domain.auth.confirm(call.user.user_id, call.taken.password, device_of(call.request))
        return Reply(200, await _exported(domain, call.user.user_id, call.user.session_id))

    @declare(
        "/account/erase",
        "Close your account for good: you are forgotten, your orders are kept without you",
        returns={204: None},
        errors=(WrongPassword, LoginLocked, LastAdmin),
    )
    async def erase_account(call: Call[PasswordBody]) -> Reply:
        """Ends every session. Reviews stay without a name, orders without an account anybody could log in to."""
        user = await domain.auth.confirm(call.user.user_id, call.taken.password, device_of(call.request))
        await _erase(domain, user)
        return Reply(204)


def _of_user(blueprint: Blueprint, domain: AuthDomain) -> None:
    declare = partial(operation, blueprint, access=Access.ADMIN, compress=False)

    @declare(
        "GET", "/users/<user_id:str>/sessions", "A user's logins", returns={200: LoginsReply}, errors=(UserNotFound,)
    )
    async def sessions_of_user(call: Call[Nothing], user_id: str) -> Reply:
        """Newest first, with where they came from."""
        found = await domain.accounts.sessions(user_id)
        return Reply(200, LoginsReply(items=[login_view(session, "") for session in found]))

    @declare(
        "DELETE",
        "/users/<user_id:str>/sessions",
        "End all logins of a user",
        returns={200: EndedReply},
        errors=(UserNotFound,),
    )
    async def end_sessions_of_user(call: Call[Nothing], user_id: str) -> Reply:
        """Their access tokens end at once, too."""
        return Reply(200, EndedReply(ended=await domain.accounts.end_sessions(user_id)))

    @declare(
        "GET",
        "/users/<user_id:str>/export",
        "Everything the shop knows about a user",
        returns={200: ExportReply},
        errors=(UserNotFound,),
    )
    async def export_user(call: Call[Nothing], user_id: str) -> Reply:
        """For a person's request that comes by another way than the shop."""
        return Reply(200, await _exported(domain, user_id))

    @declare(
        "POST",
        "/users/<user_id:str>/erase",
        "Forget a user for good; the orders are kept",
        returns={204: None},
        errors=(UserNotFound, LastAdmin),
    )
    async def erase_user(call: Call[Nothing], user_id: str) -> Reply:
        """Cannot be undone. The last admin cannot be erased: 409."""
        await _erase(domain, await domain.accounts.get(user_id))
        return Reply(204)


def _users(blueprint: Blueprint, accounts: Accounts) -> None:
    @operation(
        blueprint,
        "GET",
        "/users",
        "Look up a user by e-mail address, or list users newest first",
        takes=UsersQuery,
        returns={200: UsersReply},
        access=Access.ADMIN,
        compress=False,
    )
    async def users(call: Call[UsersQuery]) -> Reply:
        """With `email` at most one user; without it all, newest first, narrowed down by `role`."""
        taken = call.taken
        if taken.email is not None:
            found = await accounts.find_by_email(taken.email)
            return Reply(200, UsersReply(items=[user_view(user) for user in found], next_cursor=None))
        position = None if taken.cursor is None else cursor.decode(taken.cursor, cursor.TimePosition)
        before = None if position is None else (position.at, position.id)
        found = await accounts.newest(taken.role, before, taken.limit + 1)
        shown, last = found[: taken.limit], found[taken.limit - 1] if len(found) > taken.limit else None
        after = None if last is None else cursor.encode(cursor.TimePosition(last.created_at, last.id))
        return Reply(200, UsersReply(items=[user_view(user) for user in shown], next_cursor=after))

    @operation(
        blueprint,
        "PATCH",
        "/users/<user_id:str>",
        "Change a user's role, or close the account; acts on that user's next request",
        takes=UserChangeBody,
        returns={200: UserReply},
        access=Access.ADMIN,
        errors=(UserNotFound, LastAdmin),
        compress=False,
    )
    async def change_user(call: Call[UserChangeBody], user_id: str) -> Reply:
        """Sessions keep working under the new role; disabling ends them. The last admin stays an admin: 409."""
        taken = call.taken
        if taken.role is None and taken.disabled is None:
            raise Invalid("Say what to change: role, disabled, or both")
        user = await accounts.get(user_id)
        if taken.role is not None:
            user = await accounts.change_role(user_id, taken.role)
        if taken.disabled is not None:
            user = await accounts.disable(user_id, taken.disabled)
        return Reply(200, UserReply(user=user_view(user)))
