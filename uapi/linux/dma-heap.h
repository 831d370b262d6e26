/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Allocating dma-bufs from a heap node, /dev/dma_heap/<name>.
 *
 * The same ABI as the header of that name in the kernel. Each structure,
 * constant and ioctl number here is compared with it when the tests run.
 */
#ifndef RUST_DMA_HEAP_UAPI_DMA_HEAP_H
#define RUST_DMA_HEAP_UAPI_DMA_HEAP_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Flags that the new file descriptor may be given: O_CLOEXEC and an access mode. */
#define DMA_HEAP_VALID_FD_FLAGS (O_CLOEXEC | O_ACCMODE)

/* No heap flag is defined. */
#define DMA_HEAP_VALID_HEAP_FLAGS (0ULL)

/* What DMA_HEAP_IOCTL_ALLOC takes and returns. */
struct dma_heap_allocation_data {
	__u64 len;		/* bytes wanted; rounded up to whole pages */
	__u32 fd;		/* 0 on entry, the dma-buf's file descriptor on return */
	__u32 fd_flags;		/* DMA_HEAP_VALID_FD_FLAGS */
	__u64 heap_flags;	/* DMA_HEAP_VALID_HEAP_FLAGS */
};

#define DMA_HEAP_IOC_MAGIC 'H'

/* Allocate a zeroed buffer and return it as a dma-buf file descriptor. */
#define DMA_HEAP_IOCTL_ALLOC \
	_IOWR(DMA_HEAP_IOC_MAGIC, 0x0, struct dma_heap_allocation_data)

#endif
