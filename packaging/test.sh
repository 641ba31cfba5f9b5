#!/bin/sh
# Installs the Debian package FILE, looks at it as an operator does, and removes it, in an overlay of this machine that is gone
# afterwards. Usage, as root: packaging/test.sh FILE. Exit code 77: this machine allows no overlay.
set -eu

if [ "${1:-}" != --inside ]; then
    package=$(realpath "$1")
    script=$(realpath "$0")
    root=$(mktemp -d)
    trap 'rmdir "$root"' EXIT
    unshare --mount sh -eu -c '
        mount -t tmpfs tmpfs "$1" && mkdir "$1/upper" "$1/work" "$1/root" &&
        mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root" &&
        mount -t proc proc "$1/root/proc" && mount --bind /dev "$1/root/dev" || exit 77
        exec chroot "$1/root" sh "$2" --inside "$3"' sh "$root" "$script" "$package"
    exit
fi

fail() {
    echo "$*" >&2
    exit 1
}

# The file has to be in the overlay: what is mounted below / is not.
package=$2
dpkg --install "$package"

configuration=/etc/mysql-proxy/mysql-proxy.cnf
[ "$(stat -c %a:%U:%G $configuration)" = 640:root:mysql-proxy ] || fail "$configuration has other rights"
[ -e /etc/systemd/system/multi-user.target.wants/mysql-proxy.service ] || fail "the unit is not enabled"
complaints=$(systemd-analyze verify mysql-proxy.service 2>&1 | grep mysql-proxy || true)
[ -z "$complaints" ] || fail "the unit: $complaints"
systemd-analyze security --offline=true --threshold=20 mysql-proxy.service >/dev/null || fail "the unit is exposed"
bash -c '. /usr/share/bash-completion/completions/mysql-proxy && complete -p mysql-proxy' >/dev/null
for page in mysql-proxy mysql-proxy-check; do
    gzip -t "/usr/share/man/man1/$page.1.gz"
done
mysql-proxy --version

# As the unit starts it, on a free port.
log=$(mktemp)
setpriv --reuid=mysql-proxy --regid=mysql-proxy --clear-groups \
    /usr/bin/mysql-proxy --defaults-file=$configuration --proxy-address=127.0.0.1:0 --ssl-dir=/tmp/ssl >"$log" 2>&1 &
proxy=$!
for _ in $(seq 100); do
    grep -q "proxy listening" "$log" && break
    kill -0 $proxy || fail "it does not start: $(cat "$log")"
    sleep 0.1
done
grep -q "proxy listening" "$log" || fail "it does not listen: $(cat "$log")"

# What the operator changed stays through an upgrade.
echo "# changed" >>$configuration
dpkg --install "$package"
tail -n 1 $configuration | grep -q changed || fail "the configuration was overwritten"
kill -0 $proxy || fail "the upgrade ended the running process"
kill $proxy
wait $proxy || fail "it ended badly: $(cat "$log")"

dpkg --purge mysql-proxy
[ ! -e $configuration ] || fail "$configuration is still there"
[ ! -e /usr/bin/mysql-proxy ] || fail "the program is still there"
echo "the package installs, starts, upgrades and goes"
