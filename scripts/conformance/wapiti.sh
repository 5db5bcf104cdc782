#!/bin/sh
# wapiti's loopback modules on the pages and the API, as nobody and as a customer: no findings.
#
#   python -m venv DIR && DIR/bin/pip install wapiti3
#   JUDGES=DIR .venv/bin/python scripts/conformance/site.py sh scripts/conformance/wapiti.sh
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
modules="csp,cookieflags,http_headers,xss,sql,exec,file,crlf,redirect,methods"
curl -sf "$SITE_URL/openapi.json" -o "$work/openapi.json"
for page in / /login /docs /cart "/api/products/search?q=tea" "/api/inventory/availability?sku=TEA" "/api/orders/?limit=5"; do
  set -- "$@" -s "$SITE_URL$page"
done
"$JUDGES/bin/wapiti" -u "$SITE_URL/" "$@" --scope folder -m "$modules" --no-bugreport --flush-session --max-scan-time 240 \
  --store-session "$work/session" -H "Authorization: Bearer $TOKEN_CUSTOMER" -x "$SITE_URL/api/inventory/stream*" \
  -f json -o "$work/report.json" > "$work/log" 2>&1 || { tail -20 "$work/log"; exit 1; }
python3 - "$work/report.json" <<'PY'
import json, sys

report = json.load(open(sys.argv[1]))
found = {kind: entries for part in ("vulnerabilities", "anomalies") for kind, entries in report[part].items() if entries}
print(json.dumps({"crawled": report["infos"]["crawled_pages_nbr"], "findings": {k: len(v) for k, v in found.items()}}))
for kind, entries in found.items():
    for entry in entries[:5]:
        print(kind, entry["method"], entry["path"], entry["info"])
sys.exit(1 if found else 0)
PY
