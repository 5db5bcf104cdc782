"""What one setting may be. A kind turns the text of the environment into the value that is kept, or raises ValueError
with the rest of the sentence "HOLDFAST_X must be …"."""

import math
import re
from collections.abc import Callable, Sequence
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

Network = IPv4Network | IPv6Network
Kind = Callable[[str], Any]

TEN_YEARS_SECONDS = 315_360_000
WHOLE = re.compile(r"[+-]?[0-9]{1,30}(?![\s\S])")
DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?(?![\s\S])")
IMAGE_SOURCE = re.compile(
    r"https:(?![\s\S])|(?:https?://)?(?:\*\.)?[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*(?::[0-9]{1,5})?(?![\s\S])"
)
DATABASE = re.compile(r"[A-Za-z0-9_-]{1,38}(?![\s\S])")
APP_NAME = re.compile(r"[!#-\[\]-~]{1,128}(?![\s\S])")  # visible ASCII, as MongoDB and Redis take it
HOST = re.compile(r"(?=.{1,253}\.?$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?")
SMTP_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9]+(?:\.[0-9]+){3}))(?::[0-9]{1,5})?(?![\s\S])")
MAPPED_BITS = 96  # of ::ffff:0:0/96, before the IPv4 address


def switch(text: str) -> bool:
    if text.lower() not in {"0", "1", "true", "false"}:
        raise ValueError("0 or 1")
    return text.lower() in {"1", "true"}


def whole(least: int, most: int) -> Kind:
    def read(text: str) -> int:
        if not WHOLE.match(text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least:,} to {most:,}, written in digits alone")
        return int(text)

    return read


def decimal(least: float, most: float, unit: str = "") -> Kind:
    def read(text: str) -> float:
        number = float(text) if DECIMAL.match(text) else math.nan
        if not least <= number <= most:  # also what is no number
            raise ValueError(f"a number{unit} from {least:g} to {most:,}")
        return number

    return read


def one_of(*values: str) -> Kind:
    def read(text: str) -> str:
        if text not in values:
            raise ValueError(" or ".join(values))
        return text

    return read


def matching(pattern: re.Pattern[str], what: str) -> Kind:
    def read(text: str) -> str:
        if not pattern.match(text):
            raise ValueError(what)
        return text

    return read


def optional(kind: Kind) -> Kind:
    return lambda text: kind(text) if text else ""


def listed(kind: Kind) -> Kind:
    """Several, between commas; kept as text."""

    def read(text: str) -> str:
        return ",".join(kind(part.strip()) for part in text.split(",") if part.strip())

    return read


def text(given: str) -> str:
    return given


def ip(given: str) -> str:
    try:
        return str(ip_address(given))
    except ValueError:
        raise ValueError("an IP address such as 127.0.0.1 or ::") from None


def time_zone(name: str) -> str:
    from zoneinfo import available_timezones

    if name != "UTC" and name not in available_timezones() - {"localtime"}:
        raise ValueError("the name of a time zone such as Europe/Madrid")
    return name


def currency(code: str) -> str:
    """ISO 4217, of those that are money somewhere today. Babel knows them, and takes its time to load."""
    if code == "GBP":
        return code
    from babel.core import get_global
    from babel.numbers import get_territory_currencies

    if not any(code in get_territory_currencies(territory) for territory in get_global("territory_currencies")):
        raise ValueError("an ISO 4217 code in use, in capitals, such as GBP")
    return code


def address(given: str) -> str:
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(given, check_deliverability=False, globally_deliverable=False).normalized
    except EmailNotValidError:
        raise ValueError("an e-mail address such as shop@example.com") from None


def mailbox(given: str) -> str:
    """An address, with or without a name in front: `The Shop <shop@example.com>`."""
    _, plain = parseaddr(given)
    try:
        address(plain)
    except ValueError:
        raise ValueError("an e-mail address such as `The Shop <shop@example.com>`") from None
    return given


def origin(given: str) -> str:
    """Where pages come from: scheme, host and port. No path, so that links can be put behind it."""
    parts = _split(given, {"http", "https"}, "an address such as https://shop.example")
    if parts.path not in {"", "/"} or parts.query or "?" in given or "#" in given or "@" in parts.netloc:
        raise ValueError("an address such as https://shop.example, without a path")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def web_url(given: str) -> str:
    what = "an http or https URL"
    parts = _split(given, {"http", "https"}, what)
    if "#" in given or "@" in parts.netloc:
        raise ValueError(f"{what} without credentials and fragment")
    return given


def contact(given: str) -> str:
    scheme, _, rest = given.partition(":")
    try:
        return f"mailto:{address(rest)}" if scheme == "mailto" else web_url(given)
    except ValueError:
        raise ValueError("mailto:ADDRESS or an http or https URL") from None


def smtp_url(given: str) -> str:
    parts = _split(given, set(SMTP_PORTS), "smtp://, smtp+starttls:// or smtps://[USER:PASSWORD@]HOST[:PORT]")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("smtp://, smtp+starttls:// or smtps://[USER:PASSWORD@]HOST[:PORT], without a path")
    return given


def mongodb_uri(given: str) -> str:
    scheme, _, rest = given.partition("://")
    if scheme == "mongodb+srv":  # its hosts are in the DNS, which is asked when it is connected to
        _split(f"{scheme}://{rest}", {"mongodb+srv"}, "mongodb+srv://HOST/…")
        return given
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import parse_uri

    try:
        parse_uri(given, validate=True, warn=False)
    except (PyMongoError, ValueError) as error:
        said = _without_secrets(given, error)
        raise ValueError(f"a MongoDB URI such as mongodb://HOST:27017/?replicaSet=rs0 ({said})") from None
    return given


def redis_url(given: str) -> str:
    if "sentinel" in given.partition("://")[0]:
        raise ValueError(
            "redis://, rediss:// or unix://: Sentinel is not spoken here, so give the address that follows the master"
        )
    from redis.asyncio.connection import parse_url

    what = "redis://, rediss:// or unix://, such as redis://HOST:6379/0"
    try:
        parse_url(given)
        parts = urlsplit(given)
        if parts.scheme in {"redis", "rediss"}:
            _split(given, {"redis", "rediss"}, what)
        elif not parts.path:
            raise ValueError(what)
    except (ValueError, TypeError, AttributeError):
        raise ValueError(what) from None
    return given


def networks(given: str) -> tuple[Network, ...]:
    """IP networks between commas. A single address is a network of one; IPv4 written as IPv6 is IPv4."""
    return tuple(_network(part.strip()) for part in given.split(",") if part.strip())


def trusted_networks(given: str) -> str:
    return ",".join(str(network) for network in networks(given))


def _network(part: str) -> Network:
    found = WITH_PORT.match(part)
    try:
        network = ip_network(found[1] or found[2] if found else part)
    except ValueError:
        raise ValueError("IP addresses and networks such as 10.0.0.0/8, between commas") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= MAPPED_BITS:
        network = IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - MAPPED_BITS))
    if network.prefixlen == 0:
        raise ValueError(f"the networks of your own proxies; {part!r} would believe everybody")
    return network


def _split(given: str, schemes: set[str], what: str) -> SplitResult:
    """Raises ValueError when it has no host, another scheme, or blanks."""
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(what) from None
    if parts.scheme not in schemes or not _is_host(host) or any(sign.isspace() or sign == "\\" for sign in given):
        raise ValueError(what)
    return parts


def _is_host(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        pass
    try:
        return HOST.fullmatch(host.encode("idna").decode("ascii")) is not None
    except UnicodeError:
        return False


def _without_secrets(given: str, error: Exception) -> str:
    """What a library says of it, without the password that may be in it."""
    said = str(error).partition("\n")[0].rstrip(".")
    secrets: Sequence[str] = [part for part in re.split(r"[/:@]", given.partition("://")[2].rpartition("@")[0]) if part]
    return "it cannot be read" if any(secret in said for secret in secrets) else said[:200]
