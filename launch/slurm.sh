#!/usr/bin/env bash
# Trains under Slurm, on one GPU or on many nodes; resumes by itself after preemption and at the time limit.
#
#   launch/slurm.sh [--nodes=1] [--gpus_per_node=1] [--cpus_per_gpu=8] [--time=24:00:00] [--dry_run]
#                   [options of sbatch]
#                   -- --config=configs/acd.py:sen12 --workdir=/shared/runs/acd ...
#
# Submits itself from the checkout, which all nodes must see, with .venv in it (make env EXTRAS=test,cuda12). The workdir
# must be seen by all nodes, too. Two minutes before the time limit, and when it is preempted, the training is told to
# stop: it saves, ends with status 75, and the job is put into the queue again. scancel ends it for good.
# --dry_run prints what would be submitted. batch_size must be divisible by the number of GPUs times micro_batches.
#SBATCH --job-name=sar2opt
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
set -euo pipefail

INTERRUPTED=75 # The status of a training that was told to stop and has saved.

submit() {
  local nodes=1 gpus_per_node=1 cpus_per_gpu=8 time=24:00:00 dry_run=false options=() command
  while (($#)); do
    case $1 in
      --nodes=* | --gpus_per_node=* | --cpus_per_gpu=* | --time=*)
        local option=${1%%=*}
        printf -v "${option#--}" %s "${1#*=}" ;;
      --dry_run) dry_run=true ;;
      -h | --help) sed -n '2,/^#SBATCH/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" | sed '$d' && return ;;
      --) shift && break ;;
      -*) options+=("$1") ;;
      *) fail "Unexpected '$1'; options of sbatch are written --NAME=VALUE, flags of the training come after --." ;;
    esac
    shift
  done
  if ! (($#)); then fail "Flags of the training are missing, after --."; fi
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  # JAX takes one process a GPU under Slurm.
  command=(sbatch --nodes="$nodes" --ntasks-per-node="$gpus_per_node" --gpus-per-node="$gpus_per_node"
    --cpus-per-task="$cpus_per_gpu" --time="$time" ${options[@]+"${options[@]}"} launch/slurm.sh "$@")
  if $dry_run; then
    printf '%q ' "${command[@]}"
    echo
  else
    "${command[@]}"
  fi
}

job() {
  local step status
  # srun does not take the CPUs of a task over from the job.
  srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" .venv/bin/python -m sar2opt_jax.main --multihost "$@" &
  step=$!
  trap 'kill -TERM "$step"' TERM # srun hands it on to every process.
  while true; do # A signal ends `wait` before the training has ended.
    status=0
    wait "$step" || status=$?
    if ! kill -0 "$step" 2> /dev/null; then break; fi
  done
  # A cancelled job is no longer RUNNING; one that is preempted Slurm itself may have put into the queue already.
  if ((status == INTERRUPTED)) && [[ $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T) == RUNNING ]]; then
    echo "Interrupted and saved: the job goes into the queue again." >&2
    scontrol requeue "$SLURM_JOB_ID"
  fi
  exit "$status"
}

fail() {
  echo "$1 See launch/slurm.sh --help." >&2
  exit 2
}

if [[ -n ${SLURM_JOB_ID:-} ]]; then job "$@"; else submit "$@"; fi
