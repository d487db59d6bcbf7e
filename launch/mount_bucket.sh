#!/usr/bin/env bash
# Mounts a Cloud Storage bucket at /mnt/BUCKET with gcsfuse, which it installs where it is missing (Debian, Ubuntu).
#
#   launch/mount_bucket.sh BUCKET
#
# The machine's service account must be allowed to read and write the bucket (roles/storage.objectUser).
set -euo pipefail

bucket=${1:?usage: launch/mount_bucket.sh BUCKET}
if mountpoint -q "/mnt/$bucket"; then exit; fi

if ! command -v gcsfuse > /dev/null; then
  key=/usr/share/keyrings/cloud.google.asc
  curl -fsS https://packages.cloud.google.com/apt/doc/apt-key.gpg | sudo tee "$key" > /dev/null
  echo "deb [signed-by=$key] https://packages.cloud.google.com/apt gcsfuse-$(lsb_release -cs) main" |
    sudo tee /etc/apt/sources.list.d/gcsfuse.list > /dev/null
  sudo apt-get update -q
  sudo apt-get install -qy gcsfuse
fi

sudo mkdir -p "/mnt/$bucket"
sudo chown "$USER" "/mnt/$bucket"
# Orbax names a finished checkpoint by renaming its folder, which is a copy in a bucket. Hosts of one run write to it
# side by side: none may answer from its own cache.
gcsfuse --implicit-dirs --rename-dir-limit=100000 --metadata-cache-ttl-secs=0 --metadata-cache-negative-ttl-secs=0 \
  "$bucket" "/mnt/$bucket"
