/* Inference of a few rows while the agent explores. Nothing is packed: each weight is read once for all rows. */
#ifndef PP_ACTING_H
#define PP_ACTING_H
#include "passes.h"

/* From this many rows on, the batched kernels are used. */
#define PP_FEW_ROWS 4

/* Outputs for a few rows of a network without quantized layers: `scratch` holds two rows of activations. */
static void pp_forward_rows(const pp_network *net, const float *input, pp_int rows, float *scratch, pp_int stride,
                            float *output)
{
    const pp_int last = (pp_int)net->count - 1, count = pp_outputs(net, last);
    for (pp_int r = 0; r < rows; r++) {
        const float *x = input + r * pp_inputs(net, 0);
        for (pp_int l = 0; l <= last; l++) {
            const pp_layer *layer = &net->layers[l];
            const pp_int in = pp_inputs(net, l), each = (pp_int)(layer->outputs / layer->parts);
            float *y = l == last ? output + r * count : scratch + l % 2 * stride;
            for (pp_int c = 0; c < layer->outputs; c++) {
                const pp_int p = c / each, i = c % each;
                const float sum = pp_dot(layer->weight[p].value + i * in, x, in) + layer->bias[p].value[i];
                y[c] = layer->activation == PP_RELU && !(sum > 0.0f) ? 0.0f : sum;
            }
            if (layer->activation == PP_TANH)
                pp_tanh_rows(y, 0, 1, pp_outputs(net, l));
            x = y;
        }
    }
}

/* The integer weight of a quantized piece (with its scales and bias), or the float weight, row by row. The integers are
   cached where the batched kernels keep the packed weight. */
static const float *pp_few_weights(const pp_layer *layer, const pp_piece *piece, const pp_layer_input *layer_input,
                                   pp_operand *operand)
{
    const float *weight = layer->weight[piece->first].value, *bias = layer->bias[piece->first].value;
    float *rounded = (float *)operand->forward;
    if (layer_input->rounded && !operand->packed) {
        pp_round_weight(piece->quantizer, operand, weight, piece->outputs, (pp_int)layer->inputs, rounded,
                        operand->factor);
        for (pp_int c = 0; c < piece->outputs; c++) {
            operand->factor[c] *= layer_input->scale;
            operand->bias[c] = pp_round_bias(bias[c], operand->factor[c]);
        }
    }
    operand->packed = 1;
    return layer_input->rounded ? rounded : weight;
}

/* Outputs of a piece that is one tensor, in its columns of `to`. */
static void pp_few_outputs(const pp_layer *layer, const pp_piece *piece, const pp_layer_input *layer_input,
                           pp_operand *operand, pp_int rows, float *to, pp_int stride)
{
    const pp_int in = (pp_int)layer->inputs;
    const float *weight = pp_few_weights(layer, piece, layer_input, operand);
    const float *bias = layer_input->rounded ? operand->bias : layer->bias[piece->first].value;
    for (pp_int c = 0; c < piece->outputs; c++)
        for (pp_int r = 0; r < rows; r++) {
            const float sum = pp_dot(weight + c * in, layer_input->values + r * layer_input->stride, in) + bias[c];
            const float value = layer_input->rounded ? sum * operand->factor[c] : sum;
            to[r * stride + piece->column + c] = layer->activation == PP_RELU && !(value > 0.0f) ? 0.0f : value;
        }
}

/* Forward pass for a few rows, with the active ranges. Tensors that the batched kernels compute together are computed
   one by one here. */
static void pp_forward_few(const pp_network *net, pp_operands *operands, const pp_work *work, pp_int rows,
                           pp_pass *pass)
{
    for (pp_int l = 0; l < net->count; l++) {
        const pp_layer *layer = &net->layers[l];
        for (pp_int i = 0; i < pp_pieces(layer); i++) {
            const pp_piece whole = pp_piece_of(layer, i);
            pp_operand *operand = &operands->piece[l][i];
            pp_prepare_input(net, l, &whole, operand, work, rows, pass, i, 0, !operand->packed);
            for (pp_int p = 0; p < whole.parts; p++) {
                const pp_int each = whole.outputs / whole.parts;
                const pp_piece part = {whole.first + p, 1, whole.column + p * each, each, whole.quantizer};
                pp_few_outputs(layer, &part, &pass->layer_input[l][i], operand, rows, pass->x[l + 1],
                               pass->stride[l + 1]);
            }
        }
        if (layer->activation == PP_TANH)
            pp_tanh_rows(pass->x[l + 1], pass->stride[l + 1], rows, pp_outputs(net, l));
    }
}

/* Outputs for a few rows, with the active ranges. Returns the bytes of scratch memory; does only that if `scratch` is
   NULL. `cached`: parameters and ranges have not changed since the last call with this memory. */
static pp_int pp_act_rows(const pp_network *net, const float *input, pp_int rows, int cached, void *scratch,
                          float *output)
{
    pp_arena arena = {(char *)scratch, pp_up((pp_int)(sizeof(pp_operands) + sizeof(pp_pass)), PP_LINE)};
    pp_operands local, *operands = scratch == NULL ? &local : (pp_operands *)scratch;
    pp_pass own, *pass = scratch == NULL ? &own : (pp_pass *)(operands + 1);
    const pp_int count = (pp_int)net->count;
    pp_needs needs = {0, 0, 0, 0, 0};
    pp_work work;
    int plain = 1;
    pp_count_needs(&needs, net, rows);
    pp_carve_work(&arena, &work, &needs, rows);
    pp_carve_operands(&arena, operands, net);
    pp_carve_pass(&arena, pass, net, rows);
    if (scratch == NULL)
        return arena.taken;
    for (pp_int l = 0; l < count; l++)
        for (pp_int i = 0; i < pp_pieces(&net->layers[l]); i++)
            plain = plain && pp_piece_of(&net->layers[l], i).quantizer == NULL;
    if (plain) {
        pp_forward_rows(net, input, rows, work.gradients[0], pp_stride(needs.width), output);
        return arena.taken;
    }
    if (!cached)
        pp_invalidate(net, 0, -1, operands);
    pp_set_input(pass, input, pp_inputs(net, 0));
    if (rows <= PP_FEW_ROWS)
        pp_forward_few(net, operands, &work, rows, pass);
    else
        pp_forward(net, operands, &work, rows, pass, 0);
    pp_put_columns(pass->x[count], pass->stride[count], rows, pp_outputs(net, count - 1), output,
                   pp_outputs(net, count - 1));
    return arena.taken;
}
#endif
