"""/.well-known/security.txt (RFC 9116): whom to tell of a hole."""

from datetime import timedelta
from email.utils import parseaddr

from sanic import Blueprint

from service.clock import Clock
from service.config import Config
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation

VALID_DAYS = 180  # the standard asks for less than a year


def routes(clock: Clock, config: Config) -> Blueprint:
    blueprint = Blueprint("security_txt", url_prefix="/.well-known")
    contact = config.security_contact or f"mailto:{parseaddr(config.mail_from)[1]}"

    @operation(
        blueprint,
        "GET",
        "/security.txt",
        "Whom to tell of a hole",
        returns={200: None},
        access=Access.PUBLIC,
        limit="read",
    )
    async def security_txt(call: Call[Nothing]) -> Reply:
        expires = (clock.now() + timedelta(days=VALID_DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
        canonical = f"{config.public_url}/.well-known/security.txt"
        lines = f"Contact: {contact}\nExpires: {expires}\nPreferred-Languages: en\nCanonical: {canonical}\n"
        return Reply(200, lines.encode(), content_type="text/plain; charset=utf-8")

    return blueprint
