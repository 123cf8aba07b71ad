#!/usr/bin/env bash
# What the closed loop needs beside PostgreSQL and Redis: MinIO for objects and MLflow to register in. Prints the variables of both.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in minio mlflow; do "$here/$part.sh"; done
