/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * What nodes of the module rust_dma_heap can do beyond <linux/dma-heap.h>.
 *
 * A command goes to the node of any heap of the module. Nodes of the kernel's own
 * heaps answer EINVAL.
 *
 * Structures grow at their end, and a command says how long the caller's is:
 * a newer program's surplus must be zero (else E2BIG) and stays so, an older
 * one is not told what it does not know. The layout is the same for 32-bit
 * callers.
 */
#ifndef RUST_DMA_HEAP_UAPI_RUST_DMA_HEAP_H
#define RUST_DMA_HEAP_UAPI_RUST_DMA_HEAP_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Bytes of a name, with the 0 at its end. A longer name is cut. */
#define RUST_DMA_HEAP_NAME_LEN 64

/* The device's DMA mapping is kept, although its driver has unmapped the buffer. */
#define RUST_DMA_HEAP_ATTACHMENT_KEPT (1U << 0)

/* A device that is attached to a buffer. */
struct rust_dma_heap_attachment {
	char device[RUST_DMA_HEAP_NAME_LEN]; /* its name in /sys/bus/.../devices */
	__u64 dma_mask;		/* the highest address it can put out; 0 if it does no DMA */
	__u64 max_segment;	/* bytes of one DMA range, as its driver demands; 0 if any */
	__u64 boundary_mask;	/* no range crosses a multiple of this and one; ~0 if any may */
	__u32 maps;		/* how often it is mapped now */
	__u32 flags;		/* RUST_DMA_HEAP_ATTACHMENT_* */
};

/* What RUST_DMA_HEAP_IOCTL_DESCRIBE takes and returns. */
struct rust_dma_heap_description {
	__s32 fd;		/* in: the dma-buf */
	__u32 flags;		/* in: 0 */
	__u64 attachments;	/* in: address of an array of struct rust_dma_heap_attachment */
	__u32 attachment_size;	/* in: bytes of one of them */
	__u32 nr_attachments;	/* in: how many there is room for; out: how many there are */
	__u64 size;		/* out: bytes of the buffer */
	__u64 nr_blocks;	/* out: blocks of memory that it is made of */
	__u64 nr_segments;	/* out: physically contiguous ranges that they make */
	char heap[RUST_DMA_HEAP_NAME_LEN]; /* out: the heap it came from */
};

/*
 * Tell what a buffer of the module is: of which heap, of what memory, and which
 * devices are attached. Whoever holds its descriptor may ask.
 *
 * EBADF: no such descriptor. EINVAL: not a dma-buf, flags are not 0, or the
 * structure or its attachment_size is shorter than here, or that 4096 or more.
 * EXDEV: another exporter's buffer. E2BIG: bytes that this module does not know are not 0.
 */
#define RUST_DMA_HEAP_IOCTL_DESCRIBE _IOWR('H', 0x91, struct rust_dma_heap_description)

/* What RUST_DMA_HEAP_IOCTL_DEVICES takes and returns. */
struct rust_dma_heap_devices {
	__u64 devices;		/* in: address of an array of struct rust_dma_heap_attachment */
	__u32 device_size;	/* in: bytes of one of them */
	__u32 nr_devices;	/* in: how many there is room for; out: how many there are */
};

/*
 * Tell which devices were attached to any buffer since the module was loaded, in the
 * order in which each was first, and what each demanded last; at most 64. maps and
 * flags are 0.
 *
 * EINVAL: the structure or its device_size is shorter than here, or that 4096 or
 * more. E2BIG: as above.
 */
#define RUST_DMA_HEAP_IOCTL_DEVICES _IOWR('H', 0x92, struct rust_dma_heap_devices)

#endif
