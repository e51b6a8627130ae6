#!/bin/sh
# The renderer of nginx.conf: replaces the template's variables by the environment's values. Without an argument it writes
# RUN_DIR/nginx.conf and becomes nginx, as in a container; `entrypoint.sh render` prints the configuration, for `npm start`
# and the tests. Needs sh, sed, mkdir, rm and nginx in PATH. Reports all faults at once, with exit code 1.
# Where PRIMARY_ADDRESS, CLOUDS_ADDRESS or DIGITS_ADDRESS is empty, its system is not deployed: its parts of the template are left out,
# and its other variables are not read (classify has WAKE_LISTEN and those of the fallback).
# Besides the variables of the template, which are required, it reads
#   RESOLVER         address of a name server, or "auto" for the first one of RESOLV_CONF; may be empty
#   TRUSTED_PROXIES  networks, separated by commas or blanks, for REAL_IP; may be empty
#   OPERATOR         origin of the operator port of `npm start`, which the page may ask; may be empty
#   LOG_SERVER       HOST:PORT that gets the access log too, by syslog over UDP; may be empty
#   UNLIMITED        networks, likewise, that are exempt from the limits per client; may be empty
#   CORS_ORIGINS     origins whose pages may ask, separated by commas or blanks, or * for all; may be empty
#   API_KEYS_FILE    a line for each key: NAME HASH, as ingress/README.md makes them; may be empty
#   TEMPLATE         default: nginx.conf beside this file
#   RESOLV_CONF      default: /etc/resolv.conf
# shellcheck disable=SC2005,SC2034,SC2046,SC2086 # lists of names are split at their blanks; eval reads variables
set -euf

template=${TEMPLATE:-${0%/*}/nginx.conf}
resolv_conf=${RESOLV_CONF:-/etc/resolv.conf}
faults=

fault() {
  faults="$faults$1
"
}

# A JSON string.
quote() {
  escaped=$(printf '%s\n' "$1" |
    sed -e ':a' -e '$!{' -e 'N' -e 'ba' -e '}' -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/\n/\\n/g')
  printf '"%s"' "$escaped"
}

# nginx has no escape that is safe in every place: only characters that need none pass. sed below needs none either.
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

log_server() {
  LOG_SERVER=
  if [ -z "$1" ]; then return; fi
  word LOG_SERVER "$1"
  if [ "${ACCESS_LOG-}" = off ]; then fault 'Expected a path for ACCESS_LOG, beside a LOG_SERVER, but received off'; fi
  LOG_SERVER="access_log syslog:server=$1,nohostname,tag=understudy request;"
}

# Sixteen digits may exceed the integers that nginx can hold.
count() {
  case $2 in
    '' | 0* | *[!0-9]* | ????????????????*)
      fault "Expected a positive integer for $1 but received ${2:-none}"
      ;;
  esac
}

# Per cent. nginx takes neither 0 nor 100 for a part.
trace_share() {
  case $1 in
    0) TRACE_SHARE='* 00;' ;;
    100) TRACE_SHARE='* 01;' ;;
    [1-9] | [1-9][0-9] | [1-9].[0-9] | [1-9].[0-9][0-9] | 0.[1-9] | 0.[0-9][1-9]) TRACE_SHARE="$1% 01; * 00;" ;;
    *) fault "Expected 0 to 100, below 10 with two decimals at most, for TRACE_SHARE but received $(quote "$1")" ;;
  esac
}

# The first name server, an IPv6 address in the brackets that nginx wants.
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

# A directive for each network of a list: name, list, text before and after the network.
directives() {
  lines=
  IFS=', '
  for network in $2; do
    word "$1" "$network"
    lines="${lines:+$lines }$3$network$4;"
  done
  unset IFS
}

# The lines of a map for each origin.
cors_origins() {
  lines=
  IFS=', '
  for origin in $1; do
    known=$(printf '%s\n' "$origin" | sed -n -e 's#^https\{0,1\}://[a-z0-9.-]\{1,\}\(:[0-9]\{1,5\}\)\{0,1\}$#&#p' \
      -e 's#^https\{0,1\}://\[[0-9a-f:]\{1,\}\]\(:[0-9]\{1,5\}\)\{0,1\}$#&#p')
    case $lines in *"\"$origin\" "*) continue ;; esac # nginx takes each once
    if [ "$origin" = '*' ]; then
      lines="${lines:+$lines }\"~.\" *;"
    elif [ -n "$known" ] && [ "${origin%%'
'*}" = "$origin" ]; then # one line
      lines="${lines:+$lines }\"$known\" \$http_origin;"
    else
      fault "Expected origins such as https://example.org, or *, for CORS_ORIGINS but received $(quote "$origin")"
    fi
  done
  unset IFS
  CORS_ORIGINS=$lines CORS=
  if [ -z "$lines" ]; then
    absent="$absent cors"
    return
  fi
  for pair in Access-Control-Allow-Origin:origin Timing-Allow-Origin:origin Access-Control-Expose-Headers:cors_exposed \
    Access-Control-Allow-Methods:cors_methods Access-Control-Allow-Headers:cors_headers Access-Control-Max-Age:cors_seconds; do
    CORS="${CORS:+$CORS }add_header ${pair%:*} \$${pair#*:} always;"
  done
  CORS="$CORS add_header Vary Origin always;"
}

# The lines of a map for each key. No fault quotes a line: it may be a key itself.
api_keys() {
  API_KEYS=
  if [ -z "$1" ]; then
    absent="$absent keys"
    return
  fi
  if [ ! -r "$1" ] || [ -d "$1" ]; then
    fault "Expected a readable file for API_KEYS_FILE but received $(quote "$1")"
    return
  fi
  number=0 seen=' '
  while read -r name hash rest || [ -n "$name" ]; do
    number=$((number + 1))
    case $name in '' | '#'*) continue ;; esac
    if [ -n "$rest" ] || ! is_key "$name" 1 32 || ! is_key "$hash" 22 22; then
      fault "Expected a name and an MD5 in 22 characters on line $number for API_KEYS_FILE but received something else"
      continue
    fi
    # nginx does not tell capitals from small letters here.
    small=$(printf '%s\n' "$name" | sed 'y/ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz/')
    case $seen in *" $small "*) fault "Expected each name once for API_KEYS_FILE but received $name again on line $number" ;; esac
    seen="$seen$small "
    API_KEYS="${API_KEYS:+$API_KEYS }=$name \"$hash\";"
  done <"$1"
  if [ "$seen" = ' ' ]; then fault "Expected a key for API_KEYS_FILE but received a file without"; fi
}

# Whether a word has only characters of keys, and so many of them.
is_key() {
  case $1 in *[!A-Za-z0-9_-]*) return 1 ;; esac
  [ ${#1} -ge "$2" ] && [ ${#1} -le "$3" ]
}

# Whether a system is deployed, by its name, its path and its variables, the address first. Without, its variables are not read.
deployed() {
  system=$1 path=$2
  shift 2
  eval "value=\${$1-}"
  if [ -n "$value" ]; then
    address "$1" "$value"
    routes="$routes$path, "
    SYSTEMS="${SYSTEMS:+$SYSTEMS,}\"$system\""
    return
  fi
  absent="$absent $system"
  for name in "$@"; do eval "$name="; done
  return 1
}

# Checks the template: every variable in it has a value, and every value has a place. Each line is broken before each name.
check_template() {
  if [ ! -r "$template" ]; then
    fault "Expected a readable file for TEMPLATE but received $(quote "$template")"
    return
  fi
  wanted=" $(echo $(sed -e 's/[$]{/\
/g' "$template" | sed -n 's/^\([A-Z][A-Z_]*\)}.*/\1/p')) "
  for name in $wanted; do
    text="Expected a value for $name but received none"
    case " $names $faults" in *" $name "* | *"$text"*) ;; *) fault "$text" ;; esac
  done
  for name in $names; do
    case $wanted in *" $name "*) ;; *) fault "Expected a place in the template for $name but received none" ;; esac
  done
}

render() {
  script=
  for part in $absent; do
    script="$script/^ *# \[$part\$/,/^ *# $part\]\$/d
"
  done
  for name in $names; do
    eval "value=\$$name"
    script="${script}s|[\$]{$name}|$value|g
"
  done
  sed -e "$script" "$template"
}

classify='PRIMARY_ADDRESS PRIMARY_HOST PRIMARY_MAX_CONNS FALLBACK_ADDRESS FALLBACK_HOST FALLBACK_MAX_CONNS WAKE_LISTEN'
clouds='CLOUDS_ADDRESS CLOUDS_HOST CLOUDS_MAX_CONNS'
digits='DIGITS_ADDRESS DIGITS_HOST DIGITS_MAX_CONNS'
names="RUN_DIR SITE SYSTEMS OPERATOR LISTEN WORKERS WORKER_CONNECTIONS ACCESS_LOG RESOLVER REAL_IP ROUTES $classify $clouds $digits UNLIMITED RATE BURST CONNECTIONS TRACE_SHARE LOG_SERVER CORS CORS_ORIGINS API_KEYS"
routes=
absent=
SYSTEMS=

word RUN_DIR "${RUN_DIR-}"
word SITE "${SITE-}"
OPERATOR=${OPERATOR-}
if [ -n "$OPERATOR" ]; then word OPERATOR "$OPERATOR"; fi
word LISTEN "${LISTEN-}"
word WORKERS "${WORKERS-}"
count WORKER_CONNECTIONS "${WORKER_CONNECTIONS-}"
access_log "${ACCESS_LOG-}"
log_server "${LOG_SERVER-}"
resolver_line "${RESOLVER-}"
directives TRUSTED_PROXIES "${TRUSTED_PROXIES-}" 'set_real_ip_from ' ''
REAL_IP=${lines:+$lines real_ip_header X-Forwarded-For; real_ip_recursive on;}
directives UNLIMITED "${UNLIMITED-}" '' ' 0'
UNLIMITED=$lines
cors_origins "${CORS_ORIGINS-}"
api_keys "${API_KEYS_FILE-}"
count RATE "${RATE-}"
count BURST "${BURST-}"
count CONNECTIONS "${CONNECTIONS-}"
trace_share "${TRACE_SHARE-}"
if deployed classify /classify $classify; then
  word PRIMARY_HOST "${PRIMARY_HOST-}"
  count PRIMARY_MAX_CONNS "${PRIMARY_MAX_CONNS-}"
  address FALLBACK_ADDRESS "${FALLBACK_ADDRESS-}"
  word FALLBACK_HOST "${FALLBACK_HOST-}"
  count FALLBACK_MAX_CONNS "${FALLBACK_MAX_CONNS-}"
  word WAKE_LISTEN "${WAKE_LISTEN-}"
fi
if deployed clouds /infer $clouds; then
  word CLOUDS_HOST "${CLOUDS_HOST-}"
  count CLOUDS_MAX_CONNS "${CLOUDS_MAX_CONNS-}"
fi
if deployed digits /predict $digits; then
  word DIGITS_HOST "${DIGITS_HOST-}"
  count DIGITS_MAX_CONNS "${DIGITS_MAX_CONNS-}"
fi
if [ -z "$routes$faults" ]; then
  fault 'Expected an address for PRIMARY_ADDRESS, CLOUDS_ADDRESS or DIGITS_ADDRESS but received none'
fi
ROUTES="${routes%, } or /healthz"
check_template
if [ -n "$faults" ]; then
  printf '%s' "$faults" >&2
  exit 1
fi

if [ "${1-}" = render ]; then
  render
  exit
fi
mkdir -p "$RUN_DIR"
render >"$RUN_DIR/nginx.conf"
# A killed nginx leaves its sockets behind, and a new one does not start over them; the folder outlives the container.
set +f
rm -f "$RUN_DIR"/*.sock
exec nginx -p "$RUN_DIR" -c "$RUN_DIR/nginx.conf" -e stderr
