/* vec.h - one vector of floats, 8 lanes with AVX2 + FMA or 16 with AVX-512; of doubles half as many
 *
 * The files of this folder are compiled once for each instruction set (LT_AVX512 or not) and each
 * number type (LT_REAL64 or not), and must
 * include nothing that leaves code which another object could share: everything here is static.
 * A tail of n < VW lanes goes through the masked forms, so that an element's value never depends on
 * where it lies. Where an operand is a NaN, vmax(a, b) and vmin(a, b) give b.
 */
#ifndef LT_CPU_VEC_H
#define LT_CPU_VEC_H

#include <immintrin.h>
#include <stdint.h>

#define LT_INLINE static inline __attribute__((always_inline, unused))

#if defined LT_REAL64
#include "engine/cpu/kern/vec64.h"
#elif defined LT_AVX512
#define LT_K(name) lt_k_avx512_##name
#define LT_TABLE lt_kern_avx512
#define VW 16
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

LT_INLINE vm vtail(int n)
{
    return (vm)((1u << n) - 1);
}
LT_INLINE vf vset(float x)
{
    return _mm512_set1_ps(x);
}
LT_INLINE vf vld(const float *p)
{
    return _mm512_loadu_ps(p);
}
LT_INLINE void vst(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}
LT_INLINE vf vldn(const float *p, int n) /* lanes from n on are 0 */
{
    return n == VW ? vld(p) : _mm512_maskz_loadu_ps(vtail(n), p);
}
LT_INLINE void vstn(float *p, vf x, int n)
{
    if (n == VW)
        vst(p, x);
    else
        _mm512_mask_storeu_ps(p, vtail(n), x);
}
LT_INLINE vf vfma(vf a, vf b, vf c) /* a * b + c */
{
    return _mm512_fmadd_ps(a, b, c);
}
LT_INLINE vf vfnma(vf a, vf b, vf c) /* c - a * b */
{
    return _mm512_fnmadd_ps(a, b, c);
}
LT_INLINE vf vmax(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
LT_INLINE vf vmin(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
LT_INLINE vf vsqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
LT_INLINE vf vround(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
LT_INLINE vm vgt(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
LT_INLINE vm vge(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ);
}
LT_INLINE vm vnle(vf a, vf b) /* a > b, or one is a NaN */
{
    return _mm512_cmp_ps_mask(a, b, _CMP_NLE_UQ);
}
LT_INLINE vm veq(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
LT_INLINE vm vnan(vf a)
{
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}
LT_INLINE vm vor_m(vm a, vm b)
{
    return a | b;
}
LT_INLINE vm vandnot_m(vm a, vm b) /* !a & b */
{
    return (vm)(~a & b);
}
LT_INLINE vm vhead_m(int n) /* the first n lanes */
{
    return n == VW ? (vm)0xffff : vtail(n);
}
LT_INLINE int vany(vm m)
{
    return m != 0;
}
LT_INLINE vf vsel(vm m, vf a, vf b) /* m ? a : b */
{
    return _mm512_mask_blend_ps(m, b, a);
}
LT_INLINE vf vkeep(vm m, vf a) /* m ? a : 0 */
{
    return _mm512_maskz_mov_ps(m, a);
}
LT_INLINE vi viset(int32_t x)
{
    return _mm512_set1_epi32(x);
}
LT_INLINE vi vild(const void *p)
{
    return _mm512_loadu_si512(p);
}
LT_INLINE void vist(void *p, vi x)
{
    _mm512_storeu_si512(p, x);
}
LT_INLINE vi viadd(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}
LT_INLINE vi visub(vi a, vi b)
{
    return _mm512_sub_epi32(a, b);
}
LT_INLINE vi vixor(vi a, vi b)
{
    return _mm512_xor_si512(a, b);
}
LT_INLINE vi viand(vi a, vi b)
{
    return _mm512_and_si512(a, b);
}
LT_INLINE vi vior(vi a, vi b)
{
    return _mm512_or_si512(a, b);
}
#define vshl(a, n) _mm512_slli_epi32(a, n)
#define vshr(a, n) _mm512_srli_epi32(a, n)
#define vsar(a, n) _mm512_srai_epi32(a, n)
LT_INLINE vi vieq_sel(vi a, vi b, vi yes, vi no) /* a == b ? yes : no */
{
    return _mm512_mask_blend_epi32(_mm512_cmpeq_epi32_mask(a, b), no, yes);
}
LT_INLINE vm vieq(vi a, vi b)
{
    return _mm512_cmpeq_epi32_mask(a, b);
}
LT_INLINE vi visel(vm m, vi a, vi b)
{
    return _mm512_mask_blend_epi32(m, b, a);
}
LT_INLINE vf vi2f(vi a)
{
    return _mm512_cvtepi32_ps(a);
}
LT_INLINE vi vf2i(vf a) /* to nearest */
{
    return _mm512_cvtps_epi32(a);
}
LT_INLINE vf vi_as_f(vi a)
{
    return _mm512_castsi512_ps(a);
}
LT_INLINE vi vf_as_i(vf a)
{
    return _mm512_castps_si512(a);
}
LT_INLINE vi vu8ld(const uint8_t *p) /* VW bytes to 32-bit lanes */
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
LT_INLINE void vu8st(uint8_t *p, vi a)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a));
}
LT_INLINE vi vmulhi(vi a, vi b) /* high 32 bits of the unsigned products */
{
    __m512i even = _mm512_mul_epu32(a, b);
    __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));

    return _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
}
LT_INLINE vi vmullo(vi a, vi b)
{
    return _mm512_mullo_epi32(a, b);
}
LT_INLINE __m256 vhalf(vf a, int high)
{
    return high ? _mm512_extractf32x8_ps(a, 1) : _mm512_castps512_ps256(a);
}
LT_INLINE float vsum(vf a)
{
    __m256 b = _mm256_add_ps(vhalf(a, 0), vhalf(a, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));

    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
LT_INLINE float vmax_lanes(vf a) /* no NaN among them */
{
    return _mm512_reduce_max_ps(a);
}
/* Two vectors of doubles that sum up floats: lanes i and i + 8. */
typedef struct {
    __m512d a, b;
} vd;
LT_INLINE vd vd_zero(void)
{
    return (vd){_mm512_setzero_pd(), _mm512_setzero_pd()};
}
LT_INLINE vd vd_add(vd s, vf x)
{
    s.a = _mm512_add_pd(s.a, _mm512_cvtps_pd(vhalf(x, 0)));
    s.b = _mm512_add_pd(s.b, _mm512_cvtps_pd(vhalf(x, 1)));
    return s;
}
LT_INLINE vd vd_add_square(vd s, vf x)
{
    __m512d a = _mm512_cvtps_pd(vhalf(x, 0)), b = _mm512_cvtps_pd(vhalf(x, 1));

    s.a = _mm512_fmadd_pd(a, a, s.a);
    s.b = _mm512_fmadd_pd(b, b, s.b);
    return s;
}
LT_INLINE double vd_sum(vd s)
{
    double t[8], r = 0;

    _mm512_storeu_pd(t, _mm512_add_pd(s.a, s.b));
    for (int i = 0; i < 8; i++)
        r += t[i];
    return r;
}

#else
#define LT_K(name) lt_k_avx2_##name
#define LT_TABLE lt_kern_avx2
#define VW 8
typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;

LT_INLINE __m256i vtail_i(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
LT_INLINE vf vset(float x)
{
    return _mm256_set1_ps(x);
}
LT_INLINE vf vld(const float *p)
{
    return _mm256_loadu_ps(p);
}
LT_INLINE void vst(float *p, vf x)
{
    _mm256_storeu_ps(p, x);
}
LT_INLINE vf vldn(const float *p, int n)
{
    return n == VW ? vld(p) : _mm256_maskload_ps(p, vtail_i(n));
}
LT_INLINE void vstn(float *p, vf x, int n)
{
    if (n == VW)
        vst(p, x);
    else
        _mm256_maskstore_ps(p, vtail_i(n), x);
}
LT_INLINE vf vfma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
LT_INLINE vf vfnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}
LT_INLINE vf vmax(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
LT_INLINE vf vmin(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
LT_INLINE vf vsqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}
LT_INLINE vf vround(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
LT_INLINE vm vgt(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_GT_OQ);
}
LT_INLINE vm vge(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_GE_OQ);
}
LT_INLINE vm vnle(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_NLE_UQ);
}
LT_INLINE vm veq(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}
LT_INLINE vm vnan(vf a)
{
    return _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
}
LT_INLINE vm vor_m(vm a, vm b)
{
    return _mm256_or_ps(a, b);
}
LT_INLINE vm vandnot_m(vm a, vm b)
{
    return _mm256_andnot_ps(a, b);
}
LT_INLINE vm vhead_m(int n)
{
    return _mm256_castsi256_ps(vtail_i(n));
}
LT_INLINE int vany(vm m)
{
    return _mm256_movemask_ps(m) != 0;
}
LT_INLINE vf vsel(vm m, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, m);
}
LT_INLINE vf vkeep(vm m, vf a)
{
    return _mm256_and_ps(m, a);
}
LT_INLINE vi viset(int32_t x)
{
    return _mm256_set1_epi32(x);
}
LT_INLINE vi vild(const void *p)
{
    return _mm256_loadu_si256(p);
}
LT_INLINE void vist(void *p, vi x)
{
    _mm256_storeu_si256(p, x);
}
LT_INLINE vi viadd(vi a, vi b)
{
    return _mm256_add_epi32(a, b);
}
LT_INLINE vi visub(vi a, vi b)
{
    return _mm256_sub_epi32(a, b);
}
LT_INLINE vi vixor(vi a, vi b)
{
    return _mm256_xor_si256(a, b);
}
LT_INLINE vi viand(vi a, vi b)
{
    return _mm256_and_si256(a, b);
}
LT_INLINE vi vior(vi a, vi b)
{
    return _mm256_or_si256(a, b);
}
#define vshl(a, n) _mm256_slli_epi32(a, n)
#define vshr(a, n) _mm256_srli_epi32(a, n)
#define vsar(a, n) _mm256_srai_epi32(a, n)
LT_INLINE vm vieq(vi a, vi b)
{
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
}
LT_INLINE vi vieq_sel(vi a, vi b, vi yes, vi no)
{
    return _mm256_blendv_epi8(no, yes, _mm256_cmpeq_epi32(a, b));
}
LT_INLINE vi visel(vm m, vi a, vi b)
{
    return _mm256_blendv_epi8(b, a, _mm256_castps_si256(m));
}
LT_INLINE vf vi2f(vi a)
{
    return _mm256_cvtepi32_ps(a);
}
LT_INLINE vi vf2i(vf a)
{
    return _mm256_cvtps_epi32(a);
}
LT_INLINE vf vi_as_f(vi a)
{
    return _mm256_castsi256_ps(a);
}
LT_INLINE vi vf_as_i(vf a)
{
    return _mm256_castps_si256(a);
}
LT_INLINE vi vu8ld(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
LT_INLINE void vu8st(uint8_t *p, vi a)
{
    __m128i w = _mm_packus_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));

    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(w, w));
}
LT_INLINE vi vmulhi(vi a, vi b)
{
    __m256i even = _mm256_mul_epu32(a, b);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));

    return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
LT_INLINE vi vmullo(vi a, vi b)
{
    return _mm256_mullo_epi32(a, b);
}
LT_INLINE float vsum(vf b)
{
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));

    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
LT_INLINE float vmax_lanes(vf b)
{
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));

    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
typedef struct {
    __m256d a, b;
} vd;
LT_INLINE vd vd_zero(void)
{
    return (vd){_mm256_setzero_pd(), _mm256_setzero_pd()};
}
LT_INLINE vd vd_add(vd s, vf x)
{
    s.a = _mm256_add_pd(s.a, _mm256_cvtps_pd(_mm256_castps256_ps128(x)));
    s.b = _mm256_add_pd(s.b, _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
    return s;
}
LT_INLINE vd vd_add_square(vd s, vf x)
{
    __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
    __m256d b = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));

    s.a = _mm256_fmadd_pd(a, a, s.a);
    s.b = _mm256_fmadd_pd(b, b, s.b);
    return s;
}
LT_INLINE double vd_sum(vd s)
{
    double t[4], r = 0;

    _mm256_storeu_pd(t, _mm256_add_pd(s.a, s.b));
    for (int i = 0; i < 4; i++)
        r += t[i];
    return r;
}
#endif

#ifndef LT_REAL64
#define LT_KERNELS_OWN LT_KERNELS_32
#define LT_LOG logf

LT_INLINE vf vabs(vf a)
{
    return vi_as_f(viand(vf_as_i(a), viset(0x7fffffff)));
}
LT_INLINE vf vneg(vf a)
{
    return vi_as_f(vixor(vf_as_i(a), viset((int32_t)0x80000000)));
}
LT_INLINE vf vsign_of(vf magnitude, vf sign) /* copysign */
{
    return vi_as_f(vior(vf_as_i(magnitude), viand(vf_as_i(sign), viset((int32_t)0x80000000))));
}
/* Upper halves hold the nearest bfloat16, ties to even; a NaN stays one. */
LT_INLINE vi vlow_bits(vf a)
{
    vi u = vf_as_i(a), odd = viand(vshr(u, 16), viset(1));

    return visel(vnan(a), vior(u, viset(0x400000)), viadd(u, viadd(odd, viset(0x7fff))));
}
LT_INLINE vf vlow(vf a)
{
    return vi_as_f(viand(vlow_bits(a), viset((int32_t)0xffff0000)));
}
/* n bfloat16 numbers as floats, and back. */
LT_INLINE vf vld_low(const uint16_t *p, int n)
{
#ifdef LT_AVX512
    __m256i h = n == VW ? _mm256_loadu_si256((const __m256i *)p) : _mm256_maskz_loadu_epi16(vtail(n), p);

    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
#else
    uint16_t t[VW] = {0};

    for (int i = 0; n < VW && i < n; i++)
        t[i] = p[i];
    return vi_as_f(vshl(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(n == VW ? p : t))), 16));
#endif
}
LT_INLINE void vst_low(uint16_t *p, vf a, int n)
{
    vi u = vshr(vlow_bits(a), 16);
#ifdef LT_AVX512
    __m256i h = _mm512_cvtepi32_epi16(u);

    if (n == VW)
        _mm256_storeu_si256((__m256i *)p, h);
    else
        _mm256_mask_storeu_epi16(p, vtail(n), h);
#else
    __m128i h = _mm_packus_epi32(_mm256_castsi256_si128(u), _mm256_extracti128_si256(u, 1));
    uint16_t t[VW];

    _mm_storeu_si128((__m128i *)(n == VW ? p : t), h);
    for (int i = 0; n < VW && i < n; i++)
        p[i] = t[i];
#endif
}
#endif

LT_INLINE vf vpick(int c, vf a,
                   vf b) /* c ? a : b; gcc calls the result of an operator another type */
{
    if (c)
        return a;
    return b;
}
LT_INLINE vf vzero(void)
{
    return vset(0.0f);
}
/* for each vector of [0, n): body sees i and k lanes (VW, then the tail's count). */
#define VLOOP(i, k, n, ...)                                                                        \
    do {                                                                                           \
        int64_t i = 0, vn_ = (n);                                                                  \
        for (; i + VW <= vn_; i += VW) {                                                           \
            enum { k = VW };                                                                       \
            __VA_ARGS__                                                                            \
        }                                                                                          \
        if (i < vn_) {                                                                             \
            const int k = (int)(vn_ - i);                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

#endif
