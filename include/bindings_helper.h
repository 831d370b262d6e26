/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for this module: the C interfaces that kernel::bindings
 * lacks, and our helpers for what is only a macro or an inline function.
 */
#ifndef RUST_DMA_HEAP_BINDINGS_HELPER_H
#define RUST_DMA_HEAP_BINDINGS_HELPER_H

#include <linux/cma.h>
#include <linux/dma-map-ops.h>
#include <linux/kthread.h>
#include <linux/namei.h>
#include <linux/oom.h>
#include <linux/path.h>
#include <linux/shrinker.h>
#include <linux/vmalloc.h>

#include "helpers.h"

#endif
