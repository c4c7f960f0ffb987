#!/bin/sh
# base.sh ENGINE TAG: a base image of Debian's own packages, where no registry is reached. Needs root and mmdebstrap.
set -eu
tar=$(mktemp --suffix=.tar)
trap 'rm -f "$tar"' EXIT
mmdebstrap --mode=root --quiet --variant=minbase --include=ca-certificates,python3,python3-venv \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' trixie "$tar"
"$1" import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' \
    --change "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" "$tar" "$2"
