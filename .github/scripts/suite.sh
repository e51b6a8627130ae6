#!/usr/bin/env bash
# A suite that npm test leaves out. It installs its tools; tests whose tools are missing are skipped and counted.
#   suite.sh api|browser|clients|events|observability
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=${1:?Expected the name of a suite but received none}
npm ci
npm run "test:$suite"
