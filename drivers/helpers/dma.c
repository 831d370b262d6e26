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

bool rust_dma_heap_device_is_pci(const struct device *dev)
{
	return dev_is_pci(dev);
}

dma_addr_t rust_dma_heap_phys_to_dma(struct device *dev, phys_addr_t phys)
{
	return phys_to_dma(dev, phys);
}

dma_addr_t rust_dma_heap_phys_to_dma_unencrypted(struct device *dev, phys_addr_t phys)
{
	return phys_to_dma_unencrypted(dev, phys);
}

phys_addr_t rust_dma_heap_dma_to_phys(struct device *dev, dma_addr_t address)
{
	return dma_to_phys(dev, address);
}

bool rust_dma_heap_use_dma_iommu(struct device *dev)
{
	return use_dma_iommu(dev);
}

bool rust_dma_heap_has_dma_ops(struct device *dev)
{
	return get_dma_ops(dev);
}

bool rust_dma_heap_is_swiotlb_force_bounce(struct device *dev)
{
	return is_swiotlb_force_bounce(dev);
}

#if defined(CONFIG_ARM64) || !defined(CONFIG_ARCH_HAS_FORCE_DMA_UNENCRYPTED)
bool rust_dma_heap_force_dma_unencrypted(struct device *dev)
{
	return force_dma_unencrypted(dev);
}
#endif

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
