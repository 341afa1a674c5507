/* Forward and backward passes, and the parameters' gradients. */
#ifndef PP_PASSES_H
#define PP_PASSES_H
#include "quantizer.h"
#include "tanh.h"

#define PP_NORM_EPSILON 1e-6

/* Set the input batch of a pass. */
static void pp_set_input(pp_pass *pass, const float *input, pp_int stride)
{
    pass->input = input;
    pass->input_stride = stride;
}

/* Invalidate a network's packed parameters; they are packed again on next use. `backward`: also for gradients, with
   those of the inputs from `back_from` on (negative: no input gradients). */
static void pp_invalidate(const pp_network *net, int backward, pp_int back_from, pp_operands *operands)
{
    operands->backward = backward;
    operands->back_from = back_from;
    for (pp_int l = 0; l < net->count; l++)
        for (pp_int i = 0; i < PP_PARTS; i++)
            operands->piece[l][i].packed = 0;
}

/* A piece's weight as one matrix, copied together if it has several parts. */
static const float *pp_stacked_weight(const pp_layer *layer, const pp_piece *piece, const pp_work *work)
{
    if (piece->parts == 1)
        return layer->weight[piece->first].value;
    const pp_int size = piece->outputs / piece->parts * (pp_int)layer->inputs;
    for (pp_int p = 0; p < piece->parts; p++)
        pp_copy(work->stacked + p * size, layer->weight[p].value, size * (pp_int)sizeof(float));
    return work->stacked;
}

static void pp_pack_plain(const pp_layer *layer, const pp_piece *piece, const pp_work *work, pp_int from,
                          pp_operand *to)
{
    const pp_int in = (pp_int)layer->inputs, out = piece->outputs, each = out / piece->parts;
    const float *weight = pp_stacked_weight(layer, piece, work);
    pp_pack_right(weight, in, in, out, 1, 0, to->forward);
    for (pp_int p = 0; p < piece->parts; p++)
        pp_copy(to->bias + p * each, layer->bias[piece->first + p].value, each * (pp_int)sizeof(float));
    if (from >= 0)
        pp_pack_right(weight + from, in, out, in - from, 0, 0, to->backward);
}

/* Prepare the input of a piece. `observe` updates the running range. Feature scales are recomputed if the active range
   may have changed, or if `anew`. */
static void pp_prepare_input(const pp_network *net, pp_int l, const pp_piece *piece, const pp_operand *operand,
                             const pp_work *work, pp_int batch, pp_pass *pass, pp_int i, int observe, int anew)
{
    const pp_int in = pp_inputs(net, l);
    pp_layer_input *layer_input = &pass->layer_input[l][i];
    pp_int stride;
    const float *x = pp_input(pass, l, &stride);
    layer_input->rounded = 0;
    if (piece->quantizer == NULL) {
        layer_input->values = layer_input->ste_input = x;
        layer_input->stride = layer_input->ste_stride = stride;
        layer_input->low = 0.0f;
        layer_input->high = INFINITY;
        if (l == 0 || net->layers[l - 1].activation != PP_RELU)
            layer_input->ste_input = NULL;
        return;
    }
    if (observe)
        pp_observe(piece->quantizer, operand, work, x, stride, batch, in);
    else if (anew)
        pp_feature_scales(&piece->quantizer->active, in, operand);
    pp_quantization_grid(piece->quantizer, layer_input);
    if (layer_input->rounded)
        pp_round_input(piece->quantizer, operand, x, stride, batch, in, layer_input);
    else
        pp_pass_through(piece->quantizer, x, stride, batch, in, layer_input);
    /* After a ReLU, a 0 was rectified: no gradient. */
    if (l > 0 && net->layers[l - 1].activation == PP_RELU && layer_input->ste_input != NULL)
        layer_input->low = layer_input->low > 0.0f ? layer_input->low : 0.0f;
}

/* Prepare a piece's input, and pack its operands if they are not packed. */
static void pp_prepare_piece(const pp_network *net, pp_int l, const pp_piece *piece, pp_operands *operands,
                             const pp_work *work, pp_int batch, pp_pass *pass, pp_int i, int observe)
{
    const pp_layer *layer = &net->layers[l];
    const pp_int from = !operands->backward ? -1 : l > 0 ? 0 : operands->back_from;
    pp_operand *operand = &operands->piece[l][i];
    const pp_layer_input *layer_input = &pass->layer_input[l][i];
    pp_prepare_input(net, l, piece, operand, work, batch, pass, i, observe, !operand->packed);
    if (operand->packed && !observe)
        return;
    if (layer_input->rounded)
        pp_pack_quantized(layer, piece, layer_input, work, from, operand);
    else
        pp_pack_plain(layer, piece, work, from, operand);
    operand->packed = 1;
}

static void pp_put_columns(const float *from, pp_int stride, pp_int rows, pp_int columns, float *to, pp_int to_stride)
{
    for (pp_int r = 0; r < rows; r++)
        pp_copy(to + r * to_stride, from + r * stride, columns * (pp_int)sizeof(float));
}

/* Forward pass of the batch in `pass`. */
static void pp_forward(const pp_network *net, pp_operands *operands, const pp_work *work, pp_int batch, pp_pass *pass,
                       int observe)
{
    for (pp_int l = 0; l < net->count; l++) {
        const pp_int in = pp_inputs(net, l), pieces = pp_pieces(&net->layers[l]);
        for (pp_int i = 0; i < pieces; i++) {
            const pp_piece piece = pp_piece_of(&net->layers[l], i);
            pp_prepare_piece(net, l, &piece, operands, work, batch, pass, i, observe);
            const pp_operand *operand = &operands->piece[l][i];
            const pp_layer_input *layer_input = &pass->layer_input[l][i];
            const pp_epilogue epilogue = {.bias = operand->bias,
                                          .factor = layer_input->rounded ? operand->factor : NULL,
                                          .rectify = net->layers[l].activation == PP_RELU};
            float *to = pieces > 1 ? work->other : pass->x[l + 1];
            const pp_int stride = pieces > 1 ? work->gradient_stride : pass->stride[l + 1];
            pp_pack_left(layer_input->values, layer_input->stride, batch, in, 0, layer_input->rounded, work->left);
            pp_multiply(work->left, operand->forward, batch, in, piece.outputs,
                        layer_input->rounded ? PP_EXACT_LEFT | PP_EXACT_RIGHT : 0, to, stride, &epilogue);
            if (pieces > 1)
                pp_put_columns(to, stride, batch, piece.outputs, pass->x[l + 1] + piece.column, pass->stride[l + 1]);
        }
        if (net->layers[l].activation == PP_TANH)
            pp_tanh_rows(pass->x[l + 1], pass->stride[l + 1], batch, pp_outputs(net, l));
    }
}

/* Column sums of a matrix padded to whole tiles. */
static void pp_sum_columns(const float *from, pp_int stride, pp_int rows, pp_int columns, float *to)
{
    for (pp_int c = 0; c < columns; c += PP_LANES) {
        pp_vector sums[4] = {{0.0f}, {0.0f}, {0.0f}, {0.0f}};
        for (pp_int r = 0; r < rows; r++)
            sums[r % 4] += pp_load(from + r * stride + c);
        pp_store(to + c, sums[0] + sums[1] + (sums[2] + sums[3]));
    }
}

/* How gradients are used: by an Adam step at once; or they are collected, tensor by tensor, until their global norm is
   known (`flat_gradients` is not NULL). */
typedef struct {
    const pp_adam *adam;
    float *flat_gradients;
} pp_learner;

static void pp_apply_gradient(pp_learner *learner, const pp_tensor *tensor, pp_int rows, pp_int columns,
                              const float *gradient, pp_int stride)
{
    if (learner->flat_gradients != NULL) {
        for (pp_int r = 0; r < rows; r++)
            pp_copy(learner->flat_gradients + r * columns, gradient + r * stride, columns * (pp_int)sizeof(float));
        learner->flat_gradients += rows * columns;
        return;
    }
    const pp_step_factors step = pp_step_factors_of(learner->adam, tensor);
    for (pp_int r = 0; r < rows; r++)
        pp_adam_step(&step, tensor, r * columns, gradient + r * stride, columns);
}

/* Adam step of a network from collected gradients; returns the position after them. */
static const float *pp_adam_step_flat(const pp_network *net, const pp_adam *adam, const float *flat_gradients)
{
    for (pp_int l = (pp_int)net->count - 1; l >= 0; l--) {
        const pp_layer *layer = &net->layers[l];
        const pp_int each = pp_outputs(net, l) / (pp_int)layer->parts, size = each * pp_inputs(net, l);
        for (pp_int p = 0; p < layer->parts; p++) {
            const pp_step_factors step = pp_step_factors_of(adam, &layer->weight[p]),
                                  bias_step = pp_step_factors_of(adam, &layer->bias[p]);
            pp_adam_step(&step, &layer->weight[p], 0, flat_gradients, size);
            pp_adam_step(&bias_step, &layer->bias[p], 0, flat_gradients + size, each);
            flat_gradients += size + each;
        }
    }
    return flat_gradients;
}

/* Scale gradients so that their global norm is at most `max_grad_norm`. */
static void pp_clip_grad_norm(float *flat_gradients, pp_int count, double max_grad_norm)
{
    double squares = 0.0;
    for (pp_int i = 0; i < count; i += 1024) {
        const float *part = flat_gradients + i;
        squares += (double)pp_dot(part, part, pp_min(1024, count - i));
    }
    const float factor = (float)(max_grad_norm / (sqrt(squares) + PP_NORM_EPSILON));
    for (pp_int i = 0; factor < 1.0f && i < count; i++)
        flat_gradients[i] *= factor;
}

/* Gradients of a piece's parameters from those of its outputs, (batch × outputs), and its input; the learner uses them.
 */
static void pp_parameter_gradients(const pp_layer *layer, const pp_piece *piece, const pp_operand *operand,
                                   const pp_layer_input *layer_input, pp_learner *learner, const pp_work *work,
                                   pp_int batch, const float *gradients)
{
    const pp_int in = (pp_int)layer->inputs, out = piece->outputs, each = out / piece->parts, row = pp_stride(in);
    pp_epilogue epilogue = {NULL, NULL, 0, NULL, 0, 0.0f, 0.0f};
    if (layer_input->rounded) {
        const int scaled = piece->quantizer->active.observed_max != NULL;
        for (pp_int k = 0; k < in; k++)
            work->sums[k] = scaled ? layer_input->scale * operand->feature_scale[k] : layer_input->scale;
        epilogue.factor = work->sums;
    }
    pp_pack_left(gradients, work->gradient_stride, out, batch, 1, 0, work->left);
    pp_pack_right(layer_input->values, layer_input->stride, batch, in, 0, layer_input->rounded, work->right);
    pp_multiply(work->left, work->right, out, batch, in, layer_input->rounded ? PP_EXACT_RIGHT : 0,
                work->weight_gradient, row, &epilogue);
    pp_sum_columns(gradients, work->gradient_stride, batch, out, work->sums);
    for (pp_int p = 0; p < piece->parts; p++) {
        pp_apply_gradient(learner, &layer->weight[piece->first + p], each, in, work->weight_gradient + p * each * row,
                          row);
        pp_apply_gradient(learner, &layer->bias[piece->first + p], 1, each, work->sums + p * each, each);
    }
}

/* Gradients of a layer's inputs from index `from` on, from those of a piece's outputs; added to `to` if `add`. */
static void pp_input_gradients(const pp_piece *piece, const pp_operand *operand, const pp_layer_input *layer_input,
                               const pp_work *work, pp_int batch, pp_int in, pp_int from, const float *gradients,
                               int add, float *to)
{
    const int scaled = layer_input->rounded && piece->quantizer->active.observed_max != NULL;
    const pp_epilogue epilogue = {.factor = scaled ? operand->inverse + from : NULL,
                                  .mask = layer_input->ste_input == NULL ? NULL : layer_input->ste_input + from,
                                  .mask_stride = layer_input->ste_stride,
                                  .low = layer_input->low,
                                  .high = layer_input->high};
    float *found = add ? work->other : to;
    pp_pack_left(gradients, work->gradient_stride, batch, piece->outputs, 0, 0, work->left);
    pp_multiply(work->left, operand->backward, batch, piece->outputs, in - from, 0, found, work->gradient_stride,
                &epilogue);
    for (pp_int r = 0; add && r < batch; r++)
        for (pp_int k = 0; k < in - from; k++)
            to[r * work->gradient_stride + k] += found[r * work->gradient_stride + k];
}

/* Backward pass from the gradients of the outputs in work->gradients[0], which are overwritten. The `learner` gets the
   parameters' gradients (NULL: none are computed). Returns the gradients of the inputs from `back_from` on, or NULL. */
static const float *pp_backward(const pp_network *net, const pp_operands *operands, const pp_work *work, pp_int batch,
                                const pp_pass *pass, pp_learner *learner)
{
    float *gradients = work->gradients[0], *next = work->gradients[1];
    for (pp_int l = (pp_int)net->count - 1; l >= 0; l--) {
        const pp_layer *layer = &net->layers[l];
        const pp_int from = l > 0 ? 0 : operands->back_from;
        for (pp_int i = 0; i < pp_pieces(layer); i++) {
            const pp_piece piece = pp_piece_of(layer, i);
            const pp_operand *operand = &operands->piece[l][i];
            const pp_layer_input *layer_input = &pass->layer_input[l][i];
            if (learner != NULL)
                pp_parameter_gradients(layer, &piece, operand, layer_input, learner, work, batch,
                                       gradients + piece.column);
            if (from >= 0)
                pp_input_gradients(&piece, operand, layer_input, work, batch, pp_inputs(net, l), from,
                                   gradients + piece.column, i > 0, next);
        }
        if (from < 0)
            return NULL;
        if (l > 0 && net->layers[l - 1].activation == PP_TANH)
            pp_tanh_backward(pass->x[l], pass->stride[l], next, work->gradient_stride, batch, pp_inputs(net, l));
        float *other = gradients;
        gradients = next;
        next = other;
    }
    return gradients;
}
#endif
