// SPDX-License-Identifier: GPL-2.0
/* Pages, nodes and their sums. Part of ../helpers.c. */

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

unsigned long rust_dma_heap_cma_pages(void)
{
	unsigned long pages = 0;
	int nid, zone;

	for_each_online_node(nid)
		for (zone = 0; zone < MAX_NR_ZONES; zone++)
			pages += zone_cma_pages(&NODE_DATA(nid)->node_zones[zone]);
	return pages;
}

u64 rust_dma_heap_reserved_memory_size(const char *name)
{
	u64 size = 0;
#ifdef CONFIG_OF_RESERVED_MEM
	struct device_node *parent = of_find_node_by_path("/reserved-memory");
	struct device_node *child;

	for_each_child_of_node(parent, child) {
		const struct reserved_mem *region = of_reserved_mem_lookup(child);

		if (region && !strcmp(region->name, name))
			size = region->size;
	}
	of_node_put(parent);
#endif
	return size;
}

struct page *rust_dma_heap_alloc_pages_on_node(int nid, unsigned int order)
{
	return alloc_pages_node(nid, (__force gfp_t)RUST_DMA_HEAP_GFP_BLOCK_OPPORTUNISTIC |
				__GFP_THISNODE, order);
}

static bool is_ours_alone(const struct page *page)
{
	return page_count(page) == 1;
}

unsigned long rust_dma_heap_pages_alike(const struct page *page, unsigned long nr_pages,
					bool *ours_alone)
{
	unsigned long pfn = page_to_pfn(page);
	unsigned long n = 1;

	*ours_alone = is_ours_alone(page);
	while (n < nr_pages && is_ours_alone(pfn_to_page(pfn + n)) == *ours_alone)
		n++;
	return n;
}

/* Has a page of the machine broken since it was started? */
static bool any_memory_failure(void)
{
#ifdef CONFIG_MEMORY_FAILURE
	int nid;

	for_each_online_node(nid)
		if (READ_ONCE(NODE_DATA(nid)->mf_stats.total))
			return true;
#endif
	return false;
}

static bool is_fit(const struct page *page)
{
	return is_ours_alone(page) && !PageHWPoison(page);
}

unsigned long rust_dma_heap_pages_fit(struct page *page, unsigned long nr_pages)
{
	unsigned long pfn = page_to_pfn(page);
	unsigned long n = 0;

	while (n < nr_pages && is_fit(pfn_to_page(pfn + n)))
		n++;
	return n;
}

bool rust_dma_heap_pages_are_broken(struct page *page, unsigned long nr_pages)
{
	unsigned long pfn = page_to_pfn(page);
	unsigned long n;

	if (any_memory_failure())
		for (n = 0; n < nr_pages; n++)
			if (PageHWPoison(pfn_to_page(pfn + n)))
				return true;
	return false;
}

unsigned long rust_dma_heap_folio_pages_fit(struct page *page, unsigned long nr_pages)
{
	if (folio_ref_count(page_folio(page)) != 1 ||
	    rust_dma_heap_pages_are_broken(page, nr_pages))
		return 0;
	return nr_pages;
}

unsigned long rust_dma_heap_page_private(const struct page *page)
{
	return page_private(page);
}

void rust_dma_heap_set_page_private(struct page *page, unsigned long value)
{
	set_page_private(page, value);
}

bool rust_dma_heap_node_has_memory(unsigned long nid)
{
	return nid < nr_node_ids && node_state(nid, N_MEMORY);
}

unsigned int rust_dma_heap_nr_node_ids(void)
{
	return nr_node_ids;
}

int rust_dma_heap_page_to_nid(const struct page *page)
{
	return page_to_nid(page);
}

#ifdef CONFIG_NUMA
static bool may_allocate_from(int nid, const struct mempolicy *policy)
{
#ifdef CONFIG_CPUSETS
	if (!node_isset(nid, current->mems_allowed))
		return false;
#endif
	if (policy && policy->mode != MPOL_LOCAL && !node_isset(nid, policy->nodes))
		return false;
	return node_state(nid, N_MEMORY);
}
#endif

bool rust_dma_heap_node_is_preferred(int nid)
{
#ifdef CONFIG_NUMA
	const struct mempolicy *policy = current->mempolicy;
	int local = numa_mem_id();

	if (policy && policy->mode != MPOL_LOCAL && policy->mode != MPOL_BIND &&
	    policy->mode != MPOL_PREFERRED && policy->mode != MPOL_PREFERRED_MANY)
		return false;
	if (may_allocate_from(local, policy))
		return nid == local;
	return may_allocate_from(nid, policy);
#else
	return true;
#endif
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
