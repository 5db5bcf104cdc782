"""Settings under which a shop must not open: each is refused in a sentence, before anything starts."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from shop import Shop

REFUSED, SECONDS_MAX = 3, 60
HOLDFAST = Path(sys.executable).with_name("holdfast")
STRONG = "kQ7vX2mB9tR4wZ8nL5cJ1hG6fD3sA0pY"
SOUND = {"HOLDFAST_PRODUCTION": "1", "HOLDFAST_SECRET": STRONG, "HOLDFAST_PUBLIC_URL": "https://shop.test"}
PAID = {"HOLDFAST_PAYMENT_GATEWAY": "stripe", "HOLDFAST_STRIPE_API_KEY": "sk", "HOLDFAST_STRIPE_WEBHOOK_SECRET": "w"}


def started_with(settings: dict[str, str], named: str) -> str:
    """Tries to start a stack; "" if it was refused with the name of the setting, and left nothing behind."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    with tempfile.TemporaryDirectory() as folder:
        command = [str(HOLDFAST), "up", "--port", "0", "--data", f"{folder}/data"]
        try:
            ended = subprocess.run(
                command, env=clean | settings, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
            )
        except subprocess.TimeoutExpired:
            return "it started"
        left = list(Path(folder).rglob("*"))
    if ended.returncode != REFUSED or named not in ended.stderr:
        return f"it ended with {ended.returncode}: {ended.stderr[-200:]}"
    return f"it left {left}" if left else ""


def pay_with_nothing(_: Shop) -> str:
    """H2: production refuses the payment simulator."""
    return started_with(SOUND, "HOLDFAST_PAYMENT_GATEWAY")


def open_by_plain_http(_: Shop) -> str:
    """H2: production refuses an address that is not https."""
    return started_with(SOUND | PAID | {"HOLDFAST_PUBLIC_URL": "http://shop.test"}, "HOLDFAST_PUBLIC_URL")


def trust_nobody_in_silence(_: Shop) -> str:
    """M14: trusted proxies that are no networks are refused."""
    return started_with({"HOLDFAST_TRUSTED_PROXIES": "10.0.0.0/8;nonsense"}, "HOLDFAST_TRUSTED_PROXIES")


def serve_https_under_the_published_secret(_: Shop) -> str:
    """M15: the published secret serves no https site."""
    published = "development-only-secret-of-at-least-32-bytes"
    return started_with({"HOLDFAST_PUBLIC_URL": "https://shop.test", "HOLDFAST_SECRET": published}, "HOLDFAST_SECRET")
