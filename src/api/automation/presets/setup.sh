#!/usr/bin/env bash
# Puts the SDK into .venv, in the version that the automation service names.
set -euo pipefail

answer=$(curl --fail --silent --show-error --retry 3 --max-time 30 "${AUTOMATION_API_URL:?}/sdk-version")
version=$(printf '%s' "$answer" | sed -n 's/.*"version"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p')
if [ -z "$version" ]; then
  echo "the automation service names no SDK version: $answer" >&2
  exit 1
fi

# One that surrounds this script would be installed into.
unset VIRTUAL_ENV
uv venv --quiet --python '>=3.12,<3.14' .venv
uv pip install --quiet --python .venv/bin/python \
  "openhands-sdk==$version" "openhands-tools==$version" "openhands-workspace==$version"
