// SPDX-License-Identifier: GPL-2.0
/* Devices, buses and files. Part of ../helpers.c. */

bool rust_dma_heap_debugfs_exists(const char *name)
{
	struct dentry *dentry = debugfs_lookup(name, NULL);

	if (IS_ERR_OR_NULL(dentry))
		return false;
	dput(dentry);
	return true;
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
