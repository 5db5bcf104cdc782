"""Every setting is checked when it is read: any environment gives settings that hold, or one sentence with a name."""

import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import config
from service.config import Config, ConfigError
from service.setting_rules import is_weak, variable

REPOSITORY = Path(__file__).parents[2]
HOLDFAST = Path(sys.executable).with_name("holdfast")
RANDOM = "kC5mQ0yXw8Zr2TnVbJf7LhGdSa3PeUo9IxMt4RqYNHg"
PRODUCTION = {
    "HOLDFAST_PRODUCTION": "1",
    "HOLDFAST_SECRET": RANDOM,
    "HOLDFAST_PUBLIC_URL": "https://shop.example",
    "HOLDFAST_PAYMENT_GATEWAY": "stripe",
    "HOLDFAST_STRIPE_API_KEY": "sk_live_x",
    "HOLDFAST_STRIPE_WEBHOOK_SECRET": "whsec_x",
}
WRONG = [
    ("HOLDFAST_TIMEZONE", ("Europe/Nowhere", "", "../../etc/passwd", "localtime", "+01:00", "europe/madrid")),
    ("HOLDFAST_CURRENCY", ("XXX", "gbp", "£", "", "DEM", "XAU", "EURO", "12")),
    (
        "HOLDFAST_RESERVATION_TTL_SECONDS",
        ("inf", "-inf", "nan", "1e400", "1e300", "0", "-1", "", "15 m", "1_000", "0.0001"),
    ),
    ("HOLDFAST_QUEUE_BLOCK_SECONDS", ("0.0001", "Infinity", "NaN", "٣")),
    ("HOLDFAST_PAGE_SIZE", ("0", "-1", "24.5", "1e3", "12,000", "９", "9" * 5_000, "inf")),
    ("HOLDFAST_BCRYPT_ROUNDS", ("3", "17", "31", "99", "12.0")),
    ("HOLDFAST_JSON_DEPTH_MAX", ("100000",)),
    ("HOLDFAST_PRODUCTION", ("yes", "2", "")),
    ("HOLDFAST_MAIL_FROM", ("shop", "shop@", "@shop.example", "a b@c.d", "", "x@-.de", "a@b@c.de")),
    ("HOLDFAST_ALERT_MAIL_TO", ("ops", "a@b.example, nobody")),
    ("HOLDFAST_SMTP_URL", ("localhost:25", "http://mail", "smtp://", "smtp://h:99999", "smtp://h/x", "smtp://a b")),
    (
        "HOLDFAST_PUBLIC_URL",
        ("shop.example", "ftp://x", "https://", "https://a b", "https://x/shop", "https://x?y", "http://[::1"),
    ),
    ("HOLDFAST_CORS_ORIGINS", ("*", "shop.example", "https://a.example/x", "null")),
    ("HOLDFAST_WEBHOOK_URLS", ("hooks.example", "file:///etc/passwd", "https://u:p@h/x", "https://h:0x1/")),
    ("HOLDFAST_STRIPE_API_BASE", ("stripe", "https://")),
    ("HOLDFAST_PAYMENT_GATEWAY", ("paypal", "Stripe", "")),
    ("HOLDFAST_OPS_PORT", ("65536", "-1", "http")),
    ("HOLDFAST_OPS_HOST", ("everywhere", "10.0.0.0/8")),
    ("HOLDFAST_DATABASE", ("a.b", "a/b", "", "x" * 64, "$x")),
    ("HOLDFAST_APP_NAME", ("two words", "", "x" * 129, "é")),
    (
        "HOLDFAST_TRUSTED_PROXIES",
        ("proxy.internal", "10.0.0.5/8", "0.0.0.0/0", "::/0", "10.0.0.0/33", "10.0.0", "10.0.0.1 ::1"),
    ),
    ("HOLDFAST_SECRET", ("short", "")),
    (
        "MONGODB_URI",
        ("localhost:27017", "http://x", "mongodb://", "mongodb://h:99999", "mongodb://h/?w=x&retryWrites=maybe"),
    ),
    ("REDIS_URL", ("localhost", "http://x", "redis://h:x", "redis://", "redis+sentinel://h:26379/mymaster", "unix://")),
]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG for text in texts])
def test_a_wrong_value_is_refused_with_the_name_of_its_setting_in_one_sentence(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        config.load({name: text})
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("HOLDFAST_TIMEZONE", " Europe/Madrid ", "Europe/Madrid"),
        ("HOLDFAST_CURRENCY", "JPY", "JPY"),
        ("HOLDFAST_RESERVATION_TTL_SECONDS", "9e2", 900.0),
        ("HOLDFAST_MAIL_FROM", "The Shop <shop@example.com>", "The Shop <shop@example.com>"),
        ("HOLDFAST_PUBLIC_URL", "http://Shop.Example:8443/", "http://shop.example:8443"),
        (
            "HOLDFAST_CORS_ORIGINS",
            "https://a.example/, http://localhost:5173",
            "https://a.example,http://localhost:5173",
        ),
        ("HOLDFAST_TRUSTED_PROXIES", "10.0.0.0/8, ::ffff:192.0.2.1", "10.0.0.0/8,192.0.2.1/32"),
        ("HOLDFAST_TRUSTED_PROXIES", "::ffff:10.1.0.0/112,2001:db8::/32", "10.1.0.0/16,2001:db8::/32"),
        ("HOLDFAST_TRUSTED_PROXIES", "192.0.2.1:8080,[2001:db8::1]:443", "192.0.2.1/32,2001:db8::1/128"),
        ("HOLDFAST_SMTP_URL", "smtps://u:p%40ss@mail.example:465", "smtps://u:p%40ss@mail.example:465"),
        ("REDIS_URL", "rediss://u:p@h:6380/2?ssl_ca_certs=/ca.pem", "rediss://u:p@h:6380/2?ssl_ca_certs=/ca.pem"),
        ("MONGODB_URI", "mongodb://a:1,b:2/x?replicaSet=r&tls=true", "mongodb://a:1,b:2/x?replicaSet=r&tls=true"),
    ],
)
def test_what_people_rightly_write_is_taken(name: str, text: str, kept: object) -> None:
    assert kept in asdict(config.load({name: text})).values()


@pytest.mark.parametrize("name", ["MONGODB_URI", "REDIS_URL", "HOLDFAST_SMTP_URL", "HOLDFAST_WEBHOOK_URLS"])
def test_a_refusal_never_repeats_a_password(name: str) -> None:
    for scheme in ("mongodb", "redis", "smtp", "https", "nothing"):
        for rest in ("u:hunter2@h:99999/x", "u:hunter2@", "hunter2@h:x", ":hunter2@h h"):
            with pytest.raises(ConfigError) as refusal:
                config.load({name: f"{scheme}://{rest}"})
            assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("PAGE_SIZE", "PAGE_SIZE_MAX"),
        ("RETRY_PAUSE_SECONDS", "RETRY_PAUSE_MAX_SECONDS"),
        ("CART_LINES_MAX", "ORDER_LINES_MAX"),
        ("CACHE_BODY_MAX_BYTES", "CACHE_BYTES_MAX"),
        ("ACCESS_TOKEN_TTL_SECONDS", "REFRESH_TOKEN_TTL_SECONDS"),
    ],
)
def test_a_range_that_can_never_hold_is_refused_with_both_names(low: str, high: str) -> None:
    with pytest.raises(ConfigError, match=f"HOLDFAST_{low} must be at most HOLDFAST_{high}"):
        config.load({f"HOLDFAST_{low}": "200", f"HOLDFAST_{high}": "100"})


def test_production_with_everything_it_needs_starts_without_a_word() -> None:
    assert list(config.load(PRODUCTION).warnings) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"HOLDFAST_PAYMENT_GATEWAY": "simulator"}, "HOLDFAST_PAYMENT_GATEWAY"),
        ({"HOLDFAST_PUBLIC_URL": "http://shop.example"}, "HOLDFAST_PUBLIC_URL"),
        ({"HOLDFAST_SECRET": config.DEVELOPMENT_SECRET}, "HOLDFAST_SECRET"),
        ({"HOLDFAST_SECRET": "a" * 40}, "HOLDFAST_SECRET"),
        ({"HOLDFAST_SECRET": "abcd1234" * 6}, "HOLDFAST_SECRET"),
        ({"HOLDFAST_SECRET": "please-change-me-to-something-else-soon"}, "HOLDFAST_SECRET"),
        ({"HOLDFAST_TRUSTED_PROXIES": "loadbalancer"}, "HOLDFAST_TRUSTED_PROXIES"),
        ({"HOLDFAST_WEBHOOK_URLS": "https://erp.example/in"}, "HOLDFAST_WEBHOOK_SECRET"),
        (
            {"HOLDFAST_WEBHOOK_URLS": "https://erp.example/in", "HOLDFAST_WEBHOOK_SECRET": "s"},
            "HOLDFAST_WEBHOOK_SECRET",
        ),
        ({"HOLDFAST_BCRYPT_ROUNDS": "4"}, "HOLDFAST_BCRYPT_ROUNDS"),
        ({"HOLDFAST_SMTP_URL": "smtp://mail"}, "HOLDFAST_MAIL_FROM"),
        ({"HOLDFAST_STRIPE_API_KEY": ""}, "HOLDFAST_STRIPE_API_KEY"),
    ],
)
def test_production_refuses_what_only_a_trial_may_have(change: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        config.load(PRODUCTION | change)


def test_production_takes_the_simulator_when_told_so_and_says_so_at_every_start() -> None:
    told = {"HOLDFAST_PAYMENT_GATEWAY": "simulator", "HOLDFAST_ALLOW_PAYMENT_SIMULATOR": "1"}
    assert ["HOLDFAST_ALLOW_PAYMENT_SIMULATOR" in said for said in config.load(PRODUCTION | told).warnings] == [True]


def test_the_published_secret_serves_no_https_site_even_without_the_flag() -> None:
    with pytest.raises(ConfigError, match="HOLDFAST_SECRET"):
        config.load({"HOLDFAST_PUBLIC_URL": "https://shop.example"})
    with pytest.raises(ConfigError, match="HOLDFAST_WEBHOOK_SECRET"):
        config.load({"HOLDFAST_WEBHOOK_URLS": "https://erp.example/in"})


@given(st.binary(min_size=24, max_size=64))
def test_a_random_secret_is_not_called_weak(random: bytes) -> None:
    import base64
    import hashlib

    assert not is_weak(base64.b64encode(hashlib.sha384(random).digest()).decode())


def test_a_variable_that_is_nearly_a_setting_is_named() -> None:
    said = list(config.misspelt({"HOLDFAST_TIMZONE": "UTC", "HOLDFAST_DATA": "x", "HOLDFAST_CURRENCY": "GBP"}))
    assert said == ["HOLDFAST_TIMZONE is not a setting; HOLDFAST_TIMEZONE is"]


NAMES = [variable(field.name) for field in fields(Config)]
ODD = st.sampled_from(
    [
        "",
        " ",
        "0",
        "1",
        "-1",
        "1e999",
        "nan",
        "inf",
        "https://",
        "://",
        "[::1",
        "a@b",
        "a,b",
        "\ud800",
        "\x00",
        "%",
        "é",
        "1" * 40,
    ]
)
LIKELY = st.sampled_from(["1", "true", "10.0.0.0/8", "https://x.example", "EUR", "Europe/Paris", "a@b.example", RANDOM])
FROM_SIGNS = st.text("aZ09:/@.,%[]?#&=+-_ \t\n\0é\u0660\ud800", max_size=30)
TEXTS = st.one_of(ODD, LIKELY, FROM_SIGNS, st.integers().map(str), st.floats().map(str))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=6))
def test_any_environment_gives_a_config_or_a_refusal_that_names_a_setting(environment: dict[str, str]) -> None:
    refusal = ""
    try:
        assert isinstance(config.load(environment), Config)
    except ConfigError as error:
        refusal = str(error)
    assert not refusal or any(name in refusal for name in environment), refusal
    assert "\n" not in refusal


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "command"),
    [
        ({"HOLDFAST_TIMEZONE": "Europe/Nowhere"}, ["up", "--port", "0"]),
        ({"HOLDFAST_PRODUCTION": "1"}, ["up", "--port", "0"]),
        ({"HOLDFAST_CURRENCY": "nonsense"}, ["audit"]),
    ],
)
def test_a_command_with_a_wrong_setting_ends_at_once_and_has_started_nothing(
    setting: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    """Slow: processes of their own import the service."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    data = tmp_path / "data"
    ended = subprocess.run(
        [HOLDFAST, *command, "--data", data],
        env=clean | setting,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith(("HOLDFAST_TIMEZONE", "HOLDFAST_PUBLIC_URL", "HOLDFAST_CURRENCY"))
    assert not data.exists()


def test_a_setting_is_checked_in_a_fraction_of_a_second_of_cpu(tmp_path: Path) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError):
        config.load({"HOLDFAST_TIMEZONE": "Europe/Nowhere", "HOLDFAST_CURRENCY": "JPY"})
    assert time.process_time() - began < 1


@pytest.mark.slow
@pytest.mark.parametrize("module", ["service.app", "service.worker"])
def test_a_process_of_ours_refuses_with_a_sentence_not_a_traceback(module: str) -> None:
    """Slow: processes of their own import the service."""
    environment = {**os.environ, "HOLDFAST_QUEUE_BLOCK_SECONDS": "inf"}
    command = [sys.executable, "-m", module]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (3, 1)
    assert ended.stderr.startswith("HOLDFAST_QUEUE_BLOCK_SECONDS must be")


def settings_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings", REPOSITORY / "scripts/settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_settings_is_in_step_and_lists_every_one() -> None:
    script = settings_script()
    assert script.PAGE.read_text() == script.page(), "run scripts/settings.py"
    assert all(f"| `{name}` |" in script.page() for name in NAMES)


def test_compose_passes_every_setting_to_every_process_of_the_service() -> None:
    services = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    for name in ("api", "worker", "scheduler"):
        passed = {given.removesuffix("_FILE") for given in services[name]["environment"]}
        assert passed >= {*NAMES} - {"HOLDFAST_APP_NAME"}


def test_what_is_confidential_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file\n")
    environment = {"HOLDFAST_WEBHOOK_SECRET_FILE": str(tmp_path / "secret"), "HOLDFAST_CURRENCY_FILE": "x"}
    config.read_secret_files(environment)
    assert environment == {"HOLDFAST_WEBHOOK_SECRET": "from-a-file", "HOLDFAST_CURRENCY_FILE": "x"}
    environment = {"REDIS_URL": "redis://given", "REDIS_URL_FILE": "/nowhere"}
    config.read_secret_files(environment)
    assert environment == {"REDIS_URL": "redis://given"}


@pytest.mark.parametrize(
    ("made", "reason"), [("nothing", "No such file"), ("folder", "Is a directory"), ("bytes", "no text")]
)
def test_a_secret_that_cannot_be_read_is_a_sentence(tmp_path: Path, made: str, reason: str) -> None:
    path = tmp_path / "secret"
    if made == "folder":
        path.mkdir()
    elif made == "bytes":
        path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=f"MONGODB_URI_FILE names .*{reason}"):
        config.read_secret_files({"MONGODB_URI_FILE": str(path)})
