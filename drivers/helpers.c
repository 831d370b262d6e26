// SPDX-License-Identifier: GPL-2.0
/*
 * One C function for each kernel macro or inline function that the module
 * calls; see include/helpers.h.
 */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/vmalloc.h>

#include "helpers.h"

struct page *rust_dma_heap_nth_page(struct page *page, unsigned long n)
{
	return pfn_to_page(page_to_pfn(page) + n);
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
