// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's heap core. It is made to be built in only, so it says nothing of
 * what a module has to say.
 */
#include <linux/module.h>
#include <drivers/dma-buf/dma-heap.c>

MODULE_DESCRIPTION("The kernel's dma-buf heap core");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
