#!/bin/sh
# Installs the Debian packages that the tests and the benchmark talk to, or names them and stops.
set -eu
packages="postgresql gnupg postfix dovecot-imapd dovecot-lmtpd clamav-daemon openssl strace swaks libnet-ssleay-perl"
missing=""
for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -eq 0 ]; then
  run=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  run="sudo"
else
  echo "The tests need these Debian packages:$missing"
  echo "Install them and run this again:  sudo apt-get install --no-install-recommends$missing"
  exit 1
fi
echo "Installing$missing ..."
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq >/dev/null
# shellcheck disable=SC2086
$run apt-get install -y -qq --no-install-recommends $missing >/dev/null
