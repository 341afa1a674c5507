/* Adam (Kingma & Ba 2015), as in torch, and Polyak updates of target networks. */
#ifndef PP_ADAM_H
#define PP_ADAM_H
#include <math.h>
#include "memory.h"

/* A parameter tensor with Adam's moments and step count, which are NULL for frozen parameters. */
typedef struct {
    float *value, *exp_avg, *exp_avg_sq, *count;
} pp_tensor;

typedef struct {
    double learning_rate, beta1, beta2, epsilon, weight_decay;
} pp_adam;

/* Coefficients of one Adam step. */
typedef struct {
    float keep1, keep2, add1, add2, step_size, root, epsilon, decay;
} pp_step_factors;

/* Increment a tensor's step count and compute the step's coefficients. */
static pp_step_factors pp_step_factors_of(const pp_adam *adam, const pp_tensor *tensor)
{
    pp_step_factors step;
    *tensor->count += 1.0f;
    const double count = (double)*tensor->count;
    step.keep1 = (float)adam->beta1;
    step.keep2 = (float)adam->beta2;
    step.add1 = (float)(1.0 - adam->beta1);
    step.add2 = (float)(1.0 - adam->beta2);
    step.step_size = (float)(adam->learning_rate / (1.0 - pow(adam->beta1, count)));
    step.root = (float)(1.0 / sqrt(1.0 - pow(adam->beta2, count)));
    step.epsilon = (float)adam->epsilon;
    step.decay = (float)adam->weight_decay;
    return step;
}

/* Adam step for `count` parameters, starting at `at`. */
static void pp_adam_step(const pp_step_factors *step, const pp_tensor *tensor, pp_int at, const float *gradient,
                         pp_int count)
{
    float *restrict value = tensor->value + at, *restrict exp_avg = tensor->exp_avg + at;
    float *restrict exp_avg_sq = tensor->exp_avg_sq + at;
    const float *restrict grad = gradient;
    const pp_step_factors own = *step;
    for (pp_int i = 0; i < count; i++) {
        const float g = grad[i] + own.decay * value[i];
        exp_avg[i] = exp_avg[i] * own.keep1 + g * own.add1;
        exp_avg_sq[i] = exp_avg_sq[i] * own.keep2 + g * g * own.add2;
        value[i] -= own.step_size * exp_avg[i] / (sqrtf(exp_avg_sq[i]) * own.root + own.epsilon);
    }
}

/* target = (1 - tau) * target + tau * source. */
static void pp_polyak_values(float *restrict target, const float *restrict source, pp_int count, double tau)
{
    const float keep = (float)(1.0 - tau), add = (float)tau;
    for (pp_int i = 0; i < count; i++)
        target[i] = target[i] * keep + source[i] * add;
}
#endif
