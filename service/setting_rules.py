"""What settings must be together: ranges that hold between two of them, and what a shop that is open to the world has
to have. Values come by field name; ConfigError says which variable is wrong and what it must be."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Values = Mapping[str, Any]

DEVELOPMENT_SECRET = "development-only-secret-of-at-least-32-bytes"
PUBLISHED = frozenset({DEVELOPMENT_SECRET})  # whoever can read this repository has them
SECRET_MIN_BYTES = 32
DISTINCT_MIN = 10  # signs
PLACEHOLDER = re.compile("change|secret|password|example|default|replace|insecure|0123456789|abcdefgh", re.IGNORECASE)
HASH_ROUNDS_MIN = 10  # OWASP's least for bcrypt
AT_MOST = (  # the first of each pair is never above the second
    ("page_size", "page_size_max"),
    ("retry_pause_seconds", "retry_pause_max_seconds"),
    ("job_retry_pause_seconds", "job_retry_pause_max_seconds"),
    ("delivery_retry_pause_seconds", "delivery_retry_pause_max_seconds"),
    ("login_delay_seconds", "login_delay_max_seconds"),
    ("login_delay_seconds", "login_delay_max_account_seconds"),
    ("staff_session_ttl_seconds", "session_ttl_seconds"),
    ("login_failures_free", "login_failures_free_account"),
    ("access_token_ttl_seconds", "refresh_token_ttl_seconds"),
    ("refresh_grace_seconds", "refresh_token_ttl_seconds"),
    ("line_quantity_max", "stock_quantity_max"),
    ("cart_lines_max", "order_lines_max"),
    ("order_lines_max", "batch_lines_max"),
    ("batch_postings_max", "postings_waiting_max"),
    ("cache_body_max_bytes", "cache_bytes_max"),
    ("sweep_orders_max", "sweep_window_max"),
    ("search_head_max", "search_window_max"),
    ("stream_heartbeat_seconds", "stream_seconds_max"),
    ("request_body_auth_bytes", "request_body_default_bytes"),
    ("request_body_default_bytes", "request_body_max_bytes"),
    ("request_body_max_bytes", "request_body_file_bytes"),
    ("request_body_file_bytes", "request_bytes_in_flight_max"),
    ("idempotency_ttl_seconds", "unpaid_orders_kept_seconds"),
    ("shutdown_notice_seconds", "shutdown_grace_seconds"),
)


class ConfigError(Exception):
    """Says which variable is wrong and what it must be."""


def check(values: Values) -> None:
    for problem in (*_ranges(values), *_payments(values), *_webhooks(values), *_secret(values), *_production(values)):
        raise ConfigError(problem)


def variable(field: str) -> str:
    return {"mongodb_uri": "MONGODB_URI", "redis_url": "REDIS_URL"}.get(field, f"HOLDFAST_{field.upper()}")


def _ranges(values: Values) -> Iterator[str]:
    for low, high in AT_MOST:
        if values[low] > values[high]:
            yield f"{variable(low)} must be at most {variable(high)}: {values[low]} is above {values[high]}"


def _payments(values: Values) -> Iterator[str]:
    if values["payment_gateway"] != "stripe":
        return
    for needed in ("stripe_api_key", "stripe_webhook_secret"):
        if not values[needed]:
            yield f"{variable(needed)} must be set to pay by Stripe"


def _webhooks(values: Values) -> Iterator[str]:
    if values["webhook_urls"] and not values["webhook_secret"]:
        yield "HOLDFAST_WEBHOOK_SECRET must be set when HOLDFAST_WEBHOOK_URLS is: anybody could send what we send"


def _secret(values: Values) -> Iterator[str]:
    secrets = secrets_of(values["secret"])
    if not secrets or any(len(secret.encode()) < SECRET_MIN_BYTES for secret in secrets):
        yield f"HOLDFAST_SECRET must have at least {SECRET_MIN_BYTES} bytes, each of them if it is a list with commas"
    if not (values["production"] or values["public_url"].startswith("https://")):
        return
    if PUBLISHED.intersection(secrets):
        yield "HOLDFAST_SECRET must be set in production: 32 random bytes or more, kept outside the image"
    if any(map(is_weak, secrets)):
        yield "HOLDFAST_SECRET must be random, such as what `openssl rand -base64 48` prints: this one can be guessed"


def secrets_of(text: str) -> tuple[str, ...]:
    """The parts of a list with commas: while a secret is replaced, the new one comes first and the old one stays."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def is_weak(secret: str) -> bool:
    """Few signs, a piece said again and again, or words that stand where a secret should."""
    repeated = secret in (secret + secret)[1:-1]
    return repeated or len(set(secret)) < DISTINCT_MIN or PLACEHOLDER.search(secret) is not None


def _production(values: Values) -> Iterator[str]:
    if not values["production"]:
        return
    if not values["public_url"].startswith("https://"):
        yield f"HOLDFAST_PUBLIC_URL must be an https address in production, not {values['public_url']!r}"
    if values["payment_gateway"] == "simulator" and not values["allow_payment_simulator"]:
        yield (
            "HOLDFAST_PAYMENT_GATEWAY must be stripe in production: the simulator lets anybody pay with nothing "
            "(HOLDFAST_ALLOW_PAYMENT_SIMULATOR=1 takes it all the same)"
        )
    if values["bcrypt_rounds"] < HASH_ROUNDS_MIN:
        yield f"HOLDFAST_BCRYPT_ROUNDS must be {HASH_ROUNDS_MIN} or more in production, not {values['bcrypt_rounds']}"
    shared = values["webhook_secret"]
    if shared and (len(shared) < SECRET_MIN_BYTES or is_weak(shared)):
        yield f"HOLDFAST_WEBHOOK_SECRET must be random in production, of at least {SECRET_MIN_BYTES} bytes"
    if values["smtp_url"] and values["mail_from"].rstrip(">").endswith(".invalid"):
        yield "HOLDFAST_MAIL_FROM must be an address of yours in production: nobody can answer one below .invalid"
