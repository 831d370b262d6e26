// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints, and a C function for each that Rust calls: the `kernel`
 * crate's own way needs a tracepoint that bindgen of the kernel itself has seen.
 */
#define CREATE_TRACE_POINTS
#include "rust_dma_heap_trace.h"

#include "helpers.h"

void rust_dma_heap_trace_stat(unsigned long inode, long len, unsigned long total_allocated)
{
	trace_dma_heap_stat(inode, len, total_allocated);
}

void rust_dma_heap_trace_alloc(const char *heap, unsigned long inode, u64 len, u64 blocks)
{
	trace_dma_heap_alloc(heap, inode, len, blocks);
}

void rust_dma_heap_trace_release(const char *heap, unsigned long inode, u64 len, u64 blocks)
{
	trace_dma_heap_release(heap, inode, len, blocks);
}

void rust_dma_heap_trace_pool_hit(const char *heap, u64 bytes)
{
	trace_dma_heap_pool_hit(heap, bytes);
}

void rust_dma_heap_trace_pool_miss(const char *heap, u64 bytes)
{
	trace_dma_heap_pool_miss(heap, bytes);
}

void rust_dma_heap_trace_pool_zero(const char *heap, u64 bytes)
{
	trace_dma_heap_pool_zero(heap, bytes);
}

void rust_dma_heap_trace_pool_trim(const char *heap, u64 bytes)
{
	trace_dma_heap_pool_trim(heap, bytes);
}

void rust_dma_heap_trace_pool_reclaim(const char *heap, u64 bytes)
{
	trace_dma_heap_pool_reclaim(heap, bytes);
}
