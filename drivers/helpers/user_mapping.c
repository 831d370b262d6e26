// SPDX-License-Identifier: GPL-2.0
/* Processes' mappings and their page tables. Part of ../helpers.c. */

void rust_dma_heap_vma_set_ops(struct vm_area_struct *vma,
			       const struct vm_operations_struct *ops, void *private_data)
{
	vma->vm_ops = ops;
	vma->vm_private_data = private_data;
}

void rust_dma_heap_vma_zap(struct vm_area_struct *vma)
{
	zap_special_vma_range(vma, vma->vm_start, vma->vm_end - vma->vm_start);
}

void rust_dma_heap_vma_set_pfnmap(struct vm_area_struct *vma)
{
	/* What remap_pfn_range() sets. */
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
}

bool rust_dma_heap_fault_is_write(const struct vm_fault *vmf)
{
	return vmf->flags & (FAULT_FLAG_WRITE | FAULT_FLAG_MKWRITE);
}

bool rust_dma_heap_fault_pmd_is_none(const struct vm_fault *vmf)
{
	return pmd_none(pmdp_get_lockless(vmf->pmd));
}

bool rust_dma_heap_fault_pmd_is_leaf(const struct vm_fault *vmf)
{
	return pmd_leaf(pmdp_get_lockless(vmf->pmd));
}

vm_fault_t rust_dma_heap_fault_insert_pmd(struct vm_fault *vmf, unsigned long pfn, bool write)
{
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	return vmf_insert_pfn_pmd(vmf, pfn, write);
#else
	return VM_FAULT_FALLBACK;
#endif
}

#ifdef CONFIG_ARM
/* set_ptes() is not for modules there: entries go in one by one, where there is none. */
int rust_dma_heap_fill_ptes(struct vm_area_struct *vma, unsigned long address, unsigned long pfn,
			    unsigned long len, pgprot_t prot, bool write)
{
	unsigned long end = address + len;

	if (write) {
		/* Those to be made writable: who faults meanwhile finds the new ones. */
		zap_special_vma_range(vma, address, len);
		/* Hardware does not note writes: of a clean entry the first one would fault. */
		prot = __pgprot(pgprot_val(prot) | L_PTE_DIRTY);
	}
	for (; address != end; address += PAGE_SIZE) {
		if (vmf_insert_pfn_prot(vma, address, pfn++, prot) != VM_FAULT_NOPAGE)
			return -ENOMEM;
	}
	return 0;
}
#else
/* What fill_pte() needs to know; pfn goes on from one entry to the next. */
struct fill {
	struct mm_struct *mm;
	unsigned long pfn;
	pgprot_t prot;
	bool write;
};

static int fill_pte(pte_t *ptep, unsigned long address, void *data)
{
	struct fill *fill = data;
	unsigned long pfn = fill->pfn++;
	pte_t old = ptep_get(ptep);
	pte_t new;

	if (!pte_none(old)) {
		if (!fill->write || !pte_present(old) || pte_write(old))
			return 0;
		/*
		 * Only to let more be written: who still has the old entry
		 * in a TLB faults once more, finds this one and goes on.
		 */
		ptep_get_and_clear(fill->mm, address, ptep);
	}

	new = pte_mkspecial(pfn_pte(pfn, fill->prot));
	if (fill->write)
		new = pte_mkyoung(pte_mkdirty(new));
	set_pte_at(fill->mm, address, ptep, new);
	return 0;
}

int rust_dma_heap_fill_ptes(struct vm_area_struct *vma, unsigned long address, unsigned long pfn,
			    unsigned long len, pgprot_t prot, bool write)
{
	struct fill fill = {
		.mm = vma->vm_mm,
		.pfn = pfn,
		.prot = prot,
		.write = write,
	};

	return apply_to_page_range(fill.mm, address, len, fill_pte, &fill);
}
#endif
