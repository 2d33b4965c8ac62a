#include "common/kernels.h"

extern const struct kernels kernels_plain, kernels_avx2, kernels_avx512;

const struct kernels *kernels_pick(void)
{
#ifdef __x86_64__
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
		return &kernels_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &kernels_avx2;
#endif
	return &kernels_plain;
}
