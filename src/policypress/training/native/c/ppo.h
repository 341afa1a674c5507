/* PPO (Schulman et al. 2017), as Stable-Baselines3 has it: one minibatch of a rollout. */
#ifndef PP_PPO_H
#define PP_PPO_H
#include "passes.h"

#define PP_HALF_LOG_TWO_PI 0.91893853320467274178f
#define PP_ADVANTAGE_EPSILON 1e-8
#define PP_LOSSES 6

/* A rollout, step by step; what learns from it, and how. Python fills it in, see layout.py. `actions` are numbers of
   actions, one a step, where there is no `log_std`. */
typedef struct {
    const float *observations, *actions, *values, *log_probs, *advantages, *returns;
    int64_t batch, observation_size, action_size, normalised;
    pp_network actor, critic;
    pp_tensor log_std;
    pp_adam adam;
    double clip, value_clip, entropy_weight, value_weight; /* `value_clip` is less than 0 where values are not clipped */
    double longest, farthest; /* norm of gradients; divergence at which it stops, less than 0 where it does not */
    float *losses;            /* of policy, values, entropy, all; share of clipped steps; divergence */
    void *scratch;
} pp_rollout;

typedef struct {
    pp_work work;
    pp_operands actor, critic;
    pp_pass actor_pass, critic_pass;
    float *seen;                 /* observations of the minibatch */
    float *advantage, *log_prob; /* (batch); log π of the actions taken, then the loss's slope by it */
    float *deviation;            /* (actions): σ; then the slope of log σ */
    float *kept;
    pp_int seen_stride;
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
    space->seen_stride = pp_stride((pp_int)rollout->observation_size);
    space->seen = pp_matrix(&arena, batch, (pp_int)rollout->observation_size);
    space->advantage = pp_floats(&arena, batch);
    space->log_prob = pp_floats(&arena, batch);
    space->deviation = pp_floats(&arena, 2 * actions);
    space->kept = pp_floats(&arena, pp_parameters(&rollout->actor) + pp_parameters(&rollout->critic) + actions);
    return arena.taken;
}

/* The minibatch's observations in rows, and its advantages, of mean 0 and deviation 1 where that is wanted. */
static void pp_gather(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *places, pp_int count)
{
    const pp_int size = (pp_int)rollout->observation_size;
    double sum = 0.0, squares = 0.0;
    for (pp_int r = 0; r < count; r++) {
        pp_copy(space->seen + r * space->seen_stride, rollout->observations + (pp_int)places[r] * size,
                size * (pp_int)sizeof(float));
        space->advantage[r] = rollout->advantages[places[r]];
        sum += (double)space->advantage[r];
    }
    if (!rollout->normalised || count < 2)
        return;
    const double mean = sum / (double)count;
    for (pp_int r = 0; r < count; r++)
        squares += ((double)space->advantage[r] - mean) * ((double)space->advantage[r] - mean);
    const double scale = 1.0 / (sqrt(squares / (double)(count - 1)) + PP_ADVANTAGE_EPSILON);
    for (pp_int r = 0; r < count; r++)
        space->advantage[r] = (float)(((double)space->advantage[r] - mean) * scale);
}

static inline const float *pp_given(const pp_rollout_space *space, const pp_network *actor, pp_int r)
{
    return space->actor_pass.x[actor->count] + r * space->actor_pass.stride[actor->count];
}

/* Probabilities of a row of logits, in place of what `to` held, and the logarithm of what they were divided by. */
static float pp_softmax(const float *logits, pp_int count, float *to)
{
    float most = logits[0], sum = 0.0f;
    for (pp_int i = 1; i < count; i++)
        most = logits[i] > most ? logits[i] : most;
    for (pp_int i = 0; i < count; i++)
        sum += to[i] = expf(logits[i] - most);
    for (pp_int i = 0; i < count; i++)
        to[i] /= sum;
    return most + logf(sum);
}

/* The logarithm of the probability of each action taken, and the mean entropy. Probabilities of each action are left in
   the slopes where actions are numbered. */
static double pp_weigh_actions(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *places, pp_int count)
{
    const pp_int actions = (pp_int)rollout->action_size;
    const float *log_std = rollout->log_std.value;
    double entropy = 0.0;
    for (pp_int i = 0; log_std != NULL && i < actions; i++) {
        space->deviation[i] = expf(log_std[i]);
        entropy += (double)(0.5f + PP_HALF_LOG_TWO_PI + log_std[i]) * (double)count;
    }
    for (pp_int r = 0; r < count; r++) {
        const float *given = pp_given(space, &rollout->actor, r);
        float sum = 0.0f;
        if (log_std == NULL) {
            float *shares = space->work.slopes[0] + r * space->work.slope_stride;
            const float whole = pp_softmax(given, actions, shares);
            sum = given[(pp_int)rollout->actions[places[r]]] - whole;
            for (pp_int i = 0; i < actions; i++)
                entropy -= (double)(shares[i] * (given[i] - whole));
        }
        for (pp_int i = 0; log_std != NULL && i < actions; i++) {
            const float off = (rollout->actions[(pp_int)places[r] * actions + i] - given[i]) / space->deviation[i];
            sum += -0.5f * off * off - log_std[i] - PP_HALF_LOG_TWO_PI;
        }
        space->log_prob[r] = sum;
    }
    return entropy / (double)count;
}

/* The clipped objective: its loss; `log_prob` becomes its slope. */
static void pp_weigh_policy(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *places, pp_int count)
{
    const float low = (float)(1.0 - rollout->clip), high = (float)(1.0 + rollout->clip);
    double loss = 0.0, divergence = 0.0;
    pp_int clipped = 0;
    for (pp_int r = 0; r < count; r++) {
        const float change = space->log_prob[r] - rollout->log_probs[places[r]], ratio = expf(change);
        const float most = ratio < high ? ratio : high, held = most > low ? most : low;
        const float free = space->advantage[r] * ratio, bounded = space->advantage[r] * held;
        const int moves = held == ratio || free < bounded;
        loss -= (double)(free < bounded ? free : bounded);
        divergence += (double)((ratio - 1.0f) - change);
        clipped += fabsf(ratio - 1.0f) > (float)rollout->clip;
        space->log_prob[r] = moves ? -free / (float)count : 0.0f;
    }
    rollout->losses[0] = (float)(loss / (double)count);
    rollout->losses[4] = (float)clipped / (float)count;
    rollout->losses[5] = (float)(divergence / (double)count);
}

/* Slopes of numbered actions' logits, from those of log π of the action taken and of the mean entropy. */
static void pp_slope_logits(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *places, pp_int count)
{
    const pp_int actions = (pp_int)rollout->action_size;
    const float weight = (float)(rollout->entropy_weight / (double)count);
    for (pp_int r = 0; r < count; r++) {
        const float *given = pp_given(space, &rollout->actor, r), by = space->log_prob[r];
        float *slope = space->work.slopes[0] + r * space->work.slope_stride, own = 0.0f;
        float spare = given[0];
        for (pp_int i = 0; i < actions; i++)
            own += slope[i] * (given[i] - spare);
        /* log p of an action and the entropy, both less what all logits have in common. */
        for (pp_int i = 0; i < actions; i++) {
            const float share = slope[i];
            slope[i] = weight * share * (given[i] - spare - own) - by * share;
        }
        slope[(pp_int)rollout->actions[places[r]]] += by;
    }
}

/* Slopes of means, and of log σ, which every step shares. */
static void pp_slope_means(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *places, pp_int count)
{
    const pp_int actions = (pp_int)rollout->action_size;
    float *spread = space->deviation + actions;
    for (pp_int i = 0; i < actions; i++)
        spread[i] = -(float)rollout->entropy_weight;
    for (pp_int r = 0; r < count; r++) {
        const float *given = pp_given(space, &rollout->actor, r), by = space->log_prob[r];
        float *slope = space->work.slopes[0] + r * space->work.slope_stride;
        for (pp_int i = 0; i < actions; i++) {
            const float scale = space->deviation[i];
            const float off = (rollout->actions[(pp_int)places[r] * actions + i] - given[i]) / scale;
            slope[i] = by * off / scale;
            spread[i] += by * (off * off - 1.0f);
        }
    }
}

/* Slopes of values, and their loss. */
static void pp_slope_values(const pp_rollout *rollout, pp_rollout_space *space, const int64_t *places, pp_int count)
{
    const float farthest = (float)rollout->value_clip, weight = (float)(2.0 * rollout->value_weight / (double)count);
    const pp_network *critic = &rollout->critic;
    double loss = 0.0;
    for (pp_int r = 0; r < count; r++) {
        const float value = space->critic_pass.x[critic->count][r * space->critic_pass.stride[critic->count]];
        const float before = rollout->values[places[r]], moved = value - before;
        const int far = farthest >= 0.0f && fabsf(moved) > farthest;
        const float error = (far ? before + copysignf(farthest, moved) : value) - rollout->returns[places[r]];
        space->work.slopes[0][r * space->work.slope_stride] = far ? 0.0f : weight * error;
        loss += (double)error * (double)error;
    }
    rollout->losses[1] = (float)(loss / (double)count);
}

static void pp_step_rollout(const pp_rollout *rollout, pp_rollout_space *space, pp_int count)
{
    pp_clip(space->kept, count, rollout->longest);
    const float *kept = pp_step_kept(&rollout->actor, &rollout->adam, space->kept);
    kept = pp_step_kept(&rollout->critic, &rollout->adam, kept);
    if (rollout->log_std.value == NULL)
        return;
    const pp_step step = pp_next_step(&rollout->adam, &rollout->log_std);
    pp_move(&step, &rollout->log_std, 0, kept, (pp_int)rollout->action_size);
}

static void pp_value_steps(const pp_rollout *rollout, pp_rollout_space *space, pp_int count)
{
    pp_renew(&rollout->critic, 1, -1, &space->critic);
    pp_read(&space->critic_pass, space->seen, space->seen_stride);
    pp_forward(&rollout->critic, &space->critic, &space->work, count, &space->critic_pass, 1);
}

/* The critic alone learns, by Adam at once: TRPO's, whose actor is moved elsewhere. Values are not clipped, and their
   loss is not weighed: `value_clip` is less than 0 and `value_weight` 1. */
static void pp_returns_minibatch(const pp_rollout *rollout, const int64_t *places, pp_int count)
{
    pp_rollout_space *space = (pp_rollout_space *)rollout->scratch;
    pp_learner learner = {&rollout->adam, NULL};
    pp_carve_rollout_space(rollout, space);
    pp_gather(rollout, space, places, count);
    pp_value_steps(rollout, space, count);
    pp_slope_values(rollout, space, places, count);
    pp_backward(&rollout->critic, &space->critic, &space->work, count, &space->critic_pass, &learner);
}

/* Learn from the steps at `count` places, unless the policy has moved too far; gives whether it did. */
static int pp_ppo_minibatch(const pp_rollout *rollout, const int64_t *places, pp_int count)
{
    pp_rollout_space *space = (pp_rollout_space *)rollout->scratch;
    const pp_network *actor = &rollout->actor, *critic = &rollout->critic;
    pp_carve_rollout_space(rollout, space);
    pp_learner learner = {NULL, space->kept};
    pp_gather(rollout, space, places, count);
    pp_value_steps(rollout, space, count);
    pp_renew(actor, 1, -1, &space->actor);
    pp_read(&space->actor_pass, space->seen, space->seen_stride);
    pp_forward(actor, &space->actor, &space->work, count, &space->actor_pass, 1);
    const double entropy = pp_weigh_actions(rollout, space, places, count);
    pp_weigh_policy(rollout, space, places, count);
    rollout->losses[2] = (float)-entropy;
    if (rollout->log_std.value == NULL)
        pp_slope_logits(rollout, space, places, count);
    else
        pp_slope_means(rollout, space, places, count);
    const int goes_on = rollout->farthest < 0.0 || !((double)rollout->losses[5] > 1.5 * rollout->farthest);
    if (goes_on)
        pp_backward(actor, &space->actor, &space->work, count, &space->actor_pass, &learner);
    pp_slope_values(rollout, space, places, count);
    rollout->losses[3] = rollout->losses[0] + (float)rollout->entropy_weight * rollout->losses[2] +
                         (float)rollout->value_weight * rollout->losses[1];
    if (!goes_on)
        return 0;
    pp_backward(critic, &space->critic, &space->work, count, &space->critic_pass, &learner);
    const pp_int deviations = rollout->log_std.value == NULL ? 0 : (pp_int)rollout->action_size;
    pp_copy(learner.kept, space->deviation + deviations, deviations * (pp_int)sizeof(float));
    learner.kept += deviations;
    pp_step_rollout(rollout, space, learner.kept - space->kept);
    return 1;
}
#endif
