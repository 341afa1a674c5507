/* Quantization-aware training: fake quantization of a layer's input, weight and bias, as in training/qat/layers.py.
   Inputs are unsigned, 0 to 2^b − 1 over the observed range (Li 2023); weights are signed and symmetric; biases have
   scale s_x · s_w. */
#ifndef PP_QUANTIZER_H
#define PP_QUANTIZER_H
#include "network.h"

#define PP_FLOAT_MIN 1.17549435e-38f
#define PP_BIAS_LIMIT 2147483648.0f
#define PP_FEATURE_POWER 0.7f

/* Minimum and maximum of each column. */
static void pp_column_ranges(const float *x, pp_int stride, pp_int rows, pp_int columns, float *min, float *max)
{
    float *restrict low = min, *restrict high = max;
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

/* Feature scales: the largest magnitude to the power 0.7, or 1 if it is 0. */
static void pp_feature_scales(const pp_observer_range *observer_range, pp_int in, const pp_operand *operand)
{
    for (pp_int k = 0; observer_range->observed_max != NULL && k < in; k++) {
        operand->feature_scale[k] =
            observer_range->observed_max[k] == 0.0f ? 1.0f : powf(observer_range->observed_max[k], PP_FEATURE_POWER);
        operand->inverse[k] = 1.0f / operand->feature_scale[k];
    }
}

/* Widen the running range by a batch, and update the active feature scales. */
static void pp_observe(const pp_quantizer *quantizer, const pp_operand *operand, const pp_work *work, const float *x,
                       pp_int stride, pp_int batch, pp_int in)
{
    const pp_observer_range *running = &quantizer->running;
    float *min = work->sums, *max = work->more, low, high;
    pp_column_ranges(x, stride, batch, in, min, max);
    if (running->observed_max != NULL) {
        for (pp_int k = 0; k < in; k++) {
            const float size = -min[k] > max[k] ? -min[k] : max[k];
            running->observed_max[k] = size > running->observed_max[k] ? size : running->observed_max[k];
        }
        pp_feature_scales(running, in, operand);
    }
    low = high = 0.0f;
    for (pp_int k = 0; k < in; k++) {
        const float inverse = running->observed_max == NULL ? 1.0f : operand->inverse[k];
        low = min[k] * inverse < low ? min[k] * inverse : low;
        high = max[k] * inverse > high ? max[k] * inverse : high;
    }
    /* A rectified input has minimum 0, as the running range has. */
    if (!quantizer->rectifies && low < *running->min)
        *running->min = low;
    if (high > *running->max)
        *running->max = high;
    if (quantizer->active.observed_max != running->observed_max)
        pp_feature_scales(&quantizer->active, in, operand);
}

/* Scale and clipping limits of the input, from the active range; `rounded` is 0 if nothing was observed yet. */
static void pp_quantization_grid(const pp_quantizer *quantizer, pp_layer_input *layer_input)
{
    const float min = *quantizer->active.min, max = *quantizer->active.max;
    const double low = min < 0.0f ? (double)min : 0.0, high = max > 0.0f ? (double)max : 0.0;
    const double steps = (double)quantizer->input_qmax, wanted = (high - low) / steps;
    const double scale = wanted < (double)PP_FLOAT_MIN ? 1.0 : wanted,
                 zero = fmin(fmax(rint(-low / scale), 0.0), steps);
    layer_input->rounded = min < max;
    layer_input->scale = (float)scale;
    layer_input->low = (float)(-zero * (double)layer_input->scale);
    layer_input->high = (float)((steps - zero) * (double)layer_input->scale);
}

/* Round a batch to integers, and keep what it was for the straight-through gradient. */
static void pp_round_input(const pp_quantizer *quantizer, const pp_operand *operand, const float *x, pp_int stride,
                           pp_int batch, pp_int in, pp_layer_input *layer_input)
{
    const float low = layer_input->low, high = layer_input->high, scale = layer_input->scale, one = 1.0f / scale;
    layer_input->values = layer_input->levels;
    layer_input->stride = pp_stride(in);
    layer_input->ste_input = quantizer->active.observed_max == NULL ? x : layer_input->scaled;
    layer_input->ste_stride = quantizer->active.observed_max == NULL ? stride : pp_stride(in);
    for (pp_int r = 0; r < batch; r++) {
        const float *restrict row = x + r * stride, *restrict inverse = operand->inverse;
        float *restrict to = layer_input->levels + r * pp_stride(in);
        if (quantizer->active.observed_max != NULL) {
            float *restrict scaled = layer_input->scaled + r * pp_stride(in);
            for (pp_int k = 0; k < in; k++)
                scaled[k] = row[k] * inverse[k];
            row = scaled;
        }
        for (pp_int k = 0; k < in; k++) {
            const float capped = row[k] < high ? row[k] : high, clamped = capped > low ? capped : low;
            to[k] = rintf(pp_quotient(clamped, scale, one));
        }
    }
}

/* The input before anything was observed: unchanged, or rectified. */
static void pp_pass_through(const pp_quantizer *quantizer, const float *x, pp_int stride, pp_int batch, pp_int in,
                            pp_layer_input *layer_input)
{
    layer_input->values = x;
    layer_input->stride = stride;
    layer_input->ste_input = quantizer->rectifies ? x : NULL;
    layer_input->ste_stride = stride;
    layer_input->low = 0.0f;
    layer_input->high = INFINITY;
    if (!quantizer->rectifies)
        return;
    layer_input->values = layer_input->levels;
    layer_input->stride = pp_stride(in);
    for (pp_int r = 0; r < batch; r++)
        for (pp_int k = 0; k < in; k++)
            layer_input->levels[r * pp_stride(in) + k] = x[r * stride + k] > 0.0f ? x[r * stride + k] : 0.0f;
}

/* The largest magnitude of a row, vectorised. */
static float pp_size(const float *row, pp_int count)
{
    float sizes[64] = {0.0f}, max = 0.0f;
    pp_int k = 0;
    for (; k + 64 <= count; k += 64)
        for (pp_int i = 0; i < 64; i++)
            sizes[i] = fabsf(row[k + i]) > sizes[i] ? fabsf(row[k + i]) : sizes[i];
    for (; k < count; k++)
        max = fabsf(row[k]) > max ? fabsf(row[k]) : max;
    for (pp_int half = 32; half > 0; half /= 2)
        for (pp_int i = 0; i < half; i++)
            sizes[i] = sizes[half + i] > sizes[i] ? sizes[half + i] : sizes[i];
    return sizes[0] > max ? sizes[0] : max;
}

/* Round a weight to integers, in `to`, and compute the scale of each row. */
static void pp_round_weight(const pp_quantizer *quantizer, const pp_operand *operand, const float *weight, pp_int out,
                            pp_int in, float *to, float *scales)
{
    const float steps = (float)quantizer->weight_qmax;
    float whole = 0.0f;
    for (pp_int r = 0; r < out; r++) {
        const float *restrict given = weight + r * in, *restrict feature_scale = operand->feature_scale;
        float *restrict row = to + r * in;
        if (quantizer->active.observed_max == NULL)
            pp_copy(row, given, in * (pp_int)sizeof(float));
        else
            for (pp_int k = 0; k < in; k++)
                row[k] = given[k] * feature_scale[k];
        scales[r] = pp_size(row, in);
        whole = scales[r] > whole ? scales[r] : whole;
    }
    for (pp_int r = 0; r < out; r++) {
        const float wanted = (quantizer->per_channel ? scales[r] : whole) / steps,
                    scale = wanted < PP_FLOAT_MIN ? 1.0f + wanted : wanted;
        const float one = 1.0f / scale;
        float *restrict row = to + r * in;
        for (pp_int k = 0; k < in; k++)
            row[k] = rintf(pp_quotient(row[k], scale, one));
        scales[r] = scale;
    }
}

/* Round a bias to an integer of this scale. */
static float pp_round_bias(float bias, float scale)
{
    const float level = rintf(bias / scale), capped = level < PP_BIAS_LIMIT ? level : PP_BIAS_LIMIT;
    return capped > -PP_BIAS_LIMIT ? capped : -PP_BIAS_LIMIT;
}

/* Pack the parameters of a quantized piece: integers for the forward pass (integer sums with bias, times `factor`, are
   the outputs, so that zeros are exact); and dequantized floats for the gradients of the inputs from `from` on
   (negative: none). */
static void pp_pack_quantized(const pp_layer *layer, const pp_piece *piece, const pp_layer_input *layer_input,
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
        scales[r] *= layer_input->scale;
        to->bias[r] = pp_round_bias(bias[r], scales[r]);
    }
}
#endif
