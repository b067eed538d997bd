#!/usr/bin/env bash
# Installs the Debian 12 packages that nestgate is built, tested, measured and linted with.
# Idempotent, and under a second when nothing is missing.
#
#   deploy/install-deps.sh [--build] [--demo] [--test] [--bench] [--lint]     no flag: all of them
set -euo pipefail

# libstdc++ 12 comes with clang-19; llvm-19 has the archiver that link-time optimisation needs.
build_packages=(clang-19 lld-19 llvm-19 make cmake ninja-build ccache
  libboost1.81-dev libsimdjson-dev libre2-dev prometheus-cpp-dev libtomlplusplus-dev libcli11-dev
  libspdlog-dev libfmt-dev libsqlite3-dev libpq-dev libssl-dev zlib1g-dev libminizip-dev tzdata)
demo_packages=(python3 curl openssl)
# prometheus has promtool, which the metrics are checked with. The tests start a Docker engine of their own with docker.io; where
# another package's dockerd stands, that one serves, since docker.io would take its place. They start a PostgreSQL of their own
# with the programs of postgresql-15.
test_packages=(libgtest-dev libgmock-dev libclang-rt-19-dev python3 curl openssl procps prometheus iproute2 iptables
  postgresql-15 postgresql-client-15)
docker_package=docker.io
for folder in /usr/bin /usr/sbin /usr/local/bin /usr/local/sbin; do
  [[ -x $folder/dockerd ]] && docker_package=
done
test_packages+=($docker_package)
bench_packages=(libbenchmark-dev nginx-light haproxy python3)
# g++-12 compiles the leaves a second time (make gcc-check).
lint_packages=(clang-tidy-19 clang-format-19 g++-12 git python3)

fail() { echo "install-deps: $*" >&2; exit 1; }

wanted=()
for flag in "$@"; do
  case "$flag" in
    --build) wanted+=("${build_packages[@]}") ;;
    --demo) wanted+=("${demo_packages[@]}") ;;
    --test) wanted+=("${test_packages[@]}") ;;
    --bench) wanted+=("${bench_packages[@]}") ;;
    --lint) wanted+=("${lint_packages[@]}") ;;
    *) echo "install-deps: unknown flag $flag; allowed: --build --demo --test --bench --lint" >&2; exit 2 ;;
  esac
done
if [[ $# -eq 0 ]]; then
  wanted=("${build_packages[@]}" "${demo_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}" "${lint_packages[@]}")
fi

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
  fail "this is not Debian (no apt-get); install by hand what corresponds to: ${wanted[*]}"

declare -A present=()
while read -r status package; do
  [[ $status == installed ]] && present[$package]=1
done < <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)

missing=()
for package in "${wanted[@]}"; do
  [[ -n ${present[$package]:-} ]] || { missing+=("$package"); present[$package]=1; }
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  command -v sudo >/dev/null || fail "missing packages: ${missing[*]}; run this as root, or install sudo"
  as_root=(sudo)
fi

# nginx, haproxy, prometheus, docker and postgresql are here as programs to compare and check with. Their packages would start
# them as daemons, now and at each boot: a machine that already says what may start (policy-rc.d) is left to its own rule.
policy=/usr/sbin/policy-rc.d
guard_made=no
remove_guard() { [[ $guard_made == no ]] || "${as_root[@]}" rm -f "$policy"; }
trap remove_guard EXIT
if [[ ! -e $policy ]]; then
  guard_made=yes
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
fi

echo "install-deps: installing ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
"${apt[@]}" update </dev/null || fail "apt-get update failed"
# PostgreSQL's package would also make a database for the machine. Where somebody has set that up already, it is left to them.
clusters=/etc/postgresql-common/createcluster.conf
if [[ " ${missing[*]} " == *" postgresql-15 "* && ! -e $clusters ]]; then
  "${apt[@]}" install --no-install-recommends postgresql-common </dev/null || fail "apt-get could not install postgresql-common"
  "${as_root[@]}" sed -i 's/^#\?create_main_cluster .*/create_main_cluster = false/' "$clusters"
fi
"${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null || fail "apt-get could not install ${missing[*]}"

if [[ -d /run/systemd/system ]]; then
  for daemon in nginx haproxy prometheus docker postgresql; do
    [[ " ${missing[*]} " == *" $daemon"* ]] && "${as_root[@]}" systemctl disable --quiet "$daemon" || true
  done
  # Docker is also started by its socket, and brings containerd with it.
  [[ " ${missing[*]} " == *" docker.io "* ]] && "${as_root[@]}" systemctl disable --quiet docker.socket containerd || true
fi
