// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the compiler write the values of a header into its assembler output,
 * as the kernel's asm-offsets does.
 */

#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <linux/dma-heap.h>

#define VALUE(name, value) asm volatile("\n.ascii \"->" name " %0\"" : : "i"(value))
#define CONSTANT(name) VALUE(#name, (long)(name))
#define MEMBER(member)                                                         \
	VALUE("offsetof." #member,                                             \
	      offsetof(struct dma_heap_allocation_data, member));              \
	VALUE("sizeof." #member,                                               \
	      sizeof(((struct dma_heap_allocation_data *)0)->member))

void probe(void);

void probe(void)
{
	VALUE("sizeof", sizeof(struct dma_heap_allocation_data));
	VALUE("alignof", _Alignof(struct dma_heap_allocation_data));
	MEMBER(len);
	MEMBER(fd);
	MEMBER(fd_flags);
	MEMBER(heap_flags);
#include "constants.h"
}
