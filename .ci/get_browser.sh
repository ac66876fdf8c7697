#!/bin/sh
# Makes sure that the browser tests find a Chromium and that Playwright, which drives it, runs: the
# machine's own, else Debian's package where we are root, else the one that Playwright downloads.
# Quick when they are there.
set -eu

there() {
    .venv/bin/playwright --version || return 1
    command -v chromium || command -v chromium-browser || command -v google-chrome ||
        .venv/bin/python - <<'PYTHON'
import pathlib, sys
from playwright.sync_api import sync_playwright

with sync_playwright() as playwright:
    sys.exit(not pathlib.Path(playwright.chromium.executable_path).exists())
PYTHON
}

# Chromium shows no text without a font, and Playwright's own Node.js needs libatomic1.
from_debian() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null &&
        apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core libatomic1 </dev/null
}

there >/dev/null 2>&1 && exit 0

echo "No Chromium that Playwright can drive: installing one for the browser tests."
from_debian >/dev/null || .venv/bin/playwright install chromium || true
there >/dev/null 2>&1 || { echo "No Chromium could be installed; install one by hand." >&2; exit 1; }
