/* Adam (Kingma & Ba 2015), as torch has it, and targets that follow. */
#ifndef PP_ADAM_H
#define PP_ADAM_H
#include <math.h>
#include "memory.h"

/* A tensor of parameters with Adam's averages and its count of steps; those are NULL where nothing is learned. */
typedef struct {
    float *value, *first, *second, *count;
} pp_tensor;

typedef struct {
    double rate, beta1, beta2, epsilon, decay;
} pp_adam;

/* The factors of one step. */
typedef struct {
    float keep1, keep2, add1, add2, rate, root, epsilon, decay;
} pp_step;

/* Count one step of a tensor, and its factors. */
static pp_step pp_next_step(const pp_adam *adam, const pp_tensor *tensor)
{
    pp_step step;
    *tensor->count += 1.0f;
    const double count = (double)*tensor->count;
    step.keep1 = (float)adam->beta1;
    step.keep2 = (float)adam->beta2;
    step.add1 = (float)(1.0 - adam->beta1);
    step.add2 = (float)(1.0 - adam->beta2);
    step.rate = (float)(adam->rate / (1.0 - pow(adam->beta1, count)));
    step.root = (float)(1.0 / sqrt(1.0 - pow(adam->beta2, count)));
    step.epsilon = (float)adam->epsilon;
    step.decay = (float)adam->decay;
    return step;
}

/* Move `count` parameters from `at` on by their gradient. */
static void pp_move(const pp_step *step, const pp_tensor *tensor, pp_int at, const float *gradient, pp_int count)
{
    float *restrict value = tensor->value + at, *restrict first = tensor->first + at;
    float *restrict second = tensor->second + at;
    const float *restrict slope = gradient;
    const pp_step own = *step;
    for (pp_int i = 0; i < count; i++) {
        const float g = slope[i] + own.decay * value[i];
        first[i] = first[i] * own.keep1 + g * own.add1;
        second[i] = second[i] * own.keep2 + g * g * own.add2;
        value[i] -= own.rate * first[i] / (sqrtf(second[i]) * own.root + own.epsilon);
    }
}

/* Targets go towards their sources by the share `tau`. */
static void pp_follow_values(float *restrict target, const float *restrict source, pp_int count, double tau)
{
    const float keep = (float)(1.0 - tau), add = (float)tau;
    for (pp_int i = 0; i < count; i++)
        target[i] = target[i] * keep + source[i] * add;
}
#endif
