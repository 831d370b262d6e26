// SPDX-License-Identifier: GPL-2.0
/* The abstractions' C helpers once more: a module cannot use another's. */
#include "../../drivers/helpers.c"
