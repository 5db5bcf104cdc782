#!/usr/bin/env python3
"""Replays attacks that once worked against a running stack, and says of each whether it is refused now.

    holdfast up --port 8000 --data /tmp/shop &
    .venv/bin/python scripts/conformance/attacks/run.py --url http://127.0.0.1:8000 --data /tmp/shop

Loopback only, every loop bounded, under a minute; run it at the default rate limits. Without --admin-token it makes an
admin of its own by `holdfast admin create`. Exit code 1 if any is open. What shows only inside is held by a test, which
is named. --only H4 --only M1 picks.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from uuid import uuid4

import on_accounts
import on_settings
import on_stock
import on_the_wire
from shop import PASSWORD, NotTried, Shop

Attack = Callable[[Shop], str]
ATTACKS: list[tuple[str, Attack | str]] = [
    ("H1", on_stock.hoard),
    ("H2", on_settings.pay_with_nothing),
    ("H2", on_settings.open_by_plain_http),
    ("H3", on_stock.flood_a_strangers_mailbox),
    ("H3", "test_forty_requests_for_a_strangers_address_send_one_question_and_no_notice"),
    ("H4", on_accounts.lock_the_owner_out),
    ("H5", on_the_wire.hold_every_stream),
    ("H5", "test_connections_of_a_trusted_proxy_are_not_counted_as_one_client"),
    ("M1", on_accounts.fill_the_queue_of_hashes),
    ("M2", on_the_wire.enter_the_stores),
    ("M2", "test_a_role_written_into_redis_by_somebody_else_is_not_believed"),
    ("M4", on_accounts.find_the_pages_of_mails_missing),
    ("M5", "test_strangers_who_ask_for_links_do_not_silence_the_owner"),
    ("M6", on_the_wire.smuggle),
    ("M7", on_the_wire.fill_the_memory),
    ("M8", on_accounts.read_tokens_after_a_refresh_by_cookie),
    ("M9", "test_no_mail_says_what_a_stranger_typed"),
    ("M10", on_stock.use_a_coupon_up),
    ("M11", on_accounts.act_off_the_record),
    ("M12", on_accounts.outlive_the_end_of_a_session),
    ("M12", "test_a_session_ends_after_its_longest_life_however_often_it_is_refreshed"),
    ("M13", on_accounts.go_on_in_a_closed_account),
    ("M13", "test_tokens_hold_through_a_rotation_and_end_with_the_old_secret"),
    ("M14", on_settings.trust_nobody_in_silence),
    ("M15", on_settings.serve_https_under_the_published_secret),
    ("M16", on_stock.order_many_lines),
    ("L", on_accounts.read_passwords_in_addresses),
    ("L", on_accounts.spend_a_quota_with_ended_tokens),
    ("L", on_accounts.guess_a_second_factor),
    ("L", on_stock.leave_a_card_number),
    ("L", on_stock.review_what_was_never_bought),
    ("L", "test_customers_with_the_published_password_are_not_made_in_production"),
    ("L", "test_in_production_the_figures_of_trade_are_not_shown_to_everybody"),
    ("L", "test_no_address_of_a_person_or_a_client_is_in_redis_or_in_the_audit_log_unsalted"),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--data", help="the stack's folder")
    parser.add_argument("--admin-token", help="of an admin's session")
    parser.add_argument("--only", action="append", default=[])
    asked = parser.parse_args()
    shop = Shop(asked.url, asked.admin_token or "", asked.data)
    if not shop.admin_token:
        shop.admin_token = made_admin(shop)
    chosen = [(row, attack) for row, attack in ATTACKS if not asked.only or row in asked.only]
    states = [tried(shop, row, attack) for row, attack in chosen]
    say(f"{states.count('refused')} refused, {states.count('open')} open, {states.count('not tried')} not tried")
    return int("open" in states)


def made_admin(shop: Shop) -> str:
    email = f"admin-{uuid4().hex[:8]}@example.org"
    command = [str(on_settings.HOLDFAST), "admin", "create", email, "--password", PASSWORD]
    subprocess.run([*command, "--data", str(shop.data)], check=True, env=os.environ, capture_output=True)
    return str(shop.log_in(email).json["accessToken"])


def tried(shop: Shop, row: str, attack: Attack | str) -> str:
    if isinstance(attack, str):
        say(f"{row:4} inside     held by {attack}")
        return "inside"
    began = time.monotonic()
    try:
        through = attack(shop)
    except NotTried as reason:
        say(f"{row:4} not tried  {attack.__name__}: {reason}")
        return "not tried"
    except Exception as error:  # noqa: BLE001 - what breaks an attack proves nothing, so it counts as open
        through = f"{type(error).__name__}: {error}"
    state = "open" if through else "refused"
    say(f"{row:4} {state:10} {attack.__name__} ({time.monotonic() - began:.1f} s){': ' + through if through else ''}")
    return state


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
