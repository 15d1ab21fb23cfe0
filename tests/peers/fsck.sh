#!/bin/sh
# fsck.sh FSCK URL VKEY_FILE [ORIGIN]: Tessera's fsck over a tlog-tiles log, with a verdict in the exit status.
#
# The program itself exits 0 whatever it finds and tells on standard error only. So a pass is what it says of one.
set -eu
fsck=$1 url=$2 key=$3
shift 3
told=$("$fsck" --ui=false --v=1 --storage_url="$url" --public_key="$key" ${1:+--origin="$1"} 2>&1) || {
    printf '%s\n' "$told" >&2
    exit 1
}
printf '%s\n' "$told"
case $told in
*"fsck failed"*) exit 1 ;;
*"Successfully fsck'd log"*) exit 0 ;;
*) exit 1 ;;
esac
