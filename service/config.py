"""Every limit and setting, unit last. Nothing else in the service reads the environment.

Each field has an upper-case variable `HOLDFAST_<FIELD>`; `MONGODB_URI` and `REDIS_URL` go without the prefix."""

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

DEVELOPMENT_SECRET = "development-only-secret-of-at-least-32-bytes"
UNPREFIXED = {"mongodb_uri": "MONGODB_URI", "redis_url": "REDIS_URL"}


class ConfigError(Exception):
    """Says which variable is wrong and what it must be."""


@dataclass(frozen=True, slots=True)
class Config:
    mongodb_uri: str = "mongodb://127.0.0.1:27017/?replicaSet=rs0"
    redis_url: str = "redis://127.0.0.1:6379/0"
    database: str = "holdfast"
    app_name: str = "holdfast"
    production: bool = False
    secret: str = DEVELOPMENT_SECRET
    public_url: str = "http://127.0.0.1:8000"
    cors_origins: str = ""
    currency: str = "GBP"
    timezone: str = "UTC"
    image_hosts: str = "https:"  # whose pictures the pages show, between commas; `https:` is any

    # stores
    mongo_timeout_seconds: float = 5.0
    mongo_pool_size: int = 64
    redis_timeout_seconds: float = 1.0
    redis_pool_size: int = 32

    # the ledger
    reservation_ttl_seconds: float = 900
    group_commit: bool = True
    batch_postings_max: int = 256
    worker_batch_postings_max: int = 128  # the larger a sweep's batch, the longer checkouts of its SKUs wait for it
    batch_lines_max: int = 2_000
    stock_assumed_after: int = 8  # batches in a row that found the stock as this process had left it
    postings_waiting_max: int = 20_000
    transaction_deadline_seconds: float = 15
    retry_pause_seconds: float = 0.002
    retry_pause_max_seconds: float = 0.1
    order_lines_max: int = 1_000
    line_quantity_max: int = 1_000_000
    stock_quantity_max: int = 1_000_000_000
    low_stock_threshold: int = 5
    availability_skus_max: int = 100
    sweep_orders_max: int = 500
    sweep_window_max: int = 60_000  # the more, the more of them are of one SKU, whose stock is then written once
    sweep_rate_max: float = 2_700  # holds a second: what is left of two cores is the checkouts'
    sweep_seconds_max: float = 240
    idempotency_ttl_seconds: float = 172_800
    # Nobody can hoard by reserving: both are multiplied by `rate_limit_scale`, as the rate limits are.
    open_holds_per_user_max: int = 100
    held_units_per_user_and_sku_max: int = 10_000

    # the catalogue
    search_words_max: int = 6
    search_head_max: int = 100
    search_window_max: int = 250
    search_known_seconds: float = 10
    search_known_words_max: int = 20_000
    search_known_heads_max: int = 500
    search_known_products_max: int = 5_000
    suggestions_max: int = 8
    completions_max: int = 50
    categories_max: int = 1_000
    category_depth_max: int = 8
    cache_ttl_seconds: float = 1.0
    cache_entries_max: int = 4_096
    cache_bytes_max: int = 67_108_864
    cache_body_max_bytes: int = 1_048_576
    cache_batch_max: int = 64
    product_reads_max: int = 512

    # carts, orders
    cart_lines_max: int = 500
    guest_cart_ttl_seconds: float = 2_592_000
    wishes_max: int = 1_000
    shared_reads_max: int = 16  # lists of orders that are read together
    order_abandoned_after_seconds: float = 86_400
    abandoned_seconds_max: float = 120

    # payments
    payment_gateway: str = "simulator"
    payment_timeout_seconds: float = 10
    payment_unknown_after_seconds: float = 30
    stripe_api_key: str = ""
    stripe_api_base: str = ""
    stripe_webhook_secret: str = ""
    webhook_tolerance_seconds: float = 300

    # accounts
    access_token_ttl_seconds: float = 900
    refresh_token_ttl_seconds: float = 2_592_000
    session_ttl_seconds: float = 2_592_000
    refresh_grace_seconds: float = 10
    bcrypt_rounds: int = 12
    bcrypt_threads: int = 2
    passwords_waiting_max: int = 64
    sessions_per_user_max: int = 50
    reset_token_ttl_seconds: float = 3_600
    verification_token_ttl_seconds: float = 259_200
    mails_per_account_max: int = 5
    mails_window_seconds: float = 3_600
    login_failures_free: int = 5
    login_failures_free_account: int = 50
    login_delay_seconds: float = 2
    login_delay_max_seconds: float = 900
    login_delay_max_account_seconds: float = 60
    login_failures_ttl_seconds: float = 86_400
    audit_ttl_seconds: float = 31_536_000
    audit_waiting_max: int = 10_000
    audit_batch_max: int = 500

    # the wire
    request_body_max_bytes: int = 1_048_576
    request_seconds_max: float = 10
    shutdown_grace_seconds: float = 10
    response_seconds_max: float = 30
    keep_alive_seconds: float = 75
    request_head_max_bytes: int = 8_192
    connections_max: int = 10_000
    connections_per_address_max: int = 1_000
    trusted_proxies: str = ""
    rate_limit_scale: float = 1.0
    gate_batch_max: int = 256
    gate_waiting_max: int = 20_000
    redis_pause_seconds: float = 1.0
    tokens_remembered_max: int = 20_000
    json_depth_max: int = 32
    json_tokens_max: int = 50_000
    query_max_bytes: int = 8_192
    page_size: int = 24
    page_size_max: int = 100

    # jobs
    job_lease_seconds: float = 15
    job_seconds_max: float = 600
    job_attempts_max: int = 5
    job_deaths_max: int = 20
    job_retry_pause_seconds: float = 5
    job_retry_pause_max_seconds: float = 300
    job_resend_seconds: float = 10
    job_look_seconds: float = 1
    catch_up_seconds_max: float = 604_800
    worker_tasks_max: int = 8
    queue_length_max: int = 10_000
    queue_reclaim_seconds: float = 30
    queue_block_seconds: float = 1

    # what follows a commit
    outbox_poll_seconds: float = 0.1
    outbox_entries_max: int = 100
    outbox_attempts_max: int = 10
    outbox_lease_seconds: float = 10
    delivery_poll_seconds: float = 0.2
    delivery_lease_seconds: float = 60
    delivery_retry_pause_seconds: float = 10
    delivery_retry_pause_max_seconds: float = 3_600
    delivery_give_up_seconds: float = 259_200
    deliveries_at_once_max: int = 4

    # alerts
    alert_mail_to: str = ""
    digest_alerts_max: int = 500
    notify_claim_seconds: float = 86_400
    subscriptions_per_user_max: int = 200
    alert_skus_max: int = 500

    # the stock stream
    stream_listeners_max: int = 20_000
    stream_backlog_max: int = 256
    stream_kept_max: int = 10_000
    stream_entries_kept_max: int = 2_000
    stream_heartbeat_seconds: float = 15
    stream_poll_seconds: float = 1
    stream_heal_seconds: float = 15
    stream_gather_seconds: float = 0.1

    # mail and webhooks
    smtp_url: str = ""
    mail_from: str = "shop@holdfast.invalid"
    mail_seconds_max: float = 30
    webhook_urls: str = ""
    webhook_secret: str = ""
    webhook_seconds_max: float = 10

    @property
    def default_secret(self) -> bool:
        return self.secret == DEVELOPMENT_SECRET

    @property
    def secure_cookies(self) -> bool:
        """`__Host-` cookies need TLS; a development server on plain http does without."""
        return self.production or self.public_url.startswith("https://")

    @property
    def image_sources(self) -> tuple[str, ...]:
        return tuple(host.strip() for host in self.image_hosts.split(",") if host.strip())

    def key(self, purpose: str) -> bytes:
        """32 bytes derived from the secret: no two purposes share a key."""
        return hmac.digest(self.secret.encode(), purpose.encode(), "sha256")


def load(environment: Mapping[str, str] | None = None) -> Config:
    """The configuration from `environment` (by default the process's own). Raises ConfigError on an unusable value."""
    source = os.environ if environment is None else environment
    given = {}
    for field in fields(Config):
        name = UNPREFIXED.get(field.name, f"HOLDFAST_{field.name.upper()}")
        if name in source:
            given[field.name] = _parse(name, source[name], field.type)
    config = Config(**given)
    _check(config)
    return config


def _parse(name: str, text: str, kind: Any) -> Any:
    if kind is bool:
        if text.lower() not in {"0", "1", "true", "false"}:
            raise ConfigError(f"{name} must be 0 or 1, not {text!r}")
        return text.lower() in {"1", "true"}
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{name} must be a {kind.__name__}, not {text!r}") from None


def _check(config: Config) -> None:
    for field in fields(Config):
        value = getattr(config, field.name)
        if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
            raise ConfigError(f"HOLDFAST_{field.name.upper()} must be above 0, not {value}")
    if config.production and config.default_secret:
        raise ConfigError("HOLDFAST_SECRET must be set in production: 32 random bytes or more, kept outside the image")
    if config.payment_gateway not in {"simulator", "stripe"}:
        raise ConfigError(f"HOLDFAST_PAYMENT_GATEWAY must be simulator or stripe, not {config.payment_gateway!r}")
    if config.payment_gateway == "stripe" and not (config.stripe_api_key and config.stripe_webhook_secret):
        raise ConfigError("HOLDFAST_STRIPE_API_KEY and HOLDFAST_STRIPE_WEBHOOK_SECRET must be set to pay by Stripe")
    if len(config.secret.encode()) < 32:
        raise ConfigError("HOLDFAST_SECRET must have at least 32 bytes")
