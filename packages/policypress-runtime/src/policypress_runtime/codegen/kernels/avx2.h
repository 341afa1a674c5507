/* Kernels for AVX2 (with FMA), exact: no product of bytes saturates on the way. */
#if defined(PP_X86_VECTORS) && defined(__GNUC__) && !defined(PP_AVX2_H)
#define PP_AVX2_H
#if PP_PANEL != 64 || PP_COLUMNS != 16 || PP_SIGNED
#error "these kernels take weights of the layout 'quads'"
#endif

PP_INLINE PP_TARGET_AVX2 __m256i pp_spread_avx2(const uint8_t *x)
{
    int32_t quad;
    PP_COPY(&quad, x, sizeof quad);
    return _mm256_set1_epi32(quad);
}

/* Weights of one quad and 8 columns as bytes. Of two 4-bit weights the low half is the even quad's and the high one the
   odd's; either becomes the high half of a byte over zeros, which is 16 times the weight. */
PP_INLINE PP_TARGET_AVX2 __m256i pp_weights_avx2(const uint8_t *w, int bits, int odd)
{
    const __m256i weights = _mm256_loadu_si256((const __m256i *)(const void *)w);
    if (bits == 8)
        return weights;
    return _mm256_and_si256(odd ? weights : _mm256_slli_epi16(weights, 4), _mm256_set1_epi8((char)0xF0));
}

/* Scale the sums of V vectors of 8 columns (V is even) of row r, from column `first` on, and write them. */
PP_INLINE PP_TARGET_AVX2 void pp_finish_avx2(const pp_layer *layer, int r, int first, int V, const __m256i *sum)
{
    const __m256 lo = _mm256_set1_ps(layer->lo), hi = _mm256_set1_ps(layer->hi);
    const __m256i zero = _mm256_set1_epi32(layer->zero);
    __m256 value[8];
    PP_EACH(v, V)
    {
        const __m256i bias = _mm256_loadu_si256((const __m256i *)(const void *)(layer->bias + first + 8 * v));
        const __m256i total = _mm256_add_epi32(layer->bits == 8 ? sum[v] : _mm256_srai_epi32(sum[v], 4), bias);
        value[v] = _mm256_mul_ps(_mm256_cvtepi32_ps(total), _mm256_loadu_ps(layer->multiplier + first + 8 * v));
    }
    PP_EACH(pair, V / 2)
    {
        const int column = first + 16 * pair, count = pp_smaller(layer->n - column, 16);
        if (count <= 0)
            continue;
        const __m256 left = value[2 * pair], right = value[2 * pair + 1];
        if (layer->bytes == NULL) {
            float *out = layer->floats + r * layer->out_stride + column, few[16];
            float *whole = count == 16 ? out : few;
            _mm256_storeu_ps(whole, left);
            _mm256_storeu_ps(whole + 8, right);
            if (count < 16)
                PP_COPY(out, few, (size_t)count * sizeof few[0]);
            continue;
        }
        const __m256 left_in = _mm256_min_ps(_mm256_max_ps(left, lo), hi);
        const __m256 right_in = _mm256_min_ps(_mm256_max_ps(right, lo), hi);
        const __m256i words = _mm256_packus_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(left_in), zero),
                                                  _mm256_add_epi32(_mm256_cvtps_epi32(right_in), zero));
        const __m256i in_order = _mm256_permute4x64_epi64(words, 0xD8);
        const __m128i packed = _mm_packus_epi16(_mm256_castsi256_si128(in_order), _mm256_extracti128_si256(in_order, 1));
        uint8_t *out = layer->bytes + r * layer->out_stride + column, few[16];
        _mm_storeu_si128((__m128i *)(void *)(count == 16 ? out : few), packed);
        if (count < 16)
            PP_COPY(out, few, (size_t)count);
    }
}

/* Products of bytes without saturation: vpmaddubsw adds two products in 16 bits, which do not hold them for all inputs.
   So the upper five bits of an input and its lower three are multiplied apart: 16 bits hold the sums of four quads of
   the former (4 * 2 * 31 * 128 < 2^15) and of sixteen of the latter (16 * 2 * 7 * 128 < 2^15), and are widened then. */
typedef struct {
    __m256i total[4]; /* 32 bits: 8 times the sum over (x >> 3) * w, and that over (x & 7) * w as far as it is widened */
    __m256i upper[4]; /* 16 bits: sum over (x >> 3) * w */
    __m256i lower[4]; /* 16 bits: sum over (x & 7) * w */
} pp_sums_avx2;

/* Keeps the compiler from collecting several products and adding them later, for which there are no registers. */
#define PP_PIN_256(sum) __asm__("" : "+x"(sum))

PP_INLINE PP_TARGET_AVX2 void pp_quad_avx2(const uint8_t *x, const uint8_t *w, int bits, int odd, int V, pp_sums_avx2 *sums)
{
    const __m256i row = pp_spread_avx2(x);
    const __m256i lower = _mm256_and_si256(row, _mm256_set1_epi8(7));
    const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(row, 3), _mm256_set1_epi8(31));
    PP_EACH(v, V)
    {
        const __m256i weights = pp_weights_avx2(w + 32 * v, bits, odd);
        sums->upper[v] = _mm256_add_epi16(sums->upper[v], _mm256_maddubs_epi16(upper, weights));
        sums->lower[v] = _mm256_add_epi16(sums->lower[v], _mm256_maddubs_epi16(lower, weights));
        PP_PIN_256(sums->upper[v]);
        PP_PIN_256(sums->lower[v]);
    }
}

PP_INLINE PP_TARGET_AVX2 void pp_widen_avx2(int V, __m256i *narrow, int factor, __m256i *total)
{
    PP_EACH(v, V)
    {
        total[v] = _mm256_add_epi32(total[v], _mm256_madd_epi16(narrow[v], _mm256_set1_epi16((short)factor)));
        narrow[v] = _mm256_setzero_si256();
    }
}

/* Up to four quads; returns the weights after them. */
PP_INLINE PP_TARGET_AVX2 const uint8_t *pp_quads_avx2(const uint8_t *x, int quads, const uint8_t *w, int stride, int bits, int V,
                                                      pp_sums_avx2 *sums)
{
    PP_EACH(q, quads)
    {
        pp_quad_avx2(x + 4 * q, w, bits, bits == 4 && q % 2 == 1, V, sums);
        if (bits == 8 || q % 2 == 1)
            w += stride;
    }
    pp_widen_avx2(V, sums->upper, 8, sums->total);
    return w;
}

/* One row by V vectors of 8 columns from column `first` on. */
PP_INLINE PP_TARGET_AVX2 void pp_tile_avx2(const pp_layer *layer, int r, int first, int V)
{
    const int bits = layer->bits, step = bits == 8 ? 4 : 8, panel = first / 64 * 64;
    const int stride = 4 * pp_smaller(PP_PADDED(layer->n) - panel, 64);
    const uint8_t *w = layer->w + panel * pp_column_bytes(layer->segments, layer->run, bits) + 4 * (first - panel);
    pp_sums_avx2 sums;
    PP_EACH(v, V) sums.total[v] = sums.upper[v] = sums.lower[v] = _mm256_setzero_si256();
    for (int s = 0; s < layer->segments; s++) {
        const uint8_t *x = layer->x + r * layer->x_stride + s * layer->segment_stride;
        int k = 0;
        while (k < layer->run) {
            const int end = pp_smaller(layer->run, k + 64);
            PP_ROLL
            for (; k + 16 <= end; k += 16)
                w = pp_quads_avx2(x + k, 4, w, stride, bits, V, &sums);
            PP_ROLL
            for (; k < end; k += step)
                w = pp_quads_avx2(x + k, step / 4, w, stride, bits, V, &sums);
            pp_widen_avx2(V, sums.lower, 1, sums.total);
        }
    }
    pp_finish_avx2(layer, r, first, V, sums.total);
}

PP_INLINE PP_TARGET_AVX2 void pp_qdense_avx2(const pp_layer *layer)
{
    const int padded = PP_PADDED(layer->n), whole = padded / 32 * 32;
    for (int first = 0; first < whole; first += 32)
        for (int r = 0; r < layer->rows; r++)
            pp_tile_avx2(layer, r, first, 4);
    if (whole < padded)
        for (int r = 0; r < layer->rows; r++)
            pp_tile_avx2(layer, r, whole, 2);
}
PP_QDENSE(avx2, PP_TARGET_AVX2)

/* sum += x * w, rounded once. As an instruction for gcc, which otherwise copies every sum in every turn of a loop. */
#if defined(__clang__)
#define PP_FMA_256(sum, x, w) (sum) = _mm256_fmadd_ps((x), (w), (sum))
#else
#define PP_FMA_256(sum, x, w) __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(x), "xm"(w))
#endif

/* R rows from r on, by V vectors of 8 columns from `first` on; V = 2 has 4 sums for each column and the others one, so
   that a row adds up in one order, whatever rows are beside it. R * V <= 12, and R is 1 where V is 2. */
PP_INLINE PP_TARGET_AVX2 void pp_float_tile_avx2(const pp_float_layer *layer, int r, int first, int R, int V)
{
    const int C = V == 2 ? 4 : 1, panel = first / 64 * 64, width = pp_smaller(PP_PADDED(layer->n) - panel, 64);
    const ptrdiff_t x_stride = layer->x_stride;
    const float *w = layer->w + (ptrdiff_t)panel * layer->segments * layer->run + first - panel;
    __m256 sum[12];
    PP_EACH(i, R * V * C) sum[i] = i < R * V ? _mm256_loadu_ps(layer->bias + first + i % V * 8) : _mm256_setzero_ps();
    for (int s = 0; s < layer->segments; s++) {
        const float *x = layer->x + r * x_stride + s * layer->segment_stride;
        int k = 0;
        for (; k + C <= layer->run; k += C)
            PP_EACH(c, C)
            {
                PP_EACH(v, V)
                {
                    const __m256 weights = _mm256_loadu_ps(w + 8 * v);
                    PP_EACH(i, R) PP_FMA_256(sum[(c * R + i) * V + v], _mm256_set1_ps(x[i * x_stride + k + c]), weights);
                }
                w += width;
            }
        for (; k < layer->run; k++, w += width)
            PP_EACH(v, V)
            {
                const __m256 weights = _mm256_loadu_ps(w + 8 * v);
                PP_EACH(i, R) PP_FMA_256(sum[i * V + v], _mm256_set1_ps(x[i * x_stride + k]), weights);
            }
    }
    for (int half = C / 2; half > 0; half /= 2)
        PP_EACH(i, half * R * V) sum[i] = _mm256_add_ps(sum[i], sum[half * R * V + i]);
    PP_EACH(i, R) PP_EACH(v, V)
    {
        const int count = pp_smaller(layer->n - first - 8 * v, 8);
        float *out = layer->out + (r + i) * layer->out_stride + first + 8 * v, few[8];
        _mm256_storeu_ps(count == 8 ? out : few, sum[i * V + v]);
        if (count < 8 && count > 0)
            PP_COPY(out, few, (size_t)count * sizeof few[0]);
    }
}

PP_INLINE PP_TARGET_AVX2 void pp_fdense_rows_avx2(const pp_float_layer *layer)
{
    const int padded = PP_PADDED(layer->n);
    int first = 0;
    if (layer->rows == 1)
        for (; first + 64 <= padded; first += 64)
            pp_float_tile_avx2(layer, 0, first, 1, 8);
    for (; first + 32 <= padded; first += 32) {
        int r = 0;
        for (; r + 3 <= layer->rows; r += 3)
            pp_float_tile_avx2(layer, r, first, 3, 4);
        for (; r < layer->rows; r++)
            pp_float_tile_avx2(layer, r, first, 1, 4);
    }
    if (first < padded)
        for (int r = 0; r < layer->rows; r++)
            pp_float_tile_avx2(layer, r, first, 1, 2);
}
PP_FDENSE(avx2, PP_TARGET_AVX2)

#define pp_quantize_avx2 pp_quantize_plain
#define pp_quantize_channels_avx2 pp_quantize_channels_plain
#endif
