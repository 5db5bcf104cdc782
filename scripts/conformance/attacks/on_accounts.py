"""Attacks on accounts, sessions and what mails say. Each returns "" when it was refused, or what got through."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

from shop import PASSWORD, Account, Shop, counted

STRANGERS, GUESSES_EACH = 11, 5
LOGINS, SENDERS, WAIT_SECONDS_MAX = 84, 3, 6.0


def lock_the_owner_out(shop: Shop) -> str:
    """H4: 55 wrong passwords from 11 addresses; the owner comes from where he has been, and with his browser."""
    owner = shop.register()
    for address in [shop.address() for _ in counted(STRANGERS)]:
        for _ in counted(GUESSES_EACH):
            shop.log_in(owner.email, "a wrong guess", address=address)
    known = shop.log_in(owner.email, address=owner.address)
    if known.status != 200:
        return f"the owner at a known address got {known.status} {known.code}"
    browser = shop.log_in(owner.email, address=shop.address(), cookies=owner.cookies)
    return "" if browser.status == 200 else f"the owner with a known browser got {browser.status} {browser.code}"


def fill_the_queue_of_hashes(shop: Shop) -> str:
    """M1: 84 logins from 3 addresses at once; one more from elsewhere waits no longer than any queue may."""
    owner, senders = shop.register(), [shop.address() for _ in counted(SENDERS)]
    with ThreadPoolExecutor(LOGINS) as pool:
        flood = [pool.submit(_guess, shop, senders[number % SENDERS]) for number in counted(LOGINS)]
        began = time.monotonic()
        answer = shop.log_in(owner.email, address=owner.address)
        waited = time.monotonic() - began
        for each in flood:
            each.result()
    if answer.status != 200:
        return f"a real login got {answer.status} {answer.code}"
    return "" if waited <= WAIT_SECONDS_MAX else f"a real login waited {waited:.1f} s"


def _guess(shop: Shop, address: str) -> int:
    return shop.log_in("nobody@example.com", "a wrong guess", address=address).status


def find_the_pages_of_mails_missing(shop: Shop) -> str:
    """M4: the links of mails are served."""
    pages = ("/account/reset", "/account/verify", "/account/forgot")
    missing = [path for path in pages if shop.call("GET", path, headers={"Accept": "text/html"}).status != 200]
    return f"not served: {missing}" if missing else ""


def read_tokens_after_a_refresh_by_cookie(shop: Shop) -> str:
    """M8: who refreshes by cookie finds no token in the body."""
    owner = shop.register()
    asked = shop.call("GET", "/api/auth/csrf", cookies=owner.cookies, address=owner.address)
    cookies, token = owner.cookies | asked.cookies, asked.json["csrfToken"]
    headers = {"X-CSRF-Token": token}
    answer = shop.call("POST", "/api/auth/refresh", {}, cookies=cookies, headers=headers, address=owner.address)
    if answer.status != 200:
        return f"the refresh itself got {answer.status} {answer.code}"
    found = {"accessToken", "refreshToken"} & answer.json.keys()
    return f"the body has {sorted(found)}" if found else ""


def act_off_the_record(shop: Shop) -> str:
    """M11: an admin who reads a customer's orders is on record."""
    victim = shop.register()
    path = f"/api/auth/users/{victim.id}/sessions"
    shop.call("GET", path, token=shop.admin_token)
    shop.call("POST", "/api/auth/logout", token=victim.token, address=victim.address)
    for target, actor in ((path, ""), ("/api/auth/logout", victim.id)):
        asked = f"/api/audit/?target={target}" + (f"&actor={actor}" if actor else "")
        if not shop.call("GET", asked, token=shop.admin_token).json["items"]:
            return f"nothing on record of {target}"
    return ""


def outlive_the_end_of_a_session(shop: Shop) -> str:
    """M12: an admin ends the sessions of an account, at once."""
    victim = shop.register()
    shop.call("DELETE", f"/api/auth/users/{victim.id}/sessions", token=shop.admin_token)
    return _still_in(shop, victim)


def go_on_in_a_closed_account(shop: Shop) -> str:
    """M13: a disabled account is out, cannot log in, and only its password erases it."""
    victim, path = shop.register(), "/api/auth/account/erase"
    erased = shop.call("POST", path, {"password": "a guess"}, victim.token, address=victim.address)
    if erased.status != 403:
        return f"erasing with a wrong password got {erased.status}"
    shop.call("PATCH", f"/api/auth/users/{victim.id}", {"disabled": True}, shop.admin_token)
    login = shop.log_in(victim.email, address=victim.address)
    if login.status != 403:
        return f"a login to a disabled account got {login.status}"
    return _still_in(shop, victim)


def _still_in(shop: Shop, account: Account) -> str:
    status = shop.call("GET", "/api/auth/me", token=account.token, address=account.address).status
    return "" if status == 401 else f"its token still gets {status}"


def spend_a_quota_with_ended_tokens(shop: Shop) -> str:
    """L: forty requests under an ended session leave the account's quota alone."""
    owner = shop.register()
    fresh = shop.log_in(owner.email, address=owner.address).json["accessToken"]
    shop.call("POST", "/api/auth/logout", token=owner.token, address=owner.address)
    left = [_left(shop, fresh)]
    for _ in counted(40):
        shop.call("GET", "/api/auth/me", token=owner.token, address=shop.address())
    left.append(_left(shop, fresh))
    return "" if left[0] - left[1] <= 5 else f"the quota fell from {left[0]} to {left[1]}"


def _left(shop: Shop, token: str) -> int:
    found = re.search(
        r"r=(\d+)", shop.call("GET", "/api/auth/me", token=token, address=shop.address()).headers["ratelimit"]
    )
    return int(found[1]) if found else 0


def read_passwords_in_addresses(shop: Shop) -> str:
    """L: a form with a password says POST, so that no browser puts it into the URL."""
    page = shop.call("GET", "/login", headers={"Accept": "text/html"}).text
    forms = re.findall(r"<form\b.*?</form>", page, re.DOTALL)
    with_password = [form for form in forms if 'type="password"' in form]
    wrong = [form[:80] for form in with_password if 'method="post"' not in form.partition(">")[0]]
    return f"without it: {wrong}" if wrong or not with_password else ""


def guess_a_second_factor(shop: Shop) -> str:
    """Who has the password gets a handful of guesses at a code, wherever from, and no code twice."""
    owner = shop.register()
    begun = shop.call("POST", "/api/auth/second-factor", {"password": PASSWORD}, owner.token, address=owner.address)
    codes = begun.json["recoveryCodes"]
    if shop.log_in(owner.email, address=owner.address).status != 200:
        return "a factor that was not confirmed is asked for"
    import pyotp  # the attacker's own app

    code = {"code": pyotp.TOTP(begun.json["secret"]).now()}
    shop.call("POST", "/api/auth/second-factor/confirm", code, owner.token, address=owner.address)
    if _with_code(shop, owner, code["code"]) == 200:
        return "the code of the confirmation worked again"
    tries = [_with_code(shop, owner, f"{number:06}") for number in counted(9)]
    if 200 in tries or 429 not in tries:
        return f"guesses were answered {tries}"
    return "" if _with_code(shop, owner, codes[0]) == 429 else "the wait is for some codes only"


def _with_code(shop: Shop, owner: Account, code: str) -> int:
    body = {"email": owner.email, "password": PASSWORD, "code": code}
    return shop.call("POST", "/api/auth/login", body, address=shop.address()).status
