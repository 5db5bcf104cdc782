"""Who is at the other end of the connection: the address that rate limits and the audit log speak of."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from sanic import Request
from sanic.models.server_types import ConnInfo

from service.setting_kinds import WITH_PORT, networks

IPV6_PREFIX_BITS = 64  # what one customer of an access provider is given


class ClientAddresses:
    """`X-Forwarded-For` is believed only from a trusted proxy, and read from its right end, where that proxy wrote."""

    def __init__(self, trusted_proxies: str) -> None:
        """`trusted_proxies`: IP networks between commas. Raises ValueError on anything else."""
        self._trusted = networks(trusted_proxies)

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

    def counted(self, peer: str) -> str:
        """For whom a connection is counted; "" for a trusted proxy's, which carries those of many."""
        return "" if self.is_trusted(peer) else normalized(peer)

    def is_trusted(self, address: str) -> bool:
        """Whether it is a proxy's of ours."""
        parsed = parsed_address(address)
        return parsed is not None and any(parsed in network for network in self._trusted)

    def _forwarded(self, request: Request, peer: str) -> str:
        hops: list[str] = [
            hop.strip() for field in request.headers.getall("x-forwarded-for", []) for hop in field.split(",")
        ]
        for hop in [peer, *reversed(hops)]:
            if not self.is_trusted(hop):
                return hop
        return peer


def parsed_address(address: str) -> IPv4Address | IPv6Address | None:
    """The address a proxy or a socket names: with a port or without, IPv4 also as IPv6 writes it."""
    with_port = WITH_PORT.match(address)
    try:
        parsed = ip_address((with_port[1] or with_port[2]) if with_port else address.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(parsed, IPv6Address) and parsed.ipv4_mapped) or parsed


def normalized(address: str) -> str:
    """An IPv6 client owns a whole prefix: it counts as one."""
    parsed = parsed_address(address)
    if parsed is None:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    prefix = int(parsed) >> (128 - IPV6_PREFIX_BITS) << (128 - IPV6_PREFIX_BITS)
    return f"{IPv6Address(prefix)}/{IPV6_PREFIX_BITS}"
