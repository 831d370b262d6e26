// SPDX-License-Identifier: GPL-2.0
/* What a program gets that includes our own header and nothing else; see compare. */

#include <linux/rust-dma-heap.h>

/* An array of negative length is an error of C99's, too. */
#define IS(name, condition) typedef char name[(condition) ? 1 : -1]
#define SIZE_OF(number) (((number) >> 16) & 0x3fff)

IS(attachment_size, sizeof(struct rust_dma_heap_attachment) == 96);
IS(description_size, sizeof(struct rust_dma_heap_description) == 112);
IS(devices_size, sizeof(struct rust_dma_heap_devices) == 16);
IS(describe_size, SIZE_OF(RUST_DMA_HEAP_IOCTL_DESCRIBE) == 112);
IS(devices_number_size, SIZE_OF(RUST_DMA_HEAP_IOCTL_DEVICES) == 16);

int main(void)
{
	return RUST_DMA_HEAP_NAME_LEN + RUST_DMA_HEAP_ATTACHMENT_KEPT == 65 ? 0 : 1;
}
