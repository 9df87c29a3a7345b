#!/bin/bash
# Promote the best checkpoint below a results folder to the model that predictions use.
# The folder is the argument; where to comes from the job's environment.
set -e
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
exec python -u -m examples.learning.promotion "$@"
