#!/bin/sh
# Starts nginx in a container: fills nginx.conf in from the environment, as render.ts does (a test compares the two), and
# becomes nginx. Needs sh, sed, mkdir, rm and nginx in PATH, and writes nowhere but to RUN_DIR. All faults are reported at
# once, with exit code 1. Besides the template's variables, all required, it reads
#   RESOLVER         address of a name server, or "auto" for the first one of RESOLV_CONF; may be empty
#   TRUSTED_PROXIES  networks, separated by commas or blanks, for REAL_IP; may be empty
#   UNLIMITED        networks, the same way, to whose addresses the limits per client do not apply; may be empty
#   TEMPLATE         default: nginx.conf beside this file
#   RESOLV_CONF      default: /etc/resolv.conf
set -euf

template=${TEMPLATE:-${0%/*}/nginx.conf}
resolv_conf=${RESOLV_CONF:-/etc/resolv.conf}
faults=

fault() {
  faults="$faults$1
"
}

# A JSON string, as in render.ts.
quote() {
  escaped=$(printf '%s\n' "$1" |
    sed -e ':a' -e '$!{' -e 'N' -e 'ba' -e '}' -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/\n/\\n/g')
  printf '"%s"' "$escaped"
}

# nginx has no escape that is safe in every place a value goes to: only what needs none is let through. Neither does sed below.
word() {
  case $2 in
    '' | *[!]A-Za-z0-9_./:@[+,-]*)
      fault "Expected letters, digits and _./:@[]+,- for $1 but received $(quote "$2")"
      ;;
  esac
}

address() {
  word "$1" "${2% resolve}"
}

access_log() {
  word ACCESS_LOG "$1"
  if [ "$1" != off ]; then ACCESS_LOG="$1 request"; fi
}

# Sixteen digits may be more than a whole number that render.ts, or nginx, can count to.
count() {
  case $2 in
    '' | 0* | *[!0-9]* | ????????????????*)
      fault "Expected a positive integer for $1 but received ${2:-none}"
      ;;
  esac
}

# The first name server, in nginx' way of writing an IPv6 address.
find_resolver() {
  resolver=$(sed -n '/^nameserver[[:blank:]]/{s/^nameserver[[:blank:]]*//;s/[[:blank:]].*//;p;q;}' "$resolv_conf" 2>/dev/null) || :
  case $resolver in
    '') fault "Expected a nameserver in $resolv_conf for RESOLVER but received none" ;;
    *:*) resolver="[$resolver]" ;;
  esac
}

resolver_line() {
  resolver=$1
  if [ "$resolver" = auto ]; then find_resolver; fi
  RESOLVER=
  if [ -z "$resolver" ]; then return; fi
  word RESOLVER "$resolver"
  RESOLVER="resolver $resolver valid=10s;"
}

real_ip_lines() {
  REAL_IP=
  IFS=', '
  for network in $1; do
    word TRUSTED_PROXIES "$network"
    REAL_IP="${REAL_IP}set_real_ip_from $network; "
  done
  unset IFS
  if [ -n "$REAL_IP" ]; then REAL_IP="${REAL_IP}real_ip_header X-Forwarded-For; real_ip_recursive on;"; fi
}

unlimited_lines() {
  UNLIMITED=
  IFS=', '
  for network in $1; do
    word UNLIMITED "$network"
    UNLIMITED="${UNLIMITED:+$UNLIMITED }$network 0;"
  done
  unset IFS
}

stop_at_faults() {
  if [ -z "$faults" ]; then return; fi
  printf '%s' "$faults" >&2
  exit 1
}

word RUN_DIR "${RUN_DIR-}"
word LISTEN "${LISTEN-}"
word WAKE_LISTEN "${WAKE_LISTEN-}"
word WORKERS "${WORKERS-}"
count WORKER_CONNECTIONS "${WORKER_CONNECTIONS-}"
access_log "${ACCESS_LOG-}"
resolver_line "${RESOLVER-}"
real_ip_lines "${TRUSTED_PROXIES-}"
address PRIMARY_ADDRESS "${PRIMARY_ADDRESS-}"
word PRIMARY_HOST "${PRIMARY_HOST-}"
count PRIMARY_MAX_CONNS "${PRIMARY_MAX_CONNS-}"
address FALLBACK_ADDRESS "${FALLBACK_ADDRESS-}"
word FALLBACK_HOST "${FALLBACK_HOST-}"
count FALLBACK_MAX_CONNS "${FALLBACK_MAX_CONNS-}"
unlimited_lines "${UNLIMITED-}"
count RATE "${RATE-}"
count BURST "${BURST-}"
count CONNECTIONS "${CONNECTIONS-}"
if [ ! -r "$template" ]; then fault "Expected a readable file for TEMPLATE but received $(quote "$template")"; fi
stop_at_faults

names='RUN_DIR LISTEN WAKE_LISTEN WORKERS WORKER_CONNECTIONS ACCESS_LOG RESOLVER REAL_IP PRIMARY_ADDRESS PRIMARY_HOST
PRIMARY_MAX_CONNS FALLBACK_ADDRESS FALLBACK_HOST FALLBACK_MAX_CONNS UNLIMITED RATE BURST CONNECTIONS'
script=
for name in $names; do
  eval "value=\$$name"
  script="${script}s|[\$]{$name}|$value|g
"
done
mkdir -p "$RUN_DIR"
sed -e "$script" "$template" >"$RUN_DIR/nginx.conf"

# Every line broken before each name, so that one sed finds them all.
names_in() {
  sed -e 's/[$]{/\
/g' "$1" | sed -n 's/^\([A-Z][A-Z_]*\)}.*/\1/p'
}
for name in $(names_in "$RUN_DIR/nginx.conf"); do
  text="Expected a value for $name but received none"
  case $faults in *"$text"*) ;; *) fault "$text" ;; esac
done
wanted=" $(names_in "$template" | sed -e ':a' -e '$!{' -e 'N' -e 'ba' -e '}' -e 's/\n/ /g') "
for name in $names; do
  case $wanted in *" $name "*) ;; *) fault "Expected a place in the template for $name but received none" ;; esac
done
stop_at_faults

# A killed nginx leaves its sockets behind, and a new one does not start over them; the folder outlives the container.
set +f
rm -f "$RUN_DIR"/*.sock

exec nginx -p "$RUN_DIR" -c "$RUN_DIR/nginx.conf" -e stderr
