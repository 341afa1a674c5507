/* The kernels in plain C: for targets without vector instructions, and what every other kernel must equal bit by bit. */
#ifndef PP_PLAIN_H
#define PP_PLAIN_H

PP_INLINE uint8_t pp_requantize(int32_t sum, float multiplier, float lo, float hi, int32_t zero)
{
    return (uint8_t)(pp_to_integer(pp_clamp((float)sum * multiplier, lo, hi)) + zero);
}

/* One activation as the kernels take it: unsigned, or less 128 where the layout says signed. */
PP_INLINE int32_t pp_activation(uint8_t x) { return (int32_t)x - (PP_SIGNED ? 128 : 0); }

/* sum[j] = bias[j] + sum over x of x * w for one row and the `width` columns of one panel. */
PP_INLINE void pp_panel_plain(const uint8_t *x, int segments, ptrdiff_t segment_stride, int run, const int8_t *w,
                              const int32_t *bias, int width, int32_t *sum)
{
    for (int j = 0; j < width; j++)
        sum[j] = bias[j];
    for (int s = 0; s < segments; s++) {
        const uint8_t *segment = x + s * segment_stride;
        for (int k = 0; k < run; k += 4, w += 4 * width) {
            const int32_t x0 = pp_activation(segment[k]), x1 = pp_activation(segment[k + 1]);
            const int32_t x2 = pp_activation(segment[k + 2]), x3 = pp_activation(segment[k + 3]);
            for (int j = 0; j < width; j++)
                sum[j] += x0 * w[4 * j] + x1 * w[4 * j + 1] + x2 * w[4 * j + 2] + x3 * w[4 * j + 3];
        }
    }
}

/* As pp_panel_plain for 4-bit weights: a byte holds a weight of one quad (low half) and of the next (high half). */
PP_INLINE void pp_panel4_plain(const uint8_t *x, int segments, ptrdiff_t segment_stride, int run, const uint8_t *w,
                               const int32_t *bias, int width, int32_t *sum)
{
    for (int j = 0; j < width; j++)
        sum[j] = bias[j];
    for (int s = 0; s < segments; s++) {
        const uint8_t *segment = x + s * segment_stride;
        for (int k = 0; k < run; k += 8, w += 4 * width)
            for (int i = 0; i < 4; i++) {
                /* Behind the run lies whatever follows it, and the weights there are 0. */
                const int32_t low = pp_activation(segment[k + i]), high = pp_activation(segment[k + 4 + i]);
                for (int j = 0; j < width; j++) {
                    const int32_t both = w[4 * j + i];
                    sum[j] += low * (((both & 15) ^ 8) - 8) + high * ((both >> 4 ^ 8) - 8);
                }
            }
    }
}

/* Bytes of packed weights per column: as many as quads times four, or, where they have 4 bits, per segment half that. */
PP_INLINE ptrdiff_t pp_column_bytes(int segments, int run, int bits)
{
    return (ptrdiff_t)segments * (bits == 8 ? run : (run + 7) / 8 * 4);
}

PP_INLINE int pp_smaller(int a, int b) { return a < b ? a : b; }

/* The four kernels in one: w is of int8_t for 8 bits and of uint8_t for 4, and one of bytes and floats is the output. */
PP_INLINE void pp_qdense_plain(const uint8_t *x, int rows, ptrdiff_t x_stride, int segments, ptrdiff_t segment_stride,
                               int run, const void *w, int bits, const int32_t *bias, const float *multiplier, int n,
                               float lo, float hi, int32_t zero, uint8_t *bytes, float *floats, ptrdiff_t out_stride)
{
    for (int r = 0; r < rows; r++)
        for (int first = 0; first < n; first += PP_PANEL) {
            const int width = pp_smaller(PP_PADDED(n) - first, PP_PANEL), count = pp_smaller(n - first, PP_PANEL);
            const ptrdiff_t offset = first * pp_column_bytes(segments, run, bits);
            const uint8_t *row = x + r * x_stride;
            int32_t sum[PP_PANEL];
            if (bits == 8)
                pp_panel_plain(row, segments, segment_stride, run, (const int8_t *)w + offset, bias + first, width, sum);
            else
                pp_panel4_plain(row, segments, segment_stride, run, (const uint8_t *)w + offset, bias + first, width, sum);
            for (int j = 0; j < count; j++) {
                const float scale = multiplier[first + j];
                if (bytes != NULL)
                    bytes[r * out_stride + first + j] = pp_requantize(sum[j], scale, lo, hi, zero);
                else
                    floats[r * out_stride + first + j] = (float)sum[j] * scale;
            }
        }
}

/* out = (uint8)(round(clamp((float)sum * multiplier, lo, hi)) + zero), where sum = bias + x * w; n columns per row.
   bias and multiplier have PP_PADDED(n) entries. */
PP_INLINE void pp_qdense_u8_plain(const uint8_t *x, int rows, ptrdiff_t x_stride, int segments, ptrdiff_t segment_stride,
                                  int run, const int8_t *w, const int32_t *bias, const float *multiplier, int n, float lo,
                                  float hi, int32_t zero, uint8_t *out, ptrdiff_t out_stride)
{
    pp_qdense_plain(x, rows, x_stride, segments, segment_stride, run, w, 8, bias, multiplier, n, lo, hi, zero, out, NULL,
                    out_stride);
}

/* out = (float)sum * multiplier. */
PP_INLINE void pp_qdense_f32_plain(const uint8_t *x, int rows, ptrdiff_t x_stride, int segments, ptrdiff_t segment_stride,
                                   int run, const int8_t *w, const int32_t *bias, const float *multiplier, int n, float *out,
                                   ptrdiff_t out_stride)
{
    pp_qdense_plain(x, rows, x_stride, segments, segment_stride, run, w, 8, bias, multiplier, n, 0.0f, 0.0f, 0, NULL, out,
                    out_stride);
}

/* The same two with 4-bit weights. */
PP_INLINE void pp_qdense4_u8_plain(const uint8_t *x, int rows, ptrdiff_t x_stride, int segments, ptrdiff_t segment_stride,
                                   int run, const uint8_t *w, const int32_t *bias, const float *multiplier, int n, float lo,
                                   float hi, int32_t zero, uint8_t *out, ptrdiff_t out_stride)
{
    pp_qdense_plain(x, rows, x_stride, segments, segment_stride, run, w, 4, bias, multiplier, n, lo, hi, zero, out, NULL,
                    out_stride);
}

PP_INLINE void pp_qdense4_f32_plain(const uint8_t *x, int rows, ptrdiff_t x_stride, int segments, ptrdiff_t segment_stride,
                                    int run, const uint8_t *w, const int32_t *bias, const float *multiplier, int n,
                                    float *out, ptrdiff_t out_stride)
{
    pp_qdense_plain(x, rows, x_stride, segments, segment_stride, run, w, 4, bias, multiplier, n, 0.0f, 0.0f, 0, NULL, out,
                    out_stride);
}

/* out = bias + x * w in float, the sum taken in the order of the weights. */
PP_INLINE void pp_fdense_plain(const float *x, int rows, ptrdiff_t x_stride, int segments, ptrdiff_t segment_stride, int run,
                               const float *w, const float *bias, int n, float *out, ptrdiff_t out_stride)
{
    for (int r = 0; r < rows; r++, x += x_stride, out += out_stride)
        for (int first = 0; first < n; first += PP_PANEL) {
            const int width = pp_smaller(PP_PADDED(n) - first, PP_PANEL);
            const int count = pp_smaller(n - first, PP_PANEL);
            const float *weight = w + (ptrdiff_t)first * segments * run;
            float sum[PP_PANEL];
            for (int j = 0; j < width; j++)
                sum[j] = bias[first + j];
            for (int s = 0; s < segments; s++)
                for (int k = 0; k < run; k++, weight += width) {
                    const float value = x[s * segment_stride + k];
                    for (int j = 0; j < width; j++)
                        sum[j] += value * weight[j];
                }
            for (int j = 0; j < count; j++)
                out[first + j] = sum[j];
        }
}

/* out = (uint8)(round(clamp(x / scale, lo, hi)) + zero), lo and hi being integers. Returns 1 if a value lay beyond
   what rounds into [lo, hi], and 0 otherwise. */
PP_INLINE int pp_quantize_plain(const float *x, int n, float scale, float lo, float hi, int32_t zero, uint8_t *out)
{
    uint32_t clipped = 0;
    for (int i = 0; i < n; i++) {
        const float value = x[i] / scale;
        clipped |= (uint32_t)(value > hi + 0.5f) | (uint32_t)(value < lo - 0.5f);
        out[i] = (uint8_t)(pp_to_integer(pp_clamp(value, lo, hi)) + zero);
    }
    return (int)clipped;
}

/* As pp_quantize_plain, with a scale and a zero point for each value; lowest and highest are the quantized type's,
   0 and 255 (or narrower). */
PP_INLINE int pp_quantize_channels_plain(const float *x, int n, const float *scale, const int32_t *zero, int32_t lowest,
                                         int32_t highest, uint8_t *out)
{
    uint32_t clipped = 0;
    for (int i = 0; i < n; i++) {
        const float value = x[i] / scale[i], lo = (float)(lowest - zero[i]), hi = (float)(highest - zero[i]);
        clipped |= (uint32_t)(value > hi + 0.5f) | (uint32_t)(value < lo - 0.5f);
        out[i] = (uint8_t)(pp_to_integer(pp_clamp(value, lo, hi)) + zero[i]);
    }
    return (int)clipped;
}

/* 1 where all n values are finite, else 0. */
PP_INLINE int pp_all_finite(const float *x, int n)
{
    uint32_t bad = 0;
    for (int i = 0; i < n; i++)
        bad |= (uint32_t)((pp_bits(x[i]) & 0x7F800000u) == 0x7F800000u);
    return bad == 0;
}

#endif
