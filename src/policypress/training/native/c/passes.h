/* Passes through a network: forward, backward, and what each layer learns. */
#ifndef PP_PASSES_H
#define PP_PASSES_H
#include "quantizer.h"
#include "squash.h"

#define PP_NORM_EPSILON 1e-6

/* A batch for a network to read. */
static void pp_read(pp_pass *pass, const float *input, pp_int stride)
{
    pass->input = input;
    pass->input_stride = stride;
}

/* From now on a network's parameters are others, and packed when they are needed: with gradients or without, those of
   the inputs from `back_from` on among them (less than 0: of none). */
static void pp_renew(const pp_network *net, int backward, pp_int back_from, pp_operands *operands)
{
    operands->backward = backward;
    operands->back_from = back_from;
    for (pp_int l = 0; l < net->count; l++)
        for (pp_int i = 0; i < PP_PARTS; i++)
            operands->piece[l][i].packed = 0;
}

/* The rows of a piece's weight in one matrix, as they lie or copied together. */
static const float *pp_whole_weight(const pp_layer *layer, const pp_piece *piece, const pp_work *work)
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
    const float *weight = pp_whole_weight(layer, piece, work);
    pp_pack_right(weight, in, in, out, 1, 0, to->forward);
    for (pp_int p = 0; p < piece->parts; p++)
        pp_copy(to->bias + p * each, layer->bias[piece->first + p].value, each * (pp_int)sizeof(float));
    if (from >= 0)
        pp_pack_right(weight + from, in, out, in - from, 0, 0, to->backward);
}

/* What a piece reads, as it is multiplied. `observe` moves running extents; features are found where those in force may
   be others, or `anew`. */
static void pp_prepare_reading(const pp_network *net, pp_int l, const pp_piece *piece, const pp_operand *operand,
                               const pp_work *work, pp_int batch, pp_pass *pass, pp_int i, int observe, int anew)
{
    const pp_int in = pp_inputs(net, l);
    pp_reading *reading = &pass->reading[l][i];
    pp_int stride;
    const float *x = pp_input(pass, l, &stride);
    reading->rounded = 0;
    if (piece->quantizer == NULL) {
        reading->values = reading->seen = x;
        reading->stride = reading->seen_stride = stride;
        reading->low = 0.0f;
        reading->high = INFINITY;
        if (l == 0 || net->layers[l - 1].behind != PP_RELU)
            reading->seen = NULL;
        return;
    }
    if (observe)
        pp_observe(piece->quantizer, operand, work, x, stride, batch, in);
    else if (anew)
        pp_find_features(&piece->quantizer->force, in, operand);
    pp_find_grid(piece->quantizer, reading);
    if (reading->rounded)
        pp_round_input(piece->quantizer, operand, x, stride, batch, in, reading);
    else
        pp_pass_on(piece->quantizer, x, stride, batch, in, reading);
    /* Behind a ReLU, what is 0 was rectified. */
    if (l > 0 && net->layers[l - 1].behind == PP_RELU && reading->seen != NULL)
        reading->low = reading->low > 0.0f ? reading->low : 0.0f;
}

/* What a piece reads, and its operands, which are packed where they are not. */
static void pp_prepare_piece(const pp_network *net, pp_int l, const pp_piece *piece, pp_operands *operands,
                             const pp_work *work, pp_int batch, pp_pass *pass, pp_int i, int observe)
{
    const pp_layer *layer = &net->layers[l];
    const pp_int from = !operands->backward ? -1 : l > 0 ? 0 : operands->back_from;
    pp_operand *operand = &operands->piece[l][i];
    const pp_reading *reading = &pass->reading[l][i];
    pp_prepare_reading(net, l, piece, operand, work, batch, pass, i, observe, !operand->packed);
    if (operand->packed && !observe)
        return;
    if (reading->rounded)
        pp_pack_quantized(layer, piece, reading, work, from, operand);
    else
        pp_pack_plain(layer, piece, work, from, operand);
    operand->packed = 1;
}

static void pp_put_columns(const float *from, pp_int stride, pp_int rows, pp_int columns, float *to, pp_int to_stride)
{
    for (pp_int r = 0; r < rows; r++)
        pp_copy(to + r * to_stride, from + r * stride, columns * (pp_int)sizeof(float));
}

/* Outputs for the batch that `pass` reads. */
static void pp_forward(const pp_network *net, pp_operands *operands, const pp_work *work, pp_int batch, pp_pass *pass,
                       int observe)
{
    for (pp_int l = 0; l < net->count; l++) {
        const pp_int in = pp_inputs(net, l), pieces = pp_pieces(&net->layers[l]);
        for (pp_int i = 0; i < pieces; i++) {
            const pp_piece piece = pp_piece_of(&net->layers[l], i);
            pp_prepare_piece(net, l, &piece, operands, work, batch, pass, i, observe);
            const pp_operand *operand = &operands->piece[l][i];
            const pp_reading *reading = &pass->reading[l][i];
            const pp_finish finish = {.bias = operand->bias,
                                      .factor = reading->rounded ? operand->factor : NULL,
                                      .rectify = net->layers[l].behind == PP_RELU};
            float *to = pieces > 1 ? work->other : pass->x[l + 1];
            const pp_int stride = pieces > 1 ? work->slope_stride : pass->stride[l + 1];
            pp_pack_left(reading->values, reading->stride, batch, in, 0, reading->rounded, work->left);
            pp_multiply(work->left, operand->forward, batch, in, piece.outputs,
                        reading->rounded ? PP_EXACT_LEFT | PP_EXACT_RIGHT : 0, to, stride, &finish);
            if (pieces > 1)
                pp_put_columns(to, stride, batch, piece.outputs, pass->x[l + 1] + piece.column, pass->stride[l + 1]);
        }
        if (net->layers[l].behind == PP_TANH)
            pp_squash(pass->x[l + 1], pass->stride[l + 1], batch, pp_outputs(net, l));
    }
}

/* Sums of the columns of a matrix in whole tiles. */
static void pp_sum_columns(const float *from, pp_int stride, pp_int rows, pp_int columns, float *to)
{
    for (pp_int c = 0; c < columns; c += PP_LANES) {
        pp_vector sums[4] = {{0.0f}, {0.0f}, {0.0f}, {0.0f}};
        for (pp_int r = 0; r < rows; r++)
            sums[r % 4] += pp_load(from + r * stride + c);
        pp_store(to + c, sums[0] + sums[1] + (sums[2] + sums[3]));
    }
}

/* What becomes of gradients: Adam steps at once; or they are kept, one tensor's after the other's, until their joint norm
   is known (`kept` is not NULL). */
typedef struct {
    const pp_adam *adam;
    float *kept;
} pp_learner;

static void pp_use(pp_learner *learner, const pp_tensor *tensor, pp_int rows, pp_int columns, const float *gradient,
                   pp_int stride)
{
    if (learner->kept != NULL) {
        for (pp_int r = 0; r < rows; r++)
            pp_copy(learner->kept + r * columns, gradient + r * stride, columns * (pp_int)sizeof(float));
        learner->kept += rows * columns;
        return;
    }
    const pp_step step = pp_next_step(learner->adam, tensor);
    for (pp_int r = 0; r < rows; r++)
        pp_move(&step, tensor, r * columns, gradient + r * stride, columns);
}

/* A step of a network by gradients that were kept; gives the place behind them. */
static const float *pp_step_kept(const pp_network *net, const pp_adam *adam, const float *kept)
{
    for (pp_int l = (pp_int)net->count - 1; l >= 0; l--) {
        const pp_layer *layer = &net->layers[l];
        const pp_int each = pp_outputs(net, l) / (pp_int)layer->parts, size = each * pp_inputs(net, l);
        for (pp_int p = 0; p < layer->parts; p++) {
            const pp_step step = pp_next_step(adam, &layer->weight[p]), bias_step = pp_next_step(adam, &layer->bias[p]);
            pp_move(&step, &layer->weight[p], 0, kept, size);
            pp_move(&bias_step, &layer->bias[p], 0, kept + size, each);
            kept += size + each;
        }
    }
    return kept;
}

/* Scale gradients so that their joint norm is at most `longest`. */
static void pp_clip(float *kept, pp_int count, double longest)
{
    double squares = 0.0;
    for (pp_int i = 0; i < count; i += 1024) {
        const float *part = kept + i;
        squares += (double)pp_dot(part, part, pp_least(1024, count - i));
    }
    const float factor = (float)(longest / (sqrt(squares) + PP_NORM_EPSILON));
    for (pp_int i = 0; factor < 1.0f && i < count; i++)
        kept[i] *= factor;
}

/* Learn the parameters of a piece from the gradients of its outputs, (batch × outputs), and what it read. */
static void pp_learn_piece(const pp_layer *layer, const pp_piece *piece, const pp_operand *operand,
                           const pp_reading *reading, pp_learner *learner, const pp_work *work, pp_int batch,
                           const float *slopes)
{
    const pp_int in = (pp_int)layer->inputs, out = piece->outputs, each = out / piece->parts, row = pp_stride(in);
    pp_finish finish = {NULL, NULL, 0, NULL, 0, 0.0f, 0.0f};
    if (reading->rounded) {
        const int scaled = piece->quantizer->force.peak != NULL;
        for (pp_int k = 0; k < in; k++)
            work->sums[k] = scaled ? reading->scale * operand->feature[k] : reading->scale;
        finish.factor = work->sums;
    }
    pp_pack_left(slopes, work->slope_stride, out, batch, 1, 0, work->left);
    pp_pack_right(reading->values, reading->stride, batch, in, 0, reading->rounded, work->right);
    pp_multiply(work->left, work->right, out, batch, in, reading->rounded ? PP_EXACT_RIGHT : 0, work->gradient, row,
                &finish);
    pp_sum_columns(slopes, work->slope_stride, batch, out, work->sums);
    for (pp_int p = 0; p < piece->parts; p++) {
        pp_use(learner, &layer->weight[piece->first + p], each, in, work->gradient + p * each * row, row);
        pp_use(learner, &layer->bias[piece->first + p], 1, each, work->sums + p * each, each);
    }
}

/* Gradients of the inputs of a layer from `from` on, from those of a piece's outputs; added to what `to` holds, if
 * `add`. */
static void pp_blame(const pp_piece *piece, const pp_operand *operand, const pp_reading *reading, const pp_work *work,
                     pp_int batch, pp_int in, pp_int from, const float *slopes, int add, float *to)
{
    const int scaled = reading->rounded && piece->quantizer->force.peak != NULL;
    const pp_finish finish = {.factor = scaled ? operand->inverse + from : NULL,
                              .mask = reading->seen == NULL ? NULL : reading->seen + from,
                              .mask_stride = reading->seen_stride,
                              .low = reading->low,
                              .high = reading->high};
    float *found = add ? work->other : to;
    pp_pack_left(slopes, work->slope_stride, batch, piece->outputs, 0, 0, work->left);
    pp_multiply(work->left, operand->backward, batch, piece->outputs, in - from, 0, found, work->slope_stride, &finish);
    for (pp_int r = 0; add && r < batch; r++)
        for (pp_int k = 0; k < in - from; k++)
            to[r * work->slope_stride + k] += found[r * work->slope_stride + k];
}

/* Gradients from those of the outputs, which are in work->slopes[0] and are overwritten. The `learner` gets the
   parameters', or they are not wanted (NULL). Gives the gradient of the inputs from `back_from` on, or NULL where it is not wanted. */
static const float *pp_backward(const pp_network *net, const pp_operands *operands, const pp_work *work, pp_int batch,
                                const pp_pass *pass, pp_learner *learner)
{
    float *slopes = work->slopes[0], *next = work->slopes[1];
    for (pp_int l = (pp_int)net->count - 1; l >= 0; l--) {
        const pp_layer *layer = &net->layers[l];
        const pp_int from = l > 0 ? 0 : operands->back_from;
        for (pp_int i = 0; i < pp_pieces(layer); i++) {
            const pp_piece piece = pp_piece_of(layer, i);
            const pp_operand *operand = &operands->piece[l][i];
            const pp_reading *reading = &pass->reading[l][i];
            if (learner != NULL)
                pp_learn_piece(layer, &piece, operand, reading, learner, work, batch, slopes + piece.column);
            if (from >= 0)
                pp_blame(&piece, operand, reading, work, batch, pp_inputs(net, l), from, slopes + piece.column, i > 0,
                         next);
        }
        if (from < 0)
            return NULL;
        if (l > 0 && net->layers[l - 1].behind == PP_TANH)
            pp_unsquash(pass->x[l], pass->stride[l], next, work->slope_stride, batch, pp_inputs(net, l));
        float *other = slopes;
        slopes = next;
        next = other;
    }
    return slopes;
}
#endif
