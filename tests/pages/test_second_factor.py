"""The second factor for people without scripts: set up, used at a sign-in, replaced, removed."""

import re

import pyotp
from browsed import PASSWORD, Site
from visitor import Visitor

PATH = "/account/second-factor"


def test_somebody_without_scripts_sets_a_second_factor_up_signs_in_with_it_and_removes_it(
    site: Site, visitor: Visitor
) -> None:
    email = visitor.register()
    visitor.see(PATH)
    assert "wrong" in visitor.submit(PATH, 403, password="a guess")
    begun = visitor.submit(PATH, password=PASSWORD)
    assert "<svg" in begun
    secret = re.findall(r"this key: <code>([A-Z2-7]{32})</code>", begun)[0]
    codes = re.findall(r"<li><code>([A-Z2-7-]+)</code>", begun)
    assert len(codes) == 10
    assert "code is wrong" in visitor.submit(f"{PATH}/confirm", 401, code="000000")
    code = pyotp.TOTP(secret).at(site.shop.clock.now())
    assert "is set up" in visitor.submit(f"{PATH}/confirm", code=code)
    visitor.submit("/logout")
    visitor.see("/login")
    asked = visitor.submit("/login", 401, email=email, password=PASSWORD)
    assert "Send the code" in asked
    assert "<details open>" in asked
    visitor.submit("/login", email=email, password=PASSWORD, code=codes[0])
    assert "9 recovery codes are left" in visitor.see(PATH)
    renewed = visitor.submit(f"{PATH}/recovery-codes", password=PASSWORD, code=codes[1])
    fresh = re.findall(r"<li><code>([A-Z2-7-]+)</code>", renewed)
    assert "is removed" in visitor.submit(f"{PATH}/remove", password=PASSWORD, code=fresh[0])
    assert "Set it up" in visitor.see(PATH)


def test_a_shop_that_needs_one_of_its_staff_says_so_where_they_are_refused(visitor: Visitor) -> None:
    visitor.register()
    assert PATH in visitor.see("/ops", 403)
