/* list.h - declares the kernels of the instruction set and number type that are being compiled */
#ifndef LT_CPU_KERN_LIST_H
#define LT_CPU_KERN_LIST_H

#include "engine/cpu/kern.h"
#include "engine/cpu/kern/vec.h"

#define X(name) void LT_K(name)(const void *args, int64_t begin, int64_t end);
LT_KERNELS(X) LT_KERNELS_OWN(X)
#undef X

#endif
