// SPDX-License-Identifier: GPL-2.0
/* dma-bufs and their lock. Part of ../helpers.c. */

unsigned long rust_dma_heap_dma_buf_inode(const struct dma_buf *dma_buf)
{
	return file_inode(dma_buf->file)->i_ino;
}

void rust_dma_heap_get_dma_buf(struct dma_buf *dma_buf)
{
	get_dma_buf(dma_buf);
}

void rust_dma_heap_dma_buf_lock(struct dma_buf *dma_buf)
{
	dma_resv_lock(dma_buf->resv, NULL);
}

void rust_dma_heap_dma_buf_unlock(struct dma_buf *dma_buf)
{
	dma_resv_unlock(dma_buf->resv);
}

void rust_dma_heap_memcpy(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
}
