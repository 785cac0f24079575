#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install.sh [--prefix DIR] [--init systemd|openrc|none]
# install.sh --uninstall [--prefix DIR]
#
# Installs envd from the folder in which this script is, and enables its service; the next boot starts
# it. The prefix is /usr if none is given: fleets of E2B expect /usr/bin/envd. The init system is
# found out unless --init names it. Nothing is fetched. --uninstall removes what was installed; a copy of
# this script is in PREFIX/share/envd.
set -eu
umask 022

prefix=/usr
init=
uninstall=
here=$(cd "$(dirname "$0")" && pwd)
units="envd.service envd.socket envd-vsock.socket"

die() {
	echo "install.sh: $*" >&2
	exit 1
}

while [ $# -gt 0 ]; do
	case $1 in
	--prefix) prefix=${2:?--prefix needs a directory} && shift 2 ;;
	--init) init=${2:?--init needs a name} && shift 2 ;;
	--uninstall) uninstall=1 && shift ;;
	*) sed -n '3,9s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
	esac
done
case $prefix in /*) ;; *) die "the prefix $prefix does not begin with /" ;; esac
prefix=${prefix%/}
list=$prefix/share/envd/installed

find_init() {
	if [ -d /run/systemd/system ] || [ -e /usr/lib/systemd/systemd ] || [ -e /lib/systemd/systemd ]; then
		echo systemd
	elif command -v rc-update >/dev/null || [ -e /sbin/openrc ] || [ -e /usr/sbin/openrc ]; then
		echo openrc
	else
		echo none
	fi
}

if [ -n "$uninstall" ]; then
	[ -f "$list" ] || die "$list is missing: envd was not installed with the prefix $prefix"
	if [ -L /etc/systemd/system/multi-user.target.wants/envd.service ]; then
		# shellcheck disable=SC2086
		if [ -d /run/systemd/system ]; then systemctl stop $units; fi
		# shellcheck disable=SC2086
		systemctl disable $units
	fi
	if [ -e /etc/init.d/envd ]; then
		rc-service envd stop 2>/dev/null || true
		rm -f /etc/runlevels/*/envd
	fi
	while read -r file; do rm -f "$file"; done <"$list"
	rm -f "$prefix/bin/envd.next" "$prefix/bin/envd.next.part" "$list"
	rm -rf /run/envd
	# The directories of envd alone.
	find "$prefix/share/envd" -depth -type d -exec rmdir {} + 2>/dev/null || true
	exit 0
fi

case ${init:=$(find_init)} in systemd | openrc | none) ;; *) die "no such init system: $init" ;; esac
[ -d "$here/files" ] || die "$here/files is missing: run the script of the unpacked archive"
mkdir -p "$prefix/share/envd"
: >"$list"

put() { # FILE PATH MODE
	mkdir -p "$(dirname "$2")"
	# A running program can't be written to, but it can be replaced.
	cp "$1" "$2.new"
	chmod "$3" "$2.new"
	mv -f "$2.new" "$2"
	echo "$2" >>"$list"
}

(cd "$here/files" && find . -type f) | sort | while read -r file; do
	file=${file#./}
	case $file in
	bin/*) put "$here/files/$file" "$prefix/$file" 755 ;;
	lib/systemd/*) [ "$init" != systemd ] || put "$here/files/$file" "$prefix/$file" 644 ;;
	*) put "$here/files/$file" "$prefix/$file" 644 ;;
	esac
done
put "$here/install.sh" "$prefix/share/envd/install.sh" 755

case $init in
systemd)
	sed -i "s,/usr/bin/envd,$prefix/bin/envd," "$prefix/lib/systemd/system/envd.service"
	case $prefix in /usr | /usr/local) ;; *) die "systemd finds no units below $prefix: use --init none" ;; esac
	# shellcheck disable=SC2086
	systemctl enable $units
	echo "envd is installed. systemctl start envd.socket envd starts it now."
	;;
openrc)
	put "$here/files/share/envd/envd.openrc" /etc/init.d/envd 755
	sed -i "s,/usr/bin/envd,$prefix/bin/envd," /etc/init.d/envd
	# Debian's OpenRC has no boot runlevel: its local mounts are in sysinit.
	runlevel=boot
	[ -e /etc/init.d/localmount ] || runlevel=sysinit
	mkdir -p "/etc/runlevels/$runlevel"
	ln -sf /etc/init.d/envd "/etc/runlevels/$runlevel/envd"
	echo "envd is installed. rc-service envd start starts it now."
	;;
none) echo "envd is installed: $prefix/bin/envd" ;;
esac
