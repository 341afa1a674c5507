/* Quantization-aware training: what a layer reads, its weight and its bias as integers say them, as
   training/qat/layers.py has it. Inputs are 0 to 2^b − 1 between the running extent of what was read (Li 2023), weights
   signed and symmetric, biases of scale s_x · s_w. */
#ifndef PP_QUANTIZER_H
#define PP_QUANTIZER_H
#include "network.h"

#define PP_SMALLEST 1.17549435e-38f
#define PP_BIAS_LIMIT 2147483648.0f
#define PP_FEATURE_POWER 0.7f

/* The least and the largest of each column. */
static void pp_extents(const float *x, pp_int stride, pp_int rows, pp_int columns, float *least, float *most)
{
    float *restrict low = least, *restrict high = most;
    pp_copy(low, x, columns * (pp_int)sizeof(float));
    pp_copy(high, x, columns * (pp_int)sizeof(float));
    for (pp_int r = 1; r < rows; r++) {
        const float *restrict row = x + r * stride;
        for (pp_int c = 0; c < columns; c++) {
            low[c] = row[c] < low[c] ? row[c] : low[c];
            high[c] = row[c] > high[c] ? row[c] : high[c];
        }
    }
}

/* What features are divided by: the power 0.7 of their largest magnitude, 1 where it is 0. */
static void pp_find_features(const pp_extent *extent, pp_int in, const pp_operand *operand)
{
    for (pp_int k = 0; extent->peak != NULL && k < in; k++) {
        operand->feature[k] = extent->peak[k] == 0.0f ? 1.0f : powf(extent->peak[k], PP_FEATURE_POWER);
        operand->inverse[k] = 1.0f / operand->feature[k];
    }
}

/* Widen the running extent by a batch, and find the features in force. */
static void pp_observe(const pp_quantizer *own, const pp_operand *operand, const pp_work *work, const float *x,
                       pp_int stride, pp_int batch, pp_int in)
{
    const pp_extent *running = &own->running;
    float *least = work->sums, *most = work->more, low, high;
    pp_extents(x, stride, batch, in, least, most);
    if (running->peak != NULL) {
        for (pp_int k = 0; k < in; k++) {
            const float size = -least[k] > most[k] ? -least[k] : most[k];
            running->peak[k] = size > running->peak[k] ? size : running->peak[k];
        }
        pp_find_features(running, in, operand);
    }
    low = high = 0.0f;
    for (pp_int k = 0; k < in; k++) {
        const float inverse = running->peak == NULL ? 1.0f : operand->inverse[k];
        low = least[k] * inverse < low ? least[k] * inverse : low;
        high = most[k] * inverse > high ? most[k] * inverse : high;
    }
    /* What is rectified begins at 0, as the running extent does. */
    if (!own->rectifies && low < *running->least)
        *running->least = low;
    if (high > *running->most)
        *running->most = high;
    if (own->force.peak != running->peak)
        pp_find_features(&own->force, in, operand);
}

/* The integers between the extent in force, and whether there is one. */
static void pp_find_grid(const pp_quantizer *own, pp_reading *reading)
{
    const float least = *own->force.least, most = *own->force.most;
    const double low = least < 0.0f ? (double)least : 0.0, high = most > 0.0f ? (double)most : 0.0;
    const double steps = (double)own->input_steps, wanted = (high - low) / steps;
    const double scale = wanted < (double)PP_SMALLEST ? 1.0 : wanted, zero = fmin(fmax(rint(-low / scale), 0.0), steps);
    reading->rounded = least < most;
    reading->scale = (float)scale;
    reading->low = (float)(-zero * (double)reading->scale);
    reading->high = (float)((steps - zero) * (double)reading->scale);
}

/* The integers of a batch, and what they were before. */
static void pp_round_input(const pp_quantizer *own, const pp_operand *operand, const float *x, pp_int stride,
                           pp_int batch, pp_int in, pp_reading *reading)
{
    const float low = reading->low, high = reading->high, scale = reading->scale, one = 1.0f / scale;
    reading->values = reading->levels;
    reading->stride = pp_stride(in);
    reading->seen = own->force.peak == NULL ? x : reading->scaled;
    reading->seen_stride = own->force.peak == NULL ? stride : pp_stride(in);
    for (pp_int r = 0; r < batch; r++) {
        const float *restrict row = x + r * stride, *restrict inverse = operand->inverse;
        float *restrict to = reading->levels + r * pp_stride(in);
        if (own->force.peak != NULL) {
            float *restrict scaled = reading->scaled + r * pp_stride(in);
            for (pp_int k = 0; k < in; k++)
                scaled[k] = row[k] * inverse[k];
            row = scaled;
        }
        for (pp_int k = 0; k < in; k++) {
            const float most = row[k] < high ? row[k] : high, held = most > low ? most : low;
            to[k] = rintf(pp_quotient(held, scale, one));
        }
    }
}

/* What is read while nothing was seen yet: as it is, or rectified. */
static void pp_pass_on(const pp_quantizer *own, const float *x, pp_int stride, pp_int batch, pp_int in,
                       pp_reading *reading)
{
    reading->values = x;
    reading->stride = stride;
    reading->seen = own->rectifies ? x : NULL;
    reading->seen_stride = stride;
    reading->low = 0.0f;
    reading->high = INFINITY;
    if (!own->rectifies)
        return;
    reading->values = reading->levels;
    reading->stride = pp_stride(in);
    for (pp_int r = 0; r < batch; r++)
        for (pp_int k = 0; k < in; k++)
            reading->levels[r * pp_stride(in) + k] = x[r * stride + k] > 0.0f ? x[r * stride + k] : 0.0f;
}

/* The largest magnitude, of many numbers side by side. */
static float pp_size(const float *row, pp_int count)
{
    float sizes[64] = {0.0f}, most = 0.0f;
    pp_int k = 0;
    for (; k + 64 <= count; k += 64)
        for (pp_int i = 0; i < 64; i++)
            sizes[i] = fabsf(row[k + i]) > sizes[i] ? fabsf(row[k + i]) : sizes[i];
    for (; k < count; k++)
        most = fabsf(row[k]) > most ? fabsf(row[k]) : most;
    for (pp_int half = 32; half > 0; half /= 2)
        for (pp_int i = 0; i < half; i++)
            sizes[i] = sizes[half + i] > sizes[i] ? sizes[half + i] : sizes[i];
    return sizes[0] > most ? sizes[0] : most;
}

/* A weight as integers, in `to`, and the scale of each row. */
static void pp_round_weight(const pp_quantizer *own, const pp_operand *operand, const float *weight, pp_int out,
                            pp_int in, float *to, float *scales)
{
    const float steps = (float)own->weight_steps;
    float whole = 0.0f;
    for (pp_int r = 0; r < out; r++) {
        const float *restrict given = weight + r * in, *restrict feature = operand->feature;
        float *restrict row = to + r * in;
        if (own->force.peak == NULL)
            pp_copy(row, given, in * (pp_int)sizeof(float));
        else
            for (pp_int k = 0; k < in; k++)
                row[k] = given[k] * feature[k];
        scales[r] = pp_size(row, in);
        whole = scales[r] > whole ? scales[r] : whole;
    }
    for (pp_int r = 0; r < out; r++) {
        const float wanted = (own->per_channel ? scales[r] : whole) / steps,
                    scale = wanted < PP_SMALLEST ? 1.0f + wanted : wanted;
        const float one = 1.0f / scale;
        float *restrict row = to + r * in;
        for (pp_int k = 0; k < in; k++)
            row[k] = rintf(pp_quotient(row[k], scale, one));
        scales[r] = scale;
    }
}

/* A bias as an integer of this scale. */
static float pp_round_bias(float bias, float scale)
{
    const float level = rintf(bias / scale), most = level < PP_BIAS_LIMIT ? level : PP_BIAS_LIMIT;
    return most > -PP_BIAS_LIMIT ? most : -PP_BIAS_LIMIT;
}

/* Pack the parameters of a quantized piece: integers for the outputs, whose sums, bias among them, times `factor` are
   the numbers, so that what is 0 is 0 to the bit; and real numbers for the gradients of its inputs from `from` on (less
   than 0: of none). */
static void pp_pack_quantized(const pp_layer *layer, const pp_piece *piece, const pp_reading *reading,
                              const pp_work *work, pp_int from, pp_operand *to)
{
    const pp_int in = (pp_int)layer->inputs, out = piece->outputs;
    const float *weight = layer->weight[piece->first].value, *bias = layer->bias[piece->first].value;
    float *rounded = work->stacked, *scales = to->factor;
    pp_round_weight(piece->quantizer, to, weight, out, in, rounded, scales);
    pp_pack_right(rounded, in, in, out, 1, 1, to->forward);
    if (from >= 0) {
        for (pp_int r = 0; r < out; r++)
            for (pp_int k = 0; k < in; k++)
                rounded[r * in + k] *= scales[r];
        pp_pack_right(rounded + from, in, out, in - from, 0, 0, to->backward);
    }
    for (pp_int r = 0; r < out; r++) {
        scales[r] *= reading->scale;
        to->bias[r] = pp_round_bias(bias[r], scales[r]);
    }
}
#endif
