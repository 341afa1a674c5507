/* Kernels for AMX: 16 rows of 64 inputs by 64 inputs of 16 columns to an instruction, whose time is that of the rows.
   They are for several rows, of a batch or of an image; what else there is they take from AVX-512 with VNNI. */
#if defined(PP_HAVE_AMX) && !defined(PP_AMX_H)
#define PP_AMX_H

/* Fewer rows of a batch than that are left to the kernels for AVX-512. */
#define PP_ROWS_AMX 8

/* Tiles 0 to 3 are sums; 4 and 6 inputs, 5 and 7 weights. The packed weights of 16 quads and 16 columns are a tile as
   they lie. Inputs behind the last whole 64 of a run go through 6 and 7, which are then narrower. */
#define PP_TILE_LOAD(tile, from, stride) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"((ptrdiff_t)(stride)) : "memory")
#define PP_TILE_STORE(tile, to, stride) \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(to), "r"((ptrdiff_t)(stride)) : "memory")
#define PP_TILE_DOT(sum, x, w) __asm__ volatile("tdpbusd %%tmm" #w ", %%tmm" #x ", %%tmm" #sum : :)
/* Until then the operating system saves 8 KiB of tiles whenever it takes the processor away. */
#define PP_TILE_RELEASE() __asm__ volatile("tilerelease" : :)

/* Tiles of `rows` rows and `wide` bytes of inputs, the second pair `narrow` bytes wide. To set them takes as long as
   150 instructions, so that it is not done again for every line of an image. */
PP_INLINE PP_TARGET_AVX512VNNI void pp_shape_amx(int rows, int wide, int narrow)
{
    const int64_t sums = 0x0040004000400040, first = 64 * 65536 + wide, second = (int64_t)64 * 65536 + narrow;
    const int64_t inputs = rows, weights = wide / 4, rest = narrow / 4;
    const int64_t height = inputs * 0x0001000101010101 + (weights << 40) + (rest << 56);
    const __m512i wanted = _mm512_set_epi64(0, height, 0, 0, second << 32 | first, sums, 0, 1);
    __m512i shape;
    __asm__ volatile("sttilecfg %0" : "=m"(shape));
    if (_mm512_cmpneq_epi64_mask(shape, wanted) != 0)
        __asm__ volatile("ldtilecfg %0" : : "m"(wanted));
}

/* Add the products of one tile of inputs to V sums; w holds V vectors of columns. */
#define PP_PRODUCTS_AMX(x_tile, w_tile, x, x_stride, w, V)       \
    do {                                                         \
        PP_TILE_LOAD(x_tile, x, x_stride);                       \
        PP_TILE_LOAD(w_tile, w, 64 * (V));                       \
        PP_TILE_DOT(0, x_tile, w_tile);                          \
        if ((V) > 1) {                                           \
            PP_TILE_LOAD(w_tile, (w) + 64, 64 * (V));            \
            PP_TILE_DOT(1, x_tile, w_tile);                      \
        }                                                        \
        if ((V) > 2) {                                           \
            PP_TILE_LOAD(w_tile, (w) + 128, 64 * (V));           \
            PP_TILE_DOT(2, x_tile, w_tile);                      \
        }                                                        \
        if ((V) > 3) {                                           \
            PP_TILE_LOAD(w_tile, (w) + 192, 64 * (V));           \
            PP_TILE_DOT(3, x_tile, w_tile);                      \
        }                                                        \
    } while (0)

/* The sums of `rows` rows from r on, by the V vectors of the panel that begins with column `first`. */
PP_INLINE PP_TARGET_AVX512VNNI void pp_sums_amx(const pp_layer *layer, int r, int first, int V, int32_t *sums)
{
    const int run = layer->run;
    const ptrdiff_t x_stride = layer->x_stride;
    const uint8_t *w = layer->w + first * pp_column_bytes(layer->segments, run, 8);
    const int32_t *bias = layer->bias + first;
    PP_TILE_LOAD(0, bias, 0);
    if (V > 1)
        PP_TILE_LOAD(1, bias + 16, 0);
    if (V > 2)
        PP_TILE_LOAD(2, bias + 32, 0);
    if (V > 3)
        PP_TILE_LOAD(3, bias + 48, 0);
    for (int s = 0; s < layer->segments; s++) {
        const uint8_t *x = layer->x + r * x_stride + s * layer->segment_stride;
        int k = 0;
        for (; k + 64 <= run; k += 64, w += 1024 * V)
            PP_PRODUCTS_AMX(4, 5, x + k, x_stride, w, V);
        if (k < run) {
            PP_PRODUCTS_AMX(6, 7, x + k, x_stride, w, V);
            w += (run - k) * 16 * V;
        }
    }
    PP_TILE_STORE(0, sums, 64 * V);
    if (V > 1)
        PP_TILE_STORE(1, sums + 16, 64 * V);
    if (V > 2)
        PP_TILE_STORE(2, sums + 32, 64 * V);
    if (V > 3)
        PP_TILE_STORE(3, sums + 48, 64 * V);
}

/* Every row by one panel, `rows` at a time; the last ones may be done twice. */
PP_INLINE PP_TARGET_AVX512VNNI void pp_panel_amx(const pp_layer *layer, int rows, int first, int V)
{
    int32_t sums[16 * 64] PP_ALIGN(64);
    for (int next = 0; next < layer->rows; next += rows) {
        const int r = pp_smaller(next, layer->rows - rows);
        pp_sums_amx(layer, r, first, V, sums);
        for (int i = 0; i < rows; i++) {
            __m512i sum[4];
            PP_EACH(v, V) sum[v] = _mm512_load_si512(sums + 16 * (V * i + v));
            pp_finish_avx512vnni(layer, r + i, first, V, sum);
        }
    }
}

/* Not inlined: it works for so long that a call is nothing, and there is one for every layer. */
__attribute__((noinline, unused)) PP_TARGET_AVX512VNNI static void pp_rows_amx(const pp_layer *given)
{
    const pp_layer own = *given, *const layer = &own;
    const int tiles = (layer->rows + 15) / 16, rows = tiles == 0 ? 0 : (layer->rows + tiles - 1) / tiles;
    const int vectors = PP_PADDED(layer->n) / 16, full = vectors / 4 * 64, rest = layer->run % 64;
    if (rows == 0)
        return;
    pp_shape_amx(rows, 64, rest == 0 ? 64 : rest);
    for (int first = 0; first < full; first += 64)
        pp_panel_amx(layer, rows, first, 4);
    if (vectors % 4 == 3)
        pp_panel_amx(layer, rows, full, 3);
    else if (vectors % 4 == 2)
        pp_panel_amx(layer, rows, full, 2);
    else if (vectors % 4 == 1)
        pp_panel_amx(layer, rows, full, 1);
}

PP_INLINE PP_TARGET_AVX512VNNI void pp_qdense_amx(const pp_layer *layer)
{
    if (layer->bits == 4 || (PP_KNOWN(layer->rows) && layer->rows == 1))
        pp_qdense_avx512vnni(layer);
    else
        pp_rows_amx(layer);
}
PP_QDENSE(amx, PP_TARGET_AVX512VNNI)

#define pp_fdense_amx pp_fdense_avx512vnni
#define pp_quantize_amx pp_quantize_avx512vnni
#define pp_quantize_channels_amx pp_quantize_channels_avx512vnni
#endif
