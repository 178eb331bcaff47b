#!/usr/bin/env bash
# Everything that needs a GPU, in less than 8 minutes: builds the extensions for the GPU that is there, runs every test
# marked gpu, looks for bad memory accesses and races, and measures. No network: it takes what the machine has, which is
# python3 with torch, triton, numpy, pytest and pybind11 >= 3; nvcc; cmake and ninja; compute-sanitizer where it is.
#
#   bench/gpu_check.sh [FOLDER]     FOLDER, or CAMFAST_RESULTS, is where <gpu>.json goes (default bench/results);
#                                   PYTHON is the interpreter (default python3)
#
# Each part has a time limit, so that one that hangs leaves the others their turn. Exits with 1 unless all passed.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
results=${1:-${CAMFAST_RESULTS:-bench/results}}
logs=$results/logs
[ "$results" = bench/results ] && logs=build/gpu-check/logs
mkdir -p "$results" "$logs" build/gpu-check
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
export CAMFAST_GPU_CHECK=1  # the tests of a backend that can't run fail, where they would be skipped otherwise
command -v nvcc >/dev/null || PATH=$PATH:/usr/local/cuda/bin
total=470
summary=()
failed=0

step() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }
left() {  # SECONDS [RESERVE]: so many at most, of what is left before a reserve for later parts
    local rest=$((total - SECONDS - ${2:-0}))
    echo $((rest < $1 ? (rest > 20 ? rest : 20) : $1))
}
ended() {  # NAME STATUS LOG: note how a part ended
    local name=$1 status=$2 log=$3 words=passed
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then words="FAILED: stopped at its time limit"; failed=1
    elif [ "$status" != 0 ]; then words="FAILED, exit code $status"; failed=1; fi
    summary+=("$(printf '%-10s %s (%s)' "$name" "$words" "$log")")
    return "$status"
}

step "what is here"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "no nvidia-smi"
capability=$("$python" - <<'EOF'
import sys
import torch
print("Python", sys.version.split()[0], "torch", torch.__version__, file=sys.stderr)
if not torch.cuda.is_available():
    sys.exit("gpu-check needs a CUDA device, and torch finds none")
print("{}{}".format(*torch.cuda.get_device_capability()))
EOF
) || exit 1
nvcc --version 2>/dev/null | tail -1 || echo "no nvcc: the CUDA extension can't be built"

step "build for sm_$capability"
build() {
    cmake -S . -B build/gpu-check -G Ninja -DCMAKE_BUILD_TYPE=Release -DCAMFAST_PYTHON=ON -DCAMFAST_CUDA=ON \
        -DCMAKE_CUDA_ARCHITECTURES="$capability-real" -DPython_EXECUTABLE="$(command -v "$python")" \
        -Dpybind11_DIR="$("$python" -c 'import pybind11; print(pybind11.get_cmake_dir())')" \
        -DCAMFAST_PYTHON_OUTPUT="$PWD/camfast" && cmake --build build/gpu-check --target _C _C_cuda
}
export -f build
export python capability
timeout -k 5 150 bash -c build >"$logs/build.log" 2>&1
ended build $? "$logs/build.log" || tail -30 "$logs/build.log"
"$python" - <<'EOF'
import camfast
for op in ("fused_cam", "overlay"):
    print(op, camfast.backends(op, "cuda"))
EOF

# Warnings are errors in the project's own test run, at the versions it pins; here they are those of other versions.
pytest=("$python" -m pytest -m gpu -q -p no:cacheprovider -W default)
elsewhere=$(grep -rlE 'mark\.gpu' tests --include='test_*.py' | grep -v '^tests/gpu/')
large=tests/gpu/test_beyond_32_bits.py  # by itself: it takes most of the memory
parallel=()
"$python" -c 'import xdist' 2>/dev/null && parallel=(-n "$(($(nproc) > 12 ? 8 : ($(nproc) + 1) / 2))")

step "tests, and meanwhile the sanitizer"
limit=$(left 190)
(
    # shellcheck disable=SC2086 # a list of files
    timeout -k 5 "$limit" "${pytest[@]}" "${parallel[@]}" tests/gpu $elsewhere --ignore="$large" >"$logs/tests.log" 2>&1
    echo $? >"$logs/tests.status"
    timeout -k 5 60 "${pytest[@]}" "$large" >"$logs/large.log" 2>&1
    echo $? >"$logs/large.status"
) &
sanitize() {  # TOOL SELECTION: its log and status
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 timeout -k 5 "$limit" compute-sanitizer --tool "$1" --error-exitcode 9 \
        "${pytest[@]}" tests/gpu --ignore="$large" --ignore=tests/gpu/test_in_networks.py \
        --ignore=tests/gpu/test_streams.py --ignore=tests/gpu/test_backprop.py --ignore=tests/gpu/test_metrics.py --ignore=tests/gpu/test_frozen.py --ignore=tests/gpu/test_live.py -k "$2" >"$logs/$1.log" 2>&1
    echo $? >"$logs/$1.status"
}
if command -v compute-sanitizer >/dev/null; then
    small='cuda and not (larger or large_maps or two_runs or float16 or float64)'
    sanitize memcheck "$small and not (channels_last or transposed or expanded or negated)" &
    sanitize racecheck "$small and not (channels_last or transposed or expanded or negated or sliced or misaligned)" &
fi
wait
for part in tests large memcheck racecheck; do
    if [ -f "$logs/$part.status" ]; then
        tail -25 "$logs/$part.log" | sed "s/^/$part: /"
        if grep -q "Device not supported" "$logs/$part.log"; then
            summary+=("$(printf '%-10s not run: it does not support this device' "$part")")
        else
            ended "$part" "$(cat "$logs/$part.status")" "$logs/$part.log"
        fi
        rm "$logs/$part.status"
    else
        summary+=("$(printf '%-10s not run: there is no compute-sanitizer' "$part")")
    fi
done

step "roofline"
limit=$(left 180 160)
timeout -k 5 "$limit" "$python" -m bench.roofline --results "$results" --limit $((limit > 45 ? limit - 25 : 20)) \
    2>"$logs/roofline.log"
ended roofline $? "$logs/roofline.log" || tail -30 "$logs/roofline.log"

step "beside peers, as far as they are installed"
limit=$(left 75 80)
timeout -k 5 "$limit" "$python" -m bench.compare --gpu --results "$results/compare" \
    --limit $((limit > 35 ? limit - 20 : 15)) 2>"$logs/compare.log"
ended compare $? "$logs/compare.log" || tail -30 "$logs/compare.log"

step "a tomogram"
limit=$(left 60 35)
timeout -k 5 "$limit" "$python" -m bench.bench_scan --device cuda --results "$results/scan" 2>"$logs/scan.log"
ended scan $? "$logs/scan.log" || tail -30 "$logs/scan.log"

step "an overlay while frames arrive"
limit=$(left 40)
timeout -k 5 "$limit" "$python" -m bench.bench_live --device cuda --results "$results/live" 2>"$logs/live.log"
ended live $? "$logs/live.log" || tail -30 "$logs/live.log"

step "summary"
printf '%s\n' "${summary[@]}"
exit $failed
