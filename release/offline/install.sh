#!/bin/sh
# Installs Wasl from this bundle and from nothing else.
#
#   ./install.sh                     as root: into /opt/wasl, with commands, users and units
#   ./install.sh --prefix DIR        as anybody: a virtual environment in DIR, and nothing outside it
#
# Run it again with a later bundle to upgrade; then restart the services. PYTHON names another Python.
set -eu

PREFIX=/opt/wasl
SYSTEM=yes
if [ "${1:-}" = --prefix ] && [ $# = 2 ]; then
    PREFIX=$2
    SYSTEM=no
elif [ $# != 0 ]; then
    sed -n '2,7p' "$0" >&2
    exit 2
fi
PYTHON=${PYTHON:-python3}
cd "$(dirname "$0")"

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

sha256sum --check --quiet --strict SHA256SUMS || fail "this bundle is damaged: fetch it again"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$PYTHON is older than 3.11"
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || fail "install the package python3-venv first"
[ $SYSTEM = no ] || [ "$(id -u)" = 0 ] || fail "run it as root, or with --prefix DIR"

"$PYTHON" -m venv "$PREFIX"
"$PREFIX/bin/python" -m pip --isolated --disable-pip-version-check --no-input install --quiet \
    --no-index --require-hashes --no-deps --find-links wheels --requirement requirements.lock

if [ $SYSTEM = yes ]; then
    install -d /usr/local/bin /etc/sysusers.d /etc/tmpfiles.d /etc/systemd/system /etc/wasl
    ln -sf "$PREFIX/bin/wasl-hub" "$PREFIX/bin/wasl-node" "$PREFIX/bin/wasl-desk" /usr/local/bin/
    install -m 0644 wasl.sysusers.conf /etc/sysusers.d/wasl.conf
    install -m 0644 wasl.tmpfiles.conf /etc/tmpfiles.d/wasl.conf
    install -m 0644 systemd/*.service /etc/systemd/system/
    systemd-sysusers wasl.conf
    for user in wasl-hub wasl-node; do  # as tmpfiles.d says, which needs a mounted /proc
        install -d -m 0700 -o "$user" -g "$user" "/var/lib/$user"
    done
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
    fi
fi
echo "Wasl is installed in $PREFIX. What comes next is in docs/install.md."
