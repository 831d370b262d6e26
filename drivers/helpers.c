// SPDX-License-Identifier: GPL-2.0
/*
 * One C function for each kernel macro or inline function that the module
 * calls; see include/helpers.h.
 */
#include <linux/cacheflush.h>
#include <linux/cc_platform.h>
#include <linux/cpuset.h>
#include <linux/cred.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/dma-buf.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/iommu-dma.h>
#include <linux/iommu.h>
#include <linux/kernfs.h>
#include <linux/kobject.h>
#include <linux/kthread.h>
#include <linux/math64.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/of.h>
#include <linux/of_reserved_mem.h>
#include <linux/pci.h>
#include <linux/ratelimit.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/swiotlb.h>
#include <linux/user_namespace.h>
#include <linux/version.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>

#ifdef CONFIG_ARM
#include <asm/cachetype.h>
#endif

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

u64 rust_dma_heap_div_u64_rem(u64 dividend, u32 divisor, u32 *remainder)
{
	return div_u64_rem(dividend, divisor, remainder);
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

struct kthread_worker *rust_dma_heap_start_worker(int nid, const char *name)
{
	struct kthread_worker *worker;

	worker = kthread_create_worker_on_node(KTW_FREEZABLE, nid, "%s", name);
	if (!IS_ERR(worker)) {
		set_user_nice(worker->task, MAX_NICE);
		wake_up_process(worker->task);
	}
	return worker;
}

void rust_dma_heap_delayed_work_init(struct kthread_delayed_work *work,
				     void (*func)(struct kthread_work *work))
{
	kthread_init_delayed_work(work, func);
}

void rust_dma_heap_account_reclaimed(unsigned long pages)
{
	mm_account_reclaimed_pages(pages);
}

void rust_dma_heap_init_delayed_work(struct delayed_work *work, work_func_t func)
{
	INIT_DELAYED_WORK(work, func);
}

void rust_dma_heap_queue_delayed_work(struct delayed_work *work, unsigned long delay)
{
	queue_delayed_work(system_freezable_wq, work, delay);
}

void rust_dma_heap_mod_delayed_work(struct delayed_work *work, unsigned long delay)
{
	mod_delayed_work(system_freezable_wq, work, delay);
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

bool rust_dma_heap_debugfs_exists(const char *name)
{
	struct dentry *dentry = debugfs_lookup(name, NULL);

	if (IS_ERR_OR_NULL(dentry))
		return false;
	dput(dentry);
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

unsigned long rust_dma_heap_dma_buf_inode(const struct dma_buf *dma_buf)
{
	return file_inode(dma_buf->file)->i_ino;
}

void rust_dma_heap_get_dma_buf(struct dma_buf *dma_buf)
{
	get_dma_buf(dma_buf);
}

void rust_dma_heap_dma_resv_lock(struct dma_resv *resv)
{
	/* Without a context, nothing can fail. */
	dma_resv_lock(resv, NULL);
}

void rust_dma_heap_dma_resv_unlock(struct dma_resv *resv)
{
	dma_resv_unlock(resv);
}

void rust_dma_heap_memcpy(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
}

bool rust_dma_heap_device_has_driver(const struct device *dev)
{
	return READ_ONCE(dev->driver);
}

struct kset *rust_dma_heap_device_bus(const struct device *dev)
{
	return dev->bus ? kset_get(bus_get_kset(dev->bus)) : NULL;
}

void rust_dma_heap_kset_put(struct kset *kset)
{
	kset_put(kset);
}

bool rust_dma_heap_kernel_kobj_has(const char *name)
{
	struct kernfs_node *node = kernfs_find_and_get(kernel_kobj->sd, name);

	kernfs_put(node);
	return node;
}

bool rust_dma_heap_may_log(void)
{
	static DEFINE_RATELIMIT_STATE(lines, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&lines);
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

void rust_dma_heap_copy_from_page(void *to, struct page *page, size_t offset, size_t len)
{
	memcpy_from_page(to, page, offset, len);
}

void rust_dma_heap_copy_to_page(struct page *page, size_t offset, const void *from, size_t len)
{
	memcpy_to_page(page, offset, from, len);
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

static pgprot_t fault_prot(const struct vm_area_struct *vma, bool write)
{
	return write ? vm_get_page_prot(vma->vm_flags) : vma->vm_page_prot;
}

vm_fault_t rust_dma_heap_fault_insert_pfn(struct vm_fault *vmf, unsigned long pfn, bool write)
{
	return vmf_insert_pfn_prot(vmf->vma, vmf->address & PAGE_MASK, pfn,
				   fault_prot(vmf->vma, write));
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
static int fill_range(struct vm_area_struct *vma, unsigned long address, unsigned long pfn,
		      unsigned long len, bool write)
{
	unsigned long end = address + len;
	pgprot_t prot = fault_prot(vma, write);

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

static int fill_range(struct vm_area_struct *vma, unsigned long address, unsigned long pfn,
		      unsigned long len, bool write)
{
	struct fill fill = {
		.mm = vma->vm_mm,
		.pfn = pfn,
		.prot = fault_prot(vma, write),
		.write = write,
	};

	return apply_to_page_range(fill.mm, address, len, fill_pte, &fill);
}
#endif

int rust_dma_heap_fault_fill(struct vm_fault *vmf, unsigned long address, unsigned long pfn,
			     unsigned long nr_pages, bool write)
{
	return fill_range(vmf->vma, address, pfn, nr_pages << PAGE_SHIFT, write);
}

int rust_dma_heap_map_pages(struct vm_area_struct *vma, unsigned long address,
			    unsigned long pfn, unsigned long len)
{
	/*
	 * Not remap_pfn_range(): its entries are clean, and where the hardware
	 * does not note writes, each page's first one would still fault.
	 */
	return fill_range(vma, address, pfn, len, vma->vm_flags & VM_WRITE);
}

void rust_dma_heap_cond_resched(void)
{
	cond_resched();
}

bool rust_dma_heap_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

u32 rust_dma_heap_current_uid(void)
{
	return __kuid_val(current_uid());
}

bool rust_dma_heap_current_namespace_owner(u32 *uid)
{
	const struct user_namespace *ns = current_user_ns();

	if (ns == &init_user_ns)
		return false;
	while (ns->parent != &init_user_ns)
		ns = ns->parent;
	*uid = __kuid_val(ns->owner);
	return true;
}

bool rust_dma_heap_capable_noaudit(int capability)
{
	return ns_capable_noaudit(&init_user_ns, capability);
}
