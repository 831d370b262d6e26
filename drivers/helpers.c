// SPDX-License-Identifier: GPL-2.0
/*
 * One C function for each kernel macro or inline function that the module
 * calls; see include/helpers.h.
 */
#include <linux/cred.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/iommu-dma.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/swiotlb.h>
#include <linux/vmalloc.h>

#include "helpers.h"

struct page *rust_dma_heap_nth_page(struct page *page, unsigned long n)
{
	return pfn_to_page(page_to_pfn(page) + n);
}

struct page *rust_dma_heap_pfn_to_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

unsigned long rust_dma_heap_page_to_pfn(const struct page *page)
{
	return page_to_pfn(page);
}

void *rust_dma_heap_lowmem_page_address(const struct page *page)
{
	return PageHighMem(page) ? NULL : page_address(page);
}

void rust_dma_heap_clear_pages(struct page *page, unsigned long nr_pages)
{
	unsigned long i;

	for (i = 0; i < nr_pages; i++) {
		clear_highpage(pfn_to_page(page_to_pfn(page) + i));
		cond_resched();
	}
}

unsigned long rust_dma_heap_totalram_pages(void)
{
	return totalram_pages();
}

void rust_dma_heap_sg_set_page(struct scatterlist *sg, struct page *page, unsigned int len)
{
	sg_set_page(sg, page, len, 0);
}

void rust_dma_heap_sg_copy_dma(struct scatterlist *to, struct scatterlist *from)
{
	sg_set_page(to, sg_page(from), from->length, from->offset);
	sg_dma_address(to) = sg_dma_address(from);
	sg_dma_len(to) = sg_dma_len(from);
#ifdef CONFIG_NEED_SG_DMA_FLAGS
	to->dma_flags = from->dma_flags;
#endif
}

unsigned int rust_dma_heap_max_segment_size(const struct device *dev)
{
	return dev->dma_parms ? dev->dma_parms->max_segment_size : 0;
}

unsigned long rust_dma_heap_segment_boundary_mask(const struct device *dev)
{
	unsigned long mask = dev->dma_parms ? dev->dma_parms->segment_boundary_mask : 0;

	return mask ? mask : ULONG_MAX;
}

/* dma_capable() is not for modules: it needs an unexported function on x86. */
static bool reaches(struct device *dev, phys_addr_t phys, phys_addr_t len)
{
	dma_addr_t start = phys_to_dma(dev, phys);
	dma_addr_t end = start + len - 1;

	if (use_dma_iommu(dev) || get_dma_ops(dev))
		return true;
	return start != DMA_MAPPING_ERROR && start <= end &&
	       end <= min_not_zero(*dev->dma_mask, dev->bus_dma_limit);
}

bool rust_dma_heap_device_reaches(struct device *dev, unsigned long pfn, unsigned long nr_pages)
{
	return reaches(dev, PFN_PHYS(pfn), PFN_PHYS(nr_pages));
}

bool rust_dma_heap_device_reaches_bounce_buffer(struct device *dev)
{
#ifdef CONFIG_SWIOTLB
	const struct io_tlb_mem *mem = dev->dma_io_tlb_mem;

	if (mem && mem->defpool.end > mem->defpool.start)
		return reaches(dev, mem->defpool.start, mem->defpool.end - mem->defpool.start);
#endif
	return true;
}

bool rust_dma_heap_device_has_dma_mask(const struct device *dev)
{
	return dev->dma_mask && *dev->dma_mask;
}

void rust_dma_heap_dma_sync_sgtable_for_cpu(struct device *dev, struct sg_table *sgt,
					    enum dma_data_direction dir)
{
	dma_sync_sgtable_for_cpu(dev, sgt, dir);
}

void rust_dma_heap_dma_sync_sgtable_for_device(struct device *dev, struct sg_table *sgt,
					       enum dma_data_direction dir)
{
	dma_sync_sgtable_for_device(dev, sgt, dir);
}

int rust_dma_heap_dma_copy(struct device *dev, dma_addr_t address, void *bytes, size_t len,
			   bool to_memory)
{
	while (len) {
		phys_addr_t phys = dma_to_phys(dev, address);
		size_t now = min_t(size_t, len, PAGE_SIZE - offset_in_page(phys));
		void *memory;

		if (!pfn_valid(PHYS_PFN(phys)))
			return -EFAULT;
		memory = kmap_local_page(pfn_to_page(PHYS_PFN(phys)));
		if (to_memory)
			memcpy(memory + offset_in_page(phys), bytes, now);
		else
			memcpy(bytes, memory + offset_in_page(phys), now);
		kunmap_local(memory);
		address += now;
		bytes += now;
		len -= now;
	}
	return 0;
}

void *rust_dma_heap_vmap(struct page **pages, unsigned int nr_pages)
{
	return vmap(pages, nr_pages, VM_MAP, PAGE_KERNEL);
}

void rust_dma_heap_invalidate_kernel_vmap_range(void *addr, unsigned long len)
{
	invalidate_kernel_vmap_range(addr, len);
}

void rust_dma_heap_flush_kernel_vmap_range(void *addr, unsigned long len)
{
	flush_kernel_vmap_range(addr, len);
}

void rust_dma_heap_vma_set_ops(struct vm_area_struct *vma,
			       const struct vm_operations_struct *ops, void *private_data)
{
	vma->vm_ops = ops;
	vma->vm_private_data = private_data;
}

int rust_dma_heap_remap_pages(struct vm_area_struct *vma, unsigned long address,
			      unsigned long pfn, unsigned long len)
{
	return remap_pfn_range(vma, address, pfn, len, vma->vm_page_prot);
}

struct cdev *rust_dma_heap_inode_cdev(const struct inode *inode)
{
	return inode->i_cdev;
}

bool rust_dma_heap_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

u32 rust_dma_heap_current_uid(void)
{
	return __kuid_val(current_uid());
}
