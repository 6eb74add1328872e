# Starts the verifier of this volume, with the arguments that follow. As a rule no program may run from the volume of an
# image, so what is started is a copy, in a folder for temporary files that is this user's alone.
set -eu
fail() {
  echo "error: $1" >&2
  echo "hint: set TMPDIR to a folder that can be written to, and from which programs may run" >&2
  exit 126
}
volume=${0%/*}
folder=${TMPDIR:-/tmp}/iac-runner-$(id -u)
[ -d "$folder" ] || mkdir -m 700 "$folder" 2> /dev/null || [ -d "$folder" ] || fail "$folder cannot be made"
if [ -L "$folder" ] || [ ! -O "$folder" ]; then
  fail "$folder belongs to another user"
fi
program=$folder/verifier-DIGEST
if [ ! -f "$program" ]; then
  # Whole or not at all: others start it at the same time, perhaps with the same process ID in another container.
  copy=$(mktemp "$program-XXXXXX") || fail "$program cannot be written"
  cp "$volume/verifier" "$copy" && chmod 755 "$copy" && mv -f "$copy" "$program" || fail "$program cannot be written"
fi
[ -x "$program" ] || program=$volume/verifier
[ -x "$program" ] || fail "no program may run from $folder"
exec "$program" "$@"
