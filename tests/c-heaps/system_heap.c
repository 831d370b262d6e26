// SPDX-License-Identifier: GPL-2.0
/* The kernel's system heap. */
#include <drivers/dma-buf/heaps/system_heap.c>
