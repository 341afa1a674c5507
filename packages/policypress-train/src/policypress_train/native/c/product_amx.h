/* Products with AMX: float32 as the sum of two bfloat16 numbers, high and low.

   x = h + l with |l| <= 2^-8 |x|, and what h + l leaves out is at most 2^-16 |x|. The product of the low parts is left
   out too, so that a product of two numbers is right to 2^-14.4 of its size at worst; sums are float32. Numbers below
   1e-38 count as 0. An operand is a row of tiles along the depth, 32 deep each: 16 rows of 16 pairs of the left one, or
   16 pairs by 16 columns of the right one; the tile of high parts stands before that of low parts. */
#ifndef PP_PRODUCT_AMX_H
#define PP_PRODUCT_AMX_H
#include <immintrin.h>

#define PP_TILE 512 /* pairs in the two tiles of 16 lines by 32 values */
#define PP_DEEP 32

static inline pp_int pp_operand_bytes(pp_int lines, pp_int depth)
{
    return (lines + 15) / 16 * ((depth + PP_DEEP - 1) / PP_DEEP) * PP_TILE * (pp_int)sizeof(uint32_t);
}

static inline pp_int pp_left_bytes(pp_int rows, pp_int depth)
{
    return pp_operand_bytes(rows, depth);
}
static inline pp_int pp_right_bytes(pp_int depth, pp_int columns)
{
    return pp_operand_bytes(columns, depth);
}

static inline __m512 pp_some(const float *from, pp_int count)
{
    if (count >= 16)
        return _mm512_loadu_ps(from);
    return count <= 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1u), from);
}

/* 16 pairs, high and low parts. */
typedef struct {
    __m512i high, low;
} pp_pairs;

static inline __m512 pp_lower(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}
static inline __m512 pp_upper(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u)));
}

/* Pairs of neighbours among 32 numbers in a row. */
static inline pp_pairs pp_along(__m512 a, __m512 b)
{
    const __m512i high = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    const __m512i wide_a = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(high));
    const __m512i wide_b = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(high, 1));
    const __m512 low_a = _mm512_sub_ps(a, pp_lower(wide_a)), low_b = _mm512_sub_ps(b, pp_lower(wide_b));
    const pp_pairs pairs = {high, (__m512i)_mm512_cvtne2ps_pbh(low_b, low_a)};
    return pairs;
}

/* Pairs of a number of `a` and the one of `b` in the same place. */
static inline pp_pairs pp_across(__m512 a, __m512 b)
{
    const __m512i weave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i high = _mm512_permutexvar_epi16(weave, (__m512i)_mm512_cvtne2ps_pbh(b, a));
    const __m512 low_a = _mm512_sub_ps(a, pp_lower(high)), low_b = _mm512_sub_ps(b, pp_upper(high));
    const pp_pairs pairs = {high, _mm512_permutexvar_epi16(weave, (__m512i)_mm512_cvtne2ps_pbh(low_b, low_a))};
    return pairs;
}

/* Rows of 16 × 16 numbers become columns. */
static void pp_transpose(__m512i row[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            row[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + 2 + j]);
            row[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + 2 + j]);
        }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(row[i], row[4 + i], 0x88);
        t[4 + i] = _mm512_shuffle_i32x4(row[i], row[4 + i], 0xdd);
        t[8 + i] = _mm512_shuffle_i32x4(row[8 + i], row[12 + i], 0x88);
        t[12 + i] = _mm512_shuffle_i32x4(row[8 + i], row[12 + i], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        row[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
        row[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd);
    }
}

static inline void pp_keep(uint32_t *to, __m512i rows[16], int transposed)
{
    if (transposed)
        pp_transpose(rows);
    for (int i = 0; i < 16; i++)
        _mm512_store_si512(to + 16 * i, rows[i]);
}

/* Two tiles from 16 rows of 32 values; lines are rows, or pairs if `transposed`. Of exact values only that of high
   parts is written: nobody reads the other. */
static void pp_tile_of_rows(const float *from, pp_int stride, pp_int rows, pp_int values, int transposed, int exact,
                            uint32_t *to)
{
    __m512i high[16], low[16];
    for (int i = 0; i < 16; i++) {
        const float *row = from + i * stride;
        const pp_int count = i < rows ? values : 0;
        const __m512 a = pp_some(row, count), b = count > 16 ? pp_some(row + 16, count - 16) : _mm512_setzero_ps();
        if (exact) {
            high[i] = (__m512i)_mm512_cvtne2ps_pbh(b, a);
            continue;
        }
        const pp_pairs pairs = pp_along(a, b);
        high[i] = pairs.high;
        low[i] = pairs.low;
    }
    pp_keep(to, high, transposed);
    if (!exact)
        pp_keep(to + 256, low, transposed);
}

/* Two tiles from 32 rows of 16 values, whose neighbours are pairs; lines are values if `transposed`, else pairs. */
static void pp_tile_of_columns(const float *from, pp_int stride, pp_int rows, pp_int values, int transposed, int exact,
                               uint32_t *to)
{
    __m512i high[16], low[16];
    for (int i = 0; i < 16; i++) {
        const float *row = from + 2 * i * stride;
        const __m512 a = 2 * i < rows ? pp_some(row, values) : _mm512_setzero_ps();
        const __m512 b = 2 * i + 1 < rows ? pp_some(row + stride, values) : _mm512_setzero_ps();
        const pp_pairs pairs = pp_across(a, b);
        high[i] = pairs.high;
        low[i] = pairs.low;
    }
    pp_keep(to, high, transposed);
    if (!exact)
        pp_keep(to + 256, low, transposed);
}

/* An operand whose pairs are neighbours in a row of the matrix (`along`), or in a column of it. */
static void pp_tiles(const float *from, pp_int stride, pp_int lines, pp_int depth, int along, int transposed, int exact,
                     uint32_t *to)
{
    for (pp_int line = 0; line < lines; line += 16)
        for (pp_int k = 0; k < depth; k += PP_DEEP, to += PP_TILE)
            if (along)
                pp_tile_of_rows(from + line * stride + k, stride, lines - line, depth - k, transposed, exact, to);
            else
                pp_tile_of_columns(from + k * stride + line, stride, depth - k, lines - line, transposed, exact, to);
}

/* The left operand from a matrix (rows × depth), or from its transpose; `exact` if it is multiplied as exact. */
static void pp_pack_left(const float *from, pp_int stride, pp_int rows, pp_int depth, int transposed, int exact,
                         void *to)
{
    pp_tiles(from, stride, rows, depth, !transposed, transposed, exact, (uint32_t *)to);
}

/* The right operand from a matrix (depth × columns), or from its transpose; `exact` if it is multiplied as exact. */
static void pp_pack_right(const float *from, pp_int stride, pp_int depth, pp_int columns, int transposed, int exact,
                          void *to)
{
    pp_tiles(from, stride, columns, depth, transposed, transposed, exact, (uint32_t *)to);
}

/* Tiles 0 to 3 are sums, 4 and 5 of the left operand, 6 and 7 of the right one. */
#define PP_TILE_LOAD(tile, from, stride)                                                                               \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"((pp_int)(stride)) : "memory")
#define PP_TILE_STORE(tile, to, stride)                                                                                \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(to), "r"((pp_int)(stride)) : "memory")
#define PP_TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile : :)
#define PP_TILE_DOT(sum, left, right) __asm__ volatile("tdpbf16ps %%tmm" #right ", %%tmm" #left ", %%tmm" #sum : :)

#define PP_DOTS(R, C)                                                                                                  \
    do {                                                                                                               \
        PP_TILE_DOT(0, 4, 6);                                                                                          \
        if ((C) > 1)                                                                                                   \
            PP_TILE_DOT(1, 4, 7);                                                                                      \
        if ((R) > 1)                                                                                                   \
            PP_TILE_DOT(2, 5, 6);                                                                                      \
        if ((R) > 1 && (C) > 1)                                                                                        \
            PP_TILE_DOT(3, 5, 7);                                                                                      \
    } while (0)

/* A block of R by C tiles of sums, R and C being 1 or 2; `line` is the size of a row of tiles, in pairs. The low parts
   of operands that are exact are all 0. */
static inline __attribute__((always_inline)) void pp_block(const uint32_t *left, const uint32_t *right, pp_int line,
                                                           float *to, pp_int stride, const int R, const int C,
                                                           const int exact)
{
    PP_TILE_ZERO(0);
    PP_TILE_ZERO(1);
    PP_TILE_ZERO(2);
    PP_TILE_ZERO(3);
    for (pp_int k = 0; k < line; k += PP_TILE) {
        PP_TILE_LOAD(4, left + k, 64);
        if (R > 1)
            PP_TILE_LOAD(5, left + line + k, 64);
        if (!(exact & PP_EXACT_RIGHT)) {
            PP_TILE_LOAD(6, right + k + 256, 64);
            if (C > 1)
                PP_TILE_LOAD(7, right + line + k + 256, 64);
            PP_DOTS(R, C); /* high · low */
        }
        PP_TILE_LOAD(6, right + k, 64);
        if (C > 1)
            PP_TILE_LOAD(7, right + line + k, 64);
        PP_DOTS(R, C); /* high · high */
        if (exact & PP_EXACT_LEFT)
            continue;
        PP_TILE_LOAD(4, left + k + 256, 64);
        if (R > 1)
            PP_TILE_LOAD(5, left + line + k + 256, 64);
        PP_DOTS(R, C); /* low · high */
    }
    PP_TILE_STORE(0, to, 4 * stride);
    if (C > 1)
        PP_TILE_STORE(1, to + 16, 4 * stride);
    if (R > 1)
        PP_TILE_STORE(2, to + 16 * stride, 4 * stride);
    if (R > 1 && C > 1)
        PP_TILE_STORE(3, to + 16 * stride + 16, 4 * stride);
}

static inline __attribute__((always_inline)) void pp_blocks(const uint32_t *left, const uint32_t *right, pp_int line,
                                                            float *to, pp_int stride, int tall, int wide,
                                                            const int exact)
{
    if (tall && wide)
        pp_block(left, right, line, to, stride, 2, 2, exact);
    else if (tall)
        pp_block(left, right, line, to, stride, 2, 1, exact);
    else if (wide)
        pp_block(left, right, line, to, stride, 1, 2, exact);
    else
        pp_block(left, right, line, to, stride, 1, 1, exact);
}

/* Factor, bias, rectification and mask of a block that was just stored, in whole tiles. */
static inline void pp_epilogue_block(const pp_epilogue *epilogue, float *to, pp_int stride, pp_int r, pp_int high,
                                     pp_int c, pp_int wide)
{
    const __m512 zero = _mm512_setzero_ps(), one = _mm512_set1_ps(1.0f);
    const pp_epilogue own = *epilogue;
    const __m512 low = _mm512_set1_ps(own.low), above = _mm512_set1_ps(own.high);
    if (own.factor == NULL && own.bias == NULL && !own.rectify && own.mask == NULL)
        return;
    for (pp_int j = 0; j < wide; j += 16) {
        const __m512 bias = own.bias == NULL ? zero : _mm512_loadu_ps(own.bias + c + j);
        const __m512 factor = own.factor == NULL ? one : _mm512_loadu_ps(own.factor + c + j);
        for (pp_int i = 0; i < high; i++) {
            float *at = to + i * stride + j;
            __m512 value = _mm512_mul_ps(_mm512_add_ps(_mm512_load_ps(at), bias), factor);
            if (own.rectify)
                value = _mm512_max_ps(value, zero);
            if (own.mask != NULL) {
                const __m512 mask = _mm512_loadu_ps(own.mask + (r + i) * own.mask_stride + c + j);
                const __mmask16 over = _mm512_cmp_ps_mask(mask, low, _CMP_GT_OQ);
                value = _mm512_maskz_mov_ps(_mm512_mask_cmp_ps_mask(over, mask, above, _CMP_LT_OQ), value);
            }
            _mm512_store_ps(at, value);
        }
    }
}

static void pp_multiply(const void *left, const void *right, pp_int rows, pp_int depth, pp_int columns, int exact,
                        float *to, pp_int stride, const pp_epilogue *epilogue)
{
    const uint32_t *a = (const uint32_t *)left, *b = (const uint32_t *)right;
    const pp_int line = (depth + PP_DEEP - 1) / PP_DEEP * PP_TILE;
    for (pp_int c = 0; c < columns; c += 32)
        for (pp_int r = 0; r < rows; r += 32) {
            const uint32_t *own_a = a + r / 16 * line, *own_b = b + c / 16 * line;
            float *block = to + r * stride + c;
            const int tall = r + 16 < rows, wide = c + 16 < columns;
            if (exact == (PP_EXACT_LEFT | PP_EXACT_RIGHT))
                pp_blocks(own_a, own_b, line, block, stride, tall, wide, PP_EXACT_LEFT | PP_EXACT_RIGHT);
            else if (exact == PP_EXACT_RIGHT)
                pp_blocks(own_a, own_b, line, block, stride, tall, wide, PP_EXACT_RIGHT);
            else
                pp_blocks(own_a, own_b, line, block, stride, tall, wide, 0);
            pp_epilogue_block(epilogue, block, stride, r, tall ? 32 : 16, c, wide ? 32 : 16);
        }
}

/* Whether the system lets this process use tiles: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA). */
static int pp_begin_products(void)
{
    static const uint8_t shape[64] __attribute__((aligned(64))) = {
        [0] = 1,   [16] = 64, [18] = 64, [20] = 64, [22] = 64, [24] = 64, [26] = 64, [28] = 64, [30] = 64,
        [48] = 16, [49] = 16, [50] = 16, [51] = 16, [52] = 16, [53] = 16, [54] = 16, [55] = 16};
    static int asked, may;
    if (!asked) {
        long result;
        __asm__ volatile("syscall" : "=a"(result) : "a"(158L), "D"(0x1023L), "S"(18L) : "rcx", "r11", "memory");
        asked = 1;
        may = result == 0;
    }
    if (may)
        __asm__ volatile("ldtilecfg %0" : : "m"(shape));
    return may;
}

static void pp_end_products(void)
{
    __asm__ volatile("tilerelease" : :);
}
#endif
