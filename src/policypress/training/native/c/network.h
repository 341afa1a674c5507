/* Networks of linear layers with ReLUs between them: forward, backward, and what each layer learns. */
#ifndef PP_NETWORK_H
#define PP_NETWORK_H
#include "adam.h"
#include "product.h"

#define PP_LAYERS 16
#define PP_PARTS 2

/* A linear layer; its outputs may be those of several tensors that read the same (mean and deviation of a policy). */
typedef struct {
    int64_t inputs, outputs, parts;
    pp_tensor weight[PP_PARTS], bias[PP_PARTS]; /* of outputs / parts each, rows of weight `inputs` long */
} pp_layer;

typedef struct {
    const pp_layer *layers;
    int64_t count;
} pp_network;

/* Packed parameters of one network. `back_from` is the first input of the network whose gradient is wanted. */
typedef struct {
    void *forward[PP_LAYERS], *backward[PP_LAYERS];
    float *bias[PP_LAYERS];
    ptrdiff_t back_from;
} pp_operands;

/* What the layers read and give, for a batch: x[0] is the network's input, x[count] its output. */
typedef struct {
    const float *input;
    ptrdiff_t input_stride;
    float *x[PP_LAYERS + 1];
    ptrdiff_t stride[PP_LAYERS + 1];
} pp_pass;

/* Memory for one product at a time. */
typedef struct {
    void *left, *right;
    float *stacked, *gradient, *sums;
    float *slopes[2];
    ptrdiff_t slope_stride;
} pp_work;

/* The largest of what the networks of an update need. */
typedef struct {
    ptrdiff_t left, right, stacked, gradient, width;
} pp_needs;

static inline ptrdiff_t pp_inputs(const pp_network *net, ptrdiff_t layer) { return (ptrdiff_t)net->layers[layer].inputs; }
static inline ptrdiff_t pp_outputs(const pp_network *net, ptrdiff_t layer) { return (ptrdiff_t)net->layers[layer].outputs; }

static void pp_count_needs(pp_needs *needs, const pp_network *net, ptrdiff_t batch)
{
    for (ptrdiff_t l = 0; l < net->count; l++) {
        const ptrdiff_t in = pp_inputs(net, l), out = pp_outputs(net, l);
        const ptrdiff_t rows = pp_most(pp_left_bytes(batch, in), pp_left_bytes(batch, out));
        needs->left = pp_most(needs->left, pp_most(rows, pp_left_bytes(out, batch)));
        needs->right = pp_most(needs->right, pp_right_bytes(batch, in));
        needs->gradient = pp_most(needs->gradient, pp_up(out, 16) * pp_stride(in));
        needs->stacked = pp_most(needs->stacked, out * in);
        needs->width = pp_most(needs->width, pp_most(in, out));
    }
}

static void pp_carve_work(pp_arena *arena, pp_work *work, const pp_needs *needs, ptrdiff_t batch)
{
    work->left = pp_carve(arena, needs->left);
    work->right = pp_carve(arena, needs->right);
    work->stacked = pp_floats(arena, needs->stacked);
    work->gradient = pp_floats(arena, needs->gradient);
    work->sums = pp_floats(arena, pp_stride(needs->width));
    work->slope_stride = pp_stride(needs->width);
    work->slopes[0] = pp_matrix(arena, batch, needs->width);
    work->slopes[1] = pp_matrix(arena, batch, needs->width);
}

static void pp_carve_operands(pp_arena *arena, pp_operands *operands, const pp_network *net)
{
    for (ptrdiff_t l = 0; l < net->count; l++) {
        const ptrdiff_t in = pp_inputs(net, l), out = pp_outputs(net, l);
        operands->forward[l] = pp_carve(arena, pp_right_bytes(in, out));
        operands->backward[l] = pp_carve(arena, pp_right_bytes(out, in));
        operands->bias[l] = pp_floats(arena, pp_stride(out));
    }
}

static void pp_carve_pass(pp_arena *arena, pp_pass *pass, const pp_network *net, ptrdiff_t batch)
{
    for (ptrdiff_t l = 1; l <= net->count; l++) {
        pass->x[l] = pp_matrix(arena, batch, pp_outputs(net, l - 1));
        pass->stride[l] = pp_stride(pp_outputs(net, l - 1));
    }
}

static void pp_read(pp_pass *pass, const float *input, ptrdiff_t stride)
{
    pass->input = input;
    pass->input_stride = stride;
}

static inline const float *pp_input(const pp_pass *pass, ptrdiff_t layer, ptrdiff_t *stride)
{
    *stride = layer == 0 ? pass->input_stride : pass->stride[layer];
    return layer == 0 ? pass->input : pass->x[layer];
}

/* The rows of a layer's weight in one matrix, as they lie or copied together. */
static const float *pp_whole_weight(const pp_layer *layer, const pp_work *work)
{
    if (layer->parts == 1)
        return layer->weight[0].value;
    const ptrdiff_t size = (ptrdiff_t)(layer->outputs / layer->parts * layer->inputs);
    for (ptrdiff_t p = 0; p < layer->parts; p++)
        pp_copy(work->stacked + p * size, layer->weight[p].value, size * (ptrdiff_t)sizeof(float));
    return work->stacked;
}

/* Pack a network's parameters: for its outputs, and for the gradients of its hidden layers and of its inputs from
   `back_from` on (less than 0: of none of them; for no gradients at all, `backward` is 0). */
static void pp_pack_network(const pp_network *net, const pp_work *work, int backward, ptrdiff_t back_from, pp_operands *to)
{
    to->back_from = back_from;
    for (ptrdiff_t l = 0; l < net->count; l++) {
        const pp_layer *layer = &net->layers[l];
        const ptrdiff_t in = pp_inputs(net, l), out = pp_outputs(net, l), each = out / (ptrdiff_t)layer->parts;
        const float *weight = pp_whole_weight(layer, work);
        pp_pack_right(weight, in, in, out, 1, to->forward[l]);
        for (ptrdiff_t p = 0; p < layer->parts; p++)
            pp_copy(to->bias[l] + p * each, layer->bias[p].value, each * (ptrdiff_t)sizeof(float));
        if (backward && l > 0)
            pp_pack_right(weight, in, out, in, 0, to->backward[l]);
        else if (backward && back_from >= 0)
            pp_pack_right(weight + back_from, in, out, in - back_from, 0, to->backward[l]);
    }
}

/* Outputs for the batch that `pass` reads. */
static void pp_forward(const pp_network *net, const pp_operands *operands, const pp_work *work, ptrdiff_t batch, pp_pass *pass)
{
    for (ptrdiff_t l = 0; l < net->count; l++) {
        const pp_finish finish = {operands->bias[l], l + 1 < net->count, NULL, 0};
        const ptrdiff_t in = pp_inputs(net, l);
        ptrdiff_t stride;
        const float *x = pp_input(pass, l, &stride);
        pp_pack_left(x, stride, batch, in, 0, work->left);
        pp_multiply(work->left, operands->forward[l], batch, in, pp_outputs(net, l), pass->x[l + 1], pass->stride[l + 1], &finish);
    }
}

/* Sums of the columns of a matrix in whole tiles. */
static void pp_sum_columns(const float *from, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, float *to)
{
    for (ptrdiff_t c = 0; c < columns; c += PP_LANES) {
        pp_vector sums[4] = {{0.0f}, {0.0f}, {0.0f}, {0.0f}};
        for (ptrdiff_t r = 0; r < rows; r++)
            sums[r % 4] += pp_load(from + r * stride + c);
        pp_store(to + c, sums[0] + sums[1] + (sums[2] + sums[3]));
    }
}

/* Learn a layer's parameters from the gradients of its outputs, (batch × outputs), and what it read. */
static void pp_learn_layer(const pp_layer *layer, const pp_adam *adam, const pp_work *work, ptrdiff_t batch,
                           const float *slopes, const float *x, ptrdiff_t stride)
{
    const pp_finish nothing = {NULL, 0, NULL, 0};
    const ptrdiff_t in = (ptrdiff_t)layer->inputs, out = (ptrdiff_t)layer->outputs, each = out / (ptrdiff_t)layer->parts;
    const ptrdiff_t row = pp_stride(in);
    pp_pack_left(slopes, work->slope_stride, out, batch, 1, work->left);
    pp_pack_right(x, stride, batch, in, 0, work->right);
    pp_multiply(work->left, work->right, out, batch, in, work->gradient, row, &nothing);
    pp_sum_columns(slopes, work->slope_stride, batch, out, work->sums);
    for (ptrdiff_t p = 0; p < layer->parts; p++) {
        const pp_step step = pp_next_step(adam, &layer->weight[p]), bias = pp_next_step(adam, &layer->bias[p]);
        for (ptrdiff_t r = 0; r < each; r++)
            pp_move(&step, &layer->weight[p], r * in, work->gradient + (p * each + r) * row, in);
        pp_move(&bias, &layer->bias[p], 0, work->sums + p * each, each);
    }
}

/* Gradients from those of the outputs, which are in work->slopes[0] and are overwritten. Learns by `adam`, or leaves the
   parameters alone (NULL). Gives the gradient of the inputs from `back_from` on, or NULL where it was not packed. */
static const float *pp_backward(const pp_network *net, const pp_operands *operands, const pp_work *work, ptrdiff_t batch,
                                const pp_pass *pass, const pp_adam *adam)
{
    float *slopes = work->slopes[0], *next = work->slopes[1];
    for (ptrdiff_t l = (ptrdiff_t)net->count - 1; l >= 0; l--) {
        const ptrdiff_t out = pp_outputs(net, l), in = pp_inputs(net, l) - (l == 0 ? pp_most(operands->back_from, 0) : 0);
        ptrdiff_t stride;
        const float *x = pp_input(pass, l, &stride);
        if (adam != NULL)
            pp_learn_layer(&net->layers[l], adam, work, batch, slopes, x, stride);
        if (l == 0 && operands->back_from < 0)
            return NULL;
        /* What a ReLU gave is positive where its gradient goes through. */
        const pp_finish masked = {NULL, 0, l > 0 ? x : NULL, stride};
        pp_pack_left(slopes, work->slope_stride, batch, out, 0, work->left);
        pp_multiply(work->left, operands->backward[l], batch, out, in, next, work->slope_stride, &masked);
        float *other = slopes;
        slopes = next;
        next = other;
    }
    return slopes;
}

/* The parameters of `target` go towards those of `source`. */
static void pp_follow_network(const pp_network *target, const pp_network *source, double tau)
{
    for (ptrdiff_t l = 0; l < target->count; l++) {
        const pp_layer *to = &target->layers[l], *from = &source->layers[l];
        const ptrdiff_t each = (ptrdiff_t)(to->outputs / to->parts);
        for (ptrdiff_t p = 0; p < to->parts; p++) {
            pp_follow_values(to->weight[p].value, from->weight[p].value, each * (ptrdiff_t)to->inputs, tau);
            pp_follow_values(to->bias[p].value, from->bias[p].value, each, tau);
        }
    }
}

/* Outputs for a few rows, without packing: row by row, from the parameters as they lie. */
static void pp_forward_rows(const pp_network *net, const float *input, ptrdiff_t rows, float *scratch, float *output)
{
    ptrdiff_t width = 0;
    for (ptrdiff_t l = 0; l < net->count; l++)
        width = pp_most(width, pp_outputs(net, l));
    const ptrdiff_t last = (ptrdiff_t)net->count - 1, count = pp_outputs(net, last);
    for (ptrdiff_t r = 0; r < rows; r++) {
        const float *x = input + r * pp_inputs(net, 0);
        for (ptrdiff_t l = 0; l <= last; l++) {
            const pp_layer *layer = &net->layers[l];
            const ptrdiff_t in = pp_inputs(net, l), each = (ptrdiff_t)(layer->outputs / layer->parts);
            float *y = l == last ? output + r * count : scratch + l % 2 * pp_stride(width);
            for (ptrdiff_t c = 0; c < layer->outputs; c++) {
                const float sum = pp_dot(layer->weight[c / each].value + c % each * in, x, in) + layer->bias[c / each].value[c % each];
                y[c] = l < last && !(sum > 0.0f) ? 0.0f : sum;
            }
            x = y;
        }
    }
}
#endif
