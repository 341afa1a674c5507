/* Networks of linear layers with ReLU or tanh, and the scratch memory of their passes. */
#ifndef PP_NETWORK_H
#define PP_NETWORK_H
#include "adam.h"
#include "product.h"

#define PP_LAYERS 16
#define PP_PARTS 2

/* The range that an observer has seen: minimum, maximum, and the largest magnitude of each feature if features are
   scaled (else NULL). */
typedef struct {
    float *min, *max, *observed_max;
} pp_observer_range;

/* Fake quantization of a layer's input and weight: the running range; the active range (the same, or the one at the
   start of the rollout; all NULL if the layer is not quantized); the largest integers. */
typedef struct {
    pp_observer_range running, active;
    int64_t weight_qmax, input_qmax, per_channel, rectifies;
} pp_quantizer;

/* Activation after a layer. */
#define PP_NO_ACTIVATION 0
#define PP_RELU 1
#define PP_TANH 2

/* A linear layer. Several tensors with the same input may form one layer (mean and log std of a policy). */
typedef struct {
    int64_t inputs, outputs, parts, activation;
    pp_tensor weight[PP_PARTS], bias[PP_PARTS]; /* outputs / parts rows each; weight rows have `inputs` columns */
    pp_quantizer quantizer[PP_PARTS];
} pp_layer;

typedef struct {
    const pp_layer *layers;
    int64_t count;
} pp_network;

/* Parts of a layer that are computed together: all of them, or one if some are quantized. */
typedef struct {
    pp_int first, parts, column, outputs;
    const pp_quantizer *quantizer; /* NULL if not quantized */
} pp_piece;

/* Packed parameters of a piece. `feature_scale` is what the input features are divided by. */
typedef struct {
    void *forward, *backward;
    float *factor, *bias;
    float *feature_scale, *inverse;
    int packed;
} pp_operand;

/* Operands of one network. `back_from` is the first input that needs a gradient; negative for none. */
typedef struct {
    pp_operand piece[PP_LAYERS][PP_PARTS];
    int backward;
    pp_int back_from;
} pp_operands;

/* The input of a piece: `values`, which are integers of this scale if it is `rounded`. Straight-through gradients pass
   where `ste_input` is between `low` and `high` (everywhere if it is NULL). */
typedef struct {
    int rounded;
    float scale, low, high;
    const float *values, *ste_input;
    pp_int stride, ste_stride;
    float *levels, *scaled; /* buffers of a quantized piece */
} pp_layer_input;

/* Activations of a batch; x[count] is the network's output. */
typedef struct {
    const float *input;
    pp_int input_stride;
    float *x[PP_LAYERS + 1];
    pp_int stride[PP_LAYERS + 1];
    pp_layer_input layer_input[PP_LAYERS][PP_PARTS];
} pp_pass;

/* Workspace of one matrix product at a time. */
typedef struct {
    void *left, *right;
    float *stacked, *weight_gradient, *sums, *more;
    float *gradients[2], *other;
    pp_int gradient_stride;
} pp_work;

/* The largest workspace that the networks of an update need. */
typedef struct {
    pp_int left, right, stacked, weight_gradient, width;
} pp_needs;

static inline pp_int pp_inputs(const pp_network *net, pp_int l)
{
    return (pp_int)net->layers[l].inputs;
}
static inline pp_int pp_outputs(const pp_network *net, pp_int l)
{
    return (pp_int)net->layers[l].outputs;
}

static inline pp_int pp_pieces(const pp_layer *layer)
{
    for (pp_int p = 0; p < layer->parts; p++)
        if (layer->quantizer[p].active.min != NULL)
            return (pp_int)layer->parts;
    return 1;
}

static inline pp_piece pp_piece_of(const pp_layer *layer, pp_int i)
{
    const pp_int pieces = pp_pieces(layer), parts = (pp_int)layer->parts / pieces;
    const pp_int each = (pp_int)layer->outputs / pieces;
    const pp_quantizer *own = &layer->quantizer[i];
    const pp_piece piece = {i * parts, parts, i * each, each, own->active.min == NULL ? NULL : own};
    return piece;
}

static void pp_count_needs(pp_needs *needs, const pp_network *net, pp_int batch)
{
    for (pp_int l = 0; l < net->count; l++) {
        const pp_int in = pp_inputs(net, l), out = pp_outputs(net, l);
        const pp_int rows = pp_max(pp_left_bytes(batch, in), pp_left_bytes(batch, out));
        needs->left = pp_max(needs->left, pp_max(rows, pp_left_bytes(out, batch)));
        needs->right = pp_max(needs->right, pp_right_bytes(batch, in));
        needs->weight_gradient = pp_max(needs->weight_gradient, pp_up(out, 16) * pp_stride(in));
        needs->stacked = pp_max(needs->stacked, out * in);
        needs->width = pp_max(needs->width, pp_max(in, out));
    }
}

static void pp_carve_work(pp_arena *arena, pp_work *work, const pp_needs *needs, pp_int batch)
{
    work->left = pp_carve(arena, needs->left);
    work->right = pp_carve(arena, needs->right);
    work->stacked = pp_floats(arena, needs->stacked);
    work->weight_gradient = pp_floats(arena, needs->weight_gradient);
    work->sums = pp_floats(arena, pp_stride(needs->width));
    work->more = pp_floats(arena, pp_stride(needs->width));
    work->gradient_stride = pp_stride(needs->width);
    work->gradients[0] = pp_matrix(arena, batch, needs->width);
    work->gradients[1] = pp_matrix(arena, batch, needs->width);
    work->other = pp_matrix(arena, batch, needs->width);
}

static void pp_carve_operands(pp_arena *arena, pp_operands *operands, const pp_network *net)
{
    for (pp_int l = 0; l < net->count; l++)
        for (pp_int i = 0; i < pp_pieces(&net->layers[l]); i++) {
            const pp_piece piece = pp_piece_of(&net->layers[l], i);
            const pp_int in = pp_inputs(net, l), out = piece.outputs;
            pp_operand *to = &operands->piece[l][i];
            to->forward = pp_carve(arena, pp_right_bytes(in, out));
            to->backward = pp_carve(arena, pp_right_bytes(out, in));
            to->bias = pp_floats(arena, pp_stride(out));
            to->factor = to->feature_scale = to->inverse = NULL;
            if (piece.quantizer != NULL) {
                to->factor = pp_floats(arena, pp_stride(out));
                to->feature_scale = pp_floats(arena, pp_stride(in));
                to->inverse = pp_floats(arena, pp_stride(in));
            }
        }
}

static void pp_carve_pass(pp_arena *arena, pp_pass *pass, const pp_network *net, pp_int batch)
{
    for (pp_int l = 0; l < net->count; l++) {
        pass->x[l + 1] = pp_matrix(arena, batch, pp_outputs(net, l));
        pass->stride[l + 1] = pp_stride(pp_outputs(net, l));
        for (pp_int i = 0; i < pp_pieces(&net->layers[l]); i++) {
            const pp_piece piece = pp_piece_of(&net->layers[l], i);
            const int rounds = piece.quantizer != NULL, scales = rounds && piece.quantizer->active.observed_max != NULL;
            pass->layer_input[l][i].levels = rounds ? pp_matrix(arena, batch, pp_inputs(net, l)) : NULL;
            pass->layer_input[l][i].scaled = scales ? pp_matrix(arena, batch, pp_inputs(net, l)) : NULL;
        }
    }
}

static inline const float *pp_input(const pp_pass *pass, pp_int layer, pp_int *stride)
{
    *stride = layer == 0 ? pass->input_stride : pass->stride[layer];
    return layer == 0 ? pass->input : pass->x[layer];
}

/* Number of parameters of a network, and so of its gradients. */
static inline pp_int pp_parameters(const pp_network *net)
{
    pp_int count = 0;
    for (pp_int l = 0; l < net->count; l++)
        count += pp_outputs(net, l) * (pp_inputs(net, l) + 1);
    return count;
}

/* Polyak update of `target` towards `source`. */
static void pp_polyak_network(const pp_network *target, const pp_network *source, double tau)
{
    for (pp_int l = 0; l < target->count; l++) {
        const pp_layer *to = &target->layers[l], *from = &source->layers[l];
        const pp_int each = (pp_int)(to->outputs / to->parts);
        for (pp_int p = 0; p < to->parts; p++) {
            pp_polyak_values(to->weight[p].value, from->weight[p].value, each * (pp_int)to->inputs, tau);
            pp_polyak_values(to->bias[p].value, from->bias[p].value, each, tau);
        }
    }
}
#endif
