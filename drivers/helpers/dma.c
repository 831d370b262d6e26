// SPDX-License-Identifier: GPL-2.0
/* Scatterlists, what devices reach, IOMMUs. Part of ../helpers.c. */

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

bool rust_dma_heap_device_is_pci(const struct device *dev)
{
	return dev_is_pci(dev);
}

unsigned long rust_dma_heap_segment_boundary_mask(const struct device *dev)
{
	unsigned long mask = dev->dma_parms ? dev->dma_parms->segment_boundary_mask : 0;

	return mask ? mask : ULONG_MAX;
}

/* dma_capable() is not for modules: it needs an unexported function on x86. */
static bool reaches(struct device *dev, dma_addr_t start, phys_addr_t len)
{
	dma_addr_t end = start + len - 1;

	if (use_dma_iommu(dev) || get_dma_ops(dev))
		return true;
	return start != DMA_MAPPING_ERROR && start <= end &&
	       end <= min_not_zero(*dev->dma_mask, dev->bus_dma_limit);
}

bool rust_dma_heap_device_reaches(struct device *dev, unsigned long pfn, unsigned long nr_pages)
{
	return reaches(dev, phys_to_dma(dev, PFN_PHYS(pfn)), PFN_PHYS(nr_pages));
}

bool rust_dma_heap_device_uses_iommu(struct device *dev)
{
	return use_dma_iommu(dev) || get_dma_ops(dev);
}

/* Of memory that the device could reach as well; without an IOMMU. */
bool rust_dma_heap_device_bounces_all(struct device *dev)
{
#ifdef CONFIG_SWIOTLB
	if (is_swiotlb_force_bounce(dev))
		return true;
#endif
#if defined(CONFIG_ARM64) || !defined(CONFIG_ARCH_HAS_FORCE_DMA_UNENCRYPTED)
	return force_dma_unencrypted(dev);
#else
	/* It is not for modules there. This is what x86 asks; 7.2 asks the first alone. */
	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT))
		return true;
#if defined(CONFIG_AMD_MEM_ENCRYPT) && LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	if (cc_platform_has(CC_ATTR_HOST_MEM_ENCRYPT))
		return min_not_zero(dev->coherent_dma_mask, dev->bus_dma_limit) <=
		       DMA_BIT_MASK(__ffs64(sme_me_mask));
#endif
	return false;
#endif
}

bool rust_dma_heap_device_reaches_bounce_buffer(struct device *dev)
{
#ifdef CONFIG_SWIOTLB
	const struct io_tlb_mem *mem = dev->dma_io_tlb_mem;

	if (mem && mem->defpool.end > mem->defpool.start)
		return reaches(dev, phys_to_dma_unencrypted(dev, mem->defpool.start),
			       mem->defpool.end - mem->defpool.start);
#endif
	return true;
}

u64 rust_dma_heap_device_dma_mask(const struct device *dev)
{
	return dev->dma_mask ? *dev->dma_mask : 0;
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

struct iommu_domain *rust_dma_heap_iommu_domain(struct device *dev)
{
	return iommu_get_domain_for_dev(dev);
}

bool rust_dma_heap_iommu_domain_is_lazy(const struct iommu_domain *domain)
{
#ifdef CONFIG_IOMMU_API
	/* Written in the middle of other users of the domain. */
	return READ_ONCE(domain->type) == IOMMU_DOMAIN_DMA_FQ;
#else
	return false;
#endif
}

void rust_dma_heap_iommu_flush(struct iommu_domain *domain)
{
	iommu_flush_iotlb_all(domain);
}

u64 rust_dma_heap_iommu_last_address(struct device *dev, const struct iommu_domain *domain)
{
	u64 last = min_not_zero(dma_get_mask(dev), dev->bus_dma_limit);

#ifdef CONFIG_IOMMU_API
	if (domain->geometry.force_aperture)
		last = min_t(u64, last, domain->geometry.aperture_end);
#endif
	return last;
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

struct page *rust_dma_heap_get_page_at(struct device *dev, dma_addr_t address)
{
	unsigned long pfn = PHYS_PFN(dma_to_phys(dev, address));

	if (!pfn_valid(pfn))
		return NULL;
	get_page(pfn_to_page(pfn));
	return pfn_to_page(pfn);
}

void rust_dma_heap_put_page(struct page *page)
{
	put_page(page);
}
