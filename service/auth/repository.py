"""All queries on users."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo.errors import BulkWriteError

from service.auth.models import EmailTaken, User
from service.infra.mongo.client import DUPLICATE_KEY, Database, Session

EMAIL_COLLATION = {"locale": "en", "strength": 2}  # upper and lower case are the same person


def to_user(document: Mapping[str, Any]) -> User:
    return User(
        document["_id"],
        document["email"],
        document["name"],
        document["role"],
        document["passwordHash"],
        document["createdAt"],
        document["passwordChangedAt"],
        document["emailVerified"],
        document.get("disabled", False),
        "secondFactor" in document,
        document.get("secondFactor", {}).get("id", ""),
        document.get("secondFactor", {}).get("session", ""),
    )


def _document(user: User) -> dict[str, Any]:
    return {
        "_id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "passwordHash": user.password_hash,
        "passwordChangedAt": user.password_changed_at,
        "emailVerified": user.email_verified,
        "createdAt": user.created_at,
    }


class UserRepository:
    def __init__(self, database: Database) -> None:
        self._users = database["users"]

    async def add(self, user: User, session: Session = None) -> None:
        """Raises EmailTaken, also when two registrations meet."""
        if await self.by_email(user.email, session) is not None:
            raise EmailTaken()
        await self._users.insert_one(_document(user), session=session)

    async def add_many(self, users: Sequence[User]) -> None:
        try:
            await self._users.insert_many([_document(user) for user in users], ordered=False)
        except BulkWriteError as error:
            if any(refused["code"] != DUPLICATE_KEY for refused in error.details["writeErrors"]):
                raise
            raise EmailTaken() from None

    async def ids_by_email(self, emails: Sequence[str]) -> dict[str, str]:
        """The ids of those that have an account, by address in small letters."""
        found = self._users.find({"email": {"$in": list(emails)}}, {"email": 1}, collation=EMAIL_COLLATION)
        return {document["email"].lower(): document["_id"] for document in await found.to_list(None)}

    async def get(self, user_id: str, session: Session = None) -> User | None:
        document = await self._users.find_one({"_id": {"$eq": user_id}}, session=session)
        return None if document is None else to_user(document)

    async def by_email(self, email: str, session: Session = None) -> User | None:
        """Whatever the case of the letters."""
        document = await self._users.find_one({"email": {"$eq": email}}, collation=EMAIL_COLLATION, session=session)
        return None if document is None else to_user(document)

    async def verified_among(self, user_ids: Collection[str]) -> set[str]:
        """Those whose e-mail address is known to be theirs, and staff."""
        query = {"_id": {"$in": sorted(user_ids)}, "$or": [{"emailVerified": True}, {"role": {"$ne": "customer"}}]}
        return {document["_id"] for document in await self._users.find(query, {"_id": 1}).to_list(None)}

    async def verified_address(self, user_id: str) -> str | None:
        """The account's e-mail address, if it is known to be theirs: of staff too, nothing less will do."""
        user = await self.get(user_id)
        return user.email if user is not None and user.email_verified else None

    async def newest(self, role: str | None, before: tuple[datetime, str] | None, limit: int) -> list[User]:
        """Newest first, of one role or of all."""
        query: dict[str, Any] = {} if role is None else {"role": {"$eq": role}}
        if before is not None:
            at, user_id = before
            query["$or"] = [{"createdAt": {"$lt": at}}, {"createdAt": at, "_id": {"$lt": user_id}}]
            query["createdAt"] = {"$lte": at}
        found = self._users.find(query).sort([("createdAt", -1), ("_id", -1)]).limit(limit)
        return [to_user(document) for document in await found.to_list(limit)]

    async def set_password(self, user_id: str, hashed: str, now: datetime) -> None:
        """Also voids any reset link under way."""
        await self._users.update_one(
            {"_id": {"$eq": user_id}},
            {
                "$set": {"passwordHash": hashed, "passwordChangedAt": now},
                "$unset": {"resetPasswordToken": 1, "resetPasswordExpiresAt": 1},
            },
        )

    async def renew_hash(self, user: User, hashed: str) -> None:
        """The same password, hashed as today; unless it was changed meanwhile."""
        unchanged = {"_id": {"$eq": user.id}, "passwordHash": {"$eq": user.password_hash}}
        await self._users.update_one(unchanged, {"$set": {"passwordHash": hashed}})

    async def set_reset_token(self, user_id: str, token_hash: str, expires_at: datetime, session: Session) -> None:
        """The newest link is the only one that works."""
        await self._users.update_one(
            {"_id": {"$eq": user_id}},
            {"$set": {"resetPasswordToken": token_hash, "resetPasswordExpiresAt": expires_at}},
            session=session,
        )

    async def by_reset_token(self, token_hash: str, now: datetime) -> User | None:
        document = await self._users.find_one(_live("resetPassword", token_hash, now))
        return None if document is None else to_user(document)

    async def take_reset_token(self, token_hash: str, hashed: str, now: datetime, session: Session) -> User | None:
        """Sets the password and uses the token up, in one write: of two at once only one gets the user."""
        document = await self._users.find_one_and_update(
            _live("resetPassword", token_hash, now),
            {
                "$set": {"passwordHash": hashed, "passwordChangedAt": now, "emailVerified": True},
                "$unset": {"resetPasswordToken": 1, "resetPasswordExpiresAt": 1},
            },
            session=session,
        )
        return None if document is None else to_user(document)

    async def set_verification_token(
        self, user_id: str, token_hash: str, expires_at: datetime, session: Session
    ) -> None:
        await self._users.update_one(
            {"_id": {"$eq": user_id}},
            {"$set": {"verificationToken": token_hash, "verificationExpiresAt": expires_at}},
            session=session,
        )

    async def take_verification_token(self, token_hash: str, now: datetime, session: Session) -> User | None:
        document = await self._users.find_one_and_update(
            _live("verification", token_hash, now),
            {"$set": {"emailVerified": True}, "$unset": {"verificationToken": 1, "verificationExpiresAt": 1}},
            session=session,
        )
        return None if document is None else to_user(document)

    async def change_role(self, user_id: str, role: str, session: Session) -> None:
        await self._users.update_one({"_id": {"$eq": user_id}}, {"$set": {"role": role}}, session=session)

    async def set_disabled(self, user_id: str, disabled: bool, session: Session) -> None:
        await self._users.update_one({"_id": {"$eq": user_id}}, {"$set": {"disabled": disabled}}, session=session)

    async def erase(self, user_id: str, now: datetime, session: Session) -> None:
        """Leaves an account without a person, which orders can go on naming. Nobody logs in to it again."""
        nobody = {"email": f"erased-{user_id}@erased.invalid", "name": "Erased", "passwordHash": "", "role": "customer"}
        gone = {"disabled": True, "emailVerified": False, "passwordChangedAt": now, "erasedAt": now}
        kept = {"_id", "createdAt", *nobody, *gone}
        document = await self._users.find_one({"_id": {"$eq": user_id}}, session=session)
        rest = {name: 1 for name in document or {} if name not in kept}
        change = {"$set": nobody | gone} | ({"$unset": rest} if rest else {})
        await self._users.update_one({"_id": {"$eq": user_id}}, change, session=session)

    async def count_admins(self, session: Session) -> int:
        """Touches every admin, so that two transactions that each take one away conflict."""
        touched = await self._users.update_many(
            {"role": "admin", "disabled": {"$ne": True}}, {"$inc": {"adminChecks": 1}}, session=session
        )
        count: int = touched.matched_count
        return count


def _live(kind: str, token_hash: str, now: datetime) -> dict[str, Any]:
    token = {"resetPassword": "resetPasswordToken", "verification": "verificationToken"}[kind]
    return {token: {"$eq": token_hash}, f"{kind}ExpiresAt": {"$gt": now}}
