// SPDX-License-Identifier: GPL-2.0
/*
 * One C function for each kernel macro or inline function that the module
 * calls; see include/helpers.h.
 */
#include <linux/cacheflush.h>
#include <linux/cred.h>
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
#include <linux/kobject.h>
#include <linux/kthread.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/of.h>
#include <linux/pci.h>
#include <linux/ratelimit.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/swiotlb.h>
#include <linux/user_namespace.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>

#ifdef CONFIG_ARM
#include <asm/cachetype.h>
#endif

#include "helpers.h"

#include "helpers/device.c"
#include "helpers/dma.c"
#include "helpers/dma_buf.c"
#include "helpers/pages.c"
#include "helpers/sync.c"
#include "helpers/task.c"
#include "helpers/user_mapping.c"
