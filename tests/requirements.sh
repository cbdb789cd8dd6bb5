#!/bin/sh
# What the tests need beside Python: install it where that is possible (root, apt-get or dnf), else
# name what is missing.
set -u

missing=''
# need PROGRAM DEBIAN-PACKAGE FEDORA-PACKAGE
need() {
  PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 && return
  missing="$missing $1"
  debian="${debian-} $2"
  fedora="${fedora-} $3"
}

need sshd openssh-server openssh-server
need ssh openssh-client openssh-clients
need nc netcat-openbsd nmap-ncat
need ncat ncat nmap-ncat
need nc.traditional netcat-traditional netcat
need dash dash dash
need busybox busybox-static busybox
need bash bash bash
need ip iproute2 iproute
need iptables iptables iptables-nft
need tc iproute2 iproute-tc
need flock util-linux util-linux-core
need shellcheck shellcheck ShellCheck
need cron cron cronie
need systemd-analyze systemd systemd
need chromium chromium chromium
need fish fish fish
need zsh zsh zsh
need mandoc mandoc mandoc
need col bsdextrautils util-linux
need nodeset clustershell clustershell
need munged munge munge
need slurmctld slurmctld slurm-slurmctld
need slurmd slurmd slurm-slurmd
need sbatch slurm-client slurm

[ -n "$missing" ] || exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing:${debian}"
  # shellcheck disable=SC2086  # a list
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $debian; } >/dev/null
elif [ "$(id -u)" -eq 0 ] && command -v dnf >/dev/null 2>&1; then
  echo "installing:${fedora}"
  # shellcheck disable=SC2086
  dnf install -y -q $fedora >/dev/null
else
  echo "not installed:$missing; the tests that need them are skipped"
  echo "install them on Debian with: apt-get install${debian}"
  echo "or on Fedora with: dnf install${fedora}"
fi
exit 0
