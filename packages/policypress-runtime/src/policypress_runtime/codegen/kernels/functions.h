/* Functions of one float that need no libm and give the same bits on every target: additions, multiplications,
   divisions and selections only, in the order written, without branches, so that compilers vectorise the loops.
   Polynomials are least-squares fits at Chebyshev nodes, reweighted until the error is level. Measured errors:
   tests/codegen/test_functions.py. */
#ifndef PP_FUNCTIONS_H
#define PP_FUNCTIONS_H

PP_INLINE float pp_abs(float x) { return pp_float(pp_bits(x) & 0x7FFFFFFFu); }

PP_INLINE float pp_copy_sign(float magnitude, float sign)
{
    return pp_float((pp_bits(magnitude) & 0x7FFFFFFFu) | (pp_bits(sign) & 0x80000000u));
}

/* To the nearest integer, ties to even. */
PP_INLINE float pp_round(float x)
{
    const float magnitude = pp_abs(x);
    const float rounded = (magnitude + 8388608.0f) - 8388608.0f;
    return magnitude < 8388608.0f ? pp_copy_sign(rounded, x) : x;
}

PP_INLINE float pp_floor(float x)
{
    const float rounded = pp_round(x);
    return pp_copy_sign(rounded > x ? rounded - 1.0f : rounded, x);
}

PP_INLINE float pp_ceil(float x)
{
    const float rounded = pp_round(x);
    return pp_copy_sign(rounded < x ? rounded + 1.0f : rounded, x);
}

/* 2^k for -126 <= k <= 127. */
PP_INLINE float pp_power_of_two(int32_t k) { return pp_float((uint32_t)(k + 127) << 23); }

/* x = k ln 2 + r with |r| <= ln(2) / 2; returns e^r - 1. */
PP_INLINE float pp_exp_core(float x, int32_t *k)
{
    const float shifted = x * 1.44269504f + PP_ROUNDING;
    const float whole = shifted - PP_ROUNDING;
    /* 0.693359375 has 9 significant bits, so that whole * 0.693359375 is exact. */
    const float r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    float q = 0.000199442671f;
    q = q * r + 0.00139326707f;
    q = q * r + 0.00833320804f;
    q = q * r + 0.0416664891f;
    q = q * r + 0.166666672f;
    q = q * r + 0.5f;
    *k = (int32_t)(pp_bits(shifted) - PP_ROUNDING_BITS);
    return r + (r * r) * q;
}

PP_INLINE float pp_exp(float x)
{
    int32_t k;
    const float p = pp_exp_core(pp_clamp(x, -104.0f, 89.0f), &k);
    /* Two factors, so that neither overflows where the product does not, nor is subnormal where it need not be. */
    const int32_t half = k >= 0 ? k / 2 : -(-k / 2);
    return ((1.0f + p) * pp_power_of_two(half)) * pp_power_of_two(k - half);
}

/* e^x - 1 for x <= 88 (greater ones count as 88), without the loss of digits near 0. */
PP_INLINE float pp_exp_minus_one(float x)
{
    int32_t k;
    const float p = pp_exp_core(pp_clamp(x, -20.0f, 88.0f), &k);
    const float scale = pp_power_of_two(k);
    return scale * p + (scale - 1.0f);
}

/* Natural logarithm; log(0) is -infinity, and of a negative number NaN. */
PP_INLINE float pp_log(float x)
{
    const float normal = x < 1.17549435e-38f ? x * 33554432.0f : x;
    const float shift = x < 1.17549435e-38f ? -25.0f : 0.0f;
    /* The exponent that leaves a mantissa in [sqrt(1/2), sqrt(2)), counted from 256 so that it is never negative. */
    const uint32_t exponent = (pp_bits(normal) + (0x80000000u - 0x3F3504F3u)) >> 23;
    const float f = pp_float(pp_bits(normal) - ((exponent - 256u) << 23)) - 1.0f;
    const float e = (float)(int32_t)(exponent - 256u) + shift;
    const float square = f * f;
    float q = 0.0691561252f;
    q = q * f - 0.117893703f;
    q = q * f + 0.118726194f;
    q = q * f - 0.12384402f;
    q = q * f + 0.142187163f;
    q = q * f - 0.166692495f;
    q = q * f + 0.200022236f;
    q = q * f - 0.249999866f;
    q = q * f + 0.333333105f;
    const float tail = (f * square) * q - e * 2.12194440e-4f;
    const float value = (f + (tail - 0.5f * square)) + e * 0.693359375f;
    const float of_zero = x == 0.0f ? pp_float(0xFF800000u) : pp_float(0x7FC00000u);
    return x > 0.0f ? (x > 3.40282347e38f ? x : value) : of_zero;
}

/* log(1 + y) for 0 <= y <= 1. */
PP_INLINE float pp_log_one_plus(float y)
{
    const float sum = 1.0f + y;
    return pp_log(sum) + (y - (sum - 1.0f)) / sum;
}

PP_INLINE float pp_tanh(float x)
{
    const float magnitude = pp_abs(x);
    const float t = pp_exp_minus_one(2.0f * (magnitude < 9.1f ? magnitude : 9.1f));
    return pp_copy_sign(t / (t + 2.0f), x);
}

PP_INLINE float pp_sigmoid(float x) { return 1.0f / (1.0f + pp_exp(-x)); }

/* erf on |x| <= 1. */
PP_INLINE float pp_erf_small(float x)
{
    const float z = x * x;
    float q = -4.28488711e-05f;
    q = q * z - 0.000437357987f;
    q = q * z + 0.00477987248f;
    q = q * z - 0.0266424231f;
    q = q * z + 0.112786412f;
    q = q * z - 0.376122028f;
    q = q * z + 1.12837911f;
    return x * q;
}

/* 1 - erf(t) for t >= 1; what lies beyond 4 is less than half a unit in the last place of 1 and counts as 4. */
PP_INLINE float pp_erfc_large(float t)
{
    const float u = (t < 4.0f ? t : 4.0f) - 2.5f;
    float q = -1.90493415e-06f;
    q = q * u + 1.33309695e-05f;
    q = q * u - 7.58554961e-05f;
    q = q * u + 0.000420120195f;
    q = q * u - 0.00216776226f;
    q = q * u + 0.0108584855f;
    q = q * u + 0.943895102f;
    q = q * u + 5.35268068f;
    q = q * u + 7.80681515f;
    return pp_exp(-q);
}

PP_INLINE float pp_erf(float x)
{
    const float t = pp_abs(x);
    const float large = pp_copy_sign(1.0f - pp_erfc_large(t), x);
    return t <= 1.0f ? pp_erf_small(x) : large;
}

PP_INLINE float pp_silu(float x) { return x / (1.0f + pp_exp(-x)); }

/* x (1 + erf(x / sqrt(2))) / 2. */
PP_INLINE float pp_gelu(float x) { return 0.5f * x * (1.0f + pp_erf(x * 0.707106769f)); }

/* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2. */
PP_INLINE float pp_gelu_tanh(float x)
{
    return 0.5f * x * (1.0f + pp_tanh(0.797884583f * (x + 0.0447149985f * ((x * x) * x))));
}

PP_INLINE float pp_elu(float x, float alpha) { return x > 0.0f ? x : alpha * pp_exp_minus_one(x < 0.0f ? x : 0.0f); }
PP_INLINE float pp_celu(float x, float alpha) { return x > 0.0f ? x : alpha * pp_exp_minus_one((x < 0.0f ? x : 0.0f) / alpha); }
PP_INLINE float pp_selu(float x, float alpha, float gamma) { return gamma * pp_elu(x, alpha); }
PP_INLINE float pp_softplus(float x) { return (x > 0.0f ? x : 0.0f) + pp_log_one_plus(pp_exp(-pp_abs(x))); }
PP_INLINE float pp_softsign(float x) { return x / (1.0f + pp_abs(x)); }

/* x tanh(softplus(x)), where tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2). */
PP_INLINE float pp_mish(float x)
{
    const float e = pp_exp(x < 20.0f ? x : 20.0f);
    const float t = e * (e + 2.0f);
    return x * (t / (t + 2.0f));
}

PP_INLINE float pp_hard_sigmoid(float x, float alpha, float beta) { return pp_clamp(alpha * x + beta, 0.0f, 1.0f); }
PP_INLINE float pp_hard_swish(float x) { return x * pp_clamp(x * 0.166666672f + 0.5f, 0.0f, 1.0f); }
PP_INLINE float pp_relu(float x) { return x > 0.0f ? x : 0.0f; }
PP_INLINE float pp_leaky_relu(float x, float alpha) { return x > 0.0f ? x : alpha * x; }
PP_INLINE float pp_reciprocal(float x) { return 1.0f / x; }
PP_INLINE float pp_negate(float x) { return -x; }
PP_INLINE float pp_square(float x) { return x * x; }

/* Where double is no more than float (AVR), there are no sines: the generator refuses networks that have them. */
#if !defined(__SIZEOF_DOUBLE__) || __SIZEOF_DOUBLE__ >= 8
/* x = quarter * pi / 2 + r, |r| <= pi / 4, in double precision: right to the last bit of a float up to |x| = 1e8. */
PP_INLINE float pp_quarter_turn(float x, uint32_t *quarter)
{
    const double shifted = (double)x * 0.63661977236758134308 + 6755399441055744.0;
    const double whole = shifted - 6755399441055744.0;
    uint64_t bits;
    PP_COPY(&bits, &shifted, sizeof bits);
    *quarter = (uint32_t)bits;
    /* pi / 2 in parts of 26 and 26 bits, so that the first two products are exact, and the rest. */
    return (float)((((double)x - whole * 1.5707963109016418) - whole * 1.5893254712295857e-08) -
                   whole * 6.123233995736766e-17);
}

PP_INLINE float pp_sin_of(uint32_t quarter, float r)
{
    const float z = r * r;
    const float sine = r + (r * z) * (((2.84143198e-06f * z - 0.000198539026f) * z + 0.00833338127f) * z - 0.166666672f);
    const float cosine = (1.0f - 0.5f * z) + (z * z) * ((2.443021e-05f * z - 0.0013887299f) * z + 0.0416666456f);
    const float value = (quarter & 1u) != 0u ? cosine : sine;
    return (quarter & 2u) != 0u ? -value : value;
}

/* Sine and cosine of |x| <= 1e8; beyond, some number in [-1, 1], the same everywhere. */
PP_INLINE float pp_sin(float x)
{
    uint32_t quarter;
    const float r = pp_quarter_turn(pp_clamp(x, -1e8f, 1e8f), &quarter);
    return pp_sin_of(quarter, r);
}

PP_INLINE float pp_cos(float x)
{
    uint32_t quarter;
    const float r = pp_quarter_turn(pp_clamp(x, -1e8f, 1e8f), &quarter);
    return pp_sin_of(quarter + 1u, r);
}

#endif

/* The correctly rounded square root of a finite x > 0, bit by bit, for targets without an instruction. */
PP_INLINE float pp_sqrt_by_bits(float x)
{
    const int subnormal = x < 1.17549435e-38f;
    const uint32_t bits = pp_bits(subnormal ? x * 16777216.0f : x);
    const uint32_t biased = bits >> 23, odd = (biased & 1u) == 0u;
    /* x = significand * 2^(even exponent); the root of significand * 2^25 has 25 bits, one more than a float. */
    const uint64_t square = (uint64_t)((bits & 0x7FFFFFu) | 0x800000u) << (25u + odd);
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 24; bit != 0u; bit >>= 1)
        if ((root | bit) * (root | bit) <= square)
            root |= bit;
    /* The last bit is half a unit; a root never lies exactly there, so that a set bit means up. */
    const uint32_t rounded = (uint32_t)((root + 1u) >> 1);
    return pp_float(rounded + (((biased - odd + 127u) / 2u - 1u - (subnormal ? 12u : 0u)) << 23));
}

/* The square root, correctly rounded; of a negative number NaN. */
PP_INLINE float pp_sqrt(float x)
{
#if defined(__SSE2__) && defined(__GNUC__)
    float root;
    __asm__("sqrtss %1, %0" : "=x"(root) : "x"(x));
    return root;
#elif defined(__aarch64__) && defined(__GNUC__)
    float root;
    __asm__("fsqrt %s0, %s1" : "=w"(root) : "w"(x));
    return root;
#elif defined(__arm__) && defined(__ARM_FP) && (__ARM_FP & 4) && defined(__GNUC__)
    float root;
    __asm__("vsqrt.f32 %0, %1" : "=t"(root) : "t"(x));
    return root;
#else
    if (x > 0.0f)
        return x > 3.40282347e38f ? x : pp_sqrt_by_bits(x);
    return x == 0.0f ? x : pp_float(0x7FC00000u);
#endif
}

/* The same over arrays; out may be x. */
#define PP_MAP(name, function)                                       \
    PP_INLINE void name(const float *x, int n, float *out)           \
    {                                                                \
        for (int i = 0; i < n; i++)                                  \
            out[i] = function(x[i]);                                 \
    }
#define PP_MAP1(name, function)                                              \
    PP_INLINE void name(const float *x, int n, float *out, float alpha)      \
    {                                                                        \
        for (int i = 0; i < n; i++)                                          \
            out[i] = function(x[i], alpha);                                  \
    }
#define PP_MAP2(name, function)                                                          \
    PP_INLINE void name(const float *x, int n, float *out, float alpha, float beta)      \
    {                                                                                    \
        for (int i = 0; i < n; i++)                                                      \
            out[i] = function(x[i], alpha, beta);                                        \
    }
PP_MAP(pp_abs_n, pp_abs)
PP_MAP(pp_round_n, pp_round)
PP_MAP(pp_floor_n, pp_floor)
PP_MAP(pp_ceil_n, pp_ceil)
PP_MAP(pp_exp_n, pp_exp)
PP_MAP(pp_log_n, pp_log)
PP_MAP(pp_tanh_n, pp_tanh)
PP_MAP(pp_sigmoid_n, pp_sigmoid)
PP_MAP(pp_erf_n, pp_erf)
PP_MAP(pp_silu_n, pp_silu)
PP_MAP(pp_gelu_n, pp_gelu)
PP_MAP(pp_gelu_tanh_n, pp_gelu_tanh)
PP_MAP(pp_softplus_n, pp_softplus)
PP_MAP(pp_softsign_n, pp_softsign)
PP_MAP(pp_mish_n, pp_mish)
PP_MAP(pp_hard_swish_n, pp_hard_swish)
PP_MAP(pp_relu_n, pp_relu)
PP_MAP(pp_reciprocal_n, pp_reciprocal)
PP_MAP(pp_negate_n, pp_negate)
PP_MAP(pp_square_n, pp_square)
#if !defined(__SIZEOF_DOUBLE__) || __SIZEOF_DOUBLE__ >= 8
PP_MAP(pp_sin_n, pp_sin)
PP_MAP(pp_cos_n, pp_cos)
#endif
PP_MAP(pp_sqrt_n, pp_sqrt)
PP_MAP1(pp_elu_n, pp_elu)
PP_MAP1(pp_celu_n, pp_celu)
PP_MAP1(pp_leaky_relu_n, pp_leaky_relu)
PP_MAP2(pp_selu_n, pp_selu)
PP_MAP2(pp_hard_sigmoid_n, pp_hard_sigmoid)
PP_MAP2(pp_clamp_n, pp_clamp)

#endif
