# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make deb, make dist: Debian packages, and the source with all crates beside it.

PACKAGES=$BUILD/packages

# deb [ARCH]: leaves the packages in build/packages/ARCH.
lab_deb() {
	arch_select "${1:-amd64}"
	deb_prepare
	say ""
	(cd "$BUILD" && ls -sh "packages/$ARCH"/*.deb)
}

deb_prepare() {
	deb_crates
	step "build Debian packages for $ARCH" "deb-$ARCH" deb_build
	# What it has to say that is no error stays in its log.
	step "look at the packages for $ARCH (lintian)" "lintian-$ARCH" lintian --fail-on error "$PACKAGES/$ARCH"/*.changes
}

# Those that stand beside the source need no network.
deb_crates() { [ -d "$SRC/vendor" ] || step "fetch crates" crates-fetch crates_fetch; }

deb_version() { dpkg-parsechangelog -l "$SRC/debian/changelog" -S Version; }

# deb_source DIR: the source as it is packed, without what git ignores.
deb_source() {
	mkdir -p "$1"
	(cd "$SRC" && { sources; [ ! -d vendor ] || find vendor -type f; } | tar -c --no-recursion -T -) | tar -x -C "$1"
}

# deb_build: the packages of this source.
deb_build() {
	# The folder's name is in what cargo compares: another one would compile all anew.
	local dir=$PACKAGES/$ARCH/source
	rm -rf "$dir"
	deb_source "$dir"
	deb_make "$dir"
}

# deb_make DIR [COMMAND...]: the packages of the source DIR, beside it, as COMMAND has
# them built. DIR goes.
deb_make() {
	# What build-essential stands for is in the root, under its own names.
	local dir=$1 options=(-b -us -uc --ignore-builtin-builddeps)
	shift
	# dpkg does not see what the root has for other architectures.
	[ "$ARCH" = "$(dpkg --print-architecture)" ] || options+=(-d "-a$ARCH")
	(
		cd "$dir" || exit
		CARGO_TARGET_DIR=/lab/target/deb-$(rustc -vV | digest -) "$@" dpkg-buildpackage "${options[@]}"
	)
	rm -rf "$dir"
}

# dist: build/rust-dma-heap-VERSION.tar.xz. `make deb` in it takes no network.
lab_dist() {
	arch_select amd64
	step "fetch crates" crates-fetch crates_fetch
	step "pack the source with its crates" dist dist_build
	(cd "$SRC" && ls -sh "build/rust-dma-heap-$(deb_version).tar.xz")
}

dist_build() {
	local name tmp
	name=rust-dma-heap-$(deb_version)
	tmp=$(mktemp -d -p "$BUILD")
	dist_source "$tmp/$name"
	tar -C "$tmp" -c --sort=name --owner=0 --group=0 "$name" | xz -T0 -3 >"$BUILD/$name.tar.xz"
	rm -rf "$tmp"
}

# dist_source DIR: the source with its crates.
dist_source() {
	local config
	deb_source "$1"
	config=$(cargo vendor --manifest-path "$1/tools/Cargo.toml" --locked --offline "$1/vendor")
	# As cargo reads it from anywhere.
	say "${config/"$1/vendor"/vendor}" >"$1/vendor/config.toml"
}
