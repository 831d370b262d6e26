// SPDX-License-Identifier: GPL-2.0
/* Pages, nodes and their sums. Part of ../helpers.c. */

struct page *rust_dma_heap_pfn_to_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

unsigned long rust_dma_heap_page_to_pfn(const struct page *page)
{
	return page_to_pfn(page);
}

bool rust_dma_heap_page_is_highmem(const struct page *page)
{
	return PageHighMem(page);
}

void *rust_dma_heap_page_address(const struct page *page)
{
	return page_address(page);
}

void rust_dma_heap_clear_highpage(struct page *page)
{
	clear_highpage(page);
}

void rust_dma_heap_copy_from_page(void *to, struct page *page, size_t offset, size_t len)
{
	memcpy_from_page(to, page, offset, len);
}

void rust_dma_heap_copy_to_page(struct page *page, size_t offset, const void *from, size_t len)
{
	memcpy_to_page(page, offset, from, len);
}

bool rust_dma_heap_pfn_valid(unsigned long pfn)
{
	return pfn_valid(pfn);
}

void rust_dma_heap_get_page(struct page *page)
{
	get_page(page);
}

void rust_dma_heap_put_page(struct page *page)
{
	put_page(page);
}

unsigned long rust_dma_heap_totalram_pages(void)
{
	return totalram_pages();
}

struct page *rust_dma_heap_alloc_pages_node(int nid, unsigned int gfp, unsigned int order)
{
	return alloc_pages_node(nid, (__force gfp_t)gfp, order);
}

unsigned long rust_dma_heap_page_private(const struct page *page)
{
	return page_private(page);
}

void rust_dma_heap_set_page_private(struct page *page, unsigned long value)
{
	set_page_private(page, value);
}

bool rust_dma_heap_node_has_memory(int nid)
{
	return node_state(nid, N_MEMORY);
}

unsigned int rust_dma_heap_nr_node_ids(void)
{
	return nr_node_ids;
}

int rust_dma_heap_page_to_nid(const struct page *page)
{
	return page_to_nid(page);
}

int rust_dma_heap_numa_mem_id(void)
{
	return numa_mem_id();
}

struct pglist_data *rust_dma_heap_node_data(int nid)
{
	return NODE_DATA(nid);
}

void rust_dma_heap_account_reclaimable(int nid, long pages)
{
	mod_node_page_state(NODE_DATA(nid), NR_KERNEL_MISC_RECLAIMABLE, pages);
}

void rust_dma_heap_account_reclaimed(unsigned long pages)
{
	mm_account_reclaimed_pages(pages);
}

bool rust_dma_heap_caches_alias(void)
{
#if defined(CONFIG_ARM)
	return cache_is_vivt() || cache_is_vipt_aliasing();
#elif defined(ARCH_IMPLEMENTS_FLUSH_KERNEL_VMAP_RANGE)
	return true;
#else
	return false;
#endif
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
