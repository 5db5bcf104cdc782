#!/bin/sh
# schemathesis, all phases and all checks, as customer, staff and admin in turn (ROLES), with up to EXAMPLES cases per
# operation and phase, then STATEFUL_SECONDS of following links: no failures, and CASES_MIN cases in total. CUSTOMER
# and OTHER are peers: what one made, the other may not read. What ends the caller's own session is left out, and the
# endless stream. Then `ownership.py` does the same with every operation.
#
#   .venv/bin/python scripts/conformance/site.py sh scripts/conformance/schemathesis.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
st="$here/../../.venv/bin/st"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

identity() { printf '{"name": "%s", "fixedHeaders": [{"name": "Authorization", "value": "Bearer %s"}]}' "$1" "$2"; }
{
  printf '{"auth": ['
  identity customer "$TOKEN_CUSTOMER"; printf ', '; identity other "$TOKEN_OTHER"; printf ', '
  identity staff "$TOKEN_STAFF"; printf ', '; identity admin "$TOKEN_ADMIN"
  printf ']}'
} > "$work/identities.json"

failed=0 total=0
for role in ${ROLES:-customer staff admin}; do
  cat > "$work/schemathesis.toml" <<TOML
[auth.wfc]
path = "$work/identities.json"
user = "$role"
peers = ["customer", "other"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "428", "429", "5xx"]
TOML
  for phases in examples,coverage,fuzzing stateful; do
    # The stateful phase ends after a few scenarios unless it is given a time to fill.
    bound="--max-examples ${EXAMPLES:-120}"
    [ $phases = stateful ] && bound="--max-time ${STATEFUL_SECONDS:-60}"
    echo "== $role: $phases"
    # shellcheck disable=SC2086
    SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH="$here" "$st" --config-file "$work/schemathesis.toml" \
      run "$SITE_URL/openapi.json" --phases $phases $bound --mode all --checks all --seed "${SEED:-20260501}" \
      --suppress-health-check all --continue-on-failure --generation-database none --exclude-path /api/auth/logout \
      --exclude-path /api/auth/sessions --exclude-path /api/inventory/stream "$@" > "$work/log" 2>&1 || failed=1
    cat "$work/log"
    cases=$(sed -n 's/^ *\([0-9,]*\) generated.*/\1/p' "$work/log" | tr -d ,)
    total=$((total + ${cases:-0}))
  done
done
"$here/../../.venv/bin/python" "$here/ownership.py" || failed=1
echo "{\"cases\": $total, \"wanted\": ${CASES_MIN:-20000}, \"ok\": $([ $failed = 0 ] && echo true || echo false)}"
[ $failed = 0 ] && [ "$total" -ge "${CASES_MIN:-20000}" ]
