#!/usr/bin/env bash
# What the Dockerfile does, for any empty folder: a virtual environment with facesep and its page.
#
#     docker/install.sh FOLDER SOURCE [TORCH]
#
# SOURCE is a clone or a wheel. TORCH is cpu (the default), a CUDA version as torch names it (cu128), or
# "default" for what the package index gives: on Linux that one comes with CUDA.
set -euo pipefail
folder=$1 source=$2 torch=${3:-cpu}

python3 -m venv "$folder"
pip=("$folder/bin/python" -m pip install --no-cache-dir --disable-pip-version-check -q)
if [ "$torch" = default ]; then
    "${pip[@]}" torch
else
    "${pip[@]}" torch --index-url "https://download.pytorch.org/whl/$torch"
fi
"${pip[@]}" "$source[demo]"
"$folder/bin/facesep" info
