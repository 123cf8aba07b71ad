#!/usr/bin/env bash
# A Python environment with the official OpenAI and Anthropic clients: what most callers of a gateway are written in.
# Prints `PYTHON_SDK=<python>` on stdout; everything else goes to stderr. An environment that is there is not made again.
# Needs: python3 >= 3.9 with venv. Cold about 20 s.
set -euo pipefail

packages=(openai==3.54.0 anthropic==2.12.0)

say() { echo "python-sdk: $*" >&2; }

command -v python3 >/dev/null || { say "python3 is not installed"; exit 1; }

# Identity by content: other versions, or another Python, are another environment.
digest=$( { printf '%s\n' "${packages[@]}"; python3 --version; } | sha256sum | cut -c1-12)
parts=${POINTSMAN_PARTS:-$HOME/.cache/pointsman/parts}
home=$parts/python-sdk-$digest

mkdir -p "$parts"
# Two runs at once: the second waits and finds the first one's environment.
exec 9>"$parts/.python-sdk.lock"
flock 9
if [ ! -e "$home/complete" ]; then
  # A venv holds its own path, so it cannot be made aside and renamed: the marker says that it is whole.
  rm -rf "$home"
  say "installing ${packages[*]}"
  python3 -m venv "$home"
  "$home/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" >&2
  touch "$home/complete"
  say "installed in $SECONDS s"
fi
echo "PYTHON_SDK=$home/bin/python"
