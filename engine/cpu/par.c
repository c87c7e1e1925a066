/* par.c - the one pool of threads: OpenMP's, which oneDNN uses as well */
#include "engine/cpu/isa.h"
#include "engine/cpu/program.h"

#ifdef _OPENMP
#include <omp.h>
#endif

void lt_par_run(int threads, lt_kern_fn *fn, const void *args, int64_t units)
{
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
    {
        for (int64_t t = omp_get_thread_num(); t < threads; t += omp_get_num_threads())
            fn(args, units * t / threads, units * (t + 1) / threads);
    }
#else
    for (int64_t t = 0; t < threads; t++)
        fn(args, units * t / threads, units * (t + 1) / threads);
#endif
}

/* One share a thread. */
static void flush(const void *args, int64_t begin, int64_t end)
{
    (void)args;
    (void)begin;
    (void)end;
    lt_isa_flush_denormals();
}

void lt_par_enter(int threads)
{
    static __thread int entered;

    if (entered >= threads)
        return;
    lt_isa_flush_denormals(); /* first here: threads that start now inherit it */
    lt_par_run(threads, flush, NULL, threads);
    entered = threads;
}
