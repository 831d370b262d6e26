# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# make test-configs: all that an ordinary boot tests, in machines whose devices
# reach memory in other ways. What such a machine is made of stands with the
# others, in test.sh.

CONFIGS=(
	amd64-suite-iommu-strict
	amd64-suite-iommu-lazy
	amd64-suite-swiotlb
	amd64-suite-mask
	amd64-suite-virtio-gpu
	arm64-suite-iommu-strict
	arm64-suite
)

# test-configs [PATTERN]: all, or those whose names match.
lab_test-configs() {
	local lanes=0 arch config
	local -A suites=()
	for config in "${CONFIGS[@]}"; do
		# shellcheck disable=SC2053 # it is a pattern
		[[ $config != ${1:-*} ]] || suites[${config%%-*}]+=" ${config#*-}"
	done
	[ "${#suites[@]}" -gt 0 ] || die "no configuration is called ${1:-*}." "There are: ${CONFIGS[*]}"

	rm -rf "$RESULTS"
	mkdir -p "$RESULTS"
	lists_refresh
	# Two machines at a time, one of each architecture.
	for arch in "${!suites[@]}"; do
		(
			arch_select "$arch"
			test_prepare_one "$arch"
			# shellcheck disable=SC2086 # names, one a word
			test_boots ${suites[$arch]}
		) &
		lanes=$((lanes + 1))
	done
	wait_all "$lanes"
	results
}
