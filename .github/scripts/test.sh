#!/usr/bin/env bash
# Every test that needs nothing but Node.js and nginx.
set -euo pipefail
cd "$(dirname "$0")/../.."
npm ci
npm test
