#!/usr/bin/env bash
# Installs an MLflow tracking server into a virtual environment of its own, with what it needs for PostgreSQL behind it and S3 for artifacts.
# Prints `MLFLOW=<program>` on stdout; everything else goes to stderr. One that is there is not installed again.
# Needs: python3 >= 3.10 with venv. Cold about 2 minutes (900 MB), warm under a second.
set -euo pipefail

version=3.17.2
requirements=("mlflow==$version" psycopg2-binary==2.9.13 boto3==1.44.5)

say() { echo "mlflow: $*" >&2; }

command -v python3 >/dev/null || { say "python3 is not installed"; exit 1; }

parts=${POINTSMAN_PARTS:-$HOME/.cache/pointsman/parts}
folder=$parts/mlflow-$version-$(printf '%s\n' "${requirements[@]}" | sha256sum | cut -c 1-12)
# Its programs name their folder, so it cannot be made elsewhere and moved: this file says that all of it is there.
whole=$folder/.whole

if [ ! -e "$whole" ]; then
  mkdir -p "$parts"
  # Two runs at once: the second waits and finds what the first one made.
  exec 9>"$parts/.mlflow.lock"
  flock 9
fi
if [ ! -e "$whole" ]; then
  say "installing $version (about 2 minutes the first time)"
  rm -rf "$folder"
  python3 -m venv "$folder" >&2
  "$folder/bin/pip" install --quiet --disable-pip-version-check "${requirements[@]}" >&2
  touch "$whole"
  say "installed in $SECONDS s"
fi
echo "MLFLOW=$folder/bin/mlflow"
