"""A complete site to be judged: real stores, some goods, users of every role, over plain http and over TLS.

    .venv/bin/python scripts/conformance/site.py COMMAND...     runs COMMAND while the site is up; its exit code is ours

COMMAND finds in its environment SITE_URL, SITE_TLS_URL and SITE_NAMED_URL with SITE_CA to trust, and the access tokens
TOKEN_CUSTOMER, TOKEN_OTHER, TOKEN_STAFF and TOKEN_ADMIN. JUDGE_SCALE multiplies the rate limits (default 100000).
"""

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import uvloop

PRELOADED = "shop.example.dev"  # all of .dev is on the browsers' list; here the judge sends it to this machine
REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests"))

import shops  # noqa: E402
from whole_site import WholeSite, whole_site  # noqa: E402

from service import bootstrap  # noqa: E402
from service.config import Config  # noqa: E402
from service.infra.mongo import client as mongo  # noqa: E402
from service.infra.mongo.indexes import create_all  # noqa: E402
from service.stack import embedded  # noqa: E402
from service.web.openapi.schemas import USUAL  # noqa: E402


def self_signed(folder: Path) -> Path:
    """A certificate for this machine's names that is its own authority, with its key beside it."""
    certificate = folder / "site.pem"
    asked = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", f"subjectAltName=DNS:localhost,DNS:{PRELOADED},IP:127.0.0.1"]
    paths = ["-keyout", str(folder / "site.key"), "-out", str(certificate)]
    subprocess.run(["openssl", *asked.split(), *names, *paths], check=True, capture_output=True)
    return certificate


@asynccontextmanager
async def tls_in_front(port: int, certificate: Path) -> AsyncIterator[int]:
    """Terminates TLS as a proxy in production does. The port it listens on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            while data := await reader.read(65_536):
                writer.write(data)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def judged(command: list[str], folder: Path) -> int:
    with embedded.opened(folder, keep=False) as stores:
        config = Config(
            mongodb_uri=stores.mongodb_uri,
            redis_url=stores.redis_url,
            bcrypt_rounds=4,
            access_token_ttl_seconds=86_400,  # a judge may take hours
            public_url="https://localhost",
            rate_limit_scale=float(os.environ.get("JUDGE_SCALE", "100000")),
        )
        certificate = self_signed(folder)
        client = mongo.connect(config)
        await create_all(client[config.database], bootstrap.INDEXES)
        client.close()
        async with whole_site(config, shops.MovableClock()) as site:
            await shops.stock(site.shop, TEA=1_000_000, CUP=1_000_000)
            await site.log_in("other")
            async with tls_in_front(int(site.url.rpartition(":")[2]), certificate) as tls_port:
                return await run(command, site, tls_port, certificate)


async def put_on_sale(site: WholeSite) -> None:
    """Under the SKU of the published examples, so that they can be bought."""
    product = {"name": "Tea", "category": "drinks", "price": 250, "currency": "GBP", "sku": USUAL["sku"]}
    status, made = await site.call("POST", "/api/products/", product, "staff")
    assert status == 201, made
    goods = {"lines": [{"sku": made["sku"], "quantity": 900_000}]}
    status, received = await site.call("POST", "/api/inventory/receive", goods, "staff")
    assert status == 200, received


async def run(command: list[str], site: WholeSite, tls_port: int, certificate: Path) -> int:
    await put_on_sale(site)
    environment = {
        "SITE_URL": site.url,
        "SITE_TLS_URL": f"https://localhost:{tls_port}",
        "SITE_NAMED_URL": f"https://{PRELOADED}:{tls_port}",
        "SITE_CA": str(certificate),
        **{f"TOKEN_{name.upper()}": token for name, token in site.tokens.items()},
    }
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | environment)
    return await process.wait()


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="holdfast-judged-"))
    try:
        return uvloop.run(judged(sys.argv[1:], folder))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
