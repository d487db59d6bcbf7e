#!/usr/bin/env bash
# Trains on a Cloud TPU slice of any size, driven from this machine, with the last commit of this checkout.
#
#   launch/tpu_vm.sh watch  --name=NAME --zone=ZONE --workdir=gs://BUCKET/RUN [options of create and train]
#                           creates the slice, sets it up and trains; again whenever it is preempted, until the end
#
#   launch/tpu_vm.sh create --name=NAME --zone=ZONE [--accelerator=v5litepod-8] [--version=v2-alpha-tpuv5-lite]
#                           [--spot | --reserved] [--queued]             --queued waits in line for the capacity
#   launch/tpu_vm.sh state  --name=NAME --zone=ZONE                      READY, ACTIVE, PREEMPTED, SUSPENDED, ...
#   launch/tpu_vm.sh setup  --name=NAME --zone=ZONE
#   launch/tpu_vm.sh train  --name=NAME --zone=ZONE --workdir=WORKDIR [--config=configs/acd.py:sen12] [--data_dir=DIR]
#                           [-- --config.train.batch_size=64 ...]
#   launch/tpu_vm.sh status --name=NAME --zone=ZONE                      running, or the exit status of the training
#   launch/tpu_vm.sh log    --name=NAME --zone=ZONE                      follows the first worker's log
#   launch/tpu_vm.sh stop   --name=NAME --zone=ZONE                      saves and ends; `train` resumes from there
#   launch/tpu_vm.sh fetch  --name=NAME --zone=ZONE --workdir=WORKDIR    copies the workdir into runs/
#   launch/tpu_vm.sh delete --name=NAME --zone=ZONE
#
# With --queued (for all commands of that slice, or TPU_QUEUED=true) the slice is a queued resource of the same name.
# --project=PROJECT where it is not gcloud's default; --dry_run prints the commands, to be read or pasted, and does
# nothing: of watch, those of a slice that is not there yet. TPU_NAME, TPU_ZONE, TPU_PROJECT, TPU_ACCELERATOR,
# TPU_VERSION and TPU_WORKDIR stand in for the options.
#
# WORKDIR and DIR are folders of the workers, relative ones below the checkout, or gs://BUCKET/FOLDER, which
# launch/mount_bucket.sh mounts. A slice of several hosts needs a gs:// workdir, for it must be the same on all of them;
# so does watch, for a preempted slice is lost with its disks.
# batch_size must be divisible by the number of chips times micro_batches; `sar2opt plan` says so before anything is paid.
set -euo pipefail

POLL_SECONDS=${TPU_POLL_SECONDS:-60}
INTERRUPTED=75 # The status of a training that was told to stop and has saved.

main() {
  local command=${1:-} dry_run=false spot=false reserved=false queued=${TPU_QUEUED:-false}
  local config=configs/acd.py:sen12 data_dir="" overrides=()
  local name=${TPU_NAME:-} zone=${TPU_ZONE:-} project=${TPU_PROJECT:-} workdir=${TPU_WORKDIR:-}
  local accelerator=${TPU_ACCELERATOR:-v5litepod-8} version=${TPU_VERSION:-v2-alpha-tpuv5-lite}
  case $command in
    watch | create | state | setup | train | status | log | stop | fetch | delete) shift ;;
    -h | --help | help) sed -n '2,/^set -/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;;
    *) fail "Unknown command '$command'; known: watch, create, state, setup, train, status, log, stop, fetch, delete." ;;
  esac
  while (($#)); do
    case $1 in
      --dry_run | --spot | --reserved | --queued) printf -v "${1#--}" %s true ;;
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
  if $spot && $reserved; then fail "--spot and --reserved exclude each other."; fi
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  local where=(--zone="$zone" ${project:+--project="$project"})
  "$command"
}

create() {
  local tier=()
  if $spot; then tier=(--spot); fi
  if $reserved; then tier=(--reserved); fi
  if $queued; then
    queue create "$name" --node-id="$name" --accelerator-type="$accelerator" --runtime-version="$version" \
      ${tier[@]+"${tier[@]}"}
  else
    tpu_vm create "$name" --accelerator-type="$accelerator" --version="$version" ${tier[@]+"${tier[@]}"}
  fi
}

# Nothing where there is no such slice; any other failure, such as of the login, is one.
state() {
  local said
  local describe=(tpu_vm describe "$name" --format="value(state)")
  if $queued; then describe=(queue describe "$name" --format="value(state.state)"); fi
  said=$("${describe[@]}" 2>&1) || [[ $said == *NOT_FOUND* ]] || fail "$said"
  if [[ $said != *NOT_FOUND* ]]; then echo "${said##*$'\n'}"; fi # Warnings come first.
}

# Each round looks at the slice, then at the training on it, and does the one thing that is missing.
watch() {
  need --workdir TPU_WORKDIR "$workdir"
  if [[ $workdir != gs://* ]]; then fail "watch needs a gs:// workdir: a preempted slice is lost with its disks."; fi
  local step found ended failed=""
  if $dry_run; then
    for step in state create setup train status; do "$step"; done
    return
  fi
  while true; do
    found=$(state)
    # Each step on a line of its own: in a list of && the shell would go on after a failure within it.
    case $found in
      "") create ;;
      PREEMPTED | TERMINATED | SUSPENDED | FAILED)
        say "The slice is $found: creating it again."
        delete ;;
      READY | ACTIVE)
        # A worker that does not answer may be on its way out: the slice's state will say so.
        ended=$(status 2> /dev/null) || ended=silent
        case $ended in
          0)
            say "The training has ended; its results are in $workdir."
            return ;;
          running | silent) failed="" ;;
          "")
            setup
            train ;;
          "$INTERRUPTED") train ;;
          *)
            # Of a slice that is being preempted, workers fail before its state changes.
            if [[ -n $failed ]]; then
              say "The training failed with status $ended; see launch/tpu_vm.sh log."
              exit "$ended"
            fi
            failed=$ended ;;
        esac ;;
      *) say "The slice is $found." ;;
    esac
    sleep "$POLL_SECONDS"
  done
}

setup() {
  git diff --quiet HEAD || say "Only what is committed is sent; this checkout has changes that are not."
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
  on all "cd sar2opt_jax" "$(mount_bucket "$workdir")" "$(mount_bucket "$data_dir")" "rm -f ../train.status" \
    "{ nohup sh -c '\"\$@\"; echo \$? > ../train.status' - \
.venv/bin/python -m sar2opt_jax.main $(quote "${flags[@]}" ${overrides[@]+"${overrides[@]}"}) \
> ../train.log 2>&1 < /dev/null & }"
}

# The brackets keep a pattern from matching the command that it stands in.
status() {
  on 0 "if pgrep -f '[s]ar2opt_jax.main' > /dev/null; then echo running; elif test -f train.status; then cat train.status; fi"
}

log() {
  on 0 "tail -n 50 -F train.log"
}

stop() {
  on all "pkill -TERM -f 'python -m [s]ar2opt_jax.main'"
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
  if $queued; then queue delete "$name" --force --quiet; else tpu_vm delete "$name" --quiet; fi
}

# A gcloud command on the TPU VM, or on the queued resource.
tpu_vm() {
  run gcloud compute tpus tpu-vm "$@" "${where[@]}"
}
queue() {
  run gcloud compute tpus queued-resources "$@" "${where[@]}"
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
  echo "launch/mount_bucket.sh $(quote "${bucket%%/*}")"
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

say() {
  echo "$*" >&2
}

need() {
  if [[ -z $3 ]]; then fail "$1=VALUE is needed, or $2 in the environment."; fi
}

fail() {
  say "$1 See launch/tpu_vm.sh --help."
  exit 2
}

main "$@"
