/* vec64.h - vec.h's vectors over doubles: 4 lanes with AVX2, 8 with AVX-512; vi has as many int32 */
#ifndef LT_CPU_VEC64_H
#define LT_CPU_VEC64_H

#include <immintrin.h>
#include <stdint.h>

#ifndef LT_INLINE
#define LT_INLINE static inline __attribute__((always_inline, unused))
#endif
#define LT_KERNELS_OWN LT_KERNELS_64
#define LT_LOG log

#ifdef LT_AVX512
#define LT_K(name) lt_k_avx512_f64_##name
#define LT_TABLE lt_kern_avx512_f64
#define VW 8
typedef __m512d vf;
typedef __m256i vi;
typedef __mmask8 vm;

LT_INLINE vm vtail(int n)
{
    return (vm)((1u << n) - 1);
}
LT_INLINE vf vset(double x)
{
    return _mm512_set1_pd(x);
}
LT_INLINE vf vld(const double *p)
{
    return _mm512_loadu_pd(p);
}
LT_INLINE void vst(double *p, vf x)
{
    _mm512_storeu_pd(p, x);
}
LT_INLINE vf vldn(const double *p, int n)
{
    return n == VW ? vld(p) : _mm512_maskz_loadu_pd(vtail(n), p);
}
LT_INLINE void vstn(double *p, vf x, int n)
{
    if (n == VW)
        vst(p, x);
    else
        _mm512_mask_storeu_pd(p, vtail(n), x);
}
LT_INLINE vf vfma(vf a, vf b, vf c)
{
    return _mm512_fmadd_pd(a, b, c);
}
LT_INLINE vf vfnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_pd(a, b, c);
}
LT_INLINE vf vmax(vf a, vf b)
{
    return _mm512_max_pd(a, b);
}
LT_INLINE vf vmin(vf a, vf b)
{
    return _mm512_min_pd(a, b);
}
LT_INLINE vf vsqrt(vf a)
{
    return _mm512_sqrt_pd(a);
}
LT_INLINE vm vgt(vf a, vf b)
{
    return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ);
}
LT_INLINE vm vge(vf a, vf b)
{
    return _mm512_cmp_pd_mask(a, b, _CMP_GE_OQ);
}
LT_INLINE vm vnle(vf a, vf b)
{
    return _mm512_cmp_pd_mask(a, b, _CMP_NLE_UQ);
}
LT_INLINE vm veq(vf a, vf b)
{
    return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ);
}
LT_INLINE vm vnan(vf a)
{
    return _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q);
}
LT_INLINE vm vor_m(vm a, vm b)
{
    return a | b;
}
LT_INLINE vm vandnot_m(vm a, vm b)
{
    return (vm)(~a & b);
}
LT_INLINE vm vhead_m(int n)
{
    return n == VW ? (vm)0xff : vtail(n);
}
LT_INLINE vf vsel(vm m, vf a, vf b)
{
    return _mm512_mask_blend_pd(m, b, a);
}
LT_INLINE vf vkeep(vm m, vf a)
{
    return _mm512_maskz_mov_pd(m, a);
}
LT_INLINE vi viset(int32_t x)
{
    return _mm256_set1_epi32(x);
}
LT_INLINE void vist(void *p, vi x)
{
    _mm256_storeu_si256(p, x);
}
LT_INLINE vm vieq(vi a, vi b)
{
    return _mm256_cmpeq_epi32_mask(a, b);
}
LT_INLINE vi visel(vm m, vi a, vi b)
{
    return _mm256_mask_blend_epi32(m, b, a);
}
LT_INLINE vi vu8ld(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
LT_INLINE void vu8st(uint8_t *p, vi a)
{
    _mm_storel_epi64((__m128i *)p, _mm256_cvtepi32_epi8(a));
}
LT_INLINE double vsum(vf a)
{
    double t[VW], r = 0;

    vst(t, a);
    for (int i = 0; i < VW; i++)
        r += t[i];
    return r;
}
LT_INLINE vf vneg(vf a)
{
    return _mm512_xor_pd(a, vset(-0.0));
}

#else
#define LT_K(name) lt_k_avx2_f64_##name
#define LT_TABLE lt_kern_avx2_f64
#define VW 4
typedef __m256d vf;
typedef __m128i vi;
typedef __m256d vm;

LT_INLINE __m256i vtail_i(int n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
LT_INLINE vf vset(double x)
{
    return _mm256_set1_pd(x);
}
LT_INLINE vf vld(const double *p)
{
    return _mm256_loadu_pd(p);
}
LT_INLINE void vst(double *p, vf x)
{
    _mm256_storeu_pd(p, x);
}
LT_INLINE vf vldn(const double *p, int n)
{
    return n == VW ? vld(p) : _mm256_maskload_pd(p, vtail_i(n));
}
LT_INLINE void vstn(double *p, vf x, int n)
{
    if (n == VW)
        vst(p, x);
    else
        _mm256_maskstore_pd(p, vtail_i(n), x);
}
LT_INLINE vf vfma(vf a, vf b, vf c)
{
    return _mm256_fmadd_pd(a, b, c);
}
LT_INLINE vf vfnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_pd(a, b, c);
}
LT_INLINE vf vmax(vf a, vf b)
{
    return _mm256_max_pd(a, b);
}
LT_INLINE vf vmin(vf a, vf b)
{
    return _mm256_min_pd(a, b);
}
LT_INLINE vf vsqrt(vf a)
{
    return _mm256_sqrt_pd(a);
}
LT_INLINE vm vgt(vf a, vf b)
{
    return _mm256_cmp_pd(a, b, _CMP_GT_OQ);
}
LT_INLINE vm vge(vf a, vf b)
{
    return _mm256_cmp_pd(a, b, _CMP_GE_OQ);
}
LT_INLINE vm vnle(vf a, vf b)
{
    return _mm256_cmp_pd(a, b, _CMP_NLE_UQ);
}
LT_INLINE vm veq(vf a, vf b)
{
    return _mm256_cmp_pd(a, b, _CMP_EQ_OQ);
}
LT_INLINE vm vnan(vf a)
{
    return _mm256_cmp_pd(a, a, _CMP_UNORD_Q);
}
LT_INLINE vm vor_m(vm a, vm b)
{
    return _mm256_or_pd(a, b);
}
LT_INLINE vm vandnot_m(vm a, vm b)
{
    return _mm256_andnot_pd(a, b);
}
LT_INLINE vm vhead_m(int n)
{
    return _mm256_castsi256_pd(vtail_i(n));
}
LT_INLINE vf vsel(vm m, vf a, vf b)
{
    return _mm256_blendv_pd(b, a, m);
}
LT_INLINE vf vkeep(vm m, vf a)
{
    return _mm256_and_pd(m, a);
}
LT_INLINE vi viset(int32_t x)
{
    return _mm_set1_epi32(x);
}
LT_INLINE void vist(void *p, vi x)
{
    _mm_storeu_si128(p, x);
}
LT_INLINE vm vieq(vi a, vi b)
{
    return _mm256_castsi256_pd(_mm256_cvtepi32_epi64(_mm_cmpeq_epi32(a, b)));
}
LT_INLINE vi visel(vm m, vi a, vi b)
{
    __m256i low = _mm256_permutevar8x32_epi32(_mm256_castpd_si256(m),
                                              _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));

    return _mm_blendv_epi8(b, a, _mm256_castsi256_si128(low));
}
LT_INLINE vi vu8ld(const uint8_t *p)
{
    int32_t t;

    __builtin_memcpy(&t, p, sizeof t);
    return _mm_cvtepu8_epi32(_mm_cvtsi32_si128(t));
}
LT_INLINE void vu8st(uint8_t *p, vi a)
{
    __m128i w = _mm_packus_epi32(a, a);
    int32_t t = _mm_cvtsi128_si32(_mm_packus_epi16(w, w));

    __builtin_memcpy(p, &t, sizeof t);
}
LT_INLINE double vsum(vf a)
{
    double t[VW], r = 0;

    vst(t, a);
    for (int i = 0; i < VW; i++)
        r += t[i];
    return r;
}
LT_INLINE vf vneg(vf a)
{
    return _mm256_xor_pd(a, vset(-0.0));
}
#endif

/* Sums are as wide as the numbers. */
typedef struct {
    vf a;
} vd;
LT_INLINE vd vd_zero(void)
{
    return (vd){vset(0)};
}
LT_INLINE vd vd_add_square(vd s, vf x)
{
    return (vd){vfma(x, x, s.a)};
}
LT_INLINE double vd_sum(vd s)
{
    return vsum(s.a);
}

#endif
