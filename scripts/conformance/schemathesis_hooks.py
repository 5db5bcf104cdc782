"""What schemathesis cannot know of this site.

- An identity that ends its own session or changes its own role leaves nothing to judge.
- Its coverage phase writes headers in letters and digits only, so what it takes for a good `If-Match` has no quotes.
- JSON Schema cannot say every rule: that a SKU is sold, that a cursor is one we wrote, that two fields exclude each
  other. A well-formed request may be refused for such a rule, if the refusal names it; never as `malformed`, and
  never as `invalid` for the form of one field.
- When it follows links it takes a path for valid that it has itself put a control character into, which the published
  pattern of every path parameter forbids.
- A product that is deleted is archived: to buyers it is gone, and staff go on seeing it, as archived."""

import os
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import jwt
import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

ROLES = ("CUSTOMER", "OTHER", "STAFF", "ADMIN")
CLAIMS = [jwt.decode(os.environ[f"TOKEN_{role}"], options={"verify_signature": False}) for role in ROLES]
OWN = {claims[name] for claims in CLAIMS for name in ("sub", "sid")}
BETWEEN_FIELDS = {"", "cursor"}  # where the service says that a rule over several fields, or a cursor, is broken
RULES = {"A product with variants has no SKU of its own", "Two variants have the same SKU", "This shop sells in GBP"}
IN_PATH = re.compile(r"[^\x00-\x1f\x7f]*")
IF_MATCH = re.compile(r'\*|"[0-9]{1,15}"')


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if case.method in {"PATCH", "DELETE"} and case.path.startswith("/api/auth/"):
        for name, value in (case.path_parameters or {}).items():
            if value in OWN:
                case.path_parameters[name] = "somebody-else"


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    if isinstance(failure, UseAfterFree):
        return not (response.status_code == HTTPStatus.OK and response.json().get("status") == "archived")
    if not isinstance(failure, RejectedPositiveData):
        return True
    if not all(IN_PATH.fullmatch(unquote(str(value))) for value in (case.path_parameters or {}).values()):
        return False
    conditional = (case.headers or {}).get("If-Match")
    well_formed = conditional is None or IF_MATCH.fullmatch(conditional) is not None
    return well_formed and not names_its_rule(response.json())


def names_its_rule(problem: dict[str, Any]) -> bool:
    if problem["code"] == "malformed":
        return False
    wrong = [error for error in problem.get("errors", ()) if error["message"] not in RULES]
    return problem["code"] != "invalid" or {error["path"] for error in wrong} <= BETWEEN_FIELDS
