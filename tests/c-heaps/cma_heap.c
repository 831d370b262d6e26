// SPDX-License-Identifier: GPL-2.0
/* The kernel's heap of contiguous memory. */
#include <drivers/dma-buf/heaps/cma_heap.c>
