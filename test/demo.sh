#!/usr/bin/env bash
# make demo: two people on one machine. Everything happens in a temporary folder, which is removed at the end.
# Ends with 0 only if the message arrived.

set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d "${TMPDIR:-/tmp}/p2p-demo.XXXXXX")
listener=
finish() {
  status=$?
  if [ -n "$listener" ]; then
    kill "$listener" 2>/dev/null || true
    wait "$listener" 2>/dev/null || true
  fi
  if [ "$status" != 0 ]; then
    echo "demo: failed" >&2
    [ ! -s "$work/listen.err" ] || sed 's/^/  listener: /' "$work/listen.err" >&2
  fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir "$work/bin"
for bundle in dist/p2p-*.cjs; do
  name=${bundle##*/}
  ln -s "$PWD/$bundle" "$work/bin/${name%.cjs}"
done
[ -z "${NODE:-}" ] || ln -s "$NODE" "$work/bin/node" # make demo NODE=...
export PATH="$work/bin:$PATH"
unset P2P_HOME XDG_DATA_HOME
export P2P_MAP=false P2P_LAN=false # nothing for the router and the neighbours

# say PERSON COMMAND: shows the line, then runs it in that person's home.
say() {
  printf '\n%s$ %s\n' "$1" "$2"
  P2P_HOME="$work/$1" bash -euo pipefail -c "cd '$work'; $2"
}

say alice 'p2p-id init --name alice --no-passphrase --addr 127.0.0.1'
say bob 'p2p-id init --name bob --no-passphrase --addr 127.0.0.1'

say alice 'p2p-id token > alice.token'
say bob 'p2p-id token > bob.token'
say alice 'p2p-id add bob < bob.token'
say bob 'p2p-id add alice < alice.token'

printf '\nbob$ p2p-listen &\n'
P2P_HOME="$work/bob" p2p-listen --json >"$work/listen.out" 2>"$work/listen.err" &
listener=$!
for _ in $(seq 100); do
  if grep -qs '"listening"' "$work/listen.out"; then break; fi
  kill -0 "$listener" 2>/dev/null || break
  sleep 0.1
done
grep '"listening"' "$work/listen.out"

say alice "echo 'see you at 8?' | p2p-send bob --json --wait 30s"
say bob 'p2p-inbox list'
say bob 'p2p-inbox cat @'
[ "$(P2P_HOME="$work/bob" p2p-inbox cat @ 2>/dev/null)" = 'see you at 8?' ]

mail=$(find "$work/bob/inbox/new" "$work/bob/inbox/cur" -type f)
[ "$(printf '%s\n' "$mail" | wc -l)" = 1 ]
printf '\nbob$ cat %s\n' "inbox/${mail#"$work/bob/inbox/"}"
cat "$mail"

printf '\nThe message crossed. Two machines work the same: hand over the tokens, keep p2p-listen running.\n'
