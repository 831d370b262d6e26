# SPDX-License-Identifier: GPL-2.0
#
# The screens that docs/observing.md shows: a camera's frames, which a viewer has mapped for its
# device, and a desktop's. `make pictures` draws what is printed here.

# shellcheck source=tests/vm/lib.sh
. /lab/lib.sh
need_heaps
said=/run/lab/said
evidence="$said /run/lab/camera.json /run/lab/viewer.log"
plan 4

# process NAME PROGRAM: a program under this name.
process() { cp "$(command -v "$2")" "/run/lab/$1"; }

# screen NAME PATTERN COMMAND...: what it prints, which has a line like PATTERN.
screen() {
	name=$1
	pattern=$2
	shift 2
	"$@" >$said 2>&1
	grep -qE "$pattern" $said
	ok $? "$name"
	echo "# screen $name $*"
	# As a terminal does it.
	fold -s -w 130 $said | sed 's/^/# | /'
}

# until_has TEXT FILE
until_has() {
	for _ in $(seq 300); do
		! grep -q "$1" "$2" 2>/dev/null || return 0
		tenth
	done
	return 1
}

importer=
if ! grep -q '^dma_buf_test_importer ' /proc/modules; then
	insmod /lab/dma_buf_test_importer.ko
	importer=y
fi
process camera dmaheap
process viewer dmaheap-lab
process desktop dmaheap
/run/lab/camera alloc default_cma_region 12M --name frame --count 3 --hold 600s --json >/run/lab/camera.json &
camera=$!
/run/lab/desktop alloc "$(own_heaps | grep '^system')" 8M --name window --count 2 --hold 600s >/run/lab/desktop.log &
desktop=$!
until_has '^}' /run/lab/camera.json && until_has inode= /run/lab/desktop.log
fd=$(sed -n 's/^ *"fd": \([0-9]*\),/\1/p' /run/lab/camera.json | head -n 1)
/run/lab/viewer importer --fd "$camera:$fd" attach map wait=10m >/run/lab/viewer.log 2>&1 &
viewer=$!
until_has map /run/lab/viewer.log

screen holders "^$viewer +viewer .* 12 MiB .* frame" dmaheap holders
screen holders-by-buffer "frame .*$camera camera .*dma_buf_test" dmaheap holders frame --by buffer
screen top "$camera camera +3 +36 MiB" dmaheap top --once
release $camera $desktop $viewer
[ -z "$importer" ] || rmmod dma_buf_test_importer
screen doctor "^problem +names" dmaheap doctor
finish
