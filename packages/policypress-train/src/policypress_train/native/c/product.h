/* What a set of kernels gives: a matrix product of two packed operands.

   Product (rows × columns) = left (rows × depth) · right (depth × columns). Operands are packed from matrices in
   row-major order with a stride, either as they are or transposed, and padded with zeros; the result is in scratch
   memory and may be written up to whole tiles. Sums are taken in the same order every time. */
#ifndef PP_PRODUCT_H
#define PP_PRODUCT_H
#include "memory.h"

/* What becomes of the sums: a bias and then a factor for each column (NULL for none); then what is below 0 becomes 0 if
   `rectify`; and values become 0 where `mask`, of the result's shape with `mask_stride`, is not between `low` and
   `high` (NULL for none). */
typedef struct {
    const float *bias, *factor;
    int rectify;
    const float *mask;
    pp_int mask_stride;
    float low, high;
} pp_epilogue;

/* Operands that hold whole numbers up to 256 in magnitude alone. */
#define PP_EXACT_LEFT 1
#define PP_EXACT_RIGHT 2

/* Lanes of the widest vectors that the compiler may use. */
#if defined(__AVX512F__)
#define PP_LANES 16
#elif defined(__AVX__)
#define PP_LANES 8
#else
#define PP_LANES 4
#endif
typedef float pp_vector __attribute__((vector_size(4 * PP_LANES)));
typedef float pp_unaligned __attribute__((vector_size(4 * PP_LANES), aligned(4), may_alias));

static inline pp_vector pp_load(const float *from)
{
    return *(const pp_unaligned *)from;
}
static inline void pp_store(float *to, pp_vector value)
{
    *(pp_unaligned *)to = value;
}

/* x / divisor, rounded to the nearest, for many x: `inverse` is 1 / divisor rounded to the nearest. Where products are
   fused with sums the remainder of a first guess is exact and mends it (Markstein 1990), in a fifth of a division's
   time. */
static inline float pp_quotient(float x, float divisor, float inverse)
{
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    const float guess = x * inverse;
    return __builtin_fmaf(__builtin_fmaf(-guess, divisor, x), inverse, guess);
#else
    (void)inverse;
    return x / divisor;
#endif
}

static inline float pp_dot(const float *a, const float *b, pp_int count)
{
    pp_vector sums[4] = {{0.0f}, {0.0f}, {0.0f}, {0.0f}};
    float sum = 0.0f;
    pp_int i = 0;
    for (; i + 4 * PP_LANES <= count; i += 4 * PP_LANES)
        for (int s = 0; s < 4; s++)
            sums[s] += pp_load(a + i + s * PP_LANES) * pp_load(b + i + s * PP_LANES);
    sums[0] = sums[0] + sums[1] + (sums[2] + sums[3]);
    for (int lane = 0; lane < PP_LANES; lane++)
        sum += sums[0][lane];
    for (; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

#if defined(PP_AMX)
#include "product_amx.h"
#else
#include "product_vectors.h"
#endif
#endif
