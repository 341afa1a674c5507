/* Products in float32 with whatever vectors there are, blocked in registers. */
#ifndef PP_PRODUCT_VECTORS_H
#define PP_PRODUCT_VECTORS_H

/* Rows and columns of a block: its sums fill the registers, bar those of one row of the right operand and one value. */
#define PP_BLOCK_ROWS (PP_LANES == 16 ? 12 : 6)
#define PP_BLOCK_COLUMNS (2 * PP_LANES)

static inline pp_int pp_left_bytes(pp_int rows, pp_int depth)
{
    return pp_up(rows, PP_BLOCK_ROWS) * depth * (pp_int)sizeof(float);
}

static inline pp_int pp_right_bytes(pp_int depth, pp_int columns)
{
    return pp_up(columns, PP_BLOCK_COLUMNS) * depth * (pp_int)sizeof(float);
}

/* Panels of `width` lines, each with the values of all lines at one depth together. */
static void pp_panels(const float *from, pp_int line, pp_int step, pp_int lines, pp_int depth, pp_int width, float *to)
{
    for (pp_int first = 0; first < lines; first += width, to += width * depth) {
        const pp_int count = pp_min(width, lines - first);
        const float *panel = from + first * line;
        if (count < width)
            pp_clear(to, width * depth * (pp_int)sizeof(float));
        if (line == 1)
            for (pp_int k = 0; k < depth; k++)
                pp_copy(to + k * width, panel + k * step, count * (pp_int)sizeof(float));
        else
            for (pp_int i = 0; i < count; i++)
                for (pp_int k = 0; k < depth; k++)
                    to[k * width + i] = panel[i * line + k * step];
    }
}

/* The left operand from a matrix (rows × depth), or from its transpose; exact or not, here it is the same. */
static void pp_pack_left(const float *from, pp_int stride, pp_int rows, pp_int depth, int transposed, int exact,
                         void *to)
{
    (void)exact;
    pp_panels(from, transposed ? 1 : stride, transposed ? stride : 1, rows, depth, PP_BLOCK_ROWS, (float *)to);
}

/* The right operand from a matrix (depth × columns), or from its transpose; exact or not, here it is the same. */
static void pp_pack_right(const float *from, pp_int stride, pp_int depth, pp_int columns, int transposed, int exact,
                          void *to)
{
    (void)exact;
    pp_panels(from, transposed ? stride : 1, transposed ? 1 : stride, columns, depth, PP_BLOCK_COLUMNS, (float *)to);
}

static void pp_block(const float *left, const float *right, pp_int depth, float *to)
{
    pp_vector sums[PP_BLOCK_ROWS][2];
    for (int i = 0; i < PP_BLOCK_ROWS; i++)
        sums[i][0] = sums[i][1] = (pp_vector){0.0f};
    for (pp_int k = 0; k < depth; k++, left += PP_BLOCK_ROWS, right += PP_BLOCK_COLUMNS) {
        const pp_vector first = pp_load(right), second = pp_load(right + PP_LANES);
#pragma GCC unroll 12
        for (int i = 0; i < PP_BLOCK_ROWS; i++) {
            sums[i][0] += left[i] * first;
            sums[i][1] += left[i] * second;
        }
    }
    for (int i = 0; i < PP_BLOCK_ROWS; i++) {
        pp_store(to + i * PP_BLOCK_COLUMNS, sums[i][0]);
        pp_store(to + i * PP_BLOCK_COLUMNS + PP_LANES, sums[i][1]);
    }
}

/* One row of results, from column `first` on. */
static inline void pp_epilogue_row(const pp_epilogue *epilogue, float *row, pp_int r, pp_int first, pp_int count)
{
    if (epilogue->bias != NULL)
        for (pp_int c = 0; c < count; c++)
            row[c] += epilogue->bias[first + c];
    if (epilogue->factor != NULL)
        for (pp_int c = 0; c < count; c++)
            row[c] *= epilogue->factor[first + c];
    if (epilogue->rectify)
        for (pp_int c = 0; c < count; c++)
            row[c] = row[c] > 0.0f ? row[c] : 0.0f;
    if (epilogue->mask != NULL) {
        const float *mask = epilogue->mask + r * epilogue->mask_stride + first;
        for (pp_int c = 0; c < count; c++)
            row[c] = mask[c] > epilogue->low && mask[c] < epilogue->high ? row[c] : 0.0f;
    }
}

/* What is exact in bfloat16 is no faster here. */
static void pp_multiply(const void *left, const void *right, pp_int rows, pp_int depth, pp_int columns, int exact,
                        float *to, pp_int stride, const pp_epilogue *epilogue)
{
    (void)exact;
    const float *a = (const float *)left, *b = (const float *)right;
    float block[PP_BLOCK_ROWS * PP_BLOCK_COLUMNS];
    for (pp_int c = 0; c < columns; c += PP_BLOCK_COLUMNS)
        for (pp_int r = 0; r < rows; r += PP_BLOCK_ROWS) {
            const pp_int wide = pp_min(PP_BLOCK_COLUMNS, columns - c), high = pp_min(PP_BLOCK_ROWS, rows - r);
            pp_block(a + r * depth, b + c * depth, depth, block);
            for (pp_int i = 0; i < high; i++) {
                float *row = to + (r + i) * stride + c;
                pp_copy(row, block + i * PP_BLOCK_COLUMNS, wide * (pp_int)sizeof(float));
                pp_epilogue_row(epilogue, row, r + i, c, wide);
            }
        }
}

static int pp_begin_products(void)
{
    return 1;
}
static void pp_end_products(void) {}
#endif
