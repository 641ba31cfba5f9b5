#!/usr/bin/env bash
# fetch_server.sh PREFIX PRODUCT VERSION - unpack a server (mysql or mariadb) and its clients, or mysql-router, from
# Debian sid into PREFIX, installing nothing. VERSION is what has to be there, such as 9.7.
#
# * A private apt state with an empty list of installed packages resolves and downloads every package
#   down to the C library, because the machine's own libraries may be too old.
# * The mirror is the one in the machine's apt sources. It is neither printed nor kept.
# * Nothing unsigned: the index must carry the signature of Debian's archive key, every package must have the
#   SHA256 of that index, and any warning of apt ends the script.
# * PREFIX/bin/* run the programs with PREFIX's own loader and libraries. PREFIX/MANIFEST lists the packages.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

usage='usage: fetch_server.sh PREFIX PRODUCT VERSION'
prefix=${1:?$usage} product=${2:?$usage} version=${3:?$usage}
suite=sid packages=("$product-server-core" "$product-client-core")
# Unpacked without what they depend on, for the authentication plugins in them.
plugins=()
case $product in
  mysql)   server=mysqld programs=(mysqld mysql mysqladmin mysqldump) ;;
  mariadb) server=mariadbd programs=(mariadbd mariadb my_print_defaults resolveip) plugins=(mariadb-server) ;;
  mysql-router) server=mysqlrouter programs=(mysqlrouter) packages=(mysql-router) ;;
  *) printf '%s\n' "$usage" >&2; exit 1 ;;
esac
key=/usr/share/keyrings/debian-archive-keyring.gpg
host=
say() { printf 'fetch_server: %s\n' "$*"; }
die() { printf 'fetch_server: %s\n' "$*" >&2; exit 1; }
# apt's messages, without the mirror's name
fail() { sed -E "s#[a-z+]+://[^ ]+#<mirror>#g; s#${host//./\\.}#<mirror>#g" "$work/log" >&2; die "$*"; }

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "needs apt-get and dpkg-deb (Debian)"
[ -r "$key" ] || die "Debian's archive keyring is not there: install debian-archive-keyring"
mkdir -p "$(dirname "$prefix")"
prefix=$(cd "$(dirname "$prefix")" && pwd)/$(basename "$prefix")
stage=$prefix.new.$$
work=$(mktemp -d); chmod 755 "$work"
trap 'rm -rf "$work" "$stage"' EXIT
mkdir -p "$work"/{lists/partial,state,cache,debs/partial}
: > "$work/state/status"

# --- the mirror of the machine's own release, asked for another suite ---
codename=$(. /etc/os-release; printf %s "$VERSION_CODENAME")
mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' "Release: $codename" 2>/dev/null | sort -u | head -1)
host=$(printf %s "$mirror" | sed -E 's#^[a-z+]+://##; s#/.*##; s#^.*@##; s#:[0-9]+$##')
[ -n "$host" ] || die "this machine's apt sources have no Debian mirror"
( umask 077
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: %s\nSigned-By: %s\n' \
    "$mirror" "$suite" "$(dpkg --print-architecture)" "$key" > "$work/debian.sources" )
[ "$(id -u)" != 0 ] || chown _apt "$work/debian.sources" "$work/lists/partial" "$work/debs/partial"

# The machine's hooks must not run on the private state.
cat > "$work/apt.conf" <<C
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
C
apt=( -c "$work/apt.conf" -qq -y
  -o Dir::Etc::sourcelist="$work/debian.sources" -o Dir::Etc::sourceparts=/dev/null
  -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
  -o Dir::State="$work/state" -o Dir::State::status="$work/state/status" -o Dir::State::lists="$work/lists"
  -o Dir::Cache="$work/cache" -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=true
  -o Acquire::AllowInsecureRepositories=false -o APT::Get::AllowUnauthenticated=false
  -o Acquire::ForceHash=SHA256 -o Acquire::Languages=none -o Acquire::Retries=3
  -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
  -o APT::Install-Recommends=false -o APT::Install-Suggests=false )

# --- index, list of packages, download ---
apt-get "${apt[@]}" update > "$work/log" 2>&1 || fail "Debian $suite cannot be read"
! grep -q '^[WE]:' "$work/log" || fail "apt warns about Debian $suite: refused"
apt-get "${apt[@]}" --print-uris install "${packages[@]}" > "$work/uris" 2> "$work/log" || fail "$suite cannot install ${packages[*]}"
if [ ${#plugins[@]} != 0 ]; then
  apt-get "${apt[@]}" --print-uris download "${plugins[@]}" >> "$work/uris" 2> "$work/log" || fail "$suite has no ${plugins[*]}"
fi
found=$(sed -nE "s#.* ${packages[0]}_([^_]*)_.*#\1#p" "$work/uris")
case ${found#*%3a} in "$version".*) ;; *) die "$suite has $product ${found:-of no version}, wanted $version" ;; esac
say "downloading $product $found: $(awk '{n++; b+=$3} END{printf "%d packages, %d MiB", n, b/1048576}' "$work/uris")"
apt-get "${apt[@]}" --download-only install "${packages[@]}" > "$work/log" 2>&1 || fail "download failed"
if [ ${#plugins[@]} != 0 ]; then
  ( cd "$work/debs" && apt-get "${apt[@]}" download "${plugins[@]}" ) > "$work/log" 2>&1 || fail "download failed"
fi

# --- check and unpack ---
rm -rf "$stage" && mkdir -p "$stage/bin"
while read -r _ file _ sum; do
  case $sum in SHA256:*) printf '%s  %s\n' "${sum#SHA256:}" "$file" ;; *) die "the index has no SHA256 of $file" ;; esac
done < "$work/uris" > "$stage/MANIFEST"
( cd "$work/debs" && sha256sum --quiet --check "$stage/MANIFEST" ) >&2 || die "a package differs from the index"
find "$work/debs" -maxdepth 1 -name '*.deb' -print0 | xargs -0 -P "$(nproc)" -n 1 sh -c 'dpkg-deb -x "$1" "$0" || exit 255' "$stage"
rm -rf "$stage"/usr/share/{doc,man,locale,perl}

# --- programs that find their own loader, libraries and files ---
loader=$(cd "$stage" && find . -name 'ld-linux*.so.*' | sort | head -1)
libc=$(cd "$stage" && find . -name libc.so.6 | head -1)
[ -n "$loader" ] && [ -n "$libc" ] || die "the packages have no C library"
triplet=$(basename "$(dirname "$libc")")
for program in "${programs[@]}"; do
  binary=$(cd "$stage" && find usr -path "usr/*bin/$program" -type f)
  [ -n "$binary" ] || die "the packages have no $program"
  files= own=
  case $program in
    mysqlrouter) own=:$prefix/usr/lib/mysql-router:$prefix/usr/lib/mysql-router/private ;;
    "$server") files=" --basedir=$prefix/usr --plugin-dir=$prefix/usr/lib/mysql/plugin --lc-messages-dir=$prefix/usr/share/$product --character-sets-dir=$prefix/usr/share/$product/charsets" ;;
  esac
  cat > "$stage/bin/$program" <<W
#!/bin/sh
export OPENSSL_MODULES=$prefix/usr/lib/$triplet/ossl-modules LIBMYSQL_PLUGIN_DIR=$prefix/usr/lib/mysql/plugin
export MARIADB_PLUGIN_DIR=$prefix/usr/lib/$triplet/libmariadb3/plugin
exec $prefix/$loader --argv0 $prefix/$binary --library-path $prefix/usr/lib/$triplet:$prefix/lib/$triplet$own $prefix/$binary "\$@"$files
W
  chmod 755 "$stage/bin/$program"
done
if [ "$product" = mariadb ]; then
  # A shell script, which is to find the programs above, and looks for the server in sbin/.
  ln -s bin "$stage/sbin"
  ln -s usr/share "$stage/share"
  printf '#!/bin/sh\nexec %s "$@" --basedir=%s\n' "$prefix/usr/bin/mariadb-install-db" "$prefix" > "$stage/bin/mariadb-install-db"
  chmod 755 "$stage/bin/mariadb-install-db"
fi
rm -rf "$prefix" && mv "$stage" "$prefix"
"$prefix/bin/$server" --version >/dev/null || { rm -rf "$prefix"; die "the server does not run on this machine"; }
say "unpacked into $prefix"
