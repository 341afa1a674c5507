/* tanh in float32, without branches, so that compilers vectorise it; within 3 ulp. */
#ifndef PP_TANH_H
#define PP_TANH_H
#include "network.h"

#define PP_TANH_IS_ONE 9.1f /* rounds to 1 from here on */

static inline float pp_tanh(float x)
{
    /* tanh |x| = t / (t + 2) with t = e^y - 1, y = 2 |x| = k ln 2 + r. */
    const float size = fabsf(x), y = 2.0f * (size < PP_TANH_IS_ONE ? size : PP_TANH_IS_ONE);
    const float k = rintf(y * 1.44269504f);
    const float r = (y - k * 0.693359375f) + k * 2.12194440e-4f;
    const float high = 0.00833320804f + r * (0.00139326707f + r * 0.000199442671f);
    const float tail = 0.5f + r * (0.166666672f + r * (0.0416664891f + r * high));
    const int32_t bits = ((int32_t)k + 127) << 23;
    float power;
    pp_copy(&power, &bits, (pp_int)sizeof power);
    const float t = power * (r + r * r * tail) + (power - 1.0f);
    return copysignf(t / (t + 2.0f), x);
}

/* tanh of rows, in place. */
static void pp_tanh_rows(float *to, pp_int stride, pp_int rows, pp_int columns)
{
    for (pp_int r = 0; r < rows; r++) {
        float *restrict row = to + r * stride;
        for (pp_int c = 0; c < columns; c++)
            row[c] = pp_tanh(row[c]);
    }
}

/* Backward pass of tanh, from its outputs. */
static void pp_tanh_backward(const float *squashed, pp_int stride, float *gradients, pp_int gradient_stride,
                             pp_int rows, pp_int columns)
{
    for (pp_int r = 0; r < rows; r++) {
        const float *restrict x = squashed + r * stride;
        float *restrict grad = gradients + r * gradient_stride;
        for (pp_int c = 0; c < columns; c++)
            grad[c] *= 1.0f - x[c] * x[c];
    }
}
#endif
