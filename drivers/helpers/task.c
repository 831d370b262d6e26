// SPDX-License-Identifier: GPL-2.0
/* The current task, and arithmetic. Part of ../helpers.c. */

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

struct user_namespace *rust_dma_heap_current_user_ns(void)
{
	return current_user_ns();
}

bool rust_dma_heap_capable_noaudit(int capability)
{
	return ns_capable_noaudit(&init_user_ns, capability);
}

u64 rust_dma_heap_div_u64_rem(u64 dividend, u32 divisor, u32 *remainder)
{
	return div_u64_rem(dividend, divisor, remainder);
}
