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

# installed PATTERN: whether the list names a file that matches it. A service of a package, or of
# another prefix, is not this script's to stop.
installed() { [ -f "$list" ] && grep -q "$1\$" "$list"; }

remove_service() {
	if installed /systemd/system/envd.service && command -v systemctl >/dev/null; then
		# shellcheck disable=SC2086
		if [ -d /run/systemd/system ]; then systemctl stop $units; fi
		# shellcheck disable=SC2086
		systemctl disable $units
		rm -rf /run/envd
	fi
	if installed /etc/init.d/envd; then
		if command -v rc-service >/dev/null; then rc-service envd stop 2>/dev/null || true; fi
		rm -f /etc/runlevels/*/envd
		rm -rf /run/envd
	fi
}

if [ -n "$uninstall" ]; then
	[ -f "$list" ] || die "$list is missing: envd was not installed with the prefix $prefix"
	remove_service
	while IFS= read -r file; do rm -f "$file"; done <"$list"
	rm -f "$prefix/bin/envd.next" "$prefix/bin/envd.next.part" "$list"
	if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	# The directories of envd alone.
	find "$prefix/share/envd" -depth -type d -exec rmdir {} + 2>/dev/null || true
	exit 0
fi

# All that can be refused is refused before a file is written.
case ${init:=$(find_init)} in
systemd)
	case $prefix in /usr | /usr/local) ;; *) die "systemd finds no units below $prefix: use --init none" ;; esac
	command -v systemctl >/dev/null || die "systemctl is missing: use --init none"
	;;
openrc)
	case $prefix in *[!A-Za-z0-9/._+-]*) die "the service can't name $prefix: use --init none" ;; esac
	;;
none) ;;
*) die "no such init system: $init" ;;
esac
for package in envd envd-client; do
	! grep -qxF "$prefix/bin/envd" "/var/lib/dpkg/info/$package.list" 2>/dev/null ||
		die "$prefix/bin/envd belongs to the package $package: remove that first"
done
[ -d "$here/files" ] || die "$here/files is missing: run the script of the unpacked archive"
mkdir -p "$prefix/share/envd"
# The old list stays until the new one is whole.
: >"$list.new"

put() { # FILE PATH MODE
	mkdir -p "$(dirname "$2")"
	# A running program can't be written to, but it can be replaced.
	cp "$1" "$2.new"
	chmod "$3" "$2.new"
	mv -f "$2.new" "$2"
	echo "$2" >>"$list.new"
}

# put_service FILE PATH MODE: with the program's path below the prefix.
put_service() {
	put "$@"
	sed -i "s,/usr/bin/envd,$prefix/bin/envd," "$2"
}

(cd "$here/files" && find . -type f) | sort | while read -r file; do
	file=${file#./}
	case $file in
	bin/*) put "$here/files/$file" "$prefix/$file" 755 ;;
	lib/systemd/system/envd.service) [ "$init" != systemd ] || put_service "$here/files/$file" "$prefix/$file" 644 ;;
	lib/systemd/*) [ "$init" != systemd ] || put "$here/files/$file" "$prefix/$file" 644 ;;
	*) put "$here/files/$file" "$prefix/$file" 644 ;;
	esac
done
put "$here/install.sh" "$prefix/share/envd/install.sh" 755
if [ "$init" = openrc ]; then
	put_service "$here/files/share/envd/envd.openrc" /etc/init.d/envd 755
fi
# What an older version installed and this one does not have.
if [ -f "$list" ]; then
	while IFS= read -r file; do grep -qxF "$file" "$list.new" || rm -f "$file"; done <"$list"
fi
mv -f "$list.new" "$list"

case $init in
systemd)
	# shellcheck disable=SC2086
	systemctl enable $units
	echo "envd is installed. systemctl start envd.socket envd starts it now."
	;;
openrc)
	# Debian's OpenRC has no boot runlevel: its local mounts are in sysinit.
	runlevel=boot
	[ -e /etc/init.d/localmount ] || runlevel=sysinit
	mkdir -p "/etc/runlevels/$runlevel"
	ln -sf /etc/init.d/envd "/etc/runlevels/$runlevel/envd"
	echo "envd is installed. rc-service envd start starts it now."
	;;
none) echo "envd is installed: $prefix/bin/envd" ;;
esac
