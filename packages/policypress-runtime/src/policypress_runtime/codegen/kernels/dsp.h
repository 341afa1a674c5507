/* Kernels for Cortex-M4, M7 and others with the DSP extension: two products of 16 bits to an instruction (SMLAD). */
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && !defined(PP_DSP_H)
#define PP_DSP_H
#if PP_PANEL != 4 || PP_COLUMNS != 4 || PP_SIGNED
#error "these kernels take weights of the layout 'narrow'"
#endif

typedef uint32_t __attribute__((may_alias)) pp_word;

/* Bytes 0 and 2, or 1 and 3, of a word as two integers of 16 bits: of inputs without a sign, of weights with it. */
PP_INLINE uint32_t pp_even_inputs(uint32_t word)
{
    uint32_t halves;
    __asm__("uxtb16 %0, %1" : "=r"(halves) : "r"(word));
    return halves;
}

PP_INLINE uint32_t pp_odd_inputs(uint32_t word)
{
    uint32_t halves;
    __asm__("uxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word));
    return halves;
}

/* sum + x * w for the four bytes of w, and x as the two above give it. */
PP_INLINE int32_t pp_products_dsp(uint32_t even, uint32_t odd, uint32_t w, int32_t sum)
{
    uint32_t halves;
    __asm__("sxtb16 %1, %4\n\t"
            "smlad %0, %2, %1, %0\n\t"
            "sxtb16 %1, %4, ror #8\n\t"
            "smlad %0, %3, %1, %0"
            : "+r"(sum), "=&r"(halves)
            : "r"(even), "r"(odd), "r"(w));
    return sum;
}

/* Four columns of one quad. Of two 4-bit weights the low half is the even quad's and the high one the odd's (`shift` 4
   and 0); either becomes the high half of a byte over zeros, which is 16 times the weight. */
PP_INLINE void pp_quad_dsp(const uint8_t *x, const pp_word *w, int bits, int shift, int32_t *sum)
{
    uint32_t word;
    PP_COPY(&word, x, sizeof word);
    const uint32_t even = pp_even_inputs(word), odd = pp_odd_inputs(word);
    PP_EACH(j, 4) sum[j] = pp_products_dsp(even, odd, bits == 8 ? w[j] : (w[j] << shift) & 0xF0F0F0F0u, sum[j]);
}

PP_INLINE void pp_qdense_dsp(const pp_layer *layer)
{
    const int bits = layer->bits, step = bits == 8 ? 4 : 8;
    const ptrdiff_t depth = pp_column_bytes(layer->segments, layer->run, bits);
    for (int first = 0; first < layer->n; first += 4)
        for (int r = 0; r < layer->rows; r++) {
            const pp_word *w = (const pp_word *)(const void *)(layer->w + first * depth);
            int32_t sum[4];
            PP_EACH(j, 4) sum[j] = bits == 8 ? layer->bias[first + j] : 0;
            for (int s = 0; s < layer->segments; s++) {
                const uint8_t *x = layer->x + r * layer->x_stride + s * layer->segment_stride;
                for (int k = 0; k < layer->run; k += step, w += 4) {
                    pp_quad_dsp(x + k, w, bits, 4, sum);
                    if (bits == 4)
                        pp_quad_dsp(x + k + 4, w, 4, 0, sum);
                }
            }
            for (int j = 0; j < pp_smaller(layer->n - first, 4); j++) {
                /* A sum of 4-bit weights is a multiple of 16, so that the shift loses nothing. */
                const int32_t total = bits == 8 ? sum[j] : sum[j] / 16 + layer->bias[first + j];
                const float scale = layer->multiplier[first + j];
                const ptrdiff_t at = r * layer->out_stride + first + j;
                if (layer->bytes != NULL)
                    layer->bytes[at] = pp_requantize(total, scale, layer->lo, layer->hi, layer->zero);
                else
                    layer->floats[at] = (float)total * scale;
            }
        }
}
PP_QDENSE(dsp, PP_TARGET_DSP)

#define pp_fdense_dsp pp_fdense_plain
#define pp_quantize_dsp pp_quantize_plain
#define pp_quantize_channels_dsp pp_quantize_channels_plain
#endif
