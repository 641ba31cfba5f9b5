#!/usr/bin/env bash
# fetch_haproxy.sh PREFIX - unpack the distribution's HAProxy into PREFIX, installing nothing.
#
# The package would start a service, so it is only downloaded, together with those of its libraries that
# this machine lacks. apt checks every file against the signed package lists. PREFIX/bin/haproxy runs it.
set -euo pipefail
export LC_ALL=C
prefix=${1:?usage: fetch_haproxy.sh PREFIX}
die() { printf 'fetch_haproxy: %s\n' "$*" >&2; exit 1; }
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "needs apt-get and dpkg-deb (Debian or Ubuntu)"

stage=$prefix.new.$$
rm -rf "$stage" && mkdir -p "$stage/debs"
chmod 777 "$stage/debs"    # apt downloads as its own user
trap 'rm -rf "$stage"' EXIT

# What an installation would add is HAProxy and its missing libraries.
packages=$(apt-get --simulate --no-install-recommends install haproxy 2>/dev/null | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
[ -n "$packages" ] || die "apt knows no package haproxy: run apt-get update"
# shellcheck disable=SC2086  # a list of names
( cd "$stage/debs" && apt-get -qq download $packages >/dev/null 2>&1 ) || die "download failed: run apt-get update and try again"
for deb in "$stage"/debs/*.deb; do dpkg-deb -x "$deb" "$stage"; done
rm -rf "$stage/debs"

mkdir -p "$stage/bin"
libraries=$(find "$stage/usr/lib" -name '*.so*' -printf '%h\n' | sort -u | sed "s#^$stage#$prefix#" | paste -sd:)
cat > "$stage/bin/haproxy" <<W
#!/bin/sh
LD_LIBRARY_PATH=$libraries exec $prefix/usr/sbin/haproxy "\$@"
W
chmod 755 "$stage/bin/haproxy"
rm -rf "$prefix" && mv "$stage" "$prefix"
"$prefix/bin/haproxy" -v | head -1
