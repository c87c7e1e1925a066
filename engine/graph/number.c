/* number.c - numbers in memory of any element type: rounding to nearest even where a type is shorter, towards zero in integers */
#include <math.h>
#include <string.h>

#include "base/auto.h"
#include "engine/graph/type.h"

static double from_bf16(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;

    memcpy(&f, &u, sizeof f);
    return (double)f;
}

/* Round to nearest even; NaN stays NaN. */
static uint16_t to_bf16(double v)
{
    float f = (float)v;
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    if (isnan(f))
        return (uint16_t)((u >> 16) | 0x40);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

/* IEEE binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. */
static double from_f16(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 1023;
    double v = e == 31 ? (m ? (double)NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);

    return h >> 15 ? -v : v;
}

static uint16_t to_f16(double v)
{
    uint16_t sign = signbit(v) ? 0x8000 : 0;
    double a = fabs(v), steps;
    int e;

    if (isnan(v))
        return sign | 0x7e00;
    if (a >= 65520) /* half-way to the number behind the greatest */
        return sign | 0x7c00;
    frexp(a, &e); /* a = [0.5, 1) * 2^e */
    e = a == 0 ? -24 : LT_MAX(e - 11, -24);
    steps = nearbyint(ldexp(a, -e)); /* 1024 … 2048, less where subnormal; ties to even */
    return (uint16_t)(sign + (uint16_t)((e + 24) << 10) + (uint16_t)steps); /* the leading bit counts into the exponent */
}

double lt_dtype_load(enum lt_dtype dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case LT_F32:
        return (double)((const float *)data)[i];
    case LT_F64:
        return ((const double *)data)[i];
    case LT_BF16:
        return from_bf16(((const uint16_t *)data)[i]);
    case LT_F16:
        return from_f16(((const uint16_t *)data)[i]);
    case LT_I32:
        return ((const int32_t *)data)[i];
    case LT_I64:
        return (double)((const int64_t *)data)[i];
    case LT_U8:
    case LT_BOOL:
        return ((const uint8_t *)data)[i];
    default:
        return NAN;
    }
}

void lt_dtype_store(enum lt_dtype dtype, void *data, int64_t i, double v)
{
    switch (dtype) {
    case LT_F32:
        ((float *)data)[i] = (float)v;
        break;
    case LT_F64:
        ((double *)data)[i] = v;
        break;
    case LT_BF16:
        ((uint16_t *)data)[i] = to_bf16(v);
        break;
    case LT_F16:
        ((uint16_t *)data)[i] = to_f16(v);
        break;
    case LT_I32:
        ((int32_t *)data)[i] = (int32_t)v;
        break;
    case LT_I64:
        ((int64_t *)data)[i] = (int64_t)v;
        break;
    case LT_U8:
        ((uint8_t *)data)[i] = (uint8_t)v;
        break;
    case LT_BOOL:
        ((uint8_t *)data)[i] = v != 0;
        break;
    default:
        break;
    }
}
