"""Who is at the other end of the connection: the address that rate limits and the audit log speak of."""

from ipaddress import IPv6Address, ip_address

from sanic import Request
from sanic.models.server_types import ConnInfo

IPV6_PREFIX_BITS = 64  # what one customer of an access provider is given


class ClientAddresses:
    """`X-Forwarded-For` is believed only from a trusted proxy, and read from its right end, where that proxy wrote."""

    def __init__(self, trusted_proxies: str) -> None:
        self._trusted = frozenset(part.strip() for part in trusted_proxies.split(",") if part.strip())

    def of(self, request: Request) -> str:
        connection = request.conn_info
        if connection is None:  # an answer to bytes that never became a request
            return ""
        if not self._trusted:
            return self.of_peer(connection)
        return normalized(self._forwarded(request, connection.client_ip))

    @property
    def are_of_peers(self) -> bool:
        """Whether the address of a connection is the client's, whatever its requests say."""
        return not self._trusted

    def of_peer(self, connection: ConnInfo) -> str:
        known: str | None = getattr(connection.ctx, "address", None)
        if known is None:
            known = connection.ctx.address = normalized(connection.client_ip)
        return known

    def _forwarded(self, request: Request, peer: str) -> str:
        hops: list[str] = [
            hop.strip() for field in request.headers.getall("x-forwarded-for", []) for hop in field.split(",")
        ]
        for hop in [peer, *reversed(hops)]:
            if hop not in self._trusted:
                return hop
        return peer


def normalized(address: str) -> str:
    """An IPv6 client owns a whole prefix: it counts as one."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    prefix = int(parsed) >> (128 - IPV6_PREFIX_BITS) << (128 - IPV6_PREFIX_BITS)
    return f"{IPv6Address(prefix)}/{IPV6_PREFIX_BITS}"
