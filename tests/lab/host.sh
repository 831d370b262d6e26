# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What the lab asks of, and takes over from, the machine it runs on: rights,
# disk space, debootstrap, mirror, proxies, certificates, cargo's sources.

# GiB that a full cache (both architectures and the User-mode Linux kernel)
# takes while it is being made, and what a run with a full cache may still need.
DISK_FRESH=10
# The same for the root of another suite and its kernel.
DISK_OTHER=6
DISK_WARM=1

host_check_rights() {
	[ "$(id -u)" -eq 0 ] || die "the lab needs root rights: it makes a Debian root and works in it." \
		"Run it as root, for instance: sudo make $COMMAND"
	[ "$(dpkg --print-architecture)" = amd64 ] ||
		die "the lab runs on amd64 machines only; this one is $(dpkg --print-architecture)." \
			"On this machine \`make\`, \`make install\` and \`make load\` work all the same."
	case $SRC in
	*[!A-Za-z0-9._/+@-]*) die "the path of this checkout, $SRC, holds characters that a kernel build cannot take." \
		"Move it to a path of letters, digits and . _ + @ - only." ;;
	esac
}

# host_check_disk NEEDED_GIB
host_check_disk() {
	local free
	free=$(($(df --output=avail -k "$LAB_CACHE" | tail -n 1) / 1024 / 1024))
	[ "$free" -ge "$1" ] || die "$LAB_CACHE has $free GiB free, and the lab needs $1 GiB there." \
		"Free some space, or name another place: make $COMMAND LAB_CACHE=/some/where"
}

host_debootstrap() {
	! command -v debootstrap >/dev/null || return 0
	say "The lab installs the package debootstrap on this machine, and nothing else."
	say "Compilers, QEMU and kernels go into a Debian root below $LAB_CACHE."
	local apt=(env DEBIAN_FRONTEND=noninteractive timeout 900 apt-get -q -y
		-o DPkg::Lock::Timeout=120)
	if ! "${apt[@]}" install --no-install-recommends debootstrap >"$BUILD/log/debootstrap-install.log" 2>&1; then
		# A machine that never fetched package lists knows no package.
		"${apt[@]}" update >>"$BUILD/log/debootstrap-install.log" 2>&1 || :
		"${apt[@]}" install --no-install-recommends debootstrap >>"$BUILD/log/debootstrap-install.log" 2>&1 || {
			tail -n 20 "$BUILD/log/debootstrap-install.log" >&2
			die "debootstrap cannot be installed." "Install it yourself (apt-get install debootstrap) and run this again."
		}
	fi
}

# The archives of this machine's own release, most likely one first: where the
# root is to come from. Empty if apt says nothing usable.
host_mirrors() {
	local codename
	codename=$(. /etc/os-release && printf %s "${VERSION_CODENAME:-}")
	# Other vendors use Debian's code names too, so Debian's own label sorts first.
	# shellcheck disable=SC2016 # it is apt that fills in the names
	apt-get indextargets --format '$(ORIGIN)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		awk -F'|' -v codename="$codename" '
			($2 == codename || $2 == "stable" || $2 == "oldstable" || $2 == "testing") && $3 == "main" &&
			$4 ~ /^https?:/ && !seen[$4]++ { print ($1 == "Debian" ? 0 : 1) "|" $4 }' |
		sort -s -t'|' -k1,1 | cut -d'|' -f2
}

# apt's settings that say how to reach an archive, for the root's apt.conf.d.
host_apt_conf() {
	apt-config dump | grep -E '^Acquire::(http|https|ftp|Check-Valid-Until|Check-Date|Retries|ForceIPv[46])\b' |
		grep -Ev 'Proxy-Auto-Detect|ProxyAutoDetect|CAInfo|SslCert|SslKey' || :
}

# The certificates this machine trusts; prints nothing if it has none.
host_ca_bundle() {
	local file
	for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
		if [ -n "$file" ] && [ -s "$file" ]; then
			say "$file"
			return
		fi
	done
}

# host_configure_root ROOT: brings a root up to this machine's present network
# settings.
host_configure_root() {
	local conf=$1/etc/apt/apt.conf.d/80host bundle
	host_apt_conf >"$conf"
	cp -L /etc/resolv.conf /etc/hosts "$1/etc/" 2>/dev/null || :
	bundle=$(host_ca_bundle)
	if [ -n "$bundle" ]; then
		mkdir -p "$1/etc/ssl/certs"
		cp -L "$bundle" "$1/etc/ssl/certs/host.crt"
		say 'Acquire::https::CAInfo "/etc/ssl/certs/host.crt";' >>"$conf"
	else
		rm -f "$1/etc/ssl/certs/host.crt"
	fi
}

# Where crates come from: the source and registry tables of this machine's cargo
# configuration. Everything else in that file is somebody's taste.
host_cargo_conf() {
	local home=${CARGO_HOME:-} file
	if [ -z "$home" ]; then
		home=$(getent passwd "${SUDO_USER:-$(id -un)}" | cut -d: -f6)/.cargo
	fi
	for file in "$home/config.toml" "$home/config"; do
		[ -f "$file" ] || continue
		awk '/^[[:space:]]*\[/ {
				keep = $0 ~ /^[[:space:]]*\[+[[:space:]]*(source|registries|registry|net|http)[].]/
			}
			keep && !/^[[:space:]]*(cainfo|proxy-cainfo)[[:space:]]*=/' "$file"
		return
	done
}

# Variables that the root's programs may need to reach the network.
host_network_env() {
	env | grep -E '^(https?_proxy|HTTPS?_PROXY|ftp_proxy|no_proxy|NO_PROXY|all_proxy|ALL_PROXY|CARGO_(REGISTR|SOURCE_|HTTP_PROXY|NET_)[A-Z_]*)=' || :
}
