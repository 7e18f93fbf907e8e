#!/usr/bin/env bash
# natlab.sh - a NAT / firewall test bed built from network namespaces.
#
# Everything lives in namespaces named "$NATLAB-*" (default prefix: nl); nothing
# is attached to the host network and no host sysctl, route or rule is changed.
# Needs root, iproute2, procps, nftables (>= 1.0), conntrack; miniupnpd with its nftables
# back end for the `upnp` type; python3 and wire.py (beside this script) for `delay`.
#
#        LAN A            WAN A                       WAN B            LAN B
#   [a] ------- [na] (- [ca]) -------- [inet] -------- ([cb] -) [nb] ------- [b]
#  peer A       NAT A    CGN A      "the internet"      CGN B   NAT B      peer B
#                                       |
#                                      [c]  public host C (two addresses: .130 .131)
#
# `inet` is a plain router that drops whatever it would forward with a TTL below $HOPS
# (default 8, the depth of a real path), so a packet sent with a low TTL (2..8, or
# 3..9 behind a CGN) opens its own NAT and never reaches the other one.
#
# Usage:
#   natlab.sh up TYPE_A TYPE_B     (re)build the lab; idempotent
#   natlab.sh up same TYPE         hairpin: peers A and B behind the same NAT A
#   natlab.sh down                 remove everything this prefix created
#   natlab.sh reset                forget all NAT state (conntrack + cone maps)
#   natlab.sh exec NODE CMD...     run CMD inside a|b|c|na|nb|ca|cb|inet
#   natlab.sh loss PERCENT         drop that share of packets in `inet` (0 = off)
#   natlab.sh blockudp on|off      drop all UDP crossing `inet`
#   natlab.sh udptimeout SECONDS   UDP mapping life on every NAT (default 30/120)
#   natlab.sh newip a|b            give that NAT another WAN address (roaming test)
#   natlab.sh delay MS [JITTER]    one-way delay on each side's access line (0 = off)
#   natlab.sh env                  print addresses as shell assignments
#   natlab.sh types                list the NAT types
#
# NAT types (each has an outside firewall that drops unsolicited input, except
# `coneopen`):
#   cone      Linux `masquerade`: port preserving; address+port dependent filter
#   coneopen  same, but the router itself answers unsolicited UDP (ICMP
#             unreachable). An early packet then occupies the 5-tuple and the
#             router moves our mapping to another port: the classic punch killer.
#   eim       endpoint-independent mapping, port NOT preserved (random but stable)
#             for local ports 40000-40511; address+port dependent filter
#   addr      port preserving, address-dependent filter (restricted cone)
#   full      port preserving, endpoint-independent filter (full cone)
#   sym       `masquerade random,fully-random`: new random port per destination
#   cgn       home `cone` behind a carrier `cone`    (double NAT, RFC 6598 space)
#   cgnsym    home `cone` behind a carrier `sym`
#   cgnupnp   `cgn`, the home router with miniupnpd as well: it can open nothing
#   upnp      `cone` + miniupnpd (UPnP IGD, NAT-PMP and PCP) on the LAN side
#   fw        no NAT: public addresses (v4+v6) behind a stateful firewall
#   open      no NAT, no firewall
#   fw6       v4 is `sym`; v6 is public behind a stateful firewall
set -euo pipefail

P=${NATLAB:-nl}
STATE=/run/natlab-$P
HERE=$(cd "$(dirname "$0")" && pwd)
HOPS=${HOPS:-8}
HAIRPIN=${HAIRPIN:-0}          # `up same`: 1 = the NAT loops LAN->WAN address back
TYPES="cone coneopen eim addr full sym cgn cgnsym cgnupnp upnp fw open fw6"

# --- addresses --------------------------------------------------------------------
# 11.22.33.0/24 and 11.22.44.0/24 play the public internet. They are ordinary
# unicast space on purpose: miniupnpd refuses, and software under test may treat as
# private, the documentation ranges. Nothing here can leave the namespaces.
C1=11.22.33.130; C2=11.22.33.131; C6=2001:db8:c::130
side() { # per-side constants -> globals S_*
  case $1 in
    a) S_WAN=11.22.33.10;  S_WAN2=11.22.33.20;  S_GW=11.22.33.1;  S_LAN=192.168.1; S_PUB=11.22.44.2;  S_PUBGW=11.22.44.1
       S_CGN=100.64.1; S_V6=2001:db8:a ;;
    b) S_WAN=11.22.33.74;  S_WAN2=11.22.33.84;  S_GW=11.22.33.65; S_LAN=192.168.2; S_PUB=11.22.44.66; S_PUBGW=11.22.44.65
       S_CGN=100.64.2; S_V6=2001:db8:b ;;
  esac
}

die()  { echo "natlab: $*" >&2; exit 1; }
ns()   { local n=$1; shift; ip netns exec "$P-$n" "$@"; }
mkns() { ip netns add "$P-$1"; ns "$1" ip link set lo up
         ns "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0; }
router() { ns "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; }
# link NS1 IF1 NS2 IF2: a veth pair with both ends up
link() { ip -n "$P-$1" link add "$2" type veth peer name "$4" netns "$P-$3"
         ip -n "$P-$1" link set "$2" up; ip -n "$P-$3" link set "$4" up; }
addr() { ip -n "$P-$1" addr add "$3" dev "$2"; }   # addr NS IF CIDR
# stop PIDFILE: end the process we started, if it still runs
stop() { [[ ! -f $1 ]] || { kill "$(cat "$1")" 2>/dev/null || true; rm -f "$1"; }; }
gw()   { ip -n "$P-$1" route replace default via "$2"; }

# --- rule sets ------------------------------------------------------------------
# filter NS drop|open NAT(1|0): outside firewall. Interfaces: wan, lan.
# `open` makes the router accept input itself; with NAT=0 it forwards everything too.
filter() {
  local pol=$2 unsolicited=""
  [[ $2 == open ]] && pol=accept
  [[ $2 == open && $3 == 0 ]] && unsolicited="accept"
  ns "$1" nft -f - <<N
table inet filter {
  chain input {
    type filter hook input priority 0; policy $pol;
    iifname { "lo", "lan" } accept
    ct state established,related accept
    ip protocol icmp accept
    ip6 nexthdr icmpv6 accept
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
    iifname "lan" accept
    ct state established,related accept
    ct status dnat accept
    ip6 nexthdr icmpv6 accept
    $unsolicited
  }
}
N
}

# nat NS TYPE EXT: the IPv4 translation
nat() {
  local n=$1 t=$2 ext=$3 masq=masquerade
  [[ $t == sym ]] && masq="masquerade random,fully-random"
  {
    echo "table ip nat {"
    case $t in
      full) cat <<N
  map fc { type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 120s; }
  chain learn { type filter hook forward priority 10; oifname "wan" meta l4proto udp update @fc { udp sport : ip saddr . udp sport } ; }
  chain pre   { type nat hook prerouting priority dstnat; iifname "wan" meta l4proto udp dnat ip to udp dport map @fc ; }
N
      ;;
      addr) cat <<N
  map rc { type inet_service . ipv4_addr : ipv4_addr . inet_service; flags dynamic,timeout; timeout 120s; }
  chain learn { type filter hook forward priority 10; oifname "wan" meta l4proto udp update @rc { udp sport . ip daddr : ip saddr . udp sport } ; }
  chain pre   { type nat hook prerouting priority dstnat; iifname "wan" meta l4proto udp dnat ip to udp dport . ip saddr map @rc ; }
N
      ;;
      eim)  # a fixed random permutation local port -> outside port
        echo "  map eim { type inet_service : ipv4_addr . inet_service; elements = {"
        paste -d' ' <(seq 40000 40511) <(shuf -i 20000-30000 -n 512) |
          while read -r i o; do echo "    $i : $ext . $o,"; done
        echo "  } }" ;;
    esac
    echo "  chain post { type nat hook postrouting priority srcnat;"
    [[ $t == eim ]] && echo "    oifname \"wan\" udp sport 40000-40511 snat ip to udp sport map @eim"
    echo "    oifname \"wan\" $masq"
    [[ $HAIRPIN == 1 ]] && echo "    iifname \"lan\" oifname \"lan\" ip saddr $S_LAN.0/24 ct status dnat masquerade"
    echo "  }"
    if [[ $HAIRPIN == 1 && $t == full ]]; then
      echo "  chain hair { type nat hook prerouting priority dstnat + 1; iifname \"lan\" ip daddr $ext meta l4proto udp dnat ip to udp dport map @fc ; }"
      echo "  chain hairlearn { type filter hook prerouting priority -150; iifname \"lan\" ip daddr $ext meta l4proto udp update @fc { udp sport : ip saddr . udp sport } ; }"
    fi
    echo "}"
  } | ns "$n" nft -f -
}

upnpd() { # miniupnpd on NAT $1, a line of its configuration, LAN prefix $3
  local d=$STATE/miniupnpd-$1; mkdir -p "$d"
  ns "$1" nft -f - <<N
table inet miniupnpd {
  chain forward     { type filter hook forward priority -10; policy accept; }
  chain prerouting  { type nat hook prerouting priority -100; policy accept; }
  chain postrouting { type nat hook postrouting priority 100; policy accept; }
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
}
add rule inet miniupnpd forward jump miniupnpd
add rule inet miniupnpd prerouting jump prerouting_miniupnpd
add rule inet miniupnpd postrouting jump postrouting_miniupnpd
N
  cat > "$d/conf" <<N
ext_ifname=wan
listening_ip=lan
$2
http_port=5000
enable_upnp=yes
enable_natpmp=yes
secure_mode=yes
upnp_table_name=miniupnpd
upnp_nat_table_name=miniupnpd
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
lease_file=$d/leases
uuid=11111111-2222-3333-4444-555555555555
min_lifetime=2
max_lifetime=86400
notify_interval=60
allow 1-65535 $3.0/24 1-65535
deny 0-65535 0.0.0.0/0 0-65535
N
  : > "$d/leases"
  ns "$1" miniupnpd -f "$d/conf" -P "$d/pid"
}

# --- building -------------------------------------------------------------------
# site SIDE TYPE: NAT box (and CGN box) + peer for one side
site() {
  local s=$1 t=$2 n=n$1 home; side "$s"
  mkns "$n"; router "$n"
  local upstream=$n
  if [[ $t == cgn || $t == cgnsym || $t == cgnupnp ]]; then          # carrier NAT between home and inet
    mkns "c$s"; router "c$s"; upstream=c$s
    link "c$s" lan "$n" wan
    addr "c$s" lan "$S_CGN.1/24"; addr "$n" wan "$S_CGN.10/24"; gw "$n" "$S_CGN.1"
    addr "c$s" lan "$S_V6:c::1/64"; addr "$n" wan "$S_V6:c::2/64"
  fi
  link inet "to-$s" "$upstream" wan
  addr inet "to-$s" "$S_GW/26"; addr "$upstream" wan "$S_WAN/26"; gw "$upstream" "$S_GW"
  addr inet "to-$s" "$S_V6:ffff::1/64"; addr "$upstream" wan "$S_V6:ffff::2/64"
  ip -n "$P-$upstream" -6 route replace default via "$S_V6:ffff::1"
  ip -n "$P-inet" -6 route add "$S_V6:1::/64" via "$S_V6:ffff::2"
  # LAN: a bridge, so that several peers can share it
  ip -n "$P-$n" link add lan type bridge; ip -n "$P-$n" link set lan up
  peer "$s" "$n" "$s" 2
  case $t in
    fw|open)
      addr "$n" lan "$S_PUBGW/26"
      ip -n "$P-inet" route add "${S_PUBGW%.*}.$(( ${S_PUBGW##*.} - 1 ))/26" via "$S_WAN"
      if [[ $t == fw ]]; then filter "$n" drop 0; else filter "$n" open 0; fi ;;
    cone|coneopen|eim|addr|full|sym|upnp|fw6)
      addr "$n" lan "$S_LAN.1/24"
      home=$t; [[ $t == coneopen || $t == upnp ]] && home=cone; [[ $t == fw6 ]] && home=sym
      if [[ $t == coneopen ]]; then filter "$n" open 1; else filter "$n" drop 1; fi
      nat "$n" "$home" "$S_WAN" ;;
    cgn|cgnsym|cgnupnp)
      addr "$n" lan "$S_LAN.1/24"
      filter "$n" drop 1; nat "$n" cone "$S_CGN.10"
      filter "c$s" drop 1; home=cone; [[ $t == cgnsym ]] && home=sym
      nat "c$s" "$home" "$S_WAN" ;;
    *) die "unknown type $t (have: $TYPES)" ;;
  esac
  if [[ $t == upnp ]]; then upnpd "$n" "ext_ip=$S_WAN" "$S_LAN"; fi
  if [[ $t == cgnupnp ]]; then upnpd "$n" "" "$S_LAN"; fi
  # IPv6 is routed (never translated) where the type offers it
  if [[ $t == fw || $t == open || $t == fw6 ]]; then
    addr "$n" lan "$S_V6:1::1/64"
    addr "$s" eth0 "$S_V6:1::2/64"; ip -n "$P-$s" -6 route replace default via "$S_V6:1::1"
  fi
}
# peer NODE NATNODE SIDE HOSTNUM: host on the LAN bridge of NATNODE
peer() {
  local type; mkns "$1"
  link "$2" "l-$1" "$1" eth0; ip -n "$P-$2" link set "l-$1" master lan
  type=$(cat "$STATE/type-$3")
  if [[ $type == fw || $type == open ]]; then
    addr "$1" eth0 "${S_PUB%.*}.$(( ${S_PUB##*.} - 2 + $4 ))/26"; gw_later "$1" "$S_PUBGW"
  else
    addr "$1" eth0 "$S_LAN.$4/24"; gw_later "$1" "$S_LAN.1"
  fi
}
gw_later() { ip -n "$P-$1" route replace default via "$2" 2>/dev/null || ip -n "$P-$1" route add default via "$2" dev eth0 onlink; }

up() {
  [[ $# == 2 ]] || die "usage: up TYPE_A TYPE_B | up same TYPE"
  local ta=$1 tb=$2 same=0
  if [[ $1 == same ]]; then same=1; ta=$2; tb=same; fi
  [[ " $TYPES " == *" $ta "* ]] || die "unknown type $ta (have: $TYPES)"
  [[ $same == 1 || " $TYPES " == *" $tb "* ]] || die "unknown type $tb (have: $TYPES)"
  down
  mkdir -p "$STATE"; echo "$ta" > "$STATE/type-a"; echo "$tb" > "$STATE/type-b"
  mkns inet; router inet
  ns inet nft -f - <<N
table inet hops {
  chain f {
    type filter hook forward priority -5;
    ip ttl < $HOPS drop
    ip6 hoplimit < $HOPS drop
  }
}
N
  # public host C
  mkns c; link inet to-c c eth0
  addr inet to-c 11.22.33.129/26; addr c eth0 $C1/26; addr c eth0 $C2/26; gw c 11.22.33.129
  addr inet to-c 2001:db8:c::1/64; addr c eth0 $C6/64
  ip -n "$P-c" -6 route replace default via 2001:db8:c::1
  site a "$ta"
  if [[ $same == 1 ]]; then side a; peer b na a 3; else site b "$tb"; fi
  env_ > "$STATE/env"
}

down() {
  local n p
  for p in "$STATE"/miniupnpd-*/pid "$STATE"/wire-*.pid; do stop "$p"; done
  # stop what still runs inside our own namespaces, then drop them
  for n in $(ip netns list | awk '{print $1}' | grep "^$P-" || true); do
    ip netns pids "$n" 2>/dev/null | xargs -r kill 2>/dev/null || true
    ip netns del "$n"
  done
  rm -rf "$STATE"
}

reset() {
  local n
  for n in na nb ca cb; do
    ip netns list | grep -q "^$P-$n\b" || continue
    ns $n conntrack -F >/dev/null 2>&1 || true
    ns $n nft flush map ip nat fc >/dev/null 2>&1 || true
    ns $n nft flush map ip nat rc >/dev/null 2>&1 || true
  done
}

loss() { # random loss on forwarding in `inet` (both directions), in 1/100 percent steps
  ns inet nft delete table inet loss 2>/dev/null || true
  local k; k=$(awk "BEGIN{printf \"%d\", $1*100}")
  [[ $k == 0 ]] && return
  ns inet nft -f - <<N
table inet loss {
  chain f {
    type filter hook forward priority 0;
    numgen random mod 10000 < $k counter drop
  }
}
N
}

blockudp() {
  ns inet nft delete table inet blockudp 2>/dev/null || true
  if [[ $1 == on ]]; then
    ns inet nft -f - <<'N'
table inet blockudp {
  chain f {
    type filter hook forward priority 0;
    meta l4proto udp drop
  }
}
N
  fi
}

udptimeout() {
  local n
  for n in na nb ca cb; do
    ip netns list | grep -q "^$P-$n\b" || continue
    ns $n sysctl -qw net.netfilter.nf_conntrack_udp_timeout="$1" net.netfilter.nf_conntrack_udp_timeout_stream="$1"
  done
}

newip() { # the ISP gives this site another address; old mappings die with it
  side "$1"; local n=n$1
  ip netns list | grep -q "^$P-c$1\b" && n=c$1
  ip -n "$P-$n" addr del "$S_WAN/26" dev wan; addr "$n" wan "$S_WAN2/26"
  gw "$n" "$S_GW"; ns "$n" conntrack -F >/dev/null 2>&1 || true
}

delay() { # no netem needed: cut each access line and splice in wire.py (a delay line)
  local s n f
  for f in "$STATE"/wire-*.pid; do stop "$f"; done
  for s in a b; do
    n=n$s; ip netns list | grep -q "^$P-c$s\b" && n=c$s
    ip netns list | grep -q "^$P-$n\b" || continue
    if ! ip netns list | grep -q "^$P-w$s\b"; then
      [[ $1 == 0 ]] && continue
      # both ends keep their names, addresses and routes: replace the veth by two
      mkns "w$s"; ns "w$s" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
      ip -n "$P-inet" link set "to-$s" down
      side "$s"; ip -n "$P-$n" link del wan
      link "w$s" w0 "$n" wan; link inet "to-$s" "w$s" w1; ns "w$s" ip link set w1 up
      addr inet "to-$s" "$S_GW/26"; addr "$n" wan "$S_WAN/26"; gw "$n" "$S_GW"
      addr inet "to-$s" "$S_V6:ffff::1/64"; addr "$n" wan "$S_V6:ffff::2/64"
      ip -n "$P-$n" -6 route replace default via "$S_V6:ffff::1"
      ip -n "$P-inet" -6 route replace "$S_V6:1::/64" via "$S_V6:ffff::2"
      [[ $(cat "$STATE/type-$s") =~ ^(fw|open)$ ]] && ip -n "$P-inet" route replace "${S_PUBGW%.*}.$(( ${S_PUBGW##*.} - 1 ))/26" via "$S_WAN"
    fi
    ns "$n" python3 "$HERE/wire.py" --plain wan; ns inet python3 "$HERE/wire.py" --plain "to-$s"
    ip netns exec "$P-w$s" python3 "$HERE/wire.py" w0 w1 "$1" "${2:-0}" </dev/null >/dev/null 2>&1 &
    echo $! > "$STATE/wire-$s.pid"
  done
}

env_() {
  local ta tb; ta=$(cat "$STATE/type-a"); tb=$(cat "$STATE/type-b")
  echo "C1=$C1 C2=$C2 C6=$C6"
  side a; ext a "$ta" A
  if [[ $tb == same ]]; then
    case $ta in
      fw|open) echo "B_TYPE=same B_LOCAL=${S_PUB%.*}.3 B_EXT=${S_PUB%.*}.3 B_V6=" ;;
      *)       echo "B_TYPE=same B_LOCAL=$S_LAN.3 B_EXT=$S_WAN B_V6=" ;;
    esac
    return
  fi
  side b; ext b "$tb" B
}
ext() { # ext SIDE TYPE NAME
  case $2 in
    fw|open) echo "$3_TYPE=$2 $3_LOCAL=$S_PUB $3_EXT=$S_PUB $3_V6=$S_V6:1::2" ;;
    fw6)     echo "$3_TYPE=$2 $3_LOCAL=$S_LAN.2 $3_EXT=$S_WAN $3_V6=$S_V6:1::2" ;;
    *)       echo "$3_TYPE=$2 $3_LOCAL=$S_LAN.2 $3_EXT=$S_WAN $3_V6=" ;;
  esac
}

cmd=${1:-}; shift || true
case $cmd in
  up)         up "$@" ;;
  down)       down ;;
  reset)      reset ;;
  exec)       n=$1; shift; exec ip netns exec "$P-$n" "$@" ;;
  loss)       loss "$1" ;;
  blockudp)   blockudp "$1" ;;
  udptimeout) udptimeout "$1" ;;
  newip)      newip "$1" ;;
  delay)      delay "$@" ;;
  env)        cat "$STATE/env" ;;
  types)      echo "$TYPES" ;;
  *)          sed -n '2,/^set -/p' "$0" | sed '$d;s/^# \{0,1\}//'; exit 1 ;;
esac
