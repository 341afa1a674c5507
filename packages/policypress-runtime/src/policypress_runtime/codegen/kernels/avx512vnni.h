/* Kernels for AVX-512 with VNNI: 64 products to an instruction. */
#if defined(PP_X86_VECTORS) && defined(__GNUC__) && !defined(PP_AVX512VNNI_H)
#define PP_AVX512VNNI_H
#if PP_PANEL != 64 || PP_COLUMNS != 16 || PP_SIGNED
#error "these kernels take weights of the layout 'quads'"
#endif

/* A tile is R rows by V vectors of 16 columns, with C sums for each that take turns, so that none waits for the last.
   All three are constants wherever this is inlined; R * V * C <= 24 leaves registers for inputs and weights. */
#define PP_SUMS_AVX512 24

/* sum += x * w, four to a lane. As an instruction for gcc, which otherwise copies every sum in every turn of a loop. */
#if defined(__clang__)
#define PP_DPBUSD_512(sum, x, w) (sum) = _mm512_dpbusd_epi32((sum), (x), (w))
#else
#define PP_DPBUSD_512(sum, x, w) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "vm"(w))
#endif

PP_INLINE PP_TARGET_AVX512VNNI __m512i pp_spread_avx512(const uint8_t *x)
{
    int32_t quad;
    PP_COPY(&quad, x, sizeof quad);
    return _mm512_set1_epi32(quad);
}

/* Weights of one quad and 16 columns as bytes. Of two 4-bit weights the low half is the even quad's and the high one the
   odd's; either becomes the high half of a byte over zeros, which is 16 times the weight. */
PP_INLINE PP_TARGET_AVX512VNNI __m512i pp_weights_avx512(const uint8_t *w, int bits, int odd)
{
    const __m512i weights = _mm512_loadu_si512(w);
    if (bits == 8)
        return weights;
    return _mm512_and_si512(odd ? weights : _mm512_slli_epi16(weights, 4), _mm512_set1_epi8((char)0xF0));
}

/* Add the products of one quad to the sums of R rows by V vectors. */
PP_INLINE PP_TARGET_AVX512VNNI void pp_quad_avx512vnni(const uint8_t *x, ptrdiff_t x_stride, const uint8_t *w, int bits,
                                                       int odd, int R, int V, __m512i *sum)
{
    if (R <= V) {
        __m512i row[PP_SUMS_AVX512];
        PP_EACH(r, R) row[r] = pp_spread_avx512(x + r * x_stride);
        PP_EACH(v, V)
        {
            const __m512i weights = pp_weights_avx512(w + 64 * v, bits, odd);
            PP_EACH(r, R) PP_DPBUSD_512(sum[r * V + v], row[r], weights);
        }
    } else {
        __m512i weights[PP_SUMS_AVX512];
        PP_EACH(v, V) weights[v] = pp_weights_avx512(w + 64 * v, bits, odd);
        PP_EACH(r, R)
        {
            const __m512i row = pp_spread_avx512(x + r * x_stride);
            PP_EACH(v, V) PP_DPBUSD_512(sum[r * V + v], row, weights[v]);
        }
    }
}

/* Scale the sums of `count` columns from `first` of row r on, and write them. */
PP_INLINE PP_TARGET_AVX512VNNI void pp_finish_avx512vnni(const pp_layer *layer, int r, int first, int V, const __m512i *sum)
{
    const int count = pp_smaller(layer->n - first, 16 * V);
    __m512 value[PP_SUMS_AVX512];
    __m512i integer[PP_SUMS_AVX512];
    PP_EACH(v, V)
    {
        const __m512i total = layer->bits == 8 ? sum[v]
                                               : _mm512_add_epi32(_mm512_srai_epi32(sum[v], 4),
                                                                  _mm512_loadu_si512(layer->bias + first + 16 * v));
        value[v] = _mm512_mul_ps(_mm512_cvtepi32_ps(total), _mm512_loadu_ps(layer->multiplier + first + 16 * v));
    }
    if (layer->bytes == NULL) {
        float *out = layer->floats + r * layer->out_stride + first;
        PP_EACH(v, V)
        {
            if (count >= 16 * v + 16)
                _mm512_storeu_ps(out + 16 * v, value[v]);
            else
                _mm512_mask_storeu_ps(out + 16 * v, (__mmask16)((1u << (count - 16 * v)) - 1u), value[v]);
        }
        return;
    }
    const int packs = V % 4 == 0 && count == 16 * V, saturates = packs && layer->lo + (float)layer->zero <= 0.0f;
    uint8_t *out = layer->bytes + r * layer->out_stride + first;
    PP_EACH(v, V)
    {
        const __m512 above = saturates ? value[v] : _mm512_max_ps(value[v], _mm512_set1_ps(layer->lo));
        const __m512 clamped = _mm512_min_ps(above, _mm512_set1_ps(layer->hi));
        integer[v] = _mm512_add_epi32(_mm512_cvt_roundps_epi32(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                                      _mm512_set1_epi32(layer->zero));
    }
    if (packs) {
        const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        PP_EACH(p, V / 4)
        {
            const __m512i *four = integer + 4 * p;
            const __m512i packed =
                _mm512_packus_epi16(_mm512_packus_epi32(four[0], four[1]), _mm512_packus_epi32(four[2], four[3]));
            _mm512_storeu_si512(out + 64 * p, _mm512_permutexvar_epi32(order, packed));
        }
        return;
    }
    PP_EACH(v, V)
    {
        const __m128i packed = _mm512_cvtepi32_epi8(integer[v]);
        if (count >= 16 * v + 16)
            _mm_storeu_si128((__m128i *)(void *)(out + 16 * v), packed);
        else
            _mm_mask_storeu_epi8(out + 16 * v, (__mmask16)((1u << (count - 16 * v)) - 1u), packed);
    }
}

/* C quads, or C pairs of quads where weights have 4 bits, one for each sum. */
PP_INLINE PP_TARGET_AVX512VNNI const uint8_t *pp_turn_avx512vnni(const uint8_t *x, ptrdiff_t x_stride, const uint8_t *w,
                                                                 int bits, int R, int V, int C, __m512i *sum)
{
    PP_EACH(c, C)
    {
        const uint8_t *quad = x + c * (bits == 8 ? 4 : 8);
        pp_quad_avx512vnni(quad, x_stride, w + c * 64 * V, bits, 0, R, V, sum + c * R * V);
        if (bits == 4)
            pp_quad_avx512vnni(quad + 4, x_stride, w + c * 64 * V, 4, 1, R, V, sum + c * R * V);
    }
    return w + C * 64 * V;
}

/* R rows from r on, by the V vectors of the panel that begins with column `first`. */
PP_INLINE PP_TARGET_AVX512VNNI void pp_tile_avx512vnni(const pp_layer *layer, int r, int first, int R, int V, int C)
{
    const int bits = layer->bits, step = bits == 8 ? 4 : 8, run = layer->run;
    const ptrdiff_t x_stride = layer->x_stride;
    const uint8_t *w = layer->w + first * pp_column_bytes(layer->segments, run, bits);
    __m512i sum[PP_SUMS_AVX512];
    PP_EACH(i, R * V * C)
    sum[i] = i < R * V && bits == 8 ? _mm512_loadu_si512(layer->bias + first + i % V * 16) : _mm512_setzero_si512();
    for (int s = 0; s < layer->segments; s++) {
        const uint8_t *x = layer->x + r * x_stride + s * layer->segment_stride;
        int k = 0;
        if (R > 1) {
            /* Unrolled, the inputs that neighbouring pixels share would be kept, and push sums out of registers. */
            PP_ROLL
            for (; k + C * step <= run; k += C * step)
                w = pp_turn_avx512vnni(x + k, x_stride, w, bits, R, V, C, sum);
        }
        for (; k + C * step <= run; k += C * step)
            w = pp_turn_avx512vnni(x + k, x_stride, w, bits, R, V, C, sum);
        for (; k < run; k += step)
            w = pp_turn_avx512vnni(x + k, x_stride, w, bits, R, V, 1, sum);
    }
    for (int half = C / 2; half > 0; half /= 2)
        PP_EACH(i, half * R * V) sum[i] = _mm512_add_epi32(sum[i], sum[half * R * V + i]);
    PP_EACH(i, R) pp_finish_avx512vnni(layer, r + i, first, V, sum + i * V);
}

/* Every row by the V vectors of one panel, so that its weights stay in the first cache. */
PP_INLINE PP_TARGET_AVX512VNNI void pp_panel_avx512vnni(const pp_layer *layer, int first, int V)
{
    const int rows = layer->rows, C = V == 1 ? 2 : 1;
    int r = 0;
    for (; r + 6 <= rows; r += 6)
        pp_tile_avx512vnni(layer, r, first, 6, V, C);
    /* The rest as one tile where the compiler knows how many rows there are, or else in pairs. */
    if (PP_KNOWN(rows) && rows % 6 == 5)
        pp_tile_avx512vnni(layer, r, first, 5, V, C);
    else if (PP_KNOWN(rows) && rows % 6 == 4)
        pp_tile_avx512vnni(layer, r, first, 4, V, C);
    else if (PP_KNOWN(rows) && rows % 6 == 3)
        pp_tile_avx512vnni(layer, r, first, 3, V, C);
    else {
        for (; r + 2 <= rows; r += 2)
            pp_tile_avx512vnni(layer, r, first, 2, V, 2 * C);
        if (r < rows)
            pp_tile_avx512vnni(layer, r, first, 1, V, V == 1 ? 8 : V == 4 ? 2 : 4);
    }
}

PP_INLINE PP_TARGET_AVX512VNNI void pp_qdense_avx512vnni(const pp_layer *layer)
{
    const int vectors = PP_PADDED(layer->n) / 16, full = vectors / 4 * 64;
    for (int first = 0; first < full; first += 64)
        pp_panel_avx512vnni(layer, first, 4);
    if (vectors % 4 == 3)
        pp_panel_avx512vnni(layer, full, 3);
    else if (vectors % 4 == 2)
        pp_panel_avx512vnni(layer, full, 2);
    else if (vectors % 4 == 1)
        pp_panel_avx512vnni(layer, full, 1);
}
PP_QDENSE(avx512vnni, PP_TARGET_AVX512VNNI)

/* sum += x * w, rounded once. */
#if defined(__clang__)
#define PP_FMA_512(sum, x, w) (sum) = _mm512_fmadd_ps((x), (w), (sum))
#else
#define PP_FMA_512(sum, x, w) __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(x), "vm"(w))
#endif

/* R rows from r on, by V vectors of 16 columns from `first` on, C sums for each. C depends on V alone, so that a row
   adds up in one order, whatever rows are beside it. */
PP_INLINE PP_TARGET_AVX512VNNI void pp_float_tile_avx512vnni(const pp_float_layer *layer, int r, int first, int R, int V)
{
    const int C = V == 1 ? 4 : V == 2 ? 2 : 1, count = layer->n - first;
    const ptrdiff_t x_stride = layer->x_stride;
    const float *w = layer->w + (ptrdiff_t)first * layer->segments * layer->run;
    __m512 sum[PP_SUMS_AVX512];
    PP_EACH(i, R * V * C) sum[i] = i < R * V ? _mm512_loadu_ps(layer->bias + first + i % V * 16) : _mm512_setzero_ps();
    for (int s = 0; s < layer->segments; s++) {
        const float *x = layer->x + r * x_stride + s * layer->segment_stride;
        int k = 0;
        for (; k + C <= layer->run; k += C, w += 16 * V * C)
            PP_EACH(c, C) PP_EACH(v, V)
            {
                const __m512 weights = _mm512_loadu_ps(w + 16 * (c * V + v));
                PP_EACH(i, R) PP_FMA_512(sum[(c * R + i) * V + v], _mm512_set1_ps(x[i * x_stride + k + c]), weights);
            }
        for (; k < layer->run; k++, w += 16 * V)
            PP_EACH(v, V)
            {
                const __m512 weights = _mm512_loadu_ps(w + 16 * v);
                PP_EACH(i, R) PP_FMA_512(sum[i * V + v], _mm512_set1_ps(x[i * x_stride + k]), weights);
            }
    }
    for (int half = C / 2; half > 0; half /= 2)
        PP_EACH(i, half * R * V) sum[i] = _mm512_add_ps(sum[i], sum[half * R * V + i]);
    PP_EACH(i, R) PP_EACH(v, V)
    {
        float *out = layer->out + (r + i) * layer->out_stride + first + 16 * v;
        if (count >= 16 * v + 16)
            _mm512_storeu_ps(out, sum[i * V + v]);
        else
            _mm512_mask_storeu_ps(out, (__mmask16)((1u << (count - 16 * v)) - 1u), sum[i * V + v]);
    }
}

PP_INLINE PP_TARGET_AVX512VNNI void pp_float_panel_avx512vnni(const pp_float_layer *layer, int first, int V)
{
    int r = 0;
    for (; r + 6 <= layer->rows; r += 6)
        pp_float_tile_avx512vnni(layer, r, first, 6, V);
    for (; r + 2 <= layer->rows; r += 2)
        pp_float_tile_avx512vnni(layer, r, first, 2, V);
    if (r < layer->rows)
        pp_float_tile_avx512vnni(layer, r, first, 1, V);
}

PP_INLINE PP_TARGET_AVX512VNNI void pp_fdense_rows_avx512vnni(const pp_float_layer *layer)
{
    const int vectors = PP_PADDED(layer->n) / 16, full = vectors / 4 * 64;
    for (int first = 0; first < full; first += 64)
        pp_float_panel_avx512vnni(layer, first, 4);
    if (vectors % 4 == 3)
        pp_float_panel_avx512vnni(layer, full, 3);
    else if (vectors % 4 == 2)
        pp_float_panel_avx512vnni(layer, full, 2);
    else if (vectors % 4 == 1)
        pp_float_panel_avx512vnni(layer, full, 1);
}
PP_FDENSE(avx512vnni, PP_TARGET_AVX512VNNI)

/* As pp_quantize_plain: x times 1 / scale is less than 2^-13 from x / scale wherever that is not clipped, and so rounds
   alike, unless it is as near as that to the middle between two integers. There, and there alone, is it divided. */
PP_INLINE PP_TARGET_AVX512VNNI int pp_quantize_avx512vnni(const float *x, int n, float scale, float lo, float hi,
                                                          int32_t zero, uint8_t *out)
{
    const __m512 inverse = _mm512_set1_ps(1.0f / scale);
    const __m512 above = _mm512_set1_ps(hi + 0.5f), below = _mm512_set1_ps(lo - 0.5f);
    const __m512 rounding = _mm512_set1_ps(PP_ROUNDING);
    unsigned clipped = 0;
    int i = 0;
    /* A few divisions wait for nothing. Beyond these scales, the reciprocal or a product could be subnormal or infinite. */
    if (n < 64 || !(scale > 1e-30f && scale < 1e30f))
        return pp_quantize_plain(x, n, scale, lo, hi, zero, out);
    for (; i + 16 <= n; i += 16) {
        const __m512 given = _mm512_loadu_ps(x + i);
        __m512 value = _mm512_mul_ps(given, inverse);
        const __m512 rest = _mm512_sub_ps(value, _mm512_sub_ps(_mm512_add_ps(value, rounding), rounding));
        if (_mm512_cmp_ps_mask(_mm512_abs_ps(rest), _mm512_set1_ps(0.5f - 0.0001220703125f), _CMP_GE_OQ) != 0)
            value = _mm512_div_ps(given, _mm512_set1_ps(scale));
        clipped |= (unsigned)_mm512_cmp_ps_mask(value, above, _CMP_GT_OQ);
        clipped |= (unsigned)_mm512_cmp_ps_mask(value, below, _CMP_LT_OQ);
        const __m512 clamped = _mm512_min_ps(_mm512_max_ps(value, _mm512_set1_ps(lo)), _mm512_set1_ps(hi));
        const __m512i integer = _mm512_cvt_roundps_epi32(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        const __m128i packed = _mm512_cvtepi32_epi8(_mm512_add_epi32(integer, _mm512_set1_epi32(zero)));
        _mm_storeu_si128((__m128i *)(void *)(out + i), packed);
    }
    if (i < n)
        clipped |= (unsigned)pp_quantize_plain(x + i, n - i, scale, lo, hi, zero, out + i);
    return clipped != 0;
}
#define pp_quantize_channels_avx512vnni pp_quantize_channels_plain
#endif
