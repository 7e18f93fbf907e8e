#!/usr/bin/env bash
# test/deb.sh DEB: installs the package with dpkg -i as an administrator would, uses what it brought, and removes it.
# All of it happens in a copy of the machine that exists in memory only: an overlay over / in a mount namespace of its
# own. Where there is none to be had, on the machine itself if CI=true (a machine to throw away), else not at all: 77.

set -euo pipefail
deb=$(realpath "$1")

say() { printf '# %s\n' "$*"; }

use() {
  cd /
  unset P2P_HOME XDG_DATA_HOME XDG_RUNTIME_DIR
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive
  if dpkg -s p2p-messenger >/dev/null 2>&1 || compgen -G '/usr/bin/p2p*' >/dev/null; then
    echo 'p2p is installed here' >&2
    exit 77
  fi
  home=$(mktemp -d)
  trap 'dpkg -P p2p-messenger >/dev/null 2>&1 || true; rm -rf "$home"' EXIT

  dpkg -i "$1" >/dev/null
  [ "$(dpkg-query -W -f '${Status}' p2p-messenger)" = 'install ok installed' ]
  [ -z "$(dpkg -V p2p-messenger)" ] # every file as its sum says
  say "installed $(dpkg-query -W -f '${Version}' p2p-messenger)"

  cron=(env -i "HOME=$home")
  "${cron[@]}" /usr/bin/p2p-id init --name root --no-passphrase --addr 127.0.0.1
  "${cron[@]}" /usr/bin/p2p-send me -m 'out of the package' --json
  [ "$("${cron[@]}" /usr/bin/p2p-inbox cat @ 2>/dev/null)" = 'out of the package' ]
  [ "$("${cron[@]}" /usr/bin/p2p inbox list --id | wc -l)" = 1 ] # the commands find one another
  code=0
  "${cron[@]}" /usr/bin/p2p-send nobody -m x 2>/dev/null || code=$?
  [ "$code" = 67 ]
  for page in man1/p2p-send.1 man7/p2p.7 man5/p2p-spool.5; do
    # slim machines are told not to keep manual pages
    grep -rqs '^path-exclude.*/usr/share/man' /etc/dpkg || zcat "/usr/share/man/$page.gz" | grep -q '^\.Dd'
  done
  listening=$("${cron[@]}" timeout 4 /usr/bin/p2p-listen --json | head -n 1 || true)
  [[ $listening == *'"udp":true'* ]] # the machine code came along
  grep -q '^ExecStart="/usr/bin/p2p-listen"' /usr/lib/systemd/user/p2p-listen.service

  dpkg -r p2p-messenger >/dev/null
  [ -z "$(compgen -G '/usr/bin/p2p*')" ]
  for path in /usr/lib/p2p /usr/share/p2p /usr/share/doc/p2p-messenger; do [ ! -e "$path" ]; done
  [ -f "$home/.local/share/p2p/home.json" ] # messages are nobody's to remove but their owner's
  say 'removed'
}

# In the namespace: the copy, and everything above inside it.
inside() {
  mount -t tmpfs p2p-test "$top"
  mkdir "$top/upper" "$top/work" "$top/root"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" "$top/root"
  mount --rbind /dev "$top/root/dev"
  mount --rbind /proc "$top/root/proc"
  cp "$deb" "$0" "$top/root/"
  touch "$ready"
  exec env DEB_STEP=use chroot "$top/root" /bin/bash "/${0##*/}" "/${deb##*/}"
}

case ${DEB_STEP:-} in
  use) use "$deb" ;;
  inside) inside ;;
  *)
    [ "$(id -u)" = 0 ] || exit 77
    top=$(mktemp -d)
    ready=$(mktemp -u)
    export top ready
    status=0
    DEB_STEP=inside unshare --mount --propagation private bash "$0" "$deb" || status=$?
    if [ ! -e "$ready" ]; then
      [ "${CI:-}" = true ] || exit 77
      status=0
      say 'no overlay here: on the machine itself'
      DEB_STEP=use bash "$0" "$deb" || status=$?
    fi
    rm -f "$ready"
    rmdir "$top"
    exit "$status"
    ;;
esac
