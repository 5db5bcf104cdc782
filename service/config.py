"""Every limit and setting, unit last. Nothing else in the service reads the environment.

Each field has an upper-case variable `HOLDFAST_<FIELD>`; `MONGODB_URI` and `REDIS_URL` go without the prefix. Section
headings and the comments behind fields are in docs/operating/settings.md, which scripts/settings.py writes."""

import hmac
import os
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import Field, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from service import setting_kinds as kinds
from service.setting_rules import DEVELOPMENT_SECRET, ConfigError, check, secrets_of, variable

__all__ = ["DEVELOPMENT_SECRET", "Config", "ConfigError", "kind_of", "load", "misspelt"]


@dataclass(frozen=True, slots=True)
class Config:
    mongodb_uri: str = "mongodb://127.0.0.1:27017/?replicaSet=rs0"
    redis_url: str = "redis://127.0.0.1:6379/0"
    database: str = "holdfast"
    app_name: str = "holdfast"
    production: bool = False  # refuses what only a trial may have
    secret: str = DEVELOPMENT_SECRET  # every key is derived from it; a new one goes before the old one and a comma
    public_url: str = "http://127.0.0.1:8000"  # in links of mails; https sets secure cookies
    security_contact: str = ""  # mailto: or https: of security.txt; empty: the sender of mails
    cors_origins: str = ""  # whose pages may call the API, between commas
    currency: str = "GBP"  # ISO 4217
    timezone: str = "UTC"  # of the times at which jobs are due
    ops_host: str = "127.0.0.1"  # where probes and metrics are listened for
    worker_ops_port: int = 0  # the same of a worker or a scheduler, which has a port of its own
    ops_port: int = 0  # probes and metrics on a port of their own; 0: with everything else
    image_hosts: str = "https:"  # whose pictures pages show, between commas, such as cdn.example.com; `https:` is any

    # stores
    mongo_timeout_seconds: float = 5.0
    mongo_pool_size: int = 64
    redis_timeout_seconds: float = 1.0
    redis_pool_size: int = 32
    migrate_at_start: bool = False  # processes migrate older stores themselves; `holdfast up` sets it for its own

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
    import_lines_max: int = 100_001  # of a file of rows, its header among them
    stock_reasons: str = ""  # more reasons of movements, between commas; then nothing but a reason of the list is taken
    availability_skus_max: int = 100
    sweep_orders_max: int = 500
    sweep_window_max: int = 60_000  # the more, the more of them are of one SKU, whose stock is then written once
    sweep_rate_max: float = 2_700  # holds a second: what is left of two cores is the checkouts'
    sweep_seconds_max: float = 240
    idempotency_ttl_seconds: float = 172_800
    order_units_per_sku_max: int = 1_000  # unless the product says its own; multiplied by `rate_limit_scale`
    order_units_per_sku_unverified_max: int = 100  # of an account whose address nobody has verified; multiplied too
    open_holds_per_user_max: int = 100  # nobody can hoard by reserving; multiplied by `rate_limit_scale`
    open_holds_unverified_max: int = 30  # multiplied by `rate_limit_scale`
    held_units_per_user_max: int = 5_000  # multiplied by `rate_limit_scale`
    held_units_unverified_max: int = 200  # multiplied by `rate_limit_scale`
    unpaid_holds_free: int = 5  # that run out within what is remembered, before the next one has to wait
    unpaid_holds_wait_seconds: float = 60  # doubled by each further one
    unpaid_holds_wait_max_seconds: float = 3_600
    unpaid_holds_remembered_seconds: float = 86_400

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
    unpaid_orders_kept_seconds: float = 7_776_000  # once cancelled; then they and their holds are deleted

    # payments
    payment_gateway: str = "simulator"  # or stripe
    allow_payment_simulator: bool = False  # in production, for a trial: anybody pays with nothing
    payment_timeout_seconds: float = 10
    payment_unknown_after_seconds: float = 30
    stripe_api_key: str = ""
    stripe_api_base: str = ""
    stripe_webhook_secret: str = ""
    webhook_tolerance_seconds: float = 300

    # accounts
    access_token_ttl_seconds: float = 900
    refresh_token_ttl_seconds: float = 2_592_000
    session_ttl_seconds: float = 7_776_000  # however often it is refreshed
    staff_session_ttl_seconds: float = 43_200
    second_factor_required: str = "nobody"  # or staff, or admin: without one they may do what customers may
    refresh_grace_seconds: float = 10
    bcrypt_rounds: int = 12
    bcrypt_threads: int = 2
    passwords_waiting_max: int = 64
    passwords_waiting_per_address_max: int = 32
    password_wait_seconds_max: float = 5
    sessions_per_user_max: int = 50
    reset_token_ttl_seconds: float = 3_600
    verification_token_ttl_seconds: float = 259_200
    mails_per_account_max: int = 5
    mails_from_strangers_max: int = 20
    mails_window_seconds: float = 3_600
    login_failures_free: int = 5
    login_failures_free_account: int = 50
    login_delay_seconds: float = 2
    login_delay_max_seconds: float = 900
    login_delay_max_account_seconds: float = 60
    login_failures_ttl_seconds: float = 86_400
    login_failures_kept_max: int = 50_000
    known_addresses_max: int = 5
    device_cookie_ttl_seconds: float = 7_776_000
    api_keys_max: int = 1_000
    api_key_known_seconds: float = 0.5  # a revoked key ends within this, in every process
    api_key_used_seconds: float = 60  # how often a use is written down
    audit_ttl_seconds: float = 31_536_000
    audit_waiting_max: int = 10_000
    audit_batch_max: int = 500

    # the wire
    request_body_max_bytes: int = 1_048_576  # of routes that take many lines at once
    request_body_file_bytes: int = 16_777_216  # of routes that take a file of rows
    request_body_default_bytes: int = 65_536  # of routes that do not say
    request_body_auth_bytes: int = 4_096  # of routes of accounts
    request_bytes_in_flight_max: int = 67_108_864  # of bodies that are being read, all connections together
    request_seconds_max: float = 10
    shutdown_notice_seconds: float = 0.5  # unready, and still accepting: until the balancer has seen it
    shutdown_grace_seconds: float = 10
    response_seconds_max: float = 30
    keep_alive_seconds: float = 75
    request_head_max_bytes: int = 8_192
    connections_max: int = 10_000
    connections_per_address_max: int = 1_000
    trusted_proxies: str = ""  # networks between commas, such as 10.0.0.0/8: whose X-Forwarded-For is believed
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
    notice_mails_per_recipient_max: int = 20  # within a day, whoever asked for them
    notice_confirmations_per_recipient_max: int = 3
    alert_skus_max: int = 500

    # the stock stream
    stream_listeners_max: int = 20_000
    streams_per_client_max: int = 100  # a client is an address; an IPv6 one its /64
    stream_seconds_max: float = 3_600  # then the client comes back and resumes
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
    def secrets(self) -> tuple[str, ...]:
        """`HOLDFAST_SECRET` may be a list with commas: the first one signs, all of them verify."""
        return secrets_of(self.secret)

    @property
    def warnings(self) -> Iterator[str]:
        """What is said at every start."""
        if self.production and self.payment_gateway == "simulator":
            yield "HOLDFAST_ALLOW_PAYMENT_SIMULATOR is set: anybody can pay with nothing, and no money is taken"
        if DEVELOPMENT_SECRET in self.secrets:
            yield "HOLDFAST_SECRET is the published one: anybody can forge tokens; set it before anybody else comes in"

    @property
    def secure_cookies(self) -> bool:
        """`__Host-` cookies need TLS; a development server on plain http does without."""
        return self.production or self.public_url.startswith("https://")

    @property
    def second_factor_roles(self) -> tuple[str, ...]:
        """Those that are worth nothing without one."""
        return SECOND_FACTOR_ROLES[self.second_factor_required]

    @property
    def image_sources(self) -> tuple[str, ...]:
        return tuple(host.strip() for host in self.image_hosts.split(",") if host.strip())

    def key(self, purpose: str) -> bytes:
        """32 bytes derived from the first secret: no two purposes share a key."""
        return self.keys(purpose)[0]

    def keys(self, purpose: str) -> tuple[bytes, ...]:
        """That key, and after it those of the secrets that were the first one before."""
        return tuple(hmac.digest(secret.encode(), purpose.encode(), "sha256") for secret in self.secrets)


def load(environment: Mapping[str, str] | None = None) -> Config:
    """The configuration from `environment` (by default the process's own). Raises ConfigError on an unusable value."""
    source = os.environ if environment is None else environment
    values = {field.name: _read(field, source) for field in fields(Config)}
    check(values)
    return Config(**values)


def read_secret_files(environment: MutableMapping[str, str]) -> None:
    """What is confidential may stand in a file, which its variable with `_FILE` names: containers get secrets so. The
    variable itself goes before it. Raises ConfigError."""
    for name in sorted(map(variable, CONFIDENTIAL)):
        path = environment.pop(f"{name}_FILE", None)
        if path is None or name in environment:
            continue
        try:
            environment[name] = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise ConfigError(f"{name}_FILE names {path}, which cannot be read: {reason}") from None


def misspelt(environment: Mapping[str, str]) -> Iterator[str]:
    """Variables that look like settings and are none: a sentence each."""
    known = {variable(field.name) for field in fields(Config)} | ELSEWHERE
    for name in sorted(environment):
        if name.startswith("HOLDFAST_") and name not in known:
            close = get_close_matches(name, known, 1)
            yield f"{name} is not a setting" + (f"; {close[0]} is" if close else "")


def _read(field: Field[Any], source: Mapping[str, str]) -> Any:
    name = variable(field.name)
    if name not in source:
        return field.default
    text = source[name]
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{name} must be UTF-8 text") from None
    if not text.isprintable():
        raise ConfigError(f"{name} must be one line of text without control characters")
    try:
        return kind_of(field)(text if field.name in SECRETS else text.strip())
    except ValueError as error:
        shown = "" if field.name in CONFIDENTIAL else f", not {text[:80]!r}"
        raise ConfigError(f"{name} must be {error}{shown}") from None


def kind_of(field: Field[Any]) -> kinds.Kind:
    """What the field takes: named below, or by its type and the unit at the end of its name."""
    if field.name in KINDS:
        return KINDS[field.name]
    if field.type is bool:
        return kinds.switch
    if field.type is float:
        least = 1 if field.name.endswith("_ttl_seconds") else 0.001
        return kinds.decimal(least, kinds.TEN_YEARS_SECONDS, " of seconds")
    if field.type is int:
        return kinds.whole(1, BYTES_MAX if "bytes" in field.name else COUNT_MAX)
    return kinds.text


ELSEWHERE = {"HOLDFAST_DATA", "HOLDFAST_URL", "HOLDFAST_TRACE"}  # read by commands
SECRETS = {"secret", "webhook_secret", "stripe_api_key", "stripe_webhook_secret"}
CONFIDENTIAL = SECRETS | {"mongodb_uri", "redis_url", "smtp_url", "webhook_urls"}  # nothing of them on a terminal
SECOND_FACTOR_ROLES: Mapping[str, tuple[str, ...]] = {"nobody": (), "admin": ("admin",), "staff": ("staff", "admin")}
COUNT_MAX, BYTES_MAX = 10**9, 2**40
KINDS: Mapping[str, kinds.Kind] = {
    "mongodb_uri": kinds.mongodb_uri,
    "redis_url": kinds.redis_url,
    "database": kinds.matching(kinds.DATABASE, "1 to 38 letters, digits, `-` and `_`"),
    "app_name": kinds.matching(kinds.APP_NAME, "1 to 128 visible ASCII signs without blanks, quotes and backslashes"),
    "public_url": kinds.origin,
    "security_contact": kinds.optional(kinds.contact),
    "cors_origins": kinds.listed(kinds.origin),
    "currency": kinds.currency,
    "timezone": kinds.time_zone,
    "image_hosts": kinds.listed(kinds.matching(kinds.IMAGE_SOURCE, "hosts such as cdn.example.com, or `https:`")),
    "ops_host": kinds.optional(kinds.ip),
    "ops_port": kinds.whole(0, 65_535),
    "worker_ops_port": kinds.whole(0, 65_535),
    "sweep_rate_max": kinds.decimal(0.001, COUNT_MAX, " of holds a second"),
    "rate_limit_scale": kinds.decimal(0.000001, COUNT_MAX),
    "payment_gateway": kinds.one_of("simulator", "stripe"),
    "stripe_api_base": kinds.optional(kinds.web_url),
    "second_factor_required": kinds.one_of(*SECOND_FACTOR_ROLES),
    "bcrypt_rounds": kinds.whole(4, 16),  # one more doubles the time: 16 is 4 s
    "bcrypt_threads": kinds.whole(1, 256),
    "json_depth_max": kinds.whole(1, 500),
    "category_depth_max": kinds.whole(1, 100),
    "trusted_proxies": kinds.trusted_networks,
    "alert_mail_to": kinds.listed(kinds.address),
    "smtp_url": kinds.optional(kinds.smtp_url),
    "mail_from": kinds.mailbox,
    "webhook_urls": kinds.listed(kinds.web_url),
}
