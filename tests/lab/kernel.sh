# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Which stock kernel to use, and fetching its packages.

SOURCES=/lab/source
KERNELS=/lab/kernel

# The series of $LAB/series, newest first; of SERIES "previous" all but the first.
supported_series() { grep -E '^[0-9]' "$LAB/series" | sort -rV | case $SERIES in previous) sed 1d ;; *) cat ;; esac }

# All releases of flavour $1 that the package lists name for the series or version
# $2, newest first.
releases() {
	apt-cache pkgnames linux-headers- |
		sed -nE "s/^linux-headers-($2(\.[0-9]+)*[-+][a-z0-9]*\+?deb[0-9]+(u[0-9]+)?-$1)\$/\1/p" |
		sort -rV
}

# Every series that the lists have for flavour $1, newest first.
all_series() {
	releases "$1" '[0-9]+\.[0-9]+' | sed -E 's/^([0-9]+\.[0-9]+).*/\1/' | sort -rVu
}

# kernel_resolve: sets K_RELEASE (7.3.4+deb13-amd64), K_BASE (7.3.4), K_SERIES,
# K_PACKAGE (the Debian version) and K_TOOLS (the compilers' key) for $ARCH and
# $FLAVOUR: the newest kernel of the newest supported series that has its exact
# source, or what KVER asks for.
kernel_resolve() {
	local wanted
	wanted=${KVER:-$(supported_series)}
	if ! kernel_find "$wanted"; then
		die "the package lists have no $LABEL kernel with its source for: ${wanted//$'\n'/ }" \
			"The mirror has for $LABEL: $(all_series "$FLAVOUR" | tr '\n' ' ')" \
			"Try one of them: make $command ARCH=$ARCH KVER=..."
	fi
}

# kernel_find SERIES...: the same for what is wanted; fails if there is none.
kernel_find() {
	local wanted=$1 series release version
	K_TOOLS=$(tools_key)
	for series in $wanted; do
		for release in $(releases "$FLAVOUR" "${series//./\\.}"); do
			kernel_take "$release" ""
			for version in $(versions "linux-headers-$release:$ARCH"); do
				if (unset APT_CONFIG && versions "linux-source-$K_SERIES") | grep -qxF "$version"; then
					K_PACKAGE=$version
					kernel_ready || [ "$LISTS" = new ] || kernel_in_cache "$wanted" || :
					return 0
				fi
			done
		done
	done
	return 1
}

kernel_ready() { [ -e "$(kernel_dir)/done" ]; }

# kernel_in_cache SERIES...: goes back to a kernel that the cache holds complete.
# A newer one is fetched only in a run that has just reached the mirror, so that
# a full cache serves without a network.
kernel_in_cache() {
	local file arch release package series chosen=("$K_RELEASE" "$K_PACKAGE")
	for file in $(find "$KERNELS" -mindepth 2 -maxdepth 2 -name 'done' 2>/dev/null | sort -rV); do
		read -r arch release package <"$file"
		for series in $1; do
			if [ "$arch" = "$ARCH" ] && [[ $release == "$series"[-+.]*[0-9]-"$FLAVOUR" ]]; then
				kernel_take "$release" "$package"
				! kernel_ready || return 0
			fi
		done
	done
	kernel_take "${chosen[@]}"
	return 1
}

kernel_take() {
	K_RELEASE=$1
	K_PACKAGE=$2
	K_BASE=${1%%[-+]*}
	K_SERIES=$(cut -d. -f1,2 <<<"$K_BASE")
}

# The versions of package $1 that the lists have, newest first.
versions() { apt-cache madison "$1" 2>/dev/null | awk -F'|' '{ gsub(/ /, "", $2); print $2 }' | uniq; }

# Says if there is a kernel newer than the series the tree declares.
kernel_report_newer() {
	local newest known
	newest=$(all_series "$FLAVOUR" | sed -n 1p)
	known=$(supported_series | sed -n 1p)
	if [ -z "${KVER:-}" ] && [ "$(printf '%s\n' "$newest" "$known" | sort -V | sed -n 2p)" != "$known" ]; then
		say "  note: Debian has linux $newest, newer than $known, the newest in tests/lab/series. Try it: KVER=$newest"
	fi
}

# Package lists are read again once a day. Without a network the old ones serve.
# LISTS says whether they are new, and LISTS_TROUBLE what kept them from being so.
LISTS=old
LISTS_TROUBLE=
LISTS_DIR=/var/lib/apt/lists
lists_refresh() {
	local lock
	# Kernels and programs are prepared side by side, and of two of apt's one would fail.
	exec {lock}>"${LISTS_DIR%/*}/lab-lock"
	flock "$lock"
	lists_update
	exec {lock}>&-
}

lists_update() {
	local stamp=$LISTS_DIR/lab-stamp log
	log=$BUILD/log/lists-$(basename "$(dirname "$LISTS_DIR")").log
	if [ -n "$(find "$stamp" -mmin -1440 2>/dev/null)" ]; then
		return
	fi
	if timeout 300 apt-get -q -o Acquire::Retries=0 update >"$log" 2>&1 &&
		! grep -q '^W: Failed to fetch' "$log"; then
		touch "$stamp"
		LISTS=new
	else
		LISTS_TROUBLE=$(sed -nE 's|^[EW]: Failed to fetch [a-z]*://[^/]*/([^ ]*) +|\1: |p' "$log" | sed 's/ \[IP: .*//; q')
		LISTS_TROUBLE=${LISTS_TROUBLE:-see ${log#"$SRC/"}}
		say "  note: the package lists cannot be read anew (${log#"$SRC/"}); going on with those of $(
			date -r "$LISTS_DIR" +%F)"
	fi
}

# The compilers that a kernel build folder was made with, as a short key.
tools_key() {
	{
		rustc -vV
		bindgen --version
		clang --version
		pahole --version
		"${CROSS}$GCC" --version
		"${CROSS}ld" --version
	} | digest -
}

# The folder of the kernel that kernel_resolve chose: its packages' files, the
# build folder "o", and "done" when it is complete. Its name tells what it was
# made from.
kernel_dir() {
	local key
	key=$(digest "$LAB/kernel-build.sh" - <<<"$K_PACKAGE $K_TOOLS")
	say "$KERNELS/$K_RELEASE-$key"
}

source_dir() { say "$SOURCES/linux-$K_SERIES-$K_PACKAGE"; }

# fetch DIR PACKAGE...: downloads and unpacks packages into DIR.
fetch() {
	local dir=$1 debs
	shift
	debs=$(mktemp -d)
	(cd "$debs" && timeout 1800 apt-get -q -o APT::Sandbox::User=root download "$@")
	mkdir -p "$dir"
	for deb in "$debs"/*.deb; do
		dpkg-deb -x "$deb" "$dir"
	done
	rm -r "$debs"
}

# The kernel's source, once for all architectures.
source_fetch() {
	local dir
	dir=$(source_dir)
	# Two architectures may ask at the same time.
	mkdir -p "$SOURCES"
	exec 8>"$SOURCES/lock"
	flock 8
	[ ! -d "$dir" ] || return 0
	rm -rf "$SOURCES"/*.tmp "$SOURCES/package"
	mkdir -p "$dir.tmp"
	# It is the same for all architectures, and armhf's lists need not be sound.
	(unset APT_CONFIG && fetch "$SOURCES/package" "linux-source-$K_SERIES=$K_PACKAGE")
	tar -C "$dir.tmp" --strip-components=1 -xf "$SOURCES/package/usr/src/linux-source-$K_SERIES.tar.xz"
	rm -r "$SOURCES/package"
	mv "$dir.tmp" "$dir"
}

# The kernel image, its headers, and a busybox of its architecture.
kernel_fetch() {
	local dir
	dir=$(kernel_dir)
	[ ! -d "$dir/package" ] || return 0
	rm -rf "$dir"
	fetch "$dir/package.tmp" "linux-headers-$K_RELEASE:$ARCH=$K_PACKAGE" \
		"linux-binary-$K_RELEASE:$ARCH=$K_PACKAGE" "busybox-static:$ARCH"
	mv "$dir/package.tmp" "$dir/package"
}

# Removes what was made for kernels that nobody has used for a month.
kernel_prune() {
	local dir
	for dir in "$(kernel_dir)" "$(source_dir)" "$(uml_dir)" "$(sanitizer_dir)" "$(in_tree_dir)"; do
		[ ! -d "$dir" ] || touch "$dir"
	done
	find "$KERNELS" "$SOURCES" "$UMLS" "$SANITIZERS" "$IN_TREES" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} + 2>/dev/null || :
}

kernel_image() { say "$(kernel_dir)/package/usr/lib/modules/$K_RELEASE/vmlinuz"; }
