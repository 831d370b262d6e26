/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints. drivers/trace.c defines them; only drivers/abstractions/trace.rs
 * reaches them, through the functions of helpers.h.
 *
 * dma_heap_stat is the event of Android's kernels, which Perfetto reads.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dmabuf_heap

#if !defined(RUST_DMA_HEAP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define RUST_DMA_HEAP_TRACE_H

#include <linux/tracepoint.h>
#include <linux/types.h>

/* A buffer came (len > 0) or went (len < 0); total_allocated is what all have then. */
TRACE_EVENT(dma_heap_stat,
	TP_PROTO(unsigned long inode, long len, unsigned long total_allocated),
	TP_ARGS(inode, len, total_allocated),
	TP_STRUCT__entry(
		__field(unsigned long, inode)
		__field(long, len)
		__field(unsigned long, total_allocated)
	),
	TP_fast_assign(
		__entry->inode = inode;
		__entry->len = len;
		__entry->total_allocated = total_allocated;
	),
	TP_printk("inode=%lu len=%ld total_allocated=%lu",
		  __entry->inode, __entry->len, __entry->total_allocated)
);

DECLARE_EVENT_CLASS(rust_dma_heap_buffer,
	TP_PROTO(const char *heap, unsigned long inode, u64 len, u64 blocks),
	TP_ARGS(heap, inode, len, blocks),
	TP_STRUCT__entry(
		__string(heap, heap)
		__field(unsigned long, inode)
		__field(u64, len)
		__field(u64, blocks)
	),
	TP_fast_assign(
		__assign_str(heap);
		__entry->inode = inode;
		__entry->len = len;
		__entry->blocks = blocks;
	),
	TP_printk("heap=%s inode=%lu len=%llu blocks=%llu", __get_str(heap),
		  __entry->inode, __entry->len, __entry->blocks)
);

/* A buffer was made, of that many blocks, by the current task. */
DEFINE_EVENT(rust_dma_heap_buffer, dma_heap_alloc,
	TP_PROTO(const char *heap, unsigned long inode, u64 len, u64 blocks),
	TP_ARGS(heap, inode, len, blocks)
);

/* Its last user has gone. */
DEFINE_EVENT(rust_dma_heap_buffer, dma_heap_release,
	TP_PROTO(const char *heap, unsigned long inode, u64 len, u64 blocks),
	TP_ARGS(heap, inode, len, blocks)
);

DECLARE_EVENT_CLASS(rust_dma_heap_pool,
	TP_PROTO(const char *heap, u64 bytes),
	TP_ARGS(heap, bytes),
	TP_STRUCT__entry(
		__string(heap, heap)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__assign_str(heap);
		__entry->bytes = bytes;
	),
	TP_printk("heap=%s bytes=%llu", __get_str(heap), __entry->bytes)
);

/* Memory for a new buffer came out of the pool, */
DEFINE_EVENT(rust_dma_heap_pool, dma_heap_pool_hit,
	TP_PROTO(const char *heap, u64 bytes), TP_ARGS(heap, bytes));

/* or did not. */
DEFINE_EVENT(rust_dma_heap_pool, dma_heap_pool_miss,
	TP_PROTO(const char *heap, u64 bytes), TP_ARGS(heap, bytes));

/* Memory that somebody had written was zeroed, by the current task. */
DEFINE_EVENT(rust_dma_heap_pool, dma_heap_pool_zero,
	TP_PROTO(const char *heap, u64 bytes), TP_ARGS(heap, bytes));

/* Memory went back to the kernel because it was idle, */
DEFINE_EVENT(rust_dma_heap_pool, dma_heap_pool_trim,
	TP_PROTO(const char *heap, u64 bytes), TP_ARGS(heap, bytes));

/* or because the kernel needed it. */
DEFINE_EVENT(rust_dma_heap_pool, dma_heap_pool_reclaim,
	TP_PROTO(const char *heap, u64 bytes), TP_ARGS(heap, bytes));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE rust_dma_heap_trace
#include <trace/define_trace.h>
