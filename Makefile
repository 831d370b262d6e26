# SPDX-License-Identifier: GPL-2.0
#
# For people. What the kernel's build system reads is in Kbuild.

SHELL := /bin/bash
.DEFAULT_GOAL := module

# The kernel to build the module for: the running one's build folder, be it one that
# `make kdir` has made.
KVERSION ?= $(shell uname -r)
KDIR ?= $(firstword $(wildcard /var/lib/rust-dma-heap/kdir/$(KVERSION)) /lib/modules/$(KVERSION)/build)
# The compiler that built the kernel is the one for its modules, if it is here.
KERNEL_CC = $(addprefix CC=,$(shell command -v \
	"$$(sed -nE 's/^CONFIG_CC_VERSION_TEXT="([^ "]+).*/\1/p' '$(KDIR)/.config')"))
# The architecture of the lab's virtual machine.
ARCH ?= amd64
# The patches of tests/mutants to try.
MUTANTS ?= *
# The machines of `make test-configs` to try.
CONFIGS ?= *
# The architectures of `make test-media`.
MEDIA ?= amd64 arm64
# The boards of `make test-boards`.
BOARDS ?= *
# The kernels of `make test-matrix`, of those in tests/lab/machines.toml.
KERNELS ?= *
# The architectures of `make test-packages`.
PACKAGES ?= amd64 arm64
# The machines of `make sanitize` to try.
SANITIZE ?= *

MACHINE := tools/machine
LAB := LAB_UNVERIFIED='$(LAB_UNVERIFIED)' LAB_CACHE='$(LAB_CACHE)' LAB_KVM='$(LAB_KVM)' KVER='$(KVER)' tests/lab/run $(LAB_FLAGS)

.PHONY: module kdir install load unload clean demo demo-video try kunit test test-all test-boards test-configs test-in-tree test-matrix test-media test-mutants test-video sanitize bench bench-maps check docs pictures rustdoc rust-analyzer shell clean-cache help
.PHONY: deb dist test-packages

module:
	@$(MACHINE)/kernel-check '$(KDIR)'
	@mkdir -p build/module
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' MO='$(CURDIR)/build/module' $(KERNEL_CC) modules

kdir:
	@SOURCE='$(SOURCE)' $(MACHINE)/kdir '$(KVERSION)'

install:
	@$(MACHINE)/install

load:
	@$(MACHINE)/load $(PARAMETERS)

unload:
	@$(MACHINE)/unload

demo:
	@$(LAB) demo '$(ARCH)'

demo-video:
	@$(LAB) demo-video '$(ARCH)'

# T= says what to try.
try:
	@$(LAB) try $(if $(filter --%,$(T)),$(T),'$(T)')

kunit:
	@$(LAB) kunit

test:
	@$(LAB) test

test-all:
	@$(LAB) test-all

test-video:
	@$(LAB) test-video '$(ARCH)'

test-in-tree:
	@$(LAB) test-in-tree

test-configs:
	@$(LAB) test-configs '$(CONFIGS)'

test-boards:
	@$(LAB) test-boards '$(BOARDS)'

test-matrix:
	@$(LAB) test-matrix '$(KERNELS)'

test-mutants:
	@$(LAB) test-mutants '$(MUTANTS)'

test-media:
	@$(LAB) test-media '$(MEDIA)'

sanitize:
	@$(LAB) sanitize '$(SANITIZE)'

bench:
	@$(LAB) bench '$(ARCH)'

bench-maps:
	@$(LAB) bench-maps '$(ARCH)'

deb:
	@$(LAB) deb '$(ARCH)'

dist:
	@$(LAB) dist

test-packages:
	@$(LAB) test-packages '$(PACKAGES)'

check:
	@$(LAB) check

docs:
	@$(LAB) docs
	@cp build/documents/dmaheap.md docs/

pictures:
	@$(LAB) try screens
	@build/amd64/dmaheap-lab screens build/try/results/amd64-suite/screens.tap docs/pictures

rustdoc:
	@$(LAB) rustdoc

# With KDIR= on the command line for that kernel, else for the lab's.
rust-analyzer:
ifeq ($(origin KDIR),command line)
	$(MAKE) module
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' MO='$(CURDIR)/build/module' $(KERNEL_CC) rust-analyzer
	tools/machine/rust-analyzer build/module >build/rust-project.json
else
	@$(LAB) rust-analyzer
endif
	ln -sf build/rust-project.json rust-project.json

shell:
	@$(LAB) shell '$(ARCH)'

clean:
	rm -rf build

clean-cache:
	@$(LAB) clean-cache

help:
	@tests/lab/run help
