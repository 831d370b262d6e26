// SPDX-License-Identifier: GPL-2.0
/* Work that is done later. Part of ../helpers.c. */

void rust_dma_heap_delayed_work_init(struct kthread_delayed_work *work,
				     void (*func)(struct kthread_work *work))
{
	kthread_init_delayed_work(work, func);
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
