#!/usr/bin/env bash
# Style, types and imports.
set -euo pipefail
cd "$(dirname "$0")/../.."
npm ci
npm run check
