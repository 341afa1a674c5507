/* PPO (Schulman et al. 2017), as in Stable-Baselines3: one minibatch of a rollout. */
#ifndef PP_PPO_H
#define PP_PPO_H
#include "passes.h"

#define PP_HALF_LOG_TWO_PI 0.91893853320467274178f
#define PP_ADVANTAGE_EPSILON 1e-8
#define PP_LOSSES 6

/* A rollout, the networks that learn from it, and the hyperparameters (Stable-Baselines3's names). Filled in by Python,
   see layout.py. Without `log_std`, actions are discrete: `actions` holds one index a step. */
typedef struct {
    const float *observations, *actions, *values, *log_probs, *advantages, *returns;
    int64_t batch, observation_size, action_size, normalize_advantage;
    pp_network actor, critic;
    pp_tensor log_std;
    pp_adam adam;
    double clip_range, clip_range_vf, ent_coef, vf_coef; /* `clip_range_vf` < 0: no value clipping */
    double max_grad_norm, target_kl;                     /* `target_kl` < 0: no early stopping */
    float *losses; /* policy, value, entropy, total; clip fraction; approximate KL */
    void *scratch;
} pp_rollout;

typedef struct {
    pp_work work;
    pp_operands actor, critic;
    pp_pass actor_pass, critic_pass;
    float *observations;         /* observations of the minibatch */
    float *advantage, *log_prob; /* (batch); log π of the actions taken, then the loss's gradient by it */
    float *std;                  /* (2 · actions): σ, then the gradient of log σ */
    float *flat_gradients;
    pp_int observation_stride;
} pp_rollout_space;

static pp_int pp_carve_rollout_space(const pp_rollout *rollout, pp_rollout_space *space)
{
    pp_arena arena = {(char *)rollout->scratch, pp_up((pp_int)sizeof(pp_rollout_space), PP_LINE)};
    pp_needs needs = {0, 0, 0, 0, 0};
    const pp_int batch = (pp_int)rollout->batch, actions = (pp_int)rollout->action_size;
    pp_count_needs(&needs, &rollout->actor, batch);
    pp_count_needs(&needs, &rollout->critic, batch);
    pp_carve_work(&arena, &space->work, &needs, batch);
    pp_carve_operands(&arena, &space->actor, &rollout->actor);
    pp_carve_operands(&arena, &space->critic, &rollout->critic);
    pp_carve_pass(&arena, &space->actor_pass, &rollout->actor, batch);
    pp_carve_pass(&arena, &space->critic_pass, &rollout->critic, batch);
    space->observation_stride = pp_stride((pp_int)rollout->observation_size);
    space->observations = pp_matrix(&arena, batch, (pp_int)rollout->observation_size);
    space->advantage = pp_floats(&arena, batch);
    space->log_prob = pp_floats(&arena, batch);
    space->std = pp_floats(&arena, 2 * actions);
    space->flat_gradients =
        pp_floats(&arena, pp_parameters(&rollout->actor) + pp_parameters(&rollout->critic) + actions);
    return arena.taken;
}

/* Gather the minibatch's observations and its advantages, normalised to mean 0 and std 1 if asked for. */
static void pp_gather_minibatch(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *indices,
                                pp_int count)
{
    const pp_int size = (pp_int)rollout->observation_size;
    double sum = 0.0, squares = 0.0;
    for (pp_int r = 0; r < count; r++) {
        pp_copy(space->observations + r * space->observation_stride, rollout->observations + (pp_int)indices[r] * size,
                size * (pp_int)sizeof(float));
        space->advantage[r] = rollout->advantages[indices[r]];
        sum += (double)space->advantage[r];
    }
    if (!rollout->normalize_advantage || count < 2)
        return;
    const double mean = sum / (double)count;
    for (pp_int r = 0; r < count; r++)
        squares += ((double)space->advantage[r] - mean) * ((double)space->advantage[r] - mean);
    const double scale = 1.0 / (sqrt(squares / (double)(count - 1)) + PP_ADVANTAGE_EPSILON);
    for (pp_int r = 0; r < count; r++)
        space->advantage[r] = (float)(((double)space->advantage[r] - mean) * scale);
}

static inline const float *pp_actor_output(const pp_rollout_space *space, const pp_network *actor, pp_int r)
{
    return space->actor_pass.x[actor->count] + r * space->actor_pass.stride[actor->count];
}

/* Softmax of a row of logits into `to`; returns the log-sum-exp. */
static float pp_softmax(const float *logits, pp_int count, float *to)
{
    float max_logit = logits[0], sum = 0.0f;
    for (pp_int i = 1; i < count; i++)
        max_logit = logits[i] > max_logit ? logits[i] : max_logit;
    for (pp_int i = 0; i < count; i++)
        sum += to[i] = expf(logits[i] - max_logit);
    for (pp_int i = 0; i < count; i++)
        to[i] /= sum;
    return max_logit + logf(sum);
}

/* Log-probability of each action taken; returns the mean entropy. For discrete actions the probabilities are left in
   work.gradients[0]. */
static double pp_evaluate_actions(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *indices,
                                  pp_int count)
{
    const pp_int actions = (pp_int)rollout->action_size;
    const float *log_std = rollout->log_std.value;
    double entropy = 0.0;
    for (pp_int i = 0; log_std != NULL && i < actions; i++) {
        space->std[i] = expf(log_std[i]);
        entropy += (double)(0.5f + PP_HALF_LOG_TWO_PI + log_std[i]) * (double)count;
    }
    for (pp_int r = 0; r < count; r++) {
        const float *output = pp_actor_output(space, &rollout->actor, r);
        float sum = 0.0f;
        if (log_std == NULL) {
            float *probs = space->work.gradients[0] + r * space->work.gradient_stride;
            const float log_sum_exp = pp_softmax(output, actions, probs);
            sum = output[(pp_int)rollout->actions[indices[r]]] - log_sum_exp;
            for (pp_int i = 0; i < actions; i++)
                entropy -= (double)(probs[i] * (output[i] - log_sum_exp));
        }
        for (pp_int i = 0; log_std != NULL && i < actions; i++) {
            const float z = (rollout->actions[(pp_int)indices[r] * actions + i] - output[i]) / space->std[i];
            sum += -0.5f * z * z - log_std[i] - PP_HALF_LOG_TWO_PI;
        }
        space->log_prob[r] = sum;
    }
    return entropy / (double)count;
}

/* The clipped surrogate loss; `log_prob` becomes the loss's gradient by it. */
static void pp_policy_loss(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *indices, pp_int count)
{
    const float low = (float)(1.0 - rollout->clip_range), high = (float)(1.0 + rollout->clip_range);
    double loss = 0.0, approx_kl = 0.0;
    pp_int clipped = 0;
    for (pp_int r = 0; r < count; r++) {
        const float log_ratio = space->log_prob[r] - rollout->log_probs[indices[r]], ratio = expf(log_ratio);
        const float capped = ratio < high ? ratio : high, clipped_ratio = capped > low ? capped : low;
        const float surrogate = space->advantage[r] * ratio, clipped_surrogate = space->advantage[r] * clipped_ratio;
        const int unclipped = clipped_ratio == ratio || surrogate < clipped_surrogate;
        loss -= (double)(surrogate < clipped_surrogate ? surrogate : clipped_surrogate);
        approx_kl += (double)((ratio - 1.0f) - log_ratio);
        clipped += fabsf(ratio - 1.0f) > (float)rollout->clip_range;
        space->log_prob[r] = unclipped ? -surrogate / (float)count : 0.0f;
    }
    rollout->losses[0] = (float)(loss / (double)count);
    rollout->losses[4] = (float)clipped / (float)count;
    rollout->losses[5] = (float)(approx_kl / (double)count);
}

/* Gradients of the logits, from those of the taken action's log π and of the mean entropy. */
static void pp_logit_gradients(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *indices, pp_int count)
{
    const pp_int actions = (pp_int)rollout->action_size;
    const float weight = (float)(rollout->ent_coef / (double)count);
    for (pp_int r = 0; r < count; r++) {
        const float *output = pp_actor_output(space, &rollout->actor, r), log_prob_grad = space->log_prob[r];
        float *grad = space->work.gradients[0] + r * space->work.gradient_stride, mean_logit = 0.0f;
        float reference = output[0];
        for (pp_int i = 0; i < actions; i++)
            mean_logit += grad[i] * (output[i] - reference);
        /* log p of an action and the entropy, both shift-invariant: a reference logit is subtracted. */
        for (pp_int i = 0; i < actions; i++) {
            const float prob = grad[i];
            grad[i] = weight * prob * (output[i] - reference - mean_logit) - log_prob_grad * prob;
        }
        grad[(pp_int)rollout->actions[indices[r]]] += log_prob_grad;
    }
}

/* Gradients of the means, and of log σ, which all steps share. */
static void pp_mean_gradients(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *indices, pp_int count)
{
    const pp_int actions = (pp_int)rollout->action_size;
    float *log_std_gradient = space->std + actions;
    for (pp_int i = 0; i < actions; i++)
        log_std_gradient[i] = -(float)rollout->ent_coef;
    for (pp_int r = 0; r < count; r++) {
        const float *output = pp_actor_output(space, &rollout->actor, r), log_prob_grad = space->log_prob[r];
        float *grad = space->work.gradients[0] + r * space->work.gradient_stride;
        for (pp_int i = 0; i < actions; i++) {
            const float scale = space->std[i];
            const float z = (rollout->actions[(pp_int)indices[r] * actions + i] - output[i]) / scale;
            grad[i] = log_prob_grad * z / scale;
            log_std_gradient[i] += log_prob_grad * (z * z - 1.0f);
        }
    }
}

/* Value loss and the gradients of the values. */
static void pp_value_gradients(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *indices, pp_int count)
{
    const float clip_range = (float)rollout->clip_range_vf, weight = (float)(2.0 * rollout->vf_coef / (double)count);
    const pp_network *critic = &rollout->critic;
    double loss = 0.0;
    for (pp_int r = 0; r < count; r++) {
        const float value = space->critic_pass.x[critic->count][r * space->critic_pass.stride[critic->count]];
        const float before = rollout->values[indices[r]], moved = value - before;
        const int is_clipped = clip_range >= 0.0f && fabsf(moved) > clip_range;
        const float error = (is_clipped ? before + copysignf(clip_range, moved) : value) - rollout->returns[indices[r]];
        space->work.gradients[0][r * space->work.gradient_stride] = is_clipped ? 0.0f : weight * error;
        loss += (double)error * (double)error;
    }
    rollout->losses[1] = (float)(loss / (double)count);
}

static void pp_ppo_step(const pp_rollout *rollout, pp_rollout_space *space, pp_int count)
{
    pp_clip_grad_norm(space->flat_gradients, count, rollout->max_grad_norm);
    const float *flat_gradients = pp_adam_step_flat(&rollout->actor, &rollout->adam, space->flat_gradients);
    flat_gradients = pp_adam_step_flat(&rollout->critic, &rollout->adam, flat_gradients);
    if (rollout->log_std.value == NULL)
        return;
    const pp_step_factors step = pp_step_factors_of(&rollout->adam, &rollout->log_std);
    pp_adam_step(&step, &rollout->log_std, 0, flat_gradients, (pp_int)rollout->action_size);
}

static void pp_critic_values(const pp_rollout *rollout, pp_rollout_space *space, pp_int count)
{
    pp_invalidate(&rollout->critic, 1, -1, &space->critic);
    pp_set_input(&space->critic_pass, space->observations, space->observation_stride);
    pp_forward(&rollout->critic, &space->critic, &space->work, count, &space->critic_pass, 1);
}

/* One Adam step of the critic alone: for TRPO, whose actor is updated in torch. No value clipping and no coefficient:
   `clip_range_vf` is negative and `vf_coef` 1. */
static void pp_fit_values_minibatch(const pp_rollout *rollout, const int64_t *indices, pp_int count)
{
    pp_rollout_space *space = (pp_rollout_space *)rollout->scratch;
    pp_learner learner = {&rollout->adam, NULL};
    pp_carve_rollout_space(rollout, space);
    pp_gather_minibatch(rollout, space, indices, count);
    pp_critic_values(rollout, space, count);
    pp_value_gradients(rollout, space, indices, count);
    pp_backward(&rollout->critic, &space->critic, &space->work, count, &space->critic_pass, &learner);
}

/* One PPO step on the minibatch at `indices`, unless the KL limit is exceeded; returns whether it was taken. */
static int pp_ppo_minibatch(const pp_rollout *rollout, const int64_t *indices, pp_int count)
{
    pp_rollout_space *space = (pp_rollout_space *)rollout->scratch;
    const pp_network *actor = &rollout->actor, *critic = &rollout->critic;
    pp_carve_rollout_space(rollout, space);
    pp_learner learner = {NULL, space->flat_gradients};
    pp_gather_minibatch(rollout, space, indices, count);
    pp_critic_values(rollout, space, count);
    pp_invalidate(actor, 1, -1, &space->actor);
    pp_set_input(&space->actor_pass, space->observations, space->observation_stride);
    pp_forward(actor, &space->actor, &space->work, count, &space->actor_pass, 1);
    const double entropy = pp_evaluate_actions(rollout, space, indices, count);
    pp_policy_loss(rollout, space, indices, count);
    rollout->losses[2] = (float)-entropy;
    if (rollout->log_std.value == NULL)
        pp_logit_gradients(rollout, space, indices, count);
    else
        pp_mean_gradients(rollout, space, indices, count);
    const int continues = rollout->target_kl < 0.0 || !((double)rollout->losses[5] > 1.5 * rollout->target_kl);
    if (continues)
        pp_backward(actor, &space->actor, &space->work, count, &space->actor_pass, &learner);
    pp_value_gradients(rollout, space, indices, count);
    rollout->losses[3] = rollout->losses[0] + (float)rollout->ent_coef * rollout->losses[2] +
                         (float)rollout->vf_coef * rollout->losses[1];
    if (!continues)
        return 0;
    pp_backward(critic, &space->critic, &space->work, count, &space->critic_pass, &learner);
    const pp_int log_std_count = rollout->log_std.value == NULL ? 0 : (pp_int)rollout->action_size;
    pp_copy(learner.flat_gradients, space->std + log_std_count, log_std_count * (pp_int)sizeof(float));
    learner.flat_gradients += log_std_count;
    pp_ppo_step(rollout, space, learner.flat_gradients - space->flat_gradients);
    return 1;
}
#endif
