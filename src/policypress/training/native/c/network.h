/* Networks of linear layers with ReLUs between them, and the memory that they learn in. */
#ifndef PP_NETWORK_H
#define PP_NETWORK_H
#include "adam.h"
#include "product.h"

#define PP_LAYERS 16
#define PP_PARTS 2

/* The extent of what was read: the least and the largest number, and the largest magnitude of each feature where they
   are scaled (else NULL). */
typedef struct {
    float *least, *most, *peak;
} pp_extent;

/* What rounds the input of a layer and its weight: the extent that is running, that in force (the same, or as it was
   when a rollout began; all NULL where nothing is rounded), the largest integers. */
typedef struct {
    pp_extent running, force;
    int64_t weight_steps, input_steps, per_channel, rectifies;
} pp_quantizer;

/* What stands behind a layer. */
#define PP_NOTHING 0
#define PP_RELU 1
#define PP_TANH 2

/* A linear layer; its outputs may be those of several tensors that read the same (mean and deviation of a policy). */
typedef struct {
    int64_t inputs, outputs, parts, behind;
    pp_tensor weight[PP_PARTS], bias[PP_PARTS]; /* of outputs / parts each, rows of weight `inputs` long */
    pp_quantizer quantizer[PP_PARTS];
} pp_layer;

typedef struct {
    const pp_layer *layers;
    int64_t count;
} pp_network;

/* Parts of a layer that are computed together: all of them, or one where some are quantized. */
typedef struct {
    pp_int first, parts, column, outputs;
    const pp_quantizer *quantizer; /* NULL where nothing is rounded */
} pp_piece;

/* Packed parameters of a piece, and what goes with them; features are what observations are divided by. */
typedef struct {
    void *forward, *backward;
    float *factor, *bias;
    float *feature, *inverse;
    int packed;
} pp_operand;

/* Of one network. `back_from` is its first input whose gradient is wanted; less than 0 for none. */
typedef struct {
    pp_operand piece[PP_LAYERS][PP_PARTS];
    int backward;
    pp_int back_from;
} pp_operands;

/* What a piece multiplies: `values`, which are integers of this scale where it is `rounded`. Gradients go back where
   `seen` is between `low` and `high` (everywhere where it is NULL). */
typedef struct {
    int rounded;
    float scale, low, high;
    const float *values, *seen;
    pp_int stride, seen_stride;
    float *levels, *scaled; /* own memory, of a quantized piece */
} pp_reading;

/* What the layers read and give, for a batch: x[count] is the network's output. */
typedef struct {
    const float *input;
    pp_int input_stride;
    float *x[PP_LAYERS + 1];
    pp_int stride[PP_LAYERS + 1];
    pp_reading reading[PP_LAYERS][PP_PARTS];
} pp_pass;

/* Memory for one product at a time. */
typedef struct {
    void *left, *right;
    float *stacked, *gradient, *sums, *more;
    float *slopes[2], *other;
    pp_int slope_stride;
} pp_work;

/* The largest of what the networks of an update need. */
typedef struct {
    pp_int left, right, stacked, gradient, width;
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
        if (layer->quantizer[p].force.least != NULL)
            return (pp_int)layer->parts;
    return 1;
}

static inline pp_piece pp_piece_of(const pp_layer *layer, pp_int i)
{
    const pp_int pieces = pp_pieces(layer), parts = (pp_int)layer->parts / pieces;
    const pp_int each = (pp_int)layer->outputs / pieces;
    const pp_quantizer *own = &layer->quantizer[i];
    const pp_piece piece = {i * parts, parts, i * each, each, own->force.least == NULL ? NULL : own};
    return piece;
}

static void pp_count_needs(pp_needs *needs, const pp_network *net, pp_int batch)
{
    for (pp_int l = 0; l < net->count; l++) {
        const pp_int in = pp_inputs(net, l), out = pp_outputs(net, l);
        const pp_int rows = pp_most(pp_left_bytes(batch, in), pp_left_bytes(batch, out));
        needs->left = pp_most(needs->left, pp_most(rows, pp_left_bytes(out, batch)));
        needs->right = pp_most(needs->right, pp_right_bytes(batch, in));
        needs->gradient = pp_most(needs->gradient, pp_up(out, 16) * pp_stride(in));
        needs->stacked = pp_most(needs->stacked, out * in);
        needs->width = pp_most(needs->width, pp_most(in, out));
    }
}

static void pp_carve_work(pp_arena *arena, pp_work *work, const pp_needs *needs, pp_int batch)
{
    work->left = pp_carve(arena, needs->left);
    work->right = pp_carve(arena, needs->right);
    work->stacked = pp_floats(arena, needs->stacked);
    work->gradient = pp_floats(arena, needs->gradient);
    work->sums = pp_floats(arena, pp_stride(needs->width));
    work->more = pp_floats(arena, pp_stride(needs->width));
    work->slope_stride = pp_stride(needs->width);
    work->slopes[0] = pp_matrix(arena, batch, needs->width);
    work->slopes[1] = pp_matrix(arena, batch, needs->width);
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
            to->factor = to->feature = to->inverse = NULL;
            if (piece.quantizer != NULL) {
                to->factor = pp_floats(arena, pp_stride(out));
                to->feature = pp_floats(arena, pp_stride(in));
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
            const int rounds = piece.quantizer != NULL, scales = rounds && piece.quantizer->force.peak != NULL;
            pass->reading[l][i].levels = rounds ? pp_matrix(arena, batch, pp_inputs(net, l)) : NULL;
            pass->reading[l][i].scaled = scales ? pp_matrix(arena, batch, pp_inputs(net, l)) : NULL;
        }
    }
}

static inline const float *pp_input(const pp_pass *pass, pp_int layer, pp_int *stride)
{
    *stride = layer == 0 ? pass->input_stride : pass->stride[layer];
    return layer == 0 ? pass->input : pass->x[layer];
}

/* Parameters of a network: floats of all its gradients. */
static inline pp_int pp_parameters(const pp_network *net)
{
    pp_int count = 0;
    for (pp_int l = 0; l < net->count; l++)
        count += pp_outputs(net, l) * (pp_inputs(net, l) + 1);
    return count;
}

/* The parameters of `target` go towards those of `source`. */
static void pp_follow_network(const pp_network *target, const pp_network *source, double tau)
{
    for (pp_int l = 0; l < target->count; l++) {
        const pp_layer *to = &target->layers[l], *from = &source->layers[l];
        const pp_int each = (pp_int)(to->outputs / to->parts);
        for (pp_int p = 0; p < to->parts; p++) {
            pp_follow_values(to->weight[p].value, from->weight[p].value, each * (pp_int)to->inputs, tau);
            pp_follow_values(to->bias[p].value, from->bias[p].value, each, tau);
        }
    }
}
#endif
