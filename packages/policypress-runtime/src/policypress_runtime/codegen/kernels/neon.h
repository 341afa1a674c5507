/* Kernels for aarch64: with the dot product of Armv8.2 (sdot), and without it. */
#if defined(__aarch64__) && defined(__GNUC__) && !defined(PP_NEON_H)
#define PP_NEON_H
#if PP_PANEL != 64 || PP_COLUMNS != 16 || !PP_SIGNED
#error "these kernels take weights of the layout 'signed quads'"
#endif

/* Four inputs less 128, as signed bytes, four times over. */
PP_INLINE int8x16_t pp_spread_neon(const uint8_t *x)
{
    uint32_t quad;
    PP_COPY(&quad, x, sizeof quad);
    return vreinterpretq_s8_u32(vdupq_n_u32(quad ^ 0x80808080u));
}

/* Weights of one quad and 4 columns as bytes. Of two 4-bit weights the low half is the even quad's and the high one the
   odd's; either becomes the high half of a byte over zeros, which is 16 times the weight. */
PP_INLINE int8x16_t pp_weights_neon(const uint8_t *w, int bits, int odd)
{
    const int8x16_t weights = vreinterpretq_s8_u8(vld1q_u8(w));
    if (bits == 8)
        return weights;
    return odd ? vandq_s8(weights, vdupq_n_s8((int8_t)-16)) : vshlq_n_s8(weights, 4);
}

/* Scale the sums of V vectors of 4 columns (V is a multiple of 4) of row r, from column `first` on, and write them. */
PP_INLINE void pp_finish_neon(const pp_layer *layer, int r, int first, int V, const int32x4_t *sum)
{
    PP_EACH(four, V / 4)
    {
        const int column = first + 16 * four, count = pp_smaller(layer->n - column, 16);
        float32x4_t value[4];
        int32x4_t integer[4];
        PP_EACH(v, 4)
        {
            const int32x4_t total = layer->bits == 8 ? sum[4 * four + v] : vshrq_n_s32(sum[4 * four + v], 4);
            const int32x4_t biased = vaddq_s32(total, vld1q_s32(layer->bias + column + 4 * v));
            value[v] = vmulq_f32(vcvtq_f32_s32(biased), vld1q_f32(layer->multiplier + column + 4 * v));
        }
        if (layer->bytes == NULL) {
            float *out = layer->floats + r * layer->out_stride + column, few[16];
            PP_EACH(v, 4) vst1q_f32((count == 16 ? out : few) + 4 * v, value[v]);
            if (count < 16)
                PP_COPY(out, few, (size_t)count * sizeof few[0]);
            continue;
        }
        PP_EACH(v, 4)
        {
            const float32x4_t above = vmaxnmq_f32(value[v], vdupq_n_f32(layer->lo));
            const int32x4_t rounded = vcvtnq_s32_f32(vminnmq_f32(above, vdupq_n_f32(layer->hi)));
            integer[v] = vaddq_s32(rounded, vdupq_n_s32(layer->zero));
        }
        const uint16x8_t left = vcombine_u16(vqmovun_s32(integer[0]), vqmovun_s32(integer[1]));
        const uint16x8_t right = vcombine_u16(vqmovun_s32(integer[2]), vqmovun_s32(integer[3]));
        uint8_t *out = layer->bytes + r * layer->out_stride + column, few[16];
        vst1q_u8(count == 16 ? out : few, vcombine_u8(vqmovn_u16(left), vqmovn_u16(right)));
        if (count < 16)
            PP_COPY(out, few, (size_t)count);
    }
}

/* Where the weights of the columns from `first` on begin, and how many bytes on those of the next quad are. */
PP_INLINE const uint8_t *pp_start_neon(const pp_layer *layer, int first, int *stride)
{
    const int panel = first / 64 * 64;
    *stride = 4 * pp_smaller(PP_PADDED(layer->n) - panel, 64);
    return layer->w + panel * pp_column_bytes(layer->segments, layer->run, layer->bits) + 4 * (first - panel);
}

#if (!defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_DOTPROD)) && !defined(PP_NO_DOTPROD)
#define PP_HAVE_DOTPROD 1

/* A tile is R rows by V vectors of 4 columns, with C sums for each that take turns, so that none waits for the last.
   All three are constants wherever this is inlined; R * V * C is 16. */
PP_INLINE PP_TARGET_DOTPROD void pp_quad_dotprod(const uint8_t *x, ptrdiff_t x_stride, const uint8_t *w, int bits, int odd,
                                                 int R, int V, int32x4_t *sum)
{
    int8x16_t row[4];
    PP_EACH(r, R) row[r] = pp_spread_neon(x + r * x_stride);
    PP_EACH(v, V)
    {
        const int8x16_t weights = pp_weights_neon(w + 16 * v, bits, odd);
        PP_EACH(r, R) sum[r * V + v] = vdotq_s32(sum[r * V + v], weights, row[r]);
    }
}

PP_INLINE PP_TARGET_DOTPROD void pp_tile_dotprod(const pp_layer *layer, int r, int first, int R, int V, int C)
{
    const int bits = layer->bits, step = bits == 8 ? 4 : 8;
    const ptrdiff_t x_stride = layer->x_stride;
    int stride;
    const uint8_t *w = pp_start_neon(layer, first, &stride);
    int32x4_t sum[16];
    PP_EACH(i, R * V * C) sum[i] = vdupq_n_s32(0);
    for (int s = 0; s < layer->segments; s++) {
        const uint8_t *x = layer->x + r * x_stride + s * layer->segment_stride;
        int k = 0;
        for (; k + C * step <= layer->run; k += C * step)
            PP_EACH(c, C)
            {
                pp_quad_dotprod(x + k + c * step, x_stride, w, bits, 0, R, V, sum + c * R * V);
                if (bits == 4)
                    pp_quad_dotprod(x + k + c * step + 4, x_stride, w, 4, 1, R, V, sum + c * R * V);
                w += stride;
            }
        for (; k < layer->run; k += step, w += stride) {
            pp_quad_dotprod(x + k, x_stride, w, bits, 0, R, V, sum);
            if (bits == 4)
                pp_quad_dotprod(x + k + 4, x_stride, w, 4, 1, R, V, sum);
        }
    }
    for (int half = C / 2; half > 0; half /= 2)
        PP_EACH(i, half * R * V) sum[i] = vaddq_s32(sum[i], sum[half * R * V + i]);
    PP_EACH(i, R) pp_finish_neon(layer, r + i, first, V, sum + i * V);
}

PP_INLINE PP_TARGET_DOTPROD void pp_qdense_dotprod(const pp_layer *layer)
{
    const int padded = PP_PADDED(layer->n);
    int first = 0;
    if (layer->rows == 1)
        for (; first + 64 <= padded; first += 64)
            pp_tile_dotprod(layer, 0, first, 1, 16, 1);
    for (; first < padded; first += 16) {
        int r = 0;
        for (; r + 4 <= layer->rows; r += 4)
            pp_tile_dotprod(layer, r, first, 4, 4, 1);
        for (; r < layer->rows; r++)
            pp_tile_dotprod(layer, r, first, 1, 4, 4);
    }
}
PP_QDENSE(dotprod, PP_TARGET_DOTPROD)
#endif

/* Without sdot: products of 16 bits (smull), whose pairs are added into 32 (sadalp). Two sums hold 4 columns. */
PP_INLINE void pp_quad_neon(const uint8_t *x, const uint8_t *w, int bits, int odd, int V, int32x4_t *sum)
{
    const int8x16_t row = pp_spread_neon(x);
    PP_EACH(v, V)
    {
        const int8x16_t weights = pp_weights_neon(w + 16 * v, bits, odd);
        sum[2 * v] = vpadalq_s16(sum[2 * v], vmull_s8(vget_low_s8(weights), vget_low_s8(row)));
        sum[2 * v + 1] = vpadalq_s16(sum[2 * v + 1], vmull_high_s8(weights, row));
    }
}

PP_INLINE void pp_tile_neon(const pp_layer *layer, int r, int first, int V)
{
    const int bits = layer->bits, step = bits == 8 ? 4 : 8;
    int stride;
    const uint8_t *w = pp_start_neon(layer, first, &stride);
    int32x4_t sum[16], total[8];
    PP_EACH(i, 2 * V) sum[i] = vdupq_n_s32(0);
    for (int s = 0; s < layer->segments; s++) {
        const uint8_t *x = layer->x + r * layer->x_stride + s * layer->segment_stride;
        for (int k = 0; k < layer->run; k += step, w += stride) {
            pp_quad_neon(x + k, w, bits, 0, V, sum);
            if (bits == 4)
                pp_quad_neon(x + k + 4, w, 4, 1, V, sum);
        }
    }
    PP_EACH(v, V) total[v] = vpaddq_s32(sum[2 * v], sum[2 * v + 1]);
    pp_finish_neon(layer, r, first, V, total);
}

PP_INLINE void pp_qdense_neon(const pp_layer *layer)
{
    const int padded = PP_PADDED(layer->n), whole = padded / 32 * 32;
    for (int first = 0; first < whole; first += 32)
        for (int r = 0; r < layer->rows; r++)
            pp_tile_neon(layer, r, first, 8);
    if (whole < padded)
        for (int r = 0; r < layer->rows; r++)
            pp_tile_neon(layer, r, whole, 4);
}
PP_QDENSE(neon, PP_TARGET_NEON)

/* R rows from r on, by V vectors of 4 columns from `first` on, C sums for each. Columns of a full panel always have one
   sum and the others four, so that a row adds up in one order, whatever rows are beside it. */
PP_INLINE void pp_float_tile_neon(const pp_float_layer *layer, int r, int first, int R, int V, int C)
{
    const int panel = first / 64 * 64, width = pp_smaller(PP_PADDED(layer->n) - panel, 64);
    const float *w = layer->w + (ptrdiff_t)panel * layer->segments * layer->run + first - panel;
    float32x4_t sum[16];
    PP_EACH(i, R * V * C) sum[i] = i < R * V ? vld1q_f32(layer->bias + first + i % V * 4) : vdupq_n_f32(0.0f);
    for (int s = 0; s < layer->segments; s++) {
        const float *x = layer->x + r * layer->x_stride + s * layer->segment_stride;
        int k = 0;
        for (; k + C <= layer->run; k += C)
            PP_EACH(c, C)
            {
                PP_EACH(v, V) PP_EACH(i, R)
                {
                    const int at = (c * R + i) * V + v;
                    sum[at] = vfmaq_n_f32(sum[at], vld1q_f32(w + 4 * v), x[i * layer->x_stride + k + c]);
                }
                w += width;
            }
        for (; k < layer->run; k++, w += width)
            PP_EACH(v, V) PP_EACH(i, R)
                sum[i * V + v] = vfmaq_n_f32(sum[i * V + v], vld1q_f32(w + 4 * v), x[i * layer->x_stride + k]);
    }
    for (int half = C / 2; half > 0; half /= 2)
        PP_EACH(i, half * R * V) sum[i] = vaddq_f32(sum[i], sum[half * R * V + i]);
    PP_EACH(i, R) PP_EACH(v, V)
    {
        const int count = pp_smaller(layer->n - first - 4 * v, 4);
        float *out = layer->out + (r + i) * layer->out_stride + first + 4 * v, few[4];
        vst1q_f32(count == 4 ? out : few, sum[i * V + v]);
        if (count < 4 && count > 0)
            PP_COPY(out, few, (size_t)count * sizeof few[0]);
    }
}

PP_INLINE void pp_fdense_rows_neon(const pp_float_layer *layer)
{
    const int padded = PP_PADDED(layer->n), full = padded / 64 * 64;
    if (layer->rows == 1)
        for (int first = 0; first < full; first += 64)
            pp_float_tile_neon(layer, 0, first, 1, 16, 1);
    else
        for (int first = 0; first < full; first += 16) {
            int r = 0;
            for (; r + 4 <= layer->rows; r += 4)
                pp_float_tile_neon(layer, r, first, 4, 4, 1);
            for (; r < layer->rows; r++)
                pp_float_tile_neon(layer, r, first, 1, 4, 1);
        }
    for (int first = full; first < padded; first += 16)
        for (int r = 0; r < layer->rows; r++)
            pp_float_tile_neon(layer, r, first, 1, 4, 4);
}
PP_FDENSE(neon, PP_TARGET_NEON)

#define pp_quantize_neon pp_quantize_plain
#define pp_quantize_channels_neon pp_quantize_channels_plain
#define pp_fdense_dotprod pp_fdense_neon
#define pp_quantize_dotprod pp_quantize_plain
#define pp_quantize_channels_dotprod pp_quantize_channels_plain
#endif
