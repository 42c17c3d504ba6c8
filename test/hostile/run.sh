#!/usr/bin/env bash
# `npm run test:hostile [-- VITEST OPTIONS]`: peers that attack a whole service, each test with what it must survive.
# HOSTILE_SECONDS: how long the parties are killed at random (default 300; CI uses less). Everything else runs in full either way.
# Mosquitto is the only thing needed from outside; test/e2e/setup.sh brings it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bash test/e2e/setup.sh
exec node node_modules/vitest/vitest.mjs run --config vitest.hostile.config.ts "$@"
