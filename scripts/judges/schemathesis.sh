#!/bin/sh
# schemathesis, all phases and all checks, as the role ROLE (default ADMIN): no failures. SECONDS_MAX bounds the run.
# What ends its own session is left out, and the endless stream.
#
#   .venv/bin/python scripts/judges/site.py sh scripts/judges/schemathesis.sh
set -eu
eval "token=\$TOKEN_${ROLE:-ADMIN}"
exec .venv/bin/st run "$SITE_URL/openapi.json" --phases examples,coverage,fuzzing,stateful --mode all --checks all \
  --max-time "${SECONDS_MAX:-150}" --seed 20260501 --suppress-health-check all --header "Authorization: Bearer $token" \
  --exclude-path /api/auth/logout --exclude-path /api/auth/sessions --exclude-path /api/inventory/stream "$@"
