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
PP_INLINE void pp_panel_plain(const uint8_t *x, int segments, ptrdiff_t segment_stride, int run,
                              const PP_FLASH int8_t *w, const PP_FLASH int32_t *bias, int width, int32_t *sum)
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
PP_INLINE void pp_panel4_plain(const uint8_t *x, int segments, ptrdiff_t segment_stride, int run,
                               const PP_FLASH uint8_t *w, const PP_FLASH int32_t *bias, int width, int32_t *sum)
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

/* What a quantized layer is asked to do. Its kernels are four entrances to one function, which takes this. */
typedef struct {
    const uint8_t *x; /* row r, segment s, input k: x[r * x_stride + s * segment_stride + k], k < run */
    int rows;
    ptrdiff_t x_stride;
    int segments;
    ptrdiff_t segment_stride;
    int run;          /* a multiple of 4 */
    const PP_FLASH uint8_t *w; /* packed weights (packing.py), of `bits` bits, 8 or 4 */
    int bits;
    const PP_FLASH int32_t *bias;     /* PP_PADDED(n) of them, as of */
    const PP_FLASH float *multiplier; /* these */
    int n;
    float lo, hi;
    int32_t zero;
    uint8_t *bytes; /* output, or */
    float *floats;  /* output; the other is NULL */
    ptrdiff_t out_stride;
} pp_layer;

PP_INLINE void pp_qdense_plain(const pp_layer *layer)
{
    const int segments = layer->segments, run = layer->run;
    for (int r = 0; r < layer->rows; r++)
        for (int first = 0; first < layer->n; first += PP_PANEL) {
            const int width = pp_smaller(PP_PADDED(layer->n) - first, PP_PANEL);
            const int count = pp_smaller(layer->n - first, PP_PANEL);
            const uint8_t *x = layer->x + r * layer->x_stride;
            const PP_FLASH uint8_t *w = layer->w + first * pp_column_bytes(segments, run, layer->bits);
            const PP_FLASH int32_t *bias = layer->bias + first;
            int32_t sum[PP_PANEL];
            if (layer->bits == 8)
                pp_panel_plain(x, segments, layer->segment_stride, run, (const PP_FLASH int8_t *)w, bias, width, sum);
            else
                pp_panel4_plain(x, segments, layer->segment_stride, run, w, bias, width, sum);
            for (int j = 0; j < count; j++) {
                const float scale = layer->multiplier[first + j];
                const ptrdiff_t at = r * layer->out_stride + first + j;
                if (layer->bytes != NULL)
                    layer->bytes[at] = pp_requantize(sum[j], scale, layer->lo, layer->hi, layer->zero);
                else
                    layer->floats[at] = (float)sum[j] * scale;
            }
        }
}

/* The entrances, for each instruction set:
   pp_qdense_u8:  out = (uint8)(round(clamp((float)sum * multiplier, lo, hi)) + zero), where sum = bias + x * w
   pp_qdense_f32: out = (float)sum * multiplier
   pp_qdense4_u8, pp_qdense4_f32: the same with 4-bit weights. */
#define PP_QDENSE_U8(name, set, attribute, weight, bits)                                                                   \
    PP_INLINE attribute void name##_u8_##set(const uint8_t *x, int rows, ptrdiff_t x_stride, int segments,                   \
                                             ptrdiff_t segment_stride, int run, const PP_FLASH weight *w, const PP_FLASH int32_t *bias, \
                                             const PP_FLASH float *multiplier, int n, float lo, float hi, int32_t zero, uint8_t *out, \
                                             ptrdiff_t out_stride)                                                           \
    {                                                                                                                        \
        const pp_layer layer = {x,    rows,       x_stride, segments, segment_stride, run,  (const PP_FLASH uint8_t *)w, bits,        \
                                bias, multiplier, n,        lo,       hi,             zero, out,                NULL,        \
                                out_stride};                                                                                 \
        pp_qdense_##set(&layer);                                                                                             \
    }
#define PP_QDENSE_F32(name, set, attribute, weight, bits)                                                                  \
    PP_INLINE attribute void name##_f32_##set(const uint8_t *x, int rows, ptrdiff_t x_stride, int segments,                  \
                                              ptrdiff_t segment_stride, int run, const PP_FLASH weight *w, const PP_FLASH int32_t *bias, \
                                              const PP_FLASH float *multiplier, int n, float *out, ptrdiff_t out_stride)              \
    {                                                                                                                        \
        const pp_layer layer = {x,    rows,       x_stride, segments, segment_stride, run, (const PP_FLASH uint8_t *)w, bits,         \
                                bias, multiplier, n,        0.0f,     0.0f,           0,   NULL,               out,          \
                                out_stride};                                                                                 \
        pp_qdense_##set(&layer);                                                                                             \
    }
#define PP_QDENSE(set, attribute)                            \
    PP_QDENSE_U8(pp_qdense, set, attribute, int8_t, 8)       \
    PP_QDENSE_F32(pp_qdense, set, attribute, int8_t, 8)      \
    PP_QDENSE_U8(pp_qdense4, set, attribute, uint8_t, 4)     \
    PP_QDENSE_F32(pp_qdense4, set, attribute, uint8_t, 4)
PP_QDENSE(plain, PP_TARGET_PLAIN)

/* What a float layer is asked to do; strides are in floats, and runs are not padded. */
typedef struct {
    const float *x;
    int rows;
    ptrdiff_t x_stride;
    int segments;
    ptrdiff_t segment_stride;
    int run;
    const PP_FLASH float *w;
    const PP_FLASH float *bias; /* PP_PADDED(n) of them */
    int n;
    float *out;
    ptrdiff_t out_stride;
} pp_float_layer;

PP_INLINE void pp_fdense_rows_plain(const pp_float_layer *layer)
{
    for (int r = 0; r < layer->rows; r++)
        for (int first = 0; first < layer->n; first += PP_PANEL) {
            const int width = pp_smaller(PP_PADDED(layer->n) - first, PP_PANEL);
            const int count = pp_smaller(layer->n - first, PP_PANEL);
            const PP_FLASH float *w = layer->w + (ptrdiff_t)first * layer->segments * layer->run;
            float sum[PP_PANEL];
            for (int j = 0; j < width; j++)
                sum[j] = layer->bias[first + j];
            for (int s = 0; s < layer->segments; s++) {
                const float *x = layer->x + r * layer->x_stride + s * layer->segment_stride;
                for (int k = 0; k < layer->run; k++, w += width)
                    for (int j = 0; j < width; j++)
                        sum[j] += x[k] * w[j];
            }
            for (int j = 0; j < count; j++)
                layer->out[r * layer->out_stride + first + j] = sum[j];
        }
}

/* pp_fdense: out = bias + x * w in float. Kernels differ in the order of a sum, and in whether a product is rounded
   before it is added: they agree within rounding, and with themselves for every number of rows. */
#define PP_FDENSE(set, attribute)                                                                                          \
    PP_INLINE attribute void pp_fdense_##set(const float *x, int rows, ptrdiff_t x_stride, int segments,                     \
                                             ptrdiff_t segment_stride, int run, const PP_FLASH float *w, const PP_FLASH float *bias, int n, \
                                             float *out, ptrdiff_t out_stride)                                               \
    {                                                                                                                        \
        const pp_float_layer layer = {x, rows, x_stride, segments, segment_stride, run, w, bias, n, out, out_stride};        \
        pp_fdense_rows_##set(&layer);                                                                                        \
    }
PP_FDENSE(plain, PP_TARGET_PLAIN)

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
