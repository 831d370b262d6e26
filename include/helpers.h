/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions for what the kernel offers to C only as a macro or an inline
 * function, one call each and no policy. drivers/helpers.c defines them; only
 * drivers/abstractions calls them.
 */
#ifndef RUST_DMA_HEAP_HELPERS_H
#define RUST_DMA_HEAP_HELPERS_H

#include <linux/dma-direction.h>
#include <linux/fcntl.h>
#include <linux/gfp.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/pgtable.h>
#include <linux/shrinker.h>
#include <linux/types.h>

#include "../uapi/linux/dma-heap.h"
#include "../uapi/linux/rust-dma-heap.h"

struct delayed_work;
struct device;
struct device_node;
struct dma_buf;
struct iommu_domain;
struct kset;
struct kthread_delayed_work;
struct kthread_work;
struct page;
struct scatterlist;
struct sg_table;
struct user_namespace;
struct vm_area_struct;
struct vm_fault;
struct vm_operations_struct;
struct work_struct;

/* Values that bindgen cannot evaluate because they are casts inside macros. */
static const u32 RUST_DMA_HEAP_GFP_RETRY_MAYFAIL =
	(__force u32)(GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
static const u32 RUST_DMA_HEAP_GFP_BLOCK_RECLAIM =
	(__force u32)(GFP_HIGHUSER | __GFP_ZERO | __GFP_COMP | __GFP_RETRY_MAYFAIL |
		      __GFP_NOWARN);
static const u32 RUST_DMA_HEAP_GFP_BLOCK_OPPORTUNISTIC =
	(__force u32)((GFP_HIGHUSER | __GFP_ZERO | __GFP_COMP | __GFP_NORETRY |
		       __GFP_NOWARN) & ~__GFP_RECLAIM);
/* To add to one of those two. */
static const u32 RUST_DMA_HEAP_GFP_ACCOUNT = (__force u32)__GFP_ACCOUNT;
static const u32 RUST_DMA_HEAP_GFP_THISNODE = (__force u32)__GFP_THISNODE;
static const u32 RUST_DMA_HEAP_GFP_NOFAIL = (__force u32)(GFP_KERNEL | __GFP_NOFAIL);
static const u32 RUST_DMA_HEAP_PMD_SHIFT = PMD_SHIFT;
static const u32 RUST_DMA_HEAP_MAX_PAGE_ORDER = MAX_PAGE_ORDER;
#ifdef CONFIG_CMA_ALIGNMENT
static const u32 RUST_DMA_HEAP_CMA_ALIGNMENT = CONFIG_CMA_ALIGNMENT;
#else
static const u32 RUST_DMA_HEAP_CMA_ALIGNMENT = 0;
#endif

static const u32 RUST_DMA_HEAP_VM_FAULT_NOPAGE = (__force u32)VM_FAULT_NOPAGE;
static const u32 RUST_DMA_HEAP_VM_FAULT_OOM = (__force u32)VM_FAULT_OOM;
static const u32 RUST_DMA_HEAP_VM_FAULT_SIGBUS = (__force u32)VM_FAULT_SIGBUS;
static const u32 RUST_DMA_HEAP_VM_FAULT_FALLBACK = (__force u32)VM_FAULT_FALLBACK;

/* The ABI: uapi/linux/dma-heap.h of this tree */
static const u32 RUST_DMA_HEAP_IOCTL_ALLOC = DMA_HEAP_IOCTL_ALLOC;
static const u32 RUST_DMA_HEAP_VALID_FD_FLAGS = DMA_HEAP_VALID_FD_FLAGS;
static const u64 RUST_DMA_HEAP_VALID_HEAP_FLAGS = DMA_HEAP_VALID_HEAP_FLAGS;
/* And uapi/linux/rust-dma-heap.h. */
static const u32 RUST_DMA_HEAP_DESCRIBE = RUST_DMA_HEAP_IOCTL_DESCRIBE;
static const u32 RUST_DMA_HEAP_DEVICES = RUST_DMA_HEAP_IOCTL_DEVICES;
static const u32 RUST_DMA_HEAP_KEPT = RUST_DMA_HEAP_ATTACHMENT_KEPT;

/* An enum that has no name before 7.3. */
static const u32 RUST_DMA_HEAP_MPOL_PREFERRED = MPOL_PREFERRED;
static const u32 RUST_DMA_HEAP_MPOL_BIND = MPOL_BIND;
static const u32 RUST_DMA_HEAP_MPOL_LOCAL = MPOL_LOCAL;
static const u32 RUST_DMA_HEAP_MPOL_PREFERRED_MANY = MPOL_PREFERRED_MANY;

static const u32 RUST_DMA_HEAP_SHRINKER_NUMA_AWARE = SHRINKER_NUMA_AWARE;
static const unsigned long RUST_DMA_HEAP_VM_LOCKED = VM_LOCKED;
static const unsigned long RUST_DMA_HEAP_VM_MAYSHARE = VM_MAYSHARE;
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
static const bool RUST_DMA_HEAP_SUPPORTS_PMD_PFNMAP = true;
#else
static const bool RUST_DMA_HEAP_SUPPORTS_PMD_PFNMAP = false;
#endif

/* Pages: include/linux/mm.h, include/linux/highmem.h */
struct page *rust_dma_heap_pfn_to_page(unsigned long pfn);
unsigned long rust_dma_heap_page_to_pfn(const struct page *page);
bool rust_dma_heap_pfn_valid(unsigned long pfn);
bool rust_dma_heap_page_is_highmem(const struct page *page);
void *rust_dma_heap_page_address(const struct page *page);
void rust_dma_heap_clear_highpage(struct page *page);
void rust_dma_heap_copy_from_page(void *to, struct page *page, size_t offset, size_t len);
void rust_dma_heap_copy_to_page(struct page *page, size_t offset, const void *from, size_t len);
void rust_dma_heap_get_page(struct page *page);
void rust_dma_heap_put_page(struct page *page);
unsigned long rust_dma_heap_totalram_pages(void);
struct page *rust_dma_heap_alloc_pages_node(int nid, unsigned int gfp, unsigned int order);
unsigned long rust_dma_heap_page_private(const struct page *page);
void rust_dma_heap_set_page_private(struct page *page, unsigned long value);

/* Arithmetic: include/linux/math64.h */
u64 rust_dma_heap_div_u64_rem(u64 dividend, u32 divisor, u32 *remainder);

/* NUMA: include/linux/nodemask.h, include/linux/topology.h, include/linux/vmstat.h */
bool rust_dma_heap_node_has_memory(int nid);
unsigned int rust_dma_heap_nr_node_ids(void);
int rust_dma_heap_page_to_nid(const struct page *page);
int rust_dma_heap_numa_mem_id(void);
struct pglist_data *rust_dma_heap_node_data(int nid);
void rust_dma_heap_account_reclaimable(int nid, long pages);

/* Background work: include/linux/kthread.h */
void rust_dma_heap_delayed_work_init(struct kthread_delayed_work *work,
				     void (*func)(struct kthread_work *work));

/* Delayed work: include/linux/workqueue.h */
void rust_dma_heap_init_delayed_work(struct delayed_work *work,
				     void (*func)(struct work_struct *work));
void rust_dma_heap_queue_delayed_work(struct delayed_work *work, unsigned long delay);
void rust_dma_heap_mod_delayed_work(struct delayed_work *work, unsigned long delay);

/* Memory pressure: include/linux/swap.h */
void rust_dma_heap_account_reclaimed(unsigned long pages);

/* Scatterlists and DMA: include/linux/scatterlist.h, include/linux/dma-mapping.h */
void rust_dma_heap_sg_set_page(struct scatterlist *sg, struct page *page, unsigned int len);
void rust_dma_heap_sg_copy_dma(struct scatterlist *to, struct scatterlist *from);
bool rust_dma_heap_device_is_pci(const struct device *dev);
dma_addr_t rust_dma_heap_phys_to_dma(struct device *dev, phys_addr_t phys);
dma_addr_t rust_dma_heap_phys_to_dma_unencrypted(struct device *dev, phys_addr_t phys);
phys_addr_t rust_dma_heap_dma_to_phys(struct device *dev, dma_addr_t address);
bool rust_dma_heap_use_dma_iommu(struct device *dev);
bool rust_dma_heap_has_dma_ops(struct device *dev);
bool rust_dma_heap_is_swiotlb_force_bounce(struct device *dev);
bool rust_dma_heap_force_dma_unencrypted(struct device *dev);
void rust_dma_heap_dma_sync_sgtable_for_cpu(struct device *dev, struct sg_table *sgt,
					    enum dma_data_direction dir);
void rust_dma_heap_dma_sync_sgtable_for_device(struct device *dev, struct sg_table *sgt,
					       enum dma_data_direction dir);

/* IOMMUs: include/linux/iommu.h */
struct iommu_domain *rust_dma_heap_iommu_domain(struct device *dev);
bool rust_dma_heap_iommu_domain_is_lazy(const struct iommu_domain *domain);
void rust_dma_heap_iommu_flush(struct iommu_domain *domain);

/* dma-bufs: include/linux/dma-buf.h */
unsigned long rust_dma_heap_dma_buf_inode(const struct dma_buf *dma_buf);
void rust_dma_heap_get_dma_buf(struct dma_buf *dma_buf);
void rust_dma_heap_dma_buf_lock(struct dma_buf *dma_buf);
void rust_dma_heap_dma_buf_unlock(struct dma_buf *dma_buf);

/* Bytes that others change meanwhile: include/linux/string.h */
void rust_dma_heap_memcpy(void *to, const void *from, size_t len);

/* Tracepoints: include/rust_dma_heap_trace.h */
void rust_dma_heap_trace_stat(unsigned long inode, long len, unsigned long total_allocated);
void rust_dma_heap_trace_alloc(const char *heap, unsigned long inode, u64 len, u64 blocks);
void rust_dma_heap_trace_release(const char *heap, unsigned long inode, u64 len, u64 blocks);
void rust_dma_heap_trace_pool_hit(const char *heap, u64 bytes);
void rust_dma_heap_trace_pool_miss(const char *heap, u64 bytes);
void rust_dma_heap_trace_pool_zero(const char *heap, u64 bytes);
void rust_dma_heap_trace_pool_trim(const char *heap, u64 bytes);
void rust_dma_heap_trace_pool_reclaim(const char *heap, u64 bytes);

/* Devices and their buses: include/linux/device.h, include/linux/kobject.h */
struct kset *rust_dma_heap_kset_get(struct kset *kset);
void rust_dma_heap_kset_put(struct kset *kset);

/* Device trees: include/linux/of.h */
void rust_dma_heap_of_node_put(struct device_node *node);

/* The log: include/linux/ratelimit.h */
bool rust_dma_heap_may_log(void);

/* Kernel mappings: include/linux/vmalloc.h, asm/cacheflush.h, asm/cachetype.h */
bool rust_dma_heap_caches_alias(void);
void *rust_dma_heap_vmap(struct page **pages, unsigned int nr_pages);
void rust_dma_heap_invalidate_kernel_vmap_range(void *addr, unsigned long len);
void rust_dma_heap_flush_kernel_vmap_range(void *addr, unsigned long len);

/* User mappings: include/linux/mm.h */
void rust_dma_heap_vma_set_ops(struct vm_area_struct *vma,
			       const struct vm_operations_struct *ops, void *private_data);
void rust_dma_heap_vma_set_pfnmap(struct vm_area_struct *vma);
void rust_dma_heap_vma_zap(struct vm_area_struct *vma);
bool rust_dma_heap_fault_is_write(const struct vm_fault *vmf);
bool rust_dma_heap_fault_pmd_is_none(const struct vm_fault *vmf);
bool rust_dma_heap_fault_pmd_is_leaf(const struct vm_fault *vmf);
vm_fault_t rust_dma_heap_fault_insert_pmd(struct vm_fault *vmf, unsigned long pfn, bool write);
int rust_dma_heap_fill_ptes(struct vm_area_struct *vma, unsigned long address, unsigned long pfn,
			    unsigned long len, pgprot_t prot, bool write);

/* Tasks: include/linux/sched/signal.h, linux/cred.h, linux/user_namespace.h, linux/capability.h */
void rust_dma_heap_cond_resched(void);
bool rust_dma_heap_fatal_signal_pending(void);
u32 rust_dma_heap_current_uid(void);
struct user_namespace *rust_dma_heap_current_user_ns(void);
bool rust_dma_heap_capable_noaudit(int capability);

#endif
