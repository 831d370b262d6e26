# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Packages for armhf. Only `make test-matrix` and ARCH=armhf need them, so they have
# package lists of their own: on a mirror that lags behind with this architecture,
# all else goes on.

ARMHF=/lab/armhf

# Has apt use those lists, here and in what is called from here.
armhf_apt() {
	local mirror suite
	LISTS_DIR=$ARMHF/lists
	export APT_CONFIG=$ARMHF/apt.conf
	mkdir -p "$ARMHF"/{lists/partial,parts}
	read -r _ _ mirror suite _ < <(grep -v -- '-backports' /etc/apt/sources.list)
	printf 'deb [arch=armhf] %s %s main\n' "$mirror" "$suite" "$mirror" "$suite-backports" >"$ARMHF/sources.list"
	cat >"$APT_CONFIG" <<-EOF
		APT::Architectures { "amd64"; "armhf"; };
		Dir::State::lists "$ARMHF/lists";
		Dir::State::status "/dev/null";
		Dir::Etc::sourcelist "$ARMHF/sources.list";
		Dir::Etc::sourceparts "$ARMHF/parts";
		Dir::Cache::pkgcache "";
		Dir::Cache::srcpkgcache "";
		APT::Get::AllowUnauthenticated "${LAB_UNVERIFIED:-0}";
	EOF
}

# Rust's standard library for it, into the root: see root-make.sh.
armhf_std() {
	local dir=/usr/lib/rustlib/$RUST_TARGET version
	[ ! -d "$dir" ] || return 0
	version=$(dpkg-query -W -f '${source:Version}' rustc)
	fetch "$ARMHF/std.tmp" "libstd-rust-dev:armhf=$version"
	mv "$ARMHF/std.tmp$dir" "$dir"
	rm -r "$ARMHF/std.tmp"
}

# With LAB_UNVERIFIED=1: takes the list of backports as the mirror has it, although it
# is not the one that the mirror's signature is for. Nothing vouches for it then, nor
# for the packages that it names.
armhf_unverified() {
	local mirror suite file
	read -r _ _ mirror suite _ < <(grep -- '-backports' "$ARMHF/sources.list")
	# apt's name of such a list.
	file=$ARMHF/lists/$(sed -E 's|^[a-z]*://||; s|/$||; s|_|%5f|g; s|/|_|g' <<<"$mirror")_dists_${suite}_main_binary-armhf_Packages
	[ -n "$LISTS_TROUBLE" ] || return 0
	# What an earlier run took so.
	[ -e "${file%_main_*}_InRelease" ] || rm -f "$file"
	[ "${LAB_UNVERIFIED:-}" = 1 ] || return 0
	rm -f "$file"*
	/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file \
		"${mirror%/}/dists/$suite/main/binary-armhf/Packages.xz" "$file.xz"
	xz -d "$file.xz"
	say "  note: LAB_UNVERIFIED=1: kernels for armhf as the mirror lists them, without a signature"
}
