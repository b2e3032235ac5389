#!/bin/sh
# Prints what CHANGELOG.md says of a version, which are the notes of its release: sh .github/notes.sh 0.1.0
set -eu
cd "$(dirname "$0")/.."
awk -v version="$1" '
    /^## / { inside = $2 == version; found = found || inside; next }
    inside
    END { if (!found) { print "CHANGELOG.md has no heading `## " version "`" > "/dev/stderr"; exit 1 } }
' CHANGELOG.md
