#!/usr/bin/env bash
# fetch_clients.sh PREFIX LANGUAGE LIST - install the client libraries of LIST into PREFIX, with the language's own
# tools and their configured registry: LANGUAGE is python (LIST is a requirements.txt) or node (a package.json).
# Nothing outside of PREFIX changes, and no package's own scripts are run.
set -euo pipefail
usage='usage: fetch_clients.sh PREFIX LANGUAGE LIST'
prefix=${1:?$usage} language=${2:?$usage} list=${3:?$usage}
die() { printf 'fetch_clients: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null; }

rm -rf "$prefix" && mkdir -p "$prefix"
case $language in
  python)
    has python3 || die "python3 is not installed"
    python3 -m venv "$prefix" >/dev/null || die "python3 makes no virtual environments: install python3-venv"
    timeout 180 "$prefix/bin/pip" install --quiet --disable-pip-version-check --no-input --only-binary :all: \
      --requirement "$list" >/dev/null 2>&1 || die "pip cannot install what $(basename "$list") names" ;;
  node)
    has node && has npm || die "node and npm are not installed"
    cp "$list" "$prefix/package.json"
    timeout 180 npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts --prefix "$prefix" \
      >/dev/null 2>&1 || die "npm cannot install what $(basename "$list") names" ;;
  *) die "$usage" ;;
esac
