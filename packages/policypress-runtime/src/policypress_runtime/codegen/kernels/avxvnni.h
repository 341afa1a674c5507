/* Kernels for AVX-VNNI: 32 products to an instruction. They stand on those for AVX2. */
#if defined(PP_X86_VECTORS) && defined(__GNUC__) && !defined(PP_AVXVNNI_H)
#define PP_AVXVNNI_H

/* sum += x * w, four to a lane. As an instruction for gcc, which otherwise copies every sum in every turn of a loop. */
#if defined(__clang__)
#define PP_DPBUSD_256(sum, x, w) (sum) = _mm256_dpbusd_avx_epi32((sum), (x), (w))
#else
#define PP_DPBUSD_256(sum, x, w) __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(x), "xm"(w))
#endif
/* Sums of a tile: R rows by V vectors of 8 columns, C sums for each that take turns so that none waits for the last.
   All three are constants wherever this is inlined. */
#define PP_SUMS_AVXVNNI 12

PP_INLINE PP_TARGET_AVXVNNI void pp_quad_avxvnni(const uint8_t *x, ptrdiff_t x_stride, const uint8_t *w, int bits, int odd,
                                                 int R, int V, __m256i *sum)
{
    __m256i row[PP_SUMS_AVXVNNI];
    PP_EACH(r, R) row[r] = pp_spread_avx2(x + r * x_stride);
    PP_EACH(v, V)
    {
        const __m256i weights = pp_weights_avx2(w + 32 * v, bits, odd);
        PP_EACH(r, R) PP_DPBUSD_256(sum[r * V + v], row[r], weights);
    }
}

/* R rows from r on by V vectors of columns from `first` on. */
PP_INLINE PP_TARGET_AVXVNNI void pp_tile_avxvnni(const pp_layer *layer, int r, int first, int R, int V, int C)
{
    const int bits = layer->bits, step = bits == 8 ? 4 : 8, panel = first / 64 * 64;
    const int width = pp_smaller(PP_PADDED(layer->n) - panel, 64);
    const ptrdiff_t x_stride = layer->x_stride;
    const uint8_t *w = layer->w + panel * pp_column_bytes(layer->segments, layer->run, bits) + 4 * (first - panel);
    __m256i sum[PP_SUMS_AVXVNNI];
    PP_EACH(i, R * V * C) sum[i] = _mm256_setzero_si256();
    for (int s = 0; s < layer->segments; s++) {
        const uint8_t *x = layer->x + r * x_stride + s * layer->segment_stride;
        int k = 0;
        PP_ROLL
        for (; k + C * step <= layer->run; k += C * step)
            PP_EACH(c, C)
            {
                pp_quad_avxvnni(x + k + c * step, x_stride, w, bits, 0, R, V, sum + c * R * V);
                if (bits == 4)
                    pp_quad_avxvnni(x + k + c * step + 4, x_stride, w, 4, 1, R, V, sum + c * R * V);
                w += 4 * width;
            }
        for (; k < layer->run; k += step, w += 4 * width) {
            pp_quad_avxvnni(x + k, x_stride, w, bits, 0, R, V, sum);
            if (bits == 4)
                pp_quad_avxvnni(x + k + 4, x_stride, w, 4, 1, R, V, sum);
        }
    }
    for (int half = C / 2; half > 0; half /= 2)
        PP_EACH(i, half * R * V) sum[i] = _mm256_add_epi32(sum[i], sum[half * R * V + i]);
    PP_EACH(i, R) pp_finish_avx2(layer, r + i, first, V, sum + i * V);
}

/* Every row by one stripe of columns, three rows at a time where there are more: 32 columns, or `few` of 16. */
PP_INLINE PP_TARGET_AVXVNNI void pp_stripe_avxvnni(const pp_layer *layer, int first, int few)
{
    int r = 0;
    for (; r + 3 <= layer->rows; r += 3)
        pp_tile_avxvnni(layer, r, first, 3, few ? 2 : 4, few ? 2 : 1);
    for (; r < layer->rows; r++)
        pp_tile_avxvnni(layer, r, first, 1, few ? 2 : 4, few ? 4 : 2);
}

PP_INLINE PP_TARGET_AVXVNNI void pp_qdense_avxvnni(const pp_layer *layer)
{
    const int padded = PP_PADDED(layer->n);
    int first = 0;
    if (layer->rows == 1)
        for (; first + 64 <= padded; first += 64)
            pp_tile_avxvnni(layer, 0, first, 1, 8, 1);
    for (; first + 32 <= padded; first += 32)
        pp_stripe_avxvnni(layer, first, 0);
    if (first < padded)
        pp_stripe_avxvnni(layer, first, 1);
}
PP_QDENSE(avxvnni, PP_TARGET_AVXVNNI)

#define pp_fdense_avxvnni pp_fdense_avx2
#define pp_quantize_avxvnni pp_quantize_plain
#define pp_quantize_channels_avxvnni pp_quantize_channels_plain
#endif
