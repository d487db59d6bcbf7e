#!/usr/bin/env bash
# Trains on a Cloud TPU slice of any size, driven from this machine, with the last commit of this checkout.
#
#   launch/tpu_vm.sh create --name=NAME --zone=ZONE [--accelerator=v5litepod-8] [--version=v2-alpha-tpuv5-lite] [--spot]
#   launch/tpu_vm.sh setup  --name=NAME --zone=ZONE
#   launch/tpu_vm.sh train  --name=NAME --zone=ZONE --workdir=WORKDIR [--config=configs/acd.py:sen12] [--data_dir=DIR]
#                           [-- --config.train.batch_size=64 ...]
#   launch/tpu_vm.sh log    --name=NAME --zone=ZONE                      follows the first worker's log
#   launch/tpu_vm.sh stop   --name=NAME --zone=ZONE                      saves and ends; `train` goes on from there
#   launch/tpu_vm.sh fetch  --name=NAME --zone=ZONE --workdir=WORKDIR    copies the workdir into runs/
#   launch/tpu_vm.sh delete --name=NAME --zone=ZONE
#
# --project=PROJECT where it is not gcloud's default; --dry_run prints the commands, to be read or pasted, and does
# nothing. TPU_NAME, TPU_ZONE, TPU_PROJECT, TPU_ACCELERATOR, TPU_VERSION and TPU_WORKDIR stand in for the options.
#
# WORKDIR and DIR are folders of the workers, relative ones below the checkout, or gs://BUCKET/FOLDER, which Cloud
# Storage FUSE (gcsfuse) mounts. A slice of several hosts needs a gs:// workdir, for it must be the same on all of them;
# so does a spot slice, which is lost when it is preempted: delete, create, setup, train, and the run goes on.
# batch_size must be divisible by the number of chips times micro_batches; `train` says so in the log where it is not.
set -euo pipefail

main() {
  local command=${1:-} dry_run=false spot=false config=configs/acd.py:sen12 data_dir="" overrides=()
  local name=${TPU_NAME:-} zone=${TPU_ZONE:-} project=${TPU_PROJECT:-} workdir=${TPU_WORKDIR:-}
  local accelerator=${TPU_ACCELERATOR:-v5litepod-8} version=${TPU_VERSION:-v2-alpha-tpuv5-lite}
  case $command in
    create | setup | train | log | stop | fetch | delete) shift ;;
    -h | --help | help) sed -n '2,/^set -/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;;
    *) fail "Unknown command '$command'; known: create, setup, train, log, stop, fetch, delete." ;;
  esac
  while (($#)); do
    case $1 in
      --dry_run) dry_run=true ;;
      --spot) spot=true ;;
      --name=* | --zone=* | --project=* | --workdir=* | --accelerator=* | --version=* | --config=* | --data_dir=*)
        local option=${1%%=*}
        printf -v "${option#--}" %s "${1#*=}" ;;
      --) shift && overrides=("$@") && break ;;
      *) fail "Unknown option '$1'; options are written --name=VALUE, flags of the training come after --." ;;
    esac
    shift
  done
  need --name TPU_NAME "$name"
  need --zone TPU_ZONE "$zone"
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  local where=(--zone="$zone" ${project:+--project="$project"})
  "$command"
}

create() {
  local as_spot=()
  if $spot; then as_spot=(--spot); fi
  tpu_vm create "$name" --accelerator-type="$accelerator" --version="$version" ${as_spot[@]+"${as_spot[@]}"}
}

setup() {
  git diff --quiet HEAD || echo "Only what is committed is sent; this checkout has changes that are not." >&2
  run mkdir -p build
  run git bundle create --quiet build/sar2opt_jax.bundle HEAD
  tpu_vm scp build/sar2opt_jax.bundle "$name:sar2opt_jax.bundle" --worker=all
  # The workers' own Python may be too old: uv brings one.
  on all "git init --quiet sar2opt_jax && cd sar2opt_jax" \
    "git fetch --quiet ../sar2opt_jax.bundle HEAD && git checkout --quiet --force --detach FETCH_HEAD" \
    "python3 -m pip install --quiet --user uv" \
    "python3 -m uv venv --quiet --allow-existing --python '>=3.11' .venv" \
    "python3 -m uv pip install --quiet --python .venv/bin/python -c constraints.txt -e '.[tpu]'"
}

train() {
  need --workdir TPU_WORKDIR "$workdir"
  local flags=(--config="$config" --workdir="$(mounted "$workdir")" --multihost)
  if [[ -n $data_dir ]]; then flags+=(--config.data.data_dir="$(mounted "$data_dir")"); fi
  on all "cd sar2opt_jax" "$(mount_bucket "$workdir")" "$(mount_bucket "$data_dir")" \
    "{ nohup .venv/bin/python -m sar2opt_jax.main $(quote "${flags[@]}" ${overrides[@]+"${overrides[@]}"}) \
> ../train.log 2>&1 < /dev/null & }"
}

log() {
  on 0 "tail -n 50 -F train.log"
}

stop() {
  # The brackets keep the pattern from matching the command that it stands in.
  on all "pkill -TERM -f '[s]ar2opt_jax.main'"
}

fetch() {
  need --workdir TPU_WORKDIR "$workdir"
  run mkdir -p runs
  case $workdir in
    gs://*) run gcloud storage cp --recursive "$workdir" runs/ ;;
    /*) tpu_vm scp --recurse "$name:$workdir" runs/ --worker=0 ;;
    *) tpu_vm scp --recurse "$name:sar2opt_jax/$workdir" runs/ --worker=0 ;;
  esac
}

delete() {
  tpu_vm delete "$name" --quiet
}

# A gcloud command on the TPU VM.
tpu_vm() {
  run gcloud compute tpus tpu-vm "$@" "${where[@]}"
}

# Shell commands on a worker or on all; each runs if the one before succeeded, empty ones are left out.
on() {
  local worker=$1 joined="" part
  for part in "${@:2}"; do
    if [[ -n $part ]]; then joined+="${joined:+ && }$part"; fi
  done
  tpu_vm ssh "$name" --worker="$worker" --command="$joined"
}

# Where a folder stands on a worker.
mounted() {
  echo "${1/#gs:\/\//\/mnt\/}"
}

# The command that makes the bucket of a gs:// folder stand there; nothing for other folders.
mount_bucket() {
  if [[ $1 != gs://* ]]; then return; fi
  local bucket=${1#gs://}
  bucket=$(quote "${bucket%%/*}")
  # Orbax names a finished checkpoint by renaming its folder.
  echo "{ mountpoint -q /mnt/$bucket || { { command -v gcsfuse > /dev/null || sudo apt-get install -qy gcsfuse; } &&" \
    "sudo mkdir -p /mnt/$bucket && sudo chown \$USER /mnt/$bucket &&" \
    "gcsfuse --implicit-dirs --rename-dir-limit=100000 $bucket /mnt/$bucket; }; }"
}

# Runs a command, or with --dry_run prints it as it can be pasted.
run() {
  if $dry_run; then quote "$@"; else "$@"; fi
}

# Words as a shell reads them back.
quote() {
  local word words=() mark="'"
  for word in "$@"; do
    if [[ ! $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then word="'${word//$mark/$mark\\$mark$mark}'"; fi
    words+=("$word")
  done
  echo "${words[*]}"
}

need() {
  if [[ -z $3 ]]; then fail "$1=VALUE is needed, or $2 in the environment."; fi
}

fail() {
  echo "$1 See launch/tpu_vm.sh --help." >&2
  exit 2
}

main "$@"
