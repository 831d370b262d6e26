/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for this module: the C interfaces that kernel::bindings
 * lacks, and our helpers for what is only a macro or an inline function.
 */
#ifndef RUST_DMA_HEAP_BINDINGS_HELPER_H
#define RUST_DMA_HEAP_BINDINGS_HELPER_H

#include <linux/cc_platform.h>
#include <linux/cma.h>
#include <linux/debugfs.h>
#include <linux/device/bus.h>
#include <linux/dma-map-ops.h>
#include <linux/iommu.h>
#include <linux/kernfs.h>
#include <linux/kthread.h>
#include <linux/mem_encrypt.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/namei.h>
#include <linux/of.h>
#include <linux/of_reserved_mem.h>
#include <linux/oom.h>
#include <linux/path.h>
#include <linux/sched.h>
#include <linux/shrinker.h>
#include <linux/swiotlb.h>
#include <linux/user_namespace.h>
#include <linux/vmalloc.h>

#include "helpers.h"

#endif
