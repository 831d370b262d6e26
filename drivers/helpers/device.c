// SPDX-License-Identifier: GPL-2.0
/* Devices, buses and files. Part of ../helpers.c. */

struct kset *rust_dma_heap_kset_get(struct kset *kset)
{
	return kset_get(kset);
}

void rust_dma_heap_kset_put(struct kset *kset)
{
	kset_put(kset);
}

void rust_dma_heap_of_node_put(struct device_node *node)
{
	of_node_put(node);
}

bool rust_dma_heap_may_log(void)
{
	static DEFINE_RATELIMIT_STATE(lines, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&lines);
}
