#!/bin/sh
# Spectral with its OpenAPI rules and the OWASP ruleset on the published document: no errors.
#
#   npm i --prefix DIR --ignore-scripts @stoplight/spectral-cli @stoplight/spectral-owasp-ruleset
#   JUDGES=DIR .venv/bin/python scripts/conformance/site.py sh scripts/conformance/spectral.sh
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
curl -sf "$SITE_URL/openapi.json" -o "$work/openapi.json"
printf 'extends: ["spectral:oas", "%s/node_modules/@stoplight/spectral-owasp-ruleset/dist/ruleset.js"]\n' "$JUDGES" > "$work/rules.yaml"
"$JUDGES/node_modules/.bin/spectral" lint "$work/openapi.json" --ruleset "$work/rules.yaml" --fail-severity error "$@"
