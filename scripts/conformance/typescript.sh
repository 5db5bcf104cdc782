#!/bin/sh
# A TypeScript client generated from the published document compiles under every strictness and shops with it.
#
#   npm i --prefix DIR --ignore-scripts openapi-typescript openapi-fetch typescript@5 @types/node@20
#   JUDGES=DIR .venv/bin/python scripts/conformance/site.py sh scripts/conformance/typescript.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$JUDGES/node_modules" "$work/node_modules"
cp "$here/shop.ts" "$work/"
cd "$work"
echo '{"type": "module"}' > package.json
cat > tsconfig.json <<'JSON'
{"compilerOptions": {"target": "es2022", "module": "nodenext", "types": ["node"], "strict": true,
  "exactOptionalPropertyTypes": true, "noUncheckedIndexedAccess": true, "noPropertyAccessFromIndexSignature": true,
  "noImplicitReturns": true, "noUnusedLocals": true, "noUnusedParameters": true, "verbatimModuleSyntax": true},
  "files": ["shop.ts"]}
JSON
# What the document does not type is not to be talked round: no cast, no `any`, no "surely it is there".
if grep -nE '\bas (any|unknown|never|string|number|\{|[A-Z])|\bany\b|@ts-|[])A-Za-z]![.;,)[]' shop.ts; then exit 1; fi
curl -sf "$SITE_URL/openapi.json" -o openapi.json
node_modules/.bin/openapi-typescript openapi.json -o openapi.d.ts
node_modules/.bin/tsc --noEmit
node_modules/.bin/tsc
node shop.js
